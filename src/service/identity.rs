//! Who is at the other end of a connection, from the certificate that the handshake verified.
//!
//! The C core verifies a certificate when a connection begins; what is asked here on every call is
//! whether it still holds and whom it names. Reading a certificate costs more than a small call, so
//! each poll thread remembers those it read, by their bytes: the same bytes name the same subject.

use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::sync::Arc;

use grpcio::{AuthContext, RpcStatus, RpcStatusCode};
use lru::LruCache;
use openssl::error::ErrorStack;
use openssl::x509::X509;
use thiserror::Error;

use super::rules::Rules;
use crate::tls::identity::subject_of;
use crate::tls::revocation::Holder;
use crate::tls::{IdentityError, Moment, Revoked, Subject};

/// How many certificates a poll thread remembers.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(256).expect("a positive number");
/// A certificate can hold a name of any length, and what is wrong with it goes into a header.
const MESSAGE_CHARS_MAX: usize = 300;

/// Who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) subject: Subject,
    /// Until when the certificate holds; `None` without one.
    pub(crate) not_after: Option<Moment>,
    /// What the certificate can be revoked by, and those above it that the client sent. A client
    /// whose session was resumed sent none; there is no such one after a reload.
    pub(crate) chain: Arc<[Holder]>,
}

impl Identity {
    /// `subject` without a certificate.
    pub(crate) fn everyone(subject: Subject) -> Self {
        Self { subject, not_after: None, chain: Arc::default() }
    }
}

/// How callers are told apart.
#[derive(Clone, Debug)]
pub(crate) enum Authentication {
    /// By the certificate of a mutual handshake.
    Certificate,
    /// Not at all: whoever reaches the plaintext listener is this subject.
    Everyone(Subject),
}

/// Why a caller is nobody.
#[derive(Debug, Error)]
pub(crate) enum Unidentified {
    #[error("the connection has no transport security")]
    Plaintext,
    #[error("the client sent no certificate")]
    NoCertificate,
    #[error("the client's certificate cannot be read")]
    Unreadable(#[from] ErrorStack),
    #[error("the client's certificate has expired")]
    Expired,
    #[error(transparent)]
    Revoked(#[from] Revoked),
    #[error("the client's certificate names no usable subject: {0}")]
    NoSubject(#[from] IdentityError),
}

impl From<&Unidentified> for RpcStatus {
    fn from(why: &Unidentified) -> Self {
        let code = match why {
            Unidentified::Plaintext
            | Unidentified::NoCertificate
            | Unidentified::Unreadable(_)
            | Unidentified::Expired
            | Unidentified::Revoked(_) => RpcStatusCode::UNAUTHENTICATED,
            // The client is who the CA says, and that is nobody to us.
            Unidentified::NoSubject(_) => RpcStatusCode::PERMISSION_DENIED,
        };
        Self::with_message(code, why.to_string().chars().take(MESSAGE_CHARS_MAX).collect())
    }
}

impl Authentication {
    /// How connections are encrypted.
    pub(crate) fn transport_security(&self) -> &'static str {
        match self {
            Self::Certificate => "TLS",
            Self::Everyone(_) => "none",
        }
    }

    /// Says who is behind `connection` by `rules` at the time `now`. Anything unclear is nobody.
    pub(crate) fn identify(
        &self,
        connection: Option<&AuthContext>,
        rules: &Rules,
        now: Moment,
    ) -> Result<Identity, Unidentified> {
        match self {
            Self::Everyone(subject) => Ok(Identity::everyone(subject.clone())),
            Self::Certificate => {
                let connection = connection.ok_or(Unidentified::Plaintext)?;
                let identity = identity_of(shown(connection)?)?;
                if identity.not_after.is_some_and(|end| now > end) {
                    return Err(Unidentified::Expired);
                }
                rules.revocations.check(&identity.chain, now)?;
                Ok(identity)
            }
        }
    }
}

/// What a client showed, in PEM.
#[derive(Clone, Copy)]
struct Shown<'a> {
    certificate: &'a [u8],
    /// Those between it and its root; may be empty.
    above: &'a [u8],
}

/// The client's certificate, if this is a TLS connection and it sent exactly one.
fn shown(connection: &AuthContext) -> Result<Shown<'_>, Unidentified> {
    let mut is_tls = false;
    let mut certificate = None;
    let mut above = &b""[..];
    for property in connection {
        match property.name() {
            "transport_security_type" => is_tls = property.value() == b"ssl",
            "x509_pem_cert" if certificate.is_some() => return Err(Unidentified::NoCertificate),
            "x509_pem_cert" => certificate = Some(property.value()),
            "x509_pem_cert_chain" => above = property.value(),
            _ => {}
        }
    }
    if !is_tls {
        return Err(Unidentified::Plaintext);
    }
    let certificate = certificate.ok_or(Unidentified::NoCertificate)?;
    Ok(Shown { certificate, above })
}

