//! The parts of a certificate that decide what it is for and whom it names.
//!
//! The layout is RFC 5280's, section 4.1. Extensions that nothing here asks for are passed over;
//! one that comes twice makes the certificate malformed.

use super::der::{
    BIT_STRING, BOOLEAN, Elements, INTEGER, Malformed, OBJECT_ID, OCTET_STRING, SEQUENCE,
};
use super::name::Name;

const KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];
const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];

/// What was read of one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) issuer: Name<'a>,
    pub(crate) subject: Name<'a>,
    /// In their order; empty as well if the extension is absent.
    pub(crate) alternative_names: Vec<AlternativeName<'a>>,
    /// `None` if the extension is absent, which means no CA.
    pub(crate) authority: Option<BasicConstraints>,
    /// `None` if the extension is absent, which means any usage.
    pub(crate) key_usage: Option<KeyUsage>,
    /// The object ids of the extended key usages; `None` if the extension is absent, which means
    /// any purpose.
    pub(crate) purposes: Option<Vec<&'a [u8]>>,
}

/// One subject alternative name, as its bytes stand in the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AlternativeName<'a> {
    Mail(&'a [u8]),
    Dns(&'a [u8]),
    Uri(&'a [u8]),
    /// 4 or 16 bytes, unless the certificate is malformed.
    Address(&'a [u8]),
    /// A kind that Varve has no use for.
    Other,
}

/// Whether the certificate is a CA's, and how many CAs may follow below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BasicConstraints {
    pub(crate) is_ca: bool,
    pub(crate) path_length: Option<u32>,
}

/// What the key may be used for: the extension's first 16 bits, the first of them the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyUsage(pub(crate) u16);

impl KeyUsage {
    pub(crate) const DIGITAL_SIGNATURE: Self = Self(0x8000);
    pub(crate) const CERT_SIGN: Self = Self(0x0400);
    pub(crate) const CRL_SIGN: Self = Self(0x0200);

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl<'a> Parts<'a> {
    pub(crate) const SERVER_AUTH: &'static [u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];

    /// Reads a certificate's DER.
    pub(crate) fn read(der: &'a [u8]) -> Result<Self, Malformed> {
        let mut outer = Elements::new(der, "certificate");
        let mut signed = Elements::new(outer.expect(SEQUENCE)?, "certificate");
        outer.end()?;
        let mut fields = Elements::new(signed.expect(SEQUENCE)?, "certificate");
        signed.expect(SEQUENCE)?; // signature algorithm
        signed.expect(BIT_STRING)?; // signature
        signed.end()?;
        fields.optional(0xa0)?; // version
        fields.expect(INTEGER)?; // serial number
        fields.expect(SEQUENCE)?; // signature algorithm
        let issuer = Name::read(fields.expect(SEQUENCE)?)?;
        fields.expect(SEQUENCE)?; // validity
        let subject = Name::read(fields.expect(SEQUENCE)?)?;
        fields.expect(SEQUENCE)?; // public key
        fields.optional(0x81)?; // issuer's unique id
        fields.optional(0x82)?; // subject's unique id
        let extensions = fields.optional(0xa3)?;
        fields.end()?;
        let mut parts = Self {
            issuer,
            subject,
            alternative_names: Vec::new(),
            authority: None,
            key_usage: None,
            purposes: None,
        };
        if let Some(extensions) = extensions {
            parts.read_extensions(extensions)?;
        }
        Ok(parts)
    }

    fn read_extensions(&mut self, bytes: &'a [u8]) -> Result<(), Malformed> {
        let mut outer = Elements::new(bytes, "list of extensions");
        let mut list = Elements::new(outer.expect(SEQUENCE)?, "list of extensions");
        outer.end()?;
        let mut seen = Vec::new();
        while !list.is_empty() {
            let mut fields = Elements::new(list.expect(SEQUENCE)?, "extension");
            let kind = fields.expect(OBJECT_ID)?;
            fields.optional(BOOLEAN)?; // whether it is critical
            let value = fields.expect(OCTET_STRING)?;
            fields.end()?;
            if seen.contains(&kind) {
                return Err(Malformed { what: "list of extensions: one comes twice" });
            }
            seen.push(kind);
            self.read_extension(kind, value)?;
        }
        Ok(())
    }

    fn read_extension(&mut self, kind: &[u8], value: &'a [u8]) -> Result<(), Malformed> {
        match kind {
            ALTERNATIVE_NAMES => self.alternative_names = alternative_names(value)?,
            BASIC_CONSTRAINTS => self.authority = Some(basic_constraints(value)?),
            KEY_USAGE => self.key_usage = Some(key_usage(value)?),
            EXTENDED_KEY_USAGE => self.purposes = Some(purposes(value)?),
            _ => (),
        }
        Ok(())
    }
}

/// The one sequence that makes up an extension's value.
fn sequence<'a>(value: &'a [u8], what: &'static str) -> Result<Elements<'a>, Malformed> {
    let mut outer = Elements::new(value, what);
    let content = outer.expect(SEQUENCE)?;
    outer.end()?;
    Ok(Elements::new(content, what))
}

fn alternative_names(value: &[u8]) -> Result<Vec<AlternativeName<'_>>, Malformed> {
    let mut list = sequence(value, "subject alternative names")?;
    let mut names = Vec::new();
    while let Some(element) = list.next()? {
        names.push(match element.tag {
            0x81 => AlternativeName::Mail(element.content),
            0x82 => AlternativeName::Dns(element.content),
            0x86 => AlternativeName::Uri(element.content),
            0x87 => AlternativeName::Address(element.content),
            // Other name, X.400 address, directory name, EDI party, registered id.
            0xa0 | 0xa3 | 0xa4 | 0xa5 | 0x88 => AlternativeName::Other,
            _ => return Err(list.malformed()),
        });
    }
    Ok(names)
}

fn basic_constraints(value: &[u8]) -> Result<BasicConstraints, Malformed> {
    let mut fields = sequence(value, "basic constraints")?;
    let is_ca = match fields.optional(BOOLEAN)? {
        None | Some([0]) => false,
        Some([0xff]) => true,
        Some(_) => return Err(fields.malformed()),
    };
    let path_length = match fields.optional(INTEGER)? {
        None => None,
        Some(digits) => {
            let is_small = matches!(digits, [0..=0x7f] | [0, 0x80..=0xff] | [1..=0x7f, _]);
            let value = digits.iter().fold(0, |sum, &digit| (sum << 8) | u32::from(digit));
            Some(is_small.then_some(value).ok_or(fields.malformed())?)
        }
    };
    fields.end()?;
    Ok(BasicConstraints { is_ca, path_length })
}

fn key_usage(value: &[u8]) -> Result<KeyUsage, Malformed> {
    let mut outer = Elements::new(value, "key usage");
    let content = outer.expect(BIT_STRING)?;
    outer.end()?;
    // The first byte counts the unused bits at the end.
    match *content {
        [0..=7, high] => Ok(KeyUsage(u16::from_be_bytes([high, 0]))),
        [0..=7, high, low] => Ok(KeyUsage(u16::from_be_bytes([high, low]))),
        [0] => Ok(KeyUsage(0)),
        _ => Err(outer.malformed()),
    }
}

fn purposes(value: &[u8]) -> Result<Vec<&[u8]>, Malformed> {
    let mut list = sequence(value, "extended key usage")?;
    let mut purposes = Vec::new();
    while !list.is_empty() {
        purposes.push(list.expect(OBJECT_ID)?);
    }
    Ok(purposes)
}
