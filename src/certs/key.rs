//! The private key that a request asks for.

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;

use super::error::CertsError;
use super::fault::{Fault, Wrong};
use super::json::{Keys, Node};

const KEYS: Keys = Keys { owner: "the key", known: &["algo", "size"], foreign: &[] };
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

/// A kind and size of key that can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Rsa { bits: u32 },
    P256,
    P384,
}

impl KeyKind {
    /// What cfssl makes if a request has no `key`.
    pub(super) const DEFAULT: Self = Self::P256;

    pub(super) fn read(node: &Node) -> Result<Self, Wrong> {
        let fields = node.object(KEYS)?;
        let algorithm = fields.require("algo", "as \"algo\": \"ecdsa\"")?;
        let size = fields.get("size").map(|size| size.integer().map(|bits| (size, bits)));
        match (algorithm.text()?, size.transpose()?) {
            ("rsa", None) => Ok(Self::Rsa { bits: *RSA_BITS.start() }),
            ("rsa", Some((size, given))) => match u32::try_from(given) {
                Ok(bits) if RSA_BITS.contains(&bits) => Ok(Self::Rsa { bits }),
                Ok(_) | Err(_) => Err(size.wrong(Fault::KeySize {
                    algorithm: "rsa",
                    given,
                    allowed: "2048 to 8192",
                })),
            },
            ("ecdsa", None | Some((_, 256))) => Ok(Self::P256),
            ("ecdsa", Some((_, 384))) => Ok(Self::P384),
            ("ecdsa", Some((size, given))) => {
                Err(size.wrong(Fault::KeySize { algorithm: "ecdsa", given, allowed: "256 or 384" }))
            }
            (given, _) => Err(algorithm.wrong(Fault::Algorithm { given: given.to_owned() })),
        }
    }

    /// Makes a fresh key.
    pub(super) fn generate(self) -> Result<PKey<Private>, CertsError> {
        let made: Result<_, ErrorStack> = match self {
            Self::Rsa { bits } => Rsa::generate(bits).and_then(PKey::from_rsa),
            Self::P256 => PKey::ec_gen("prime256v1"),
            Self::P384 => PKey::ec_gen("secp384r1"),
        };
        made.map_err(|source| CertsError::OpenSsl { op: "make a key", source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certs::json::parse;

    fn read(text: &str) -> Result<KeyKind, Fault> {
        KeyKind::read(&parse(text.as_bytes()).unwrap()).map_err(|wrong| wrong.fault)
    }

    #[test]
    fn the_usual_keys_are_made() {
        for (text, bits) in [
            (r#"{"algo": "rsa", "size": 2048}"#, 2048),
            (r#"{"algo": "rsa"}"#, 2048),
            (r#"{"algo": "rsa", "size": 3072}"#, 3072),
            (r#"{"algo": "ecdsa"}"#, 256),
            (r#"{"algo": "ecdsa", "size": 384}"#, 384),
        ] {
            assert_eq!(read(text).unwrap().generate().unwrap().bits(), bits, "{text}");
        }
    }

    #[test]
    fn other_keys_are_refused_with_the_ones_that_can_be_made() {
        for size in [0, -1, 1024, 2047, 8193, i64::MAX] {
            let fault = read(&format!(r#"{{"algo": "rsa", "size": {size}}}"#)).unwrap_err();
            let allowed = "2048 to 8192";
            assert_eq!(fault, Fault::KeySize { algorithm: "rsa", given: size, allowed });
        }
        for size in [224, 255, 521] {
            let fault = read(&format!(r#"{{"algo": "ecdsa", "size": {size}}}"#)).unwrap_err();
            let allowed = "256 or 384";
            assert_eq!(fault, Fault::KeySize { algorithm: "ecdsa", given: size, allowed });
        }
        let given = "ed25519".to_owned();
        assert_eq!(read(r#"{"algo": "ed25519"}"#), Err(Fault::Algorithm { given }));
        assert!(matches!(read(r#"{"size": 256}"#), Err(Fault::MissingKey { key: "algo", .. })));
        assert!(matches!(read(r#"{"algo": "rsa", "bits": 2048}"#), Err(Fault::UnknownKey { .. })));
    }
}
