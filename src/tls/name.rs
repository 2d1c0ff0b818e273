//! Distinguished names, such as the subject and the issuer of a certificate.
//!
//! A name is a list of sets of attributes; an attribute is an object id and a text in one of
//! several encodings. Reading keeps the encoding, because the bytes mean nothing without it.

use std::fmt;

use super::der::{Elements, Malformed, OBJECT_ID, SEQUENCE, SET};

/// The attributes that have a usual short form.
const SHORT_NAMES: [(&[u8], &str); 9] = [
    (COMMON_NAME, "CN"),
    (&[0x55, 0x04, 0x05], "serialNumber"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01], "emailAddress"),
];
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// A name, in the order of its encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    attributes: Vec<Attribute<'a>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Attribute<'a> {
    kind: &'a [u8],
    value: Text<'a>,
}

/// A text as it is encoded in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    tag: u8,
    bytes: &'a [u8],
}

impl<'a> Name<'a> {
    /// Reads the content of a name's outer sequence.
    pub(crate) fn read(content: &'a [u8]) -> Result<Self, Malformed> {
        let what = "distinguished name";
        let mut attributes = Vec::new();
        let mut sets = Elements::new(content, what);
        while !sets.is_empty() {
            let mut members = Elements::new(sets.expect(SET)?, what);
            while !members.is_empty() {
                let mut parts = Elements::new(members.expect(SEQUENCE)?, what);
                let kind = parts.expect(OBJECT_ID)?;
                let value = parts.next()?.ok_or(parts.malformed())?;
                parts.end()?;
                let value = Text { tag: value.tag, bytes: value.content };
                attributes.push(Attribute { kind, value });
            }
        }
        Ok(Self { attributes })
    }

    /// Every common name, in order.
    pub(crate) fn common_names(&self) -> impl Iterator<Item = Text<'a>> {
        self.attributes.iter().filter(|one| one.kind == COMMON_NAME).map(|one| one.value)
    }
}

/// `C=NL, O=Varve, CN=root`, with control and other odd characters escaped.
impl fmt::Display for Name<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.attributes.is_empty() {
            return out.write_str("(empty)");
        }
        for (place, attribute) in self.attributes.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            match SHORT_NAMES.iter().find(|(kind, _)| *kind == attribute.kind) {
                Some((_, short)) => write!(out, "{comma}{short}=")?,
                None => write!(out, "{comma}{}=", Dotted(attribute.kind))?,
            }
            write!(out, "{}", attribute.value)?;
        }
        Ok(())
    }
}

impl<'a> Text<'a> {
    const UTF8: u8 = 0x0c;
    const PRINTABLE: u8 = 0x13;
    const TELETEX: u8 = 0x14;
    const IA5: u8 = 0x16;

    /// The bytes, if the encoding is one in which ASCII stands for itself. In the wide encodings
    /// two bytes that look like ASCII are one other character.
    pub(crate) fn ascii_compatible(self) -> Option<&'a [u8]> {
        let tags = [Self::UTF8, Self::PRINTABLE, Self::TELETEX, Self::IA5];
        tags.contains(&self.tag).then_some(self.bytes)
    }

    fn characters(self) -> Option<&'a str> {
        str::from_utf8(self.ascii_compatible()?).ok()
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.characters() {
            Some(text) => write!(out, "{}", text.escape_debug()),
            None => {
                out.write_str("#")?;
                self.bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
            }
        }
    }
}

/// An object id in its usual form, such as `1.3.6.1`.
pub(crate) struct Dotted<'a>(pub(crate) &'a [u8]);

/// The first encoded number holds the first two; each number is in base 128, high bits first.
impl fmt::Display for Dotted<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = 0_u128;
        let mut is_first = true;
        for &byte in self.0 {
            number = (number << 7) | u128::from(byte & 0x7f);
            if byte & 0x80 != 0 {
                continue;
            }
            if is_first {
                let root = (number / 40).min(2);
                write!(out, "{root}.{}", number - root * 40)?;
            } else {
                write!(out, ".{number}")?;
            }
            (number, is_first) = (0, false);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use openssl::nid::Nid;
    use openssl::x509::X509Name;

    use super::*;

    fn encoded(entries: &[(Nid, &str)]) -> Vec<u8> {
        let mut name = X509Name::builder().unwrap();
        for (kind, value) in entries {
            name.append_entry_by_nid(*kind, value).unwrap();
        }
        name.build().to_der().unwrap()
    }

    fn read(der: &[u8]) -> Name<'_> {
        Name::read(Elements::new(der, "test").expect(SEQUENCE).unwrap()).unwrap()
    }

    #[test]
    fn a_name_is_shown_in_its_order_with_control_characters_escaped() {
        let der = encoded(&[
            (Nid::COUNTRYNAME, "NL"),
            (Nid::ORGANIZATIONNAME, "Varve\n"),
            (Nid::COMMONNAME, "root"),
            (Nid::TITLE, "dr"),
        ]);
        assert_eq!(read(&der).to_string(), "C=NL, O=Varve\\n, CN=root, 2.5.4.12=dr");
        assert_eq!(read(&encoded(&[])).to_string(), "(empty)");
    }

    #[test]
    fn wide_encodings_are_not_taken_for_ascii() {
        let wide = Text { tag: 0x1e, bytes: b"root" };
        assert_eq!(wide.ascii_compatible(), None);
        assert_eq!(wide.to_string(), "#726f6f74");
        let plain = Text { tag: Text::UTF8, bytes: b"root" };
        assert_eq!(plain.ascii_compatible(), Some(&b"root"[..]));
    }

    #[test]
    fn object_ids_are_shown_dotted() {
        let server_auth = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
        assert_eq!(Dotted(&server_auth).to_string(), "1.3.6.1.5.5.7.3.1");
        assert_eq!(Dotted(&[0x88, 0x37]).to_string(), "2.999");
    }

    #[test]
    fn a_name_cut_short_is_malformed() {
        let der = encoded(&[(Nid::COMMONNAME, "root")]);
        let content = Elements::new(&der, "test").expect(SEQUENCE).unwrap();
        for length in 1..content.len() {
            assert!(Name::read(&content[..length]).is_err(), "{length}");
        }
    }
}