/// A certificate that was read, and what stood above it then.
struct Known {
    above: Vec<u8>,
    identity: Identity,
}

fn identity_of(shown: Shown<'_>) -> Result<Identity, Unidentified> {
    thread_local! {
        static READ: RefCell<LruCache<Vec<u8>, Known>> = RefCell::new(LruCache::new(REMEMBERED));
    }
    READ.with_borrow_mut(|read| {
        if let Some(known) = read.get(shown.certificate)
            && known.above == shown.above
        {
            return Ok(known.identity.clone());
        }
        let identity = read_certificates(shown)?;
        let known = Known { above: shown.above.to_owned(), identity: identity.clone() };
        read.put(shown.certificate.to_owned(), known);
        Ok(identity)
    })
}

fn read_certificates(shown: Shown<'_>) -> Result<Identity, Unidentified> {
    let certificate = X509::from_pem(shown.certificate)?;
    let mut chain = vec![Holder::of(&certificate)?];
    for above in X509::stack_from_pem(shown.above)? {
        // The core counts the client's own among those of its chain.
        let holder = Holder::of(&above)?;
        if !chain.contains(&holder) {
            chain.push(holder);
        }
    }
    let not_after = Some(Moment::from_asn1(certificate.not_after())?);
    Ok(Identity { subject: subject_of(&certificate)?, not_after, chain: chain.into() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use openssl::asn1::Asn1Time;
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;
    use openssl::x509::X509Name;

    use super::*;
    use crate::acl::Policy;

    const END_S: i64 = 1_800_000_000;

    fn pem(common_names: &[&str]) -> Vec<u8> {
        let key = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        let mut name = X509Name::builder().unwrap();
        for common_name in common_names {
            name.append_entry_by_text("CN", common_name).unwrap();
        }
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name.build()).unwrap();
        builder.set_pubkey(&key).unwrap();
        builder.set_not_before(&Asn1Time::from_unix(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::from_unix(END_S).unwrap()).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        builder.build().to_pem().unwrap()
    }

    fn alone(certificate: &[u8]) -> Shown<'_> {
        Shown { certificate, above: b"" }
    }

    #[test]
    fn a_certificate_is_remembered_with_what_stood_above_it() {
        let [client, one, two] = ["client", "one", "two"].map(|name| pem(&[name]));
        let chain =
            |above: &[u8]| identity_of(Shown { certificate: &client, above }).unwrap().chain;
        assert_eq!(chain(b"").len(), 1);
        let (with_one, with_two) = (chain(&one), chain(&two));
        assert_eq!((with_one.len(), with_two.len()), (2, 2));
        assert_ne!(with_one[1], with_two[1]);
        assert_eq!(chain(&[client.clone(), one].concat()), with_one);
    }

    #[test]
    fn a_certificate_gives_its_subject_and_its_end() {
        let certificate = pem(&["root"]);
        for _ in ["read", "remembered"] {
            let identity = identity_of(alone(&certificate)).unwrap();
            assert_eq!(identity.subject.as_str(), "root");
            assert_eq!(identity.not_after, Some(Moment::from_unix_s(END_S)));
        }
    }

    #[test]
    fn a_certificate_without_a_single_name_is_nobody_every_time() {
        for names in [&[][..], &["a", "b"]] {
            let certificate = pem(names);
            for _ in ["read", "not remembered"] {
                let why = identity_of(alone(&certificate)).unwrap_err();
                assert!(matches!(why, Unidentified::NoSubject(_)), "{why}");
                assert_eq!(RpcStatus::from(&why).code(), RpcStatusCode::PERMISSION_DENIED);
            }
        }
    }

    #[test]
    fn what_is_no_certificate_is_nobody() {
        let why = identity_of(alone(b"no certificate")).unwrap_err();
        assert!(matches!(why, Unidentified::Unreadable(_)), "{why}");
        assert_eq!(RpcStatus::from(&why).code(), RpcStatusCode::UNAUTHENTICATED);
    }

    #[test]
    fn a_message_about_a_certificate_has_an_end() {
        let uri = vec![b'x'; 100_000];
        let why = Unidentified::from(IdentityError::OtherUri { uri });
        assert_eq!(RpcStatus::from(&why).message().len(), MESSAGE_CHARS_MAX);
    }

    #[test]
    fn without_a_connection_to_look_at_only_everyone_is_somebody() {
        let now = Moment::from_unix_s(0);
        let policy = Policy::parse("", Path::new("acl.csv")).unwrap();
        let rules = Rules::new(Arc::new(policy));
        let why = Authentication::Certificate.identify(None, &rules, now).unwrap_err();
        assert!(matches!(why, Unidentified::Plaintext), "{why}");
        let everyone = Authentication::Everyone(Subject::new("anonymous").unwrap());
        let identity = everyone.identify(None, &rules, now).unwrap();
        assert_eq!((identity.subject.as_str(), identity.not_after), ("anonymous", None));
    }
}
