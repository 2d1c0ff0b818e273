//! What a certificate must be for its role.
//!
//! A server's must be one that clients accept and that the gRPC core survives; a client CA must be
//! a root, because the core trusts every certificate in its bundle as it stands.

use openssl::x509::X509Ref;
use thiserror::Error;

use super::der::Malformed;
use super::moment::Moment;
use super::parts::{AlternativeName, KeyUsage, Parts};
use super::strength::{self, WeakKey, WeakSignature};

/// Why a certificate cannot have the role that it is given.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateFault {
    /// Its bytes do not have the form of a certificate.
    #[error("{0}: have it issued anew")]
    Malformed(#[from] Malformed),
    /// Its time is over.
    #[error("it expired at {not_after}, and it is {now}: have it issued anew")]
    Expired {
        /// When its time ended.
        not_after: Moment,
        /// The host's clock.
        now: Moment,
    },
    /// Its time has not begun.
    #[error("it is valid from {not_before}, and it is {now}: check the host's clock, or wait")]
    NotYetValid {
        /// When its time begins.
        not_before: Moment,
        /// The host's clock.
        now: Moment,
    },
    /// A server's certificate is a CA's.
    #[error("it is a CA's certificate: name one that the CA issued to the server")]
    IsAuthority,
    /// A server's certificate is for other purposes.
    #[error("it is not for servers: have it issued with the usage `server auth`")]
    NotForServers,
    /// A server's certificate forbids its key to sign, which every TLS handshake needs.
    #[error("its key may not sign handshakes: have it issued with the usage `signing`")]
    NotForSigning,
    /// An IP address in it has another length than 4 or 16 bytes; the gRPC core would abort.
    #[error("an IP address of {bytes} bytes, not 4 or 16, among its names: have it issued anew")]
    AddressLength {
        /// The length that was found.
        bytes: usize,
    },
    /// A CA's certificate is no CA's.
    #[error("it is no CA's certificate: name that of the CA which signed it")]
    NotAuthority,
    /// A CA may not sign certificates.
    #[error("it is a CA that may not sign certificates: name one with the usage `cert sign`")]
    MayNotSign,
    /// A CA is not a root.
    #[error("it is not self-signed: only root CAs may stand here, clients send the others")]
    NotRoot,
    /// Its public key could not be decoded.
    #[error("its public key is unreadable: have it issued anew")]
    UnreadableKey,
    /// Its key is too weak, or of another kind.
    #[error("{0}")]
    WeakKey(#[from] WeakKey),
    /// Its signature can be forged.
    #[error("{0}")]
    WeakSignature(#[from] WeakSignature),
}

type Outcome = Result<(), CertificateFault>;

/// Checks the certificate that a server shows.
pub(crate) fn server(certificate: &X509Ref, parts: &Parts<'_>, now: Moment) -> Outcome {
    time(certificate, now)?;
    if parts.authority.is_some_and(|constraints| constraints.is_ca) {
        return Err(CertificateFault::IsAuthority);
    }
    if parts.purposes.as_ref().is_some_and(|list| !list.contains(&Parts::SERVER_AUTH)) {
        return Err(CertificateFault::NotForServers);
    }
    if parts.key_usage.is_some_and(|usage| !usage.has(KeyUsage::DIGITAL_SIGNATURE)) {
        return Err(CertificateFault::NotForSigning);
    }
    key(certificate)?;
    strength::check_signature(certificate)?;
    addresses(parts)
}

/// Checks a certificate on the way from a server's to its root, or the root itself. A root's own
/// signature guards nothing, so the digest under it does not matter.
pub(crate) fn intermediate(certificate: &X509Ref, parts: &Parts<'_>, now: Moment) -> Outcome {
    issuer(certificate, parts, now)?;
    if parts.issuer != parts.subject {
        strength::check_signature(certificate)?;
    }
    Ok(())
}

/// Checks a root that signs clients' certificates.
pub(crate) fn root(certificate: &X509Ref, parts: &Parts<'_>, now: Moment) -> Outcome {
    issuer(certificate, parts, now)?;
    let key = certificate.public_key().map_err(|_| CertificateFault::UnreadableKey)?;
    let is_own_issuer = parts.issuer == parts.subject;
    if is_own_issuer && certificate.verify(&key).is_ok_and(|is_signed_by| is_signed_by) {
        Ok(())
    } else {
        Err(CertificateFault::NotRoot)
    }
}

/// Checks a CA that signs other certificates.
pub(crate) fn issuer(certificate: &X509Ref, parts: &Parts<'_>, now: Moment) -> Outcome {
    time(certificate, now)?;
    if !parts.authority.is_some_and(|constraints| constraints.is_ca) {
        return Err(CertificateFault::NotAuthority);
    }
    if parts.key_usage.is_some_and(|usage| !usage.has(KeyUsage::CERT_SIGN)) {
        return Err(CertificateFault::MayNotSign);
    }
    key(certificate)
}

fn time(certificate: &X509Ref, now: Moment) -> Outcome {
    let (not_before, not_after) = validity(certificate)?;
    if now < not_before {
        return Err(CertificateFault::NotYetValid { not_before, now });
    }
    if now > not_after {
        return Err(CertificateFault::Expired { not_after, now });
    }
    Ok(())
}

/// The first and the last moment of a certificate.
pub(crate) fn validity(certificate: &X509Ref) -> Result<(Moment, Moment), Malformed> {
    let read = |time| Moment::from_asn1(time).map_err(|_| Malformed { what: "validity" });
    Ok((read(certificate.not_before())?, read(certificate.not_after())?))
}

fn key(certificate: &X509Ref) -> Outcome {
    let key = certificate.public_key().map_err(|_| CertificateFault::UnreadableKey)?;
    Ok(strength::check_key(&key)?)
}

/// The gRPC core reads the names of the certificate that it loads, and asserts that it could. Other
/// names that it cannot read do not pass OpenSSL's decoder.
fn addresses(parts: &Parts<'_>) -> Outcome {
    for name in &parts.alternative_names {
        match *name {
            AlternativeName::Address(bytes) if !matches!(bytes.len(), 4 | 16) => {
                return Err(CertificateFault::AddressLength { bytes: bytes.len() });
            }
            AlternativeName::Address(_)
            | AlternativeName::Mail(_)
            | AlternativeName::Dns(_)
            | AlternativeName::Uri(_)
            | AlternativeName::Other => (),
        }
    }
    Ok(())
}
