//! Reads files into certificates and private keys.

use std::cell::Cell;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::x509::{X509, X509Ref};

use super::checks::CertificateFault;
use super::error::{KeyFault, Role, TlsError};
use super::exposure::Reader;
use super::moment::Moment;
use super::parts::Parts;
use super::strength;
use crate::small_file::{self, Source, Unread};

/// The most bytes that are read: thousands of certificates.
const BYTES_MAX: u64 = 8 << 20;

/// The certificates of a file, at least one.
pub(crate) struct Bundle {
    pub(crate) first: X509,
    pub(crate) rest: Vec<X509>,
    role: Role,
    path: PathBuf,
}

/// A private key without a passphrase, strong enough, that no stranger can read.
pub(crate) struct KeyFile {
    pub(crate) key: PKey<Private>,
    role: Role,
    path: PathBuf,
}

impl Bundle {
    /// Reads every certificate of a file.
    ///
    /// # Errors
    ///
    /// `Read`, `NotAFile`, `TooLarge`, `NulByte`, `Damaged` or `NoCertificate`.
    pub(crate) fn read(path: &Path, role: Role) -> Result<Self, TlsError> {
        let (bytes, _) = read(path, role)?;
        let path = path.to_owned();
        match X509::stack_from_pem(&bytes) {
            Err(source) => Err(TlsError::Damaged { role, path, source }),
            Ok(list) => {
                let mut list = list.into_iter();
                match list.next() {
                    None => Err(TlsError::NoCertificate { role, path }),
                    Some(first) => Ok(Self { first, rest: list.collect(), role, path }),
                }
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &X509> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// Hands one certificate after the other to `check`, each with its place, counted from 1.
    ///
    /// # Errors
    ///
    /// `Certificate` with the first fault that `check` finds.
    pub(crate) fn for_each(
        &self,
        mut check: impl FnMut(usize, &X509Ref, &Parts<'_>) -> Result<(), CertificateFault>,
    ) -> Result<(), TlsError> {
        for (place, certificate) in (1..).zip(self.iter()) {
            let (role, path) = (self.role, &self.path);
            let der = certificate.to_der().map_err(self.damaged())?;
            let fail = |subject, fault| TlsError::Certificate {
                role,
                path: path.clone(),
                place,
                subject,
                fault,
            };
            let parts =
                Parts::read(&der).map_err(|fault| fail("(unreadable)".to_owned(), fault.into()))?;
            check(place, certificate, &parts)
                .map_err(|fault| fail(parts.subject.to_string(), fault))?;
        }
        Ok(())
    }

    /// Checks that `key` is the one in the first certificate.
    ///
    /// # Errors
    ///
    /// `Mismatch`.
    pub(crate) fn check_key(&self, key: &KeyFile) -> Result<(), TlsError> {
        if self.first.public_key().is_ok_and(|own| own.public_eq(&key.key)) {
            return Ok(());
        }
        Err(TlsError::Mismatch { certificate: self.path.clone(), key: key.path.clone() })
    }

    /// The last moment of the first certificate.
    ///
    /// # Errors
    ///
    /// `Damaged`.
    pub(crate) fn not_after(&self) -> Result<Moment, TlsError> {
        Moment::from_asn1(self.first.not_after()).map_err(self.damaged())
    }

    /// The last moment of whichever certificate ends first.
    ///
    /// # Errors
    ///
    /// `Damaged`.
    pub(crate) fn first_not_after(&self) -> Result<Moment, TlsError> {
        let ends = self.iter().map(|one| Moment::from_asn1(one.not_after()));
        let ends: Result<Vec<_>, _> = ends.collect();
        let ends = ends.map_err(self.damaged())?;
        ends.into_iter().min().map_or_else(|| self.not_after(), Ok)
    }

    /// Encodes the certificates anew, without what else stood in the file.
    ///
    /// # Errors
    ///
    /// `Damaged`.
    pub(crate) fn to_pem(&self) -> Result<Vec<u8>, TlsError> {
        let encoded: Result<Vec<_>, _> = self.iter().map(|one| one.to_pem()).collect();
        Ok(encoded.map_err(self.damaged())?.concat())
    }

    fn damaged(&self) -> impl Fn(ErrorStack) -> TlsError {
        |source| TlsError::Damaged { role: self.role, path: self.path.clone(), source }
    }
}

impl KeyFile {
    /// Reads and checks a private key.
    ///
    /// # Errors
    ///
    /// `Read`, `NotAFile`, `TooLarge`, `NulByte` or `Key`.
    pub(crate) fn read(path: &Path, role: Role, reader: &Reader) -> Result<Self, TlsError> {
        let (bytes, metadata) = read(path, role)?;
        let path = path.to_owned();
        let checked = reader
            .check(&path, &metadata)
            .map_err(KeyFault::Exposed)
            .and_then(|()| decode_key(&bytes))
            .and_then(|key| strength::check_key(&key).map(|()| key).map_err(KeyFault::Weak));
        match checked {
            Ok(key) => Ok(Self { key, role, path }),
            Err(fault) => Err(TlsError::Key { role, path, fault }),
        }
    }

    /// Encodes the key anew, without what else stood in the file.
    ///
    /// # Errors
    ///
    /// `Damaged`.
    pub(crate) fn to_pem(&self) -> Result<Vec<u8>, TlsError> {
        self.key.private_key_to_pem_pkcs8().map_err(|source| TlsError::Damaged {
            role: self.role,
            path: self.path.clone(),
            source,
        })
    }
}

/// The callback stands in for OpenSSL's own, which would ask for a passphrase on the terminal.
fn decode_key(pem: &[u8]) -> Result<PKey<Private>, KeyFault> {
    let was_asked = Cell::new(false);
    let refuse = |_: &mut [u8]| {
        was_asked.set(true);
        Err(ErrorStack::get())
    };
    PKey::private_key_from_pem_callback(pem, refuse).map_err(|source| {
        if was_asked.get() { KeyFault::Encrypted } else { KeyFault::Unreadable { source } }
    })
}

/// As `read_file`, and it is text.
pub(super) fn read(path: &Path, role: Role) -> Result<(Vec<u8>, Metadata), TlsError> {
    let (bytes, metadata) = read_file(path, role)?;
    match bytes.iter().position(|&byte| byte == 0) {
        Some(position) => Err(TlsError::NulByte { role, path: path.to_owned(), position }),
        None => Ok((bytes, metadata)),
    }
}

/// The metadata belongs to the bytes.
pub(super) fn read_file(path: &Path, role: Role) -> Result<(Vec<u8>, Metadata), TlsError> {
    let path = path.to_owned();
    match small_file::read(&path, Source::Regular, BYTES_MAX) {
        Ok((bytes, metadata)) if metadata.is_file() => Ok((bytes, metadata)),
        Ok(_) | Err(Unread::NotAFile) => Err(TlsError::NotAFile { role, path }),
        Err(Unread::TooLarge { bytes_max }) => Err(TlsError::TooLarge { role, path, bytes_max }),
        Err(Unread::Io(source)) => Err(TlsError::Read { role, path, source }),
    }
}
