//! Certificate revocation lists of clients' CAs, as RFC 5280 has them.
//!
//! A list must be complete and of one CA: one with a critical extension (a delta, or one that is
//! about some certificates only) would be misread as all that is revoked, and is refused.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use openssl::error::ErrorStack;
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Crl, X509CrlRef, X509StoreContext};
use thiserror::Error;

use crate::tls::der::SEQUENCE;
use crate::tls::der::{BIT_STRING, BOOLEAN, Elements, INTEGER, Malformed, OBJECT_ID, OCTET_STRING};
use crate::tls::error::{Role, TlsError};
use crate::tls::moment::Moment;
use crate::tls::name::Name;
use crate::tls::parts::{KeyUsage, Parts};
use crate::tls::pem;

const BEGIN: &str = "-----BEGIN X509 CRL-----";

/// What one CA has revoked.
#[derive(Debug)]
pub(super) struct List {
    /// Whose it is, as people read it.
    pub(super) issuer: String,
    /// Until when the CA will have made the next one.
    pub(super) next_update: Moment,
    this_update: Moment,
    serials: HashSet<Vec<u8>>,
}

/// What the CAs have revoked.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// By the encoded name of the CA.
    pub(super) by_issuer: HashMap<Vec<u8>, List>,
    /// The CAs whose lists are believed, as people read them.
    pub(super) believed: HashSet<String>,
}

/// What is wrong with a list.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ListFault {
    /// Its bytes do not have the form of a list.
    #[error("{0}: fetch it from the CA again")]
    Malformed(#[from] Malformed),
    /// It is about a part of the CA's certificates only.
    #[error("it has a critical extension: only complete lists of one CA can be used")]
    Partial,
    /// It does not say when there will be another.
    #[error("it does not say when the next one is due: have the CA state it")]
    NoNextUpdate,
    /// It is from the future.
    #[error("it was made at {this_update}, and it is {now}: check the host's clock")]
    FromTheFuture {
        /// When the CA made it.
        this_update: Moment,
        /// The host's clock.
        now: Moment,
    },
    /// Nobody knows the CA.
    #[error(
        "its CA is none of the clients' roots, nor one whose certificate stands in the same file \
         and leads to them: add that, or remove the list"
    )]
    UnknownAuthority,
    /// The CA may not make lists.
    #[error("its CA may not sign lists: its certificate lacks the usage `crl sign`")]
    MayNotSign,
    /// Somebody else made it, or it was altered.
    #[error("its signature is not that of its CA: fetch it from the CA again")]
    Signature,
}

impl List {
    pub(super) fn has(&self, serial: &[u8]) -> bool {
        self.serials.contains(serial)
    }

    pub(super) fn len(&self) -> usize {
        self.serials.len()
    }
}

/// Reads the lists in `path`. Of two of one CA the newer counts.
pub(super) fn read(path: &Path, authorities: &Path, now: Moment) -> Result<Lists, TlsError> {
    let role = Role::RevocationLists;
    let damaged = |source| TlsError::Damaged { role, path: path.to_owned(), source };
    let (bytes, _) = pem::read(path, role)?;
    let signers = signers(&bytes, roots(authorities)?).map_err(damaged)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut by_issuer = HashMap::<Vec<u8>, List>::new();
    for (place, block) in (1..).zip(text.split(BEGIN).skip(1)) {
        let crl = X509Crl::from_pem(format!("{BEGIN}{block}").as_bytes()).map_err(damaged)?;
        let issuer = crl.issuer_name().to_der().map_err(damaged)?;
        let list = check(&crl, &signers, now).map_err(|fault| TlsError::List {
            path: path.to_owned(),
            place,
            issuer: readable(&issuer),
            fault,
        })?;
        let is_newer = by_issuer.get(&issuer).is_none_or(|one| list.this_update > one.this_update);
        if is_newer {
            by_issuer.insert(issuer, list);
        }
    }
    if by_issuer.is_empty() {
        return Err(TlsError::NoList { path: path.to_owned() });
    }
    Ok(Lists { by_issuer, believed: names(&signers) })
}

/// No lists, but whose would be believed.
pub(super) fn none(authorities: &Path) -> Result<Lists, TlsError> {
    Ok(Lists { by_issuer: HashMap::new(), believed: names(&roots(authorities)?) })
}

fn roots(authorities: &Path) -> Result<Vec<X509>, TlsError> {
    Ok(pem::Bundle::read(authorities, Role::ClientAuthorities)?.iter().cloned().collect())
}

fn names(certificates: &[X509]) -> HashSet<String> {
    let encoded = certificates.iter().filter_map(|one| one.subject_name().to_der().ok());
    encoded.map(|name| readable(&name)).collect()
}

