//! A CA that signs, from its two files.

use std::path::{Path, PathBuf};

use openssl::pkey::{PKeyRef, Private};
use openssl::x509::X509Ref;

use super::error::CertsError;
use crate::tls::exposure::Reader;
use crate::tls::pem::{Bundle, KeyFile};
use crate::tls::{Moment, Role, checks};

/// A CA's certificate and its key, which belong together and may sign now.
pub(super) struct Issuer {
    bundle: Bundle,
    key: KeyFile,
    path: PathBuf,
    path_length: Option<u32>,
}

impl Issuer {
    /// Reads and checks both files; the first certificate is the one that signs.
    pub(super) fn read(certificate: &Path, key: &Path, now: Moment) -> Result<Self, CertsError> {
        let bundle = Bundle::read(certificate, Role::Authority)?;
        let mut path_length = None;
        bundle.for_each(|place, certificate, parts| {
            if place == 1 {
                checks::issuer(certificate, parts, now)?;
                path_length = parts.authority.and_then(|constraints| constraints.path_length);
            }
            Ok(())
        })?;
        let key = KeyFile::read(key, Role::AuthorityKey, &Reader::this_process())?;
        bundle.check_key(&key)?;
        Ok(Self { bundle, key, path: certificate.to_owned(), path_length })
    }

    pub(super) fn certificate(&self) -> &X509Ref {
        &self.bundle.first
    }

    pub(super) fn key(&self) -> &PKeyRef<Private> {
        &self.key.key
    }

    pub(super) fn not_after(&self) -> Result<Moment, CertsError> {
        Ok(self.bundle.not_after()?)
    }

    /// Checks that another CA may follow below this one.
    pub(super) fn check_may_sign_authority(&self) -> Result<(), CertsError> {
        match self.path_length {
            Some(0) => Err(CertsError::PathLength { path: self.path.clone() }),
            Some(_) | None => Ok(()),
        }
    }
}
