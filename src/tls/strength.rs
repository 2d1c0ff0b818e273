//! Which keys and signatures are good enough.
//!
//! RSA from 2048 bits, or the curves P-256 and P-384: what every gRPC client and the host's
//! OpenSSL at its default security level accept.

use openssl::nid::Nid;
use openssl::pkey::{HasPublic, Id, PKeyRef};
use openssl::x509::X509Ref;
use thiserror::Error;

/// The fewest bits of an RSA key.
pub(crate) const RSA_BITS_MIN: u32 = 2048;

/// A key that is too weak, or of a kind that is not used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WeakKey {
    /// An RSA key of too few bits.
    #[error("its key is RSA with {bits} bits: use at least {RSA_BITS_MIN}")]
    Short {
        /// The key's size.
        bits: u32,
    },
    /// An elliptic-curve key on another curve.
    #[error("its key is on another curve than P-256 and P-384: use one of these")]
    Curve,
    /// Neither RSA nor an elliptic-curve key.
    #[error("its key is neither RSA nor ECDSA: use one of these")]
    Kind,
}

/// A signature made with a digest that can be forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is signed with {digest}, which can be forged: have it signed with SHA-256 or better")]
pub struct WeakSignature {
    /// The digest's usual name.
    pub digest: &'static str,
}

/// Checks the kind and the size of a key.
pub(crate) fn check_key<T: HasPublic>(key: &PKeyRef<T>) -> Result<(), WeakKey> {
    match key.id() {
        Id::RSA if key.bits() < RSA_BITS_MIN => Err(WeakKey::Short { bits: key.bits() }),
        Id::RSA => Ok(()),
        Id::EC => {
            let curve = key.ec_key().ok().and_then(|key| key.group().curve_name());
            match curve {
                Some(Nid::X9_62_PRIME256V1 | Nid::SECP384R1) => Ok(()),
                Some(_) | None => Err(WeakKey::Curve),
            }
        }
        _ => Err(WeakKey::Kind),
    }
}

/// Checks the digest under a certificate's signature.
pub(crate) fn check_signature(certificate: &X509Ref) -> Result<(), WeakSignature> {
    let algorithm = certificate.signature_algorithm().object().nid();
    match algorithm.signature_algorithms().map(|parts| parts.digest) {
        Some(Nid::MD5) => Err(WeakSignature { digest: "MD5" }),
        Some(Nid::SHA1) => Err(WeakSignature { digest: "SHA-1" }),
        Some(_) | None => Ok(()),
    }
}
