//! Reads DER, the encoding of certificates, one element at a time.
//!
//! An element is a tag, a length and as many bytes of content. Certificates need one-byte tags and
//! definite lengths; all else is [`Malformed`]. The getters of the `openssl` crate answer `None`
//! both for a name that is absent and for one that they cannot decode, and some cut at a NUL; what
//! decides who a client is must tell these apart.

use thiserror::Error;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_ID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Bytes that do not have the form that they should have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("malformed {what}")]
pub struct Malformed {
    /// What was being read.
    pub what: &'static str,
}

/// One element: its tag, and its content without the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
}

/// Elements that follow each other to the end of their bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Elements<'a> {
    /// Reads `bytes`, which hold `what`.
    pub(crate) const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    pub(crate) const fn malformed(&self) -> Malformed {
        Malformed { what: self.what }
    }

    /// The next element, or `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Element<'a>>, Malformed> {
        if self.is_empty() {
            return Ok(None);
        }
        let (element, rest) = split(self.rest).ok_or(self.malformed())?;
        self.rest = rest;
        Ok(Some(element))
    }

    /// The content of the next element, which must be there and have this tag.
    pub(crate) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        self.optional(tag)?.ok_or(self.malformed())
    }

    /// The content of the next element if it has this tag; else it is left to be read.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.rest.first() != Some(&tag) {
            return Ok(None);
        }
        Ok(self.next()?.map(|element| element.content))
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Checks that nothing is left.
    pub(crate) const fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() { Ok(()) } else { Err(self.malformed()) }
    }
}

/// Splits the first element off, if there is a whole and well-formed one.
fn split(bytes: &[u8]) -> Option<(Element<'_>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let has_long_tag = tag & 0x1f == 0x1f;
    let (length, rest) = split_length(rest)?;
    if has_long_tag || length > rest.len() {
        return None;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((Element { tag, content }, rest))
}

/// A length is one byte below 128, or a byte that says how many big-endian bytes follow. DER
/// allows only the shortest form.
fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    if first < 0x80 {
        return Some((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    let (digits, rest) = rest.split_at_checked(count)?;
    let is_shortest = digits.first().is_some_and(|&digit| digit != 0) && count <= 4;
    let length = digits.iter().fold(0_usize, |sum, &digit| (sum << 8) | usize::from(digit));
    (is_shortest && length >= 0x80).then_some((length, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(bytes: &[u8]) -> Result<Option<Element<'_>>, Malformed> {
        Elements::new(bytes, "test").next()
    }

    #[test]
    fn elements_come_in_order_to_the_end() {
        let mut elements = Elements::new(&[0x02, 0x01, 0x07, 0x04, 0x00], "test");
        assert_eq!(elements.expect(INTEGER), Ok(&[7][..]));
        assert_eq!(elements.optional(INTEGER), Ok(None));
        assert!(elements.end().is_err());
        assert_eq!(elements.expect(OCTET_STRING), Ok(&[][..]));
        assert_eq!(elements.next(), Ok(None));
        assert_eq!(elements.end(), Ok(()));
        assert!(elements.expect(INTEGER).is_err());
    }

    #[test]
    fn long_lengths_are_read() {
        let mut bytes = vec![0x04, 0x82, 0x01, 0x00];
        bytes.extend([9; 256]);
        assert_eq!(first(&bytes).unwrap().unwrap().content.len(), 256);
    }

    #[test]
    fn what_is_not_der_is_malformed() {
        let cases: [&[u8]; 8] = [
            &[0x04],
            &[0x04, 0x02, 0x00],
            &[0x04, 0x80, 0x00, 0x00],
            &[0x04, 0x81, 0x01, 0x00],
            &[0x04, 0x85, 0x01, 0x00, 0x00, 0x00, 0x00],
            &[0x04, 0xff, 0x01],
            &[0x1f, 0x01, 0x00],
            &[0x04, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00],
        ];
        for bytes in cases {
            assert_eq!(first(bytes), Err(Malformed { what: "test" }), "{bytes:x?}");
        }
    }

    #[test]
    fn a_length_in_other_than_its_shortest_form_is_malformed() {
        let headers: [&[u8]; 3] = [
            &[0x04, 0x82, 0x00, 0x80],
            &[0x04, 0x81, 0x7f],
            // Cut to 64 bits it would be 128.
            &[0x04, 0x89, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80],
        ];
        for header in headers {
            let bytes = [header, &[0; 128]].concat();
            assert_eq!(first(&bytes), Err(Malformed { what: "test" }), "{header:x?}");
        }
        assert!(first(&[&[0x04, 0x81, 0x80][..], &[0; 128]].concat()).is_ok());
    }
}
