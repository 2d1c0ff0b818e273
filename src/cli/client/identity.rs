//! The client's own files, checked before the C core sees them: it says little about a bad one and
//! aborts on some.

use std::fs;
use std::path::Path;

use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use super::args::ClientArgs;
use super::error::ClientError;

/// A client's certificate with those between it and its root, its key, and the roots it trusts.
pub(super) struct Identity {
    pub(super) chain: Vec<X509>,
    pub(super) key: PKey<Private>,
    pub(super) roots: Vec<X509>,
}

/// The same for the C core.
pub(super) struct Pem {
    pub(super) chain: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) roots: Vec<u8>,
}

impl Identity {
    /// Reads the files that `args` names; `None` if it names none, which is plaintext.
    pub(super) fn load(args: &ClientArgs) -> Result<Option<Self>, ClientError> {
        let (Some(cert), Some(key), Some(ca), false) =
            (&args.cert, &args.key, &args.ca, args.plaintext)
        else {
            return Ok(None);
        };
        let chain = certificates("certificate", cert)?;
        let roots = certificates("root certificate", ca)?;
        let pem = read("key", key)?;
        let private = PKey::private_key_from_pem_callback(&pem, |_| Ok(0))
            .map_err(|source| ClientError::NotPem { what: "key", path: key.clone(), source })?;
        if let Some(leaf) = chain.first() {
            check(leaf, &private, cert, key)?;
        }
        Ok(Some(Self { chain, key: private, roots }))
    }

    /// The chain, the key and the roots as the C core takes them, written anew, so that it reads
    /// nothing that was not checked.
    pub(super) fn pem(&self) -> Result<Pem, ErrorStack> {
        let join = |certificates: &[X509]| {
            certificates
                .iter()
                .map(|certificate| certificate.to_pem())
                .collect::<Result<Vec<_>, _>>()
        };
        let key = self.key.private_key_to_pem_pkcs8()?;
        let (chain, roots) = (join(&self.chain)?.concat(), join(&self.roots)?.concat());
        Ok(Pem { chain, key, roots })
    }
}

fn check(
    leaf: &X509,
    key: &PKey<Private>,
    cert: &Path,
    key_path: &Path,
) -> Result<(), ClientError> {
    let unusable = |source| ClientError::Unusable { cert: cert.to_owned(), source };
    if !leaf.public_key().map_err(unusable)?.public_eq(key) {
        return Err(ClientError::Mismatch { key: key_path.to_owned(), cert: cert.to_owned() });
    }
    let now = Asn1Time::days_from_now(0).map_err(unusable)?;
    if leaf.not_after() < now {
        let not_after = leaf.not_after().to_string();
        return Err(ClientError::Expired { cert: cert.to_owned(), not_after });
    }
    Ok(())
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<X509>, ClientError> {
    let certificates = X509::stack_from_pem(&read(what, path)?)
        .map_err(|source| ClientError::NotPem { what, path: path.to_owned(), source })?;
    if certificates.is_empty() {
        return Err(ClientError::Empty { what, path: path.to_owned() });
    }
    Ok(certificates)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, ClientError> {
    fs::read(path).map_err(|source| ClientError::Read { what, path: path.to_owned(), source })
}