/// Those whose lists are believed: the roots, and CAs in the file itself that lead to one.
fn signers(pem: &[u8], roots: Vec<X509>) -> Result<Vec<X509>, ErrorStack> {
    let others = X509::stack_from_pem(pem)?;
    let mut store = X509StoreBuilder::new()?;
    // That a CA's own time is over does not make its list untrue.
    store.set_flags(X509VerifyFlags::NO_CHECK_TIME)?;
    for root in &roots {
        store.add_cert(root.clone())?;
    }
    let store = store.build();
    let mut between = Stack::new()?;
    for other in &others {
        between.push(other.clone())?;
    }
    let mut signers = roots;
    for other in others {
        let mut context = X509StoreContext::new()?;
        if context.init(&store, &other, &between, |context| context.verify_cert())? {
            signers.push(other);
        }
    }
    Ok(signers)
}

fn check(crl: &X509CrlRef, signers: &[X509], now: Moment) -> Result<List, ListFault> {
    let unreadable = Malformed { what: "revocation list" };
    let der = crl.to_der().map_err(|_| unreadable)?;
    let issuer = crl.issuer_name().to_der().map_err(|_| unreadable)?;
    if has_critical_extension(&der)? {
        return Err(ListFault::Partial);
    }
    let this_update = Moment::from_asn1(crl.last_update()).map_err(|_| unreadable)?;
    if this_update > now {
        return Err(ListFault::FromTheFuture { this_update, now });
    }
    let next_update = crl.next_update().ok_or(ListFault::NoNextUpdate)?;
    check_signature(crl, &issuer, signers)?;
    let revoked = crl.get_revoked().map(|list| list.iter().map(|one| one.serial_number().to_bn()));
    let serials = revoked.into_iter().flatten().map(|number| number.map(|n| n.to_vec()));
    Ok(List {
        issuer: readable(&issuer),
        next_update: Moment::from_asn1(next_update).map_err(|_| unreadable)?,
        this_update,
        serials: serials.collect::<Result<_, _>>().map_err(|_| unreadable)?,
    })
}

/// Several CAs may have the name: one of them must have signed, and be allowed to.
fn check_signature(crl: &X509CrlRef, issuer: &[u8], signers: &[X509]) -> Result<(), ListFault> {
    let mut fault = ListFault::UnknownAuthority;
    for signer in signers {
        if signer.subject_name().to_der().ok().as_deref() != Some(issuer) {
            continue;
        }
        fault = ListFault::Signature;
        let signed = signer.public_key().and_then(|key| crl.verify(&key));
        if signed.unwrap_or(false) {
            return may_sign(signer);
        }
    }
    Err(fault)
}

fn may_sign(signer: &X509) -> Result<(), ListFault> {
    let der = signer.to_der().map_err(|_| Malformed { what: "certificate" })?;
    let parts = Parts::read(&der)?;
    let is_allowed = parts.key_usage.is_none_or(|usage| usage.has(KeyUsage::CRL_SIGN));
    if is_allowed { Ok(()) } else { Err(ListFault::MayNotSign) }
}

/// Reads the structure of RFC 5280, section 5.1, up to the extensions.
fn has_critical_extension(der: &[u8]) -> Result<bool, Malformed> {
    const UTC_TIME: u8 = 0x17;
    const GENERALIZED_TIME: u8 = 0x18;
    let what = "revocation list";
    let mut outer = Elements::new(der, what);
    let mut signed = Elements::new(outer.expect(SEQUENCE)?, what);
    outer.end()?;
    let mut fields = Elements::new(signed.expect(SEQUENCE)?, what);
    signed.expect(SEQUENCE)?; // signature algorithm
    signed.expect(BIT_STRING)?; // signature
    signed.end()?;
    fields.optional(INTEGER)?; // version
    fields.expect(SEQUENCE)?; // signature algorithm
    fields.expect(SEQUENCE)?; // issuer
    for _ in ["this update", "next update"] {
        if fields.optional(UTC_TIME)?.is_none() {
            fields.optional(GENERALIZED_TIME)?;
        }
    }
    fields.optional(SEQUENCE)?; // revoked certificates
    let Some(extensions) = fields.optional(0xa0)? else { return Ok(false) };
    let mut outer = Elements::new(extensions, what);
    let mut list = Elements::new(outer.expect(SEQUENCE)?, what);
    while !list.is_empty() {
        let mut extension = Elements::new(list.expect(SEQUENCE)?, what);
        extension.expect(OBJECT_ID)?;
        if extension.optional(BOOLEAN)?.is_some_and(|critical| critical != [0]) {
            return Ok(true);
        }
        extension.expect(OCTET_STRING)?;
    }
    Ok(false)
}

/// A CA's encoded name as people read it.
fn readable(name: &[u8]) -> String {
    let read = Elements::new(name, "name").expect(SEQUENCE).and_then(Name::read);
    read.map_or_else(|_| "(unreadable)".to_owned(), |name| name.to_string())
}
