//! The server's own list of certificates that count for nothing.
//!
//! A line names one certificate: `fingerprint, SHA-256` or `serial, NUMBER, ISSUER`, numbers in
//! hexadecimal with or without colons, the issuer as `varve certs inspect` shows it, commas and
//! all. Empty lines and those that begin with `#` are passed over.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use thiserror::Error;

use super::holder::Holder;
use crate::tls::error::{Role, TlsError};
use crate::tls::pem;

/// Certificates by fingerprint, and by issuer and serial number.
#[derive(Debug, Default)]
pub(super) struct DenyList {
    fingerprints: HashSet<[u8; 32]>,
    serials: HashMap<String, HashSet<Vec<u8>>>,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DenyFault {
    /// It begins with another word.
    #[error(
        "it begins with {0:?}: write `fingerprint, SHA-256` or `serial, NUMBER, ISSUER`, as \
         `varve certs inspect` shows them"
    )]
    Kind(String),
    /// It is not a SHA-256.
    #[error("{0:?} is no fingerprint: a SHA-256 has 64 hexadecimal digits, colons do not matter")]
    Fingerprint(String),
    /// It is not a number.
    #[error("{0:?} is no serial number: write it in hexadecimal, at most 40 digits")]
    Serial(String),
    /// A serial number without the name of the CA.
    #[error("no issuer follows the serial number: add it as `varve certs inspect` shows it")]
    NoIssuer,
}

/// A certificate that a line names.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    Fingerprint([u8; 32]),
    Serial(String, Vec<u8>),
}

impl DenyList {
    /// # Errors
    ///
    /// `Read`, `NotAFile`, `TooLarge` or `DenyList`.
    pub(super) fn read(path: &Path) -> Result<Self, TlsError> {
        let bytes = pem::read_file(path, Role::DenyList)?.0;
        Self::parse(&String::from_utf8_lossy(&bytes)).map_err(|(line, fault)| TlsError::DenyList {
            path: path.to_owned(),
            line,
            fault,
        })
    }

    /// Or the number of the first bad line, counted from 1, and what is wrong with it.
    fn parse(text: &str) -> Result<Self, (usize, DenyFault)> {
        let mut list = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match named(line).map_err(|fault| (number, fault))? {
                Named::Fingerprint(fingerprint) => {
                    list.fingerprints.insert(fingerprint);
                }
                Named::Serial(issuer, serial) => {
                    list.serials.entry(issuer).or_default().insert(serial);
                }
            }
        }
        Ok(list)
    }

    pub(super) fn has(&self, holder: &Holder) -> bool {
        self.fingerprints.contains(&holder.fingerprint)
            || self.serials.get(&holder.issuer_text).is_some_and(|of| of.contains(&holder.serial))
    }

    /// The issuers that lines name.
    pub(super) fn issuers(&self) -> impl Iterator<Item = &str> {
        self.serials.keys().map(String::as_str)
    }

    pub(super) fn len(&self) -> usize {
        self.fingerprints.len() + self.serials.values().map(HashSet::len).sum::<usize>()
    }
}

fn named(line: &str) -> Result<Named, DenyFault> {
    let mut fields = line.splitn(3, ',').map(str::trim);
    match (fields.next().unwrap_or_default(), fields.next(), fields.next()) {
        ("fingerprint", Some(digits), None) => hexadecimal(digits)
            .and_then(|bytes| bytes.try_into().ok())
            .map(Named::Fingerprint)
            .ok_or_else(|| DenyFault::Fingerprint(digits.to_owned())),
        ("serial", Some(digits), issuer) => {
            let number = hexadecimal(digits).filter(|bytes| bytes.len() <= 20);
            let number = number.ok_or_else(|| DenyFault::Serial(digits.to_owned()))?;
            let issuer = issuer.filter(|text| !text.is_empty()).ok_or(DenyFault::NoIssuer)?;
            let serial = number.into_iter().skip_while(|byte| *byte == 0).collect();
            Ok(Named::Serial(issuer.to_owned(), serial))
        }
        ("fingerprint", rest, _) => Err(DenyFault::Fingerprint(rest.unwrap_or("").to_owned())),
        (word, ..) => Err(DenyFault::Kind(word.to_owned())),
    }
}

/// The bytes of a number in hexadecimal, at least one.
fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let odd = digits.len() % 2 == 1;
    let digits = [if odd { &b"0"[..] } else { b"" }, &digits].concat();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = str::from_utf8(pair).ok()?;
        pair.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(pair)?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect::<Option<Vec<u8>>>().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_a_certificate_by_its_fingerprint_or_by_issuer_and_number() {
        let digits = "0A:".repeat(31) + "ff";
        let Named::Fingerprint(bytes) = named(&format!("fingerprint, {digits}")).unwrap() else {
            panic!("a fingerprint");
        };
        assert_eq!((bytes[0], bytes[31]), (10, 255));
        let serial = named("serial,00A:bc,C=NL, O=Varve, CN=root").unwrap();
        assert_eq!(serial, Named::Serial("C=NL, O=Varve, CN=root".to_owned(), vec![10, 0xbc]));
    }

    #[test]
    fn a_bad_line_is_told_with_its_number_and_what_would_be_right() {
        let fault = |line: &str| {
            let (number, fault) = DenyList::parse(&format!("# ours\n\n{line}\n")).unwrap_err();
            assert_eq!(number, 3);
            fault
        };
        assert_eq!(fault("fingerprint, 0a"), DenyFault::Fingerprint("0a".to_owned()));
        assert_eq!(fault("fingerprint"), DenyFault::Fingerprint(String::new()));
        assert_eq!(fault("serial, +1, CN=a"), DenyFault::Serial("+1".to_owned()));
        assert_eq!(fault("serial, 1"), DenyFault::NoIssuer);
        assert_eq!(fault("serial, 1,"), DenyFault::NoIssuer);
        assert_eq!(fault("cn, root"), DenyFault::Kind("cn".to_owned()));
        assert!(fault("cn, root").to_string().contains("write `fingerprint, SHA-256`"));
    }
}
