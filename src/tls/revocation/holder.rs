//! What tells one certificate from all others.

use openssl::hash::MessageDigest;
use openssl::x509::X509Ref;

use crate::tls::identity::IdentityError;
use crate::tls::parts::Parts;

/// A certificate by what lists name it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// The encoded name of the CA that issued it.
    pub(super) issuer: Vec<u8>,
    /// That name as people read it.
    pub(super) issuer_text: String,
    /// Big-endian, without leading zeros.
    pub(super) serial: Vec<u8>,
    /// SHA-256 of the certificate.
    pub(super) fingerprint: [u8; 32],
}

impl Holder {
    /// # Errors
    ///
    /// `NotACertificate` or `Malformed`.
    pub(crate) fn of(certificate: &X509Ref) -> Result<Self, IdentityError> {
        let unreadable = |_| IdentityError::NotACertificate;
        let der = certificate.to_der().map_err(unreadable)?;
        let digest = certificate.digest(MessageDigest::sha256()).map_err(unreadable)?;
        let serial = certificate.serial_number().to_bn().map_err(unreadable)?;
        Ok(Self {
            issuer: certificate.issuer_name().to_der().map_err(unreadable)?,
            issuer_text: Parts::read(&der)?.issuer.to_string(),
            serial: serial.to_vec(),
            fingerprint: (*digest).try_into().map_err(|_| IdentityError::NotACertificate)?,
        })
    }
}
