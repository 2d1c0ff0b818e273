//! The server's certificate, its key, and the CAs of its clients, read and checked as one.
//!
//! What the gRPC core gets is encoded anew from what was checked here, so that it cannot read
//! something else into the same files.

use std::fmt;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509Ref, X509StoreContext};
use thiserror::Error;

use super::checks;
use super::error::{Role, TlsError};
use super::exposure::Reader;
use super::moment::Moment;
use super::pem::{Bundle, KeyFile};

/// Checked PEM bytes for the gRPC core. `Debug` does not show them.
pub struct Credentials {
    certificate_pem: Vec<u8>,
    key_pem: Vec<u8>,
    authorities_pem: Vec<u8>,
    not_after: Moment,
    authorities_not_after: Moment,
    warnings: Vec<CredentialsWarning>,
}

/// What works for the server, but perhaps not for its clients.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CredentialsWarning {
    /// The server's certificate names no host.
    #[error(
        "the server certificate {} names no host and no address: gRPC clients will refuse it",
        path.display()
    )]
    NoHosts {
        /// The certificate's file.
        path: PathBuf,
    },
    /// The server's certificate is not signed by a CA of the clients.
    #[error(
        "the server certificate {} does not lead to a CA in {}: clients need another CA file to \
         trust the server",
        certificate.display(),
        authorities.display()
    )]
    OtherAuthority {
        /// The certificate's file.
        certificate: PathBuf,
        /// The file of the clients' CAs.
        authorities: PathBuf,
    },
}

impl Credentials {
    /// Reads and checks the server's certificate (with those that lead to its root after it), its
    /// private key, and the root CAs that sign clients' certificates.
    ///
    /// # Errors
    ///
    /// Any of [`TlsError`]'s, for the first fault that was found.
    pub fn load(certificate: &Path, key: &Path, authorities: &Path) -> Result<Self, TlsError> {
        Self::load_as(&Reader::this_process(), certificate, key, authorities)
    }

    /// As `load`, with the key's file judged as `reader` will meet it.
    pub(crate) fn load_as(
        reader: &Reader,
        certificate: &Path,
        key: &Path,
        authorities: &Path,
    ) -> Result<Self, TlsError> {
        Files { certificate, key, authorities }.load(reader, Moment::now())
    }

    /// The server's certificate and those that lead to its root.
    #[must_use]
    pub fn cert_pem(&self) -> &[u8] {
        &self.certificate_pem
    }

    /// The server's private key.
    #[must_use]
    pub fn key_pem(&self) -> &[u8] {
        &self.key_pem
    }

    /// The root CAs that sign clients' certificates.
    #[must_use]
    pub fn ca_pem(&self) -> &[u8] {
        &self.authorities_pem
    }

    /// The last moment of the server's certificate.
    #[must_use]
    pub const fn not_after(&self) -> Moment {
        self.not_after
    }

    /// The last moment of the client CA that ends first.
    #[must_use]
    pub const fn authorities_not_after(&self) -> Moment {
        self.authorities_not_after
    }

    /// What an operator should know although the files can be used.
    #[must_use]
    pub fn warnings(&self) -> &[CredentialsWarning] {
        &self.warnings
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Credentials").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

/// Where the three come from.
#[derive(Clone, Copy)]
pub(super) struct Files<'a> {
    pub(super) certificate: &'a Path,
    pub(super) key: &'a Path,
    pub(super) authorities: &'a Path,
}

impl Files<'_> {
    pub(super) fn load(self, reader: &Reader, now: Moment) -> Result<Credentials, TlsError> {
        let chain = Bundle::read(self.certificate, Role::ServerCertificate)?;
        chain.for_each(|place, certificate, parts| match place {
            1 => checks::server(certificate, parts, now),
            _ => checks::intermediate(certificate, parts, now),
        })?;
        let key = KeyFile::read(self.key, Role::ServerKey, reader)?;
        chain.check_key(&key)?;
        let authorities = Bundle::read(self.authorities, Role::ClientAuthorities)?;
        authorities.for_each(|_, certificate, parts| checks::root(certificate, parts, now))?;
        Ok(Credentials {
            certificate_pem: chain.to_pem()?,
            key_pem: key.to_pem()?,
            authorities_pem: authorities.to_pem()?,
            not_after: chain.not_after()?,
            authorities_not_after: authorities.first_not_after()?,
            warnings: self.warnings(&chain, &authorities),
        })
    }

    fn warnings(self, chain: &Bundle, authorities: &Bundle) -> Vec<CredentialsWarning> {
        let mut warnings = Vec::new();
        if !names_a_host(&chain.first) {
            warnings.push(CredentialsWarning::NoHosts { path: self.certificate.to_owned() });
        }
        if !leads_to(chain, authorities).unwrap_or(false) {
            warnings.push(CredentialsWarning::OtherAuthority {
                certificate: self.certificate.to_owned(),
                authorities: self.authorities.to_owned(),
            });
        }
        warnings
    }
}

fn names_a_host(certificate: &X509Ref) -> bool {
    let names = certificate.subject_alt_names();
    names.is_some_and(|names| {
        names.iter().any(|name| name.dnsname().is_some() || name.ipaddress().is_some())
    })
}

fn leads_to(chain: &Bundle, authorities: &Bundle) -> Result<bool, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    for authority in authorities.iter() {
        store.add_cert(authority.clone())?;
    }
    let mut between = Stack::new()?;
    for certificate in &chain.rest {
        between.push(certificate.clone())?;
    }
    let mut context = X509StoreContext::new()?;
    context.init(&store.build(), &chain.first, &between, |context| context.verify_cert())
}
