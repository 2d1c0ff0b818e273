//! Who a client is: the subject that its certificate gives it.
//!
//! A certificate with one URI name, a `spiffe://` id, has that as its subject. Without any URI name
//! the one common name is the subject, whatever other names there are. Every doubt refuses: several
//! URIs or common names, another URI, odd bytes, an encoding that hides them. The names are read
//! from the certificate's bytes, so nothing is cut at a NUL and nothing undecodable counts as
//! absent. Policies compare subjects byte for byte.

use std::fmt;
use std::sync::Arc;

use openssl::x509::X509Ref;
use thiserror::Error;

use super::der::Malformed;
use super::parts::{AlternativeName, Parts};

/// The most bytes that a subject may have.
pub const SUBJECT_BYTES_MAX: usize = 255;
const SPIFFE: &[u8] = b"spiffe://";

/// Who acts: 1 to 255 bytes of printable ASCII. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(Arc<str>);

/// Why a certificate gives no subject.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// OpenSSL does not write it in DER.
    #[error("not a certificate that OpenSSL can write in DER")]
    NotACertificate,
    /// Its bytes do not have the form of a certificate.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// It has more than one URI name, so it is not clear which one counts.
    #[error("{count} URI names: a subject needs exactly one spiffe:// name")]
    SeveralUris {
        /// How many there are.
        count: usize,
    },
    /// Its URI name is no SPIFFE id.
    #[error("URI name \"{}\" is no spiffe:// id", .uri.escape_ascii())]
    OtherUri {
        /// The name as it stands in the certificate.
        uri: Vec<u8>,
    },
    /// It has neither a URI name nor a common name.
    #[error("neither a spiffe:// name nor a common name")]
    Nameless,
    /// It has more than one common name.
    #[error("{count} common names: a subject needs exactly one")]
    SeveralCommonNames {
        /// How many there are.
        count: usize,
    },
    /// The common name is in an encoding in which ASCII does not stand for itself.
    #[error("a common name in an encoding that is not used for ASCII")]
    Encoding,
    /// The name has no bytes.
    #[error("an empty name")]
    Empty,
    /// The name is longer than a subject may be.
    #[error("a name of {bytes} bytes: at most {SUBJECT_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The name has a byte that is not printable ASCII.
    #[error("byte {byte:#04x} at place {place} of the name: only printable ASCII is accepted")]
    NotPrintable {
        /// The first such byte.
        byte: u8,
        /// Its place, counted from 0.
        place: usize,
    },
}

/// Reads the subject of a client's certificate.
///
/// # Errors
///
/// Any of [`IdentityError`]'s; such a client must get no access at all.
pub fn subject_of(certificate: &X509Ref) -> Result<Subject, IdentityError> {
    let der = certificate.to_der().map_err(|_| IdentityError::NotACertificate)?;
    let parts = Parts::read(&der)?;
    // Nothing here reads names of other kinds; OpenSSL does, and has no names at all if it cannot.
    let has_others = parts.alternative_names.contains(&AlternativeName::Other);
    if has_others && certificate.subject_alt_names().is_none() {
        return Err(Malformed { what: "subject alternative names" }.into());
    }
    subject_of_parts(&parts)
}

fn subject_of_parts(parts: &Parts<'_>) -> Result<Subject, IdentityError> {
    let uris: Vec<&[u8]> = parts
        .alternative_names
        .iter()
        .filter_map(|name| match *name {
            AlternativeName::Uri(uri) => Some(uri),
            AlternativeName::Mail(_)
            | AlternativeName::Dns(_)
            | AlternativeName::Address(_)
            | AlternativeName::Other => None,
        })
        .collect();
    match *uris {
        [] => common_name(parts),
        [uri] if uri.len() > SPIFFE.len() && uri.starts_with(SPIFFE) => Subject::from_bytes(uri),
        [uri] => Err(IdentityError::OtherUri { uri: uri.to_vec() }),
        _ => Err(IdentityError::SeveralUris { count: uris.len() }),
    }
}

fn common_name(parts: &Parts<'_>) -> Result<Subject, IdentityError> {
    let mut names = parts.subject.common_names();
    let name = names.next().ok_or(IdentityError::Nameless)?;
    match names.count() {
        0 => Subject::from_bytes(name.ascii_compatible().ok_or(IdentityError::Encoding)?),
        more => Err(IdentityError::SeveralCommonNames { count: more + 1 }),
    }
}

impl Subject {
    /// Makes a subject of a fixed name, such as that of every client of a plaintext listener.
    ///
    /// # Errors
    ///
    /// `Empty`, `TooLong` or `NotPrintable`.
    pub fn new(name: &str) -> Result<Self, IdentityError> {
        Self::from_bytes(name.as_bytes())
    }

    /// The name, as a policy compares it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn from_bytes(name: &[u8]) -> Result<Self, IdentityError> {
        if name.is_empty() {
            return Err(IdentityError::Empty);
        }
        if name.len() > SUBJECT_BYTES_MAX {
            return Err(IdentityError::TooLong { bytes: name.len() });
        }
        let odd = name.iter().enumerate().find(|(_, byte)| !matches!(byte, b' '..=b'~'));
        if let Some((place, &byte)) = odd {
            return Err(IdentityError::NotPrintable { byte, place });
        }
        let name = str::from_utf8(name).expect("printable ASCII is UTF-8");
        Ok(Self(name.into()))
    }
}

impl AsRef<str> for Subject {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}
