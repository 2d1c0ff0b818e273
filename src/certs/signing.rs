//! A certificate from its parts.
//!
//! X.509 version 3 after RFC 5280: a random serial number, critical basic constraints and key
//! usage, key identifiers, SHA-256 or SHA-384 by the signing key. It begins five minutes in the
//! past, as cfssl's do, for peers whose clocks are behind.

use std::time::Duration;

use openssl::bn::{BigNum, MsbOption};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKeyRef, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, SubjectAlternativeName, SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Extension};

use super::duration;
use super::fault::{Fault, Wrong};
use super::host::Host;
use super::issuer::Issuer;
use super::json::Node;
use super::subject::SubjectName;
use super::usage::Usages;
use crate::tls::Moment;

const BACKDATE: Duration = Duration::from_mins(5);
const EXPIRY_MAX: Duration = Duration::from_hours(8_766_000);
/// The highest bit is set, so a serial number is never 0 and always positive.
const SERIAL_BITS: i32 = 127;

/// How long a certificate lives, counted from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Expiry(Duration);

/// What a CA's certificate says about the CAs below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CaConstraint {
    /// How many may follow on the way to a leaf; `None` is no limit.
    pub(super) path_length: Option<u32>,
}

/// The first and the last moment of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: Moment,
    pub(super) not_after: Moment,
}

/// A certificate but for its key and its signature.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blank<'a> {
    pub(super) name: &'a SubjectName,
    pub(super) hosts: &'a [Host],
    pub(super) usages: &'a Usages,
    /// Set for a CA.
    pub(super) constraint: Option<CaConstraint>,
    pub(super) validity: Validity,
}

impl Expiry {
    /// A CA's, if its request says nothing: five years, as in cfssl.
    pub(super) const OF_CA: Self = Self(Duration::from_hours(43_800));

    pub(super) fn read(node: &Node) -> Result<Self, Wrong> {
        let (duration, given) = (duration::read(node)?, node.text()?.to_owned());
        if duration <= BACKDATE {
            return Err(node.wrong(Fault::ShortExpiry { given }));
        }
        if duration > EXPIRY_MAX {
            return Err(node.wrong(Fault::LongExpiry { given }));
        }
        Ok(Self(duration))
    }

    pub(super) fn validity(self, now: Moment) -> Validity {
        let not_before = now.minus(BACKDATE);
        Validity { not_before, not_after: not_before.plus(self.0) }
    }
}

impl CaConstraint {
    pub(super) const NONE: Self = Self { path_length: None };
}

impl Blank<'_> {
    /// Signs with `issuer`, or with `key` itself, which makes a root.
    pub(super) fn sign(
        &self,
        key: &PKeyRef<Private>,
        issuer: Option<&Issuer>,
    ) -> Result<X509, ErrorStack> {
        let mut builder = X509::builder()?;
        builder.set_version(2)?;
        let mut serial = BigNum::new()?;
        serial.rand(SERIAL_BITS, MsbOption::ONE, false)?;
        let serial = serial.to_asn1_integer()?;
        builder.set_serial_number(&serial)?;
        let name = self.name.build()?;
        builder.set_subject_name(&name)?;
        let issuer_certificate = issuer.map(Issuer::certificate);
        builder
            .set_issuer_name(issuer_certificate.map_or(&*name, |issuer| issuer.subject_name()))?;
        let not_before = self.validity.not_before.to_asn1()?;
        let not_after = self.validity.not_after.to_asn1()?;
        builder.set_not_before(&not_before)?;
        builder.set_not_after(&not_after)?;
        builder.set_pubkey(key)?;
        for extension in self.extensions(&builder, issuer)? {
            builder.append_extension(extension)?;
        }
        let signing_key = issuer.map_or(key, Issuer::key);
        builder.sign(signing_key, digest_for(signing_key))?;
        Ok(builder.build())
    }

    fn extensions(
        &self,
        builder: &X509Builder,
        issuer: Option<&Issuer>,
    ) -> Result<Vec<X509Extension>, ErrorStack> {
        let mut extensions = self.usages.extensions()?;
        extensions.push(basic_constraints(self.constraint)?);
        let issuer = issuer.map(Issuer::certificate);
        let context = builder.x509v3_context(issuer, None);
        extensions.push(SubjectKeyIdentifier::new().build(&context)?);
        if issuer.is_some_and(|issuer| issuer.subject_key_id().is_some()) {
            extensions.push(AuthorityKeyIdentifier::new().keyid(true).build(&context)?);
        }
        if !self.hosts.is_empty() {
            extensions.push(alternative_names(self.hosts).build(&context)?);
        }
        Ok(extensions)
    }
}

fn basic_constraints(constraint: Option<CaConstraint>) -> Result<X509Extension, ErrorStack> {
    let mut builder = BasicConstraints::new();
    builder.critical();
    if let Some(CaConstraint { path_length }) = constraint {
        builder.ca();
        if let Some(length) = path_length {
            builder.pathlen(length);
        }
    }
    builder.build()
}

fn alternative_names(hosts: &[Host]) -> SubjectAlternativeName {
    let mut names = SubjectAlternativeName::new();
    for host in hosts {
        match host {
            Host::Address(address) => names.ip(&address.to_string()),
            Host::Mail(mail) => names.email(mail),
            Host::Uri(uri) => names.uri(uri),
            Host::Dns(name) => names.dns(name),
        };
    }
    names
}

/// The digest that is as strong as the key.
fn digest_for(key: &PKeyRef<Private>) -> MessageDigest {
    let is_p384 = key.ec_key().is_ok_and(|key| key.group().degree() == 384);
    if is_p384 { MessageDigest::sha384() } else { MessageDigest::sha256() }
}
