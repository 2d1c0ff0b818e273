//! The two ways to make a certificate: a CA that signs itself, and what it issues.

use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use openssl::pkey::{PKey, Private};
use openssl::x509::X509;

use super::config::Profile;
use super::error::{CertsError, Warning};
use super::inspect::Summary;
use super::issuer::Issuer;
use super::output::Pair;
use super::request::Request;
use super::signing::{Blank, Validity};
use super::usage::Usages;
use crate::tls::Moment;
use crate::tls::identity::subject_of;
use crate::tls::parts::Parts;

/// Asks for a CA.
#[derive(Debug, Clone, Copy)]
pub struct CaOrder<'a> {
    /// The request, in cfssl's JSON.
    pub request: &'a Path,
    /// The folder for the two files, which must be there.
    pub out_dir: &'a Path,
    /// The files are `NAME.pem` and `NAME-key.pem`.
    pub name: &'a str,
    /// Whether files that are there already are replaced.
    pub force: bool,
}

/// Asks for a certificate that a CA issues.
#[derive(Debug, Clone, Copy)]
pub struct LeafOrder<'a> {
    /// The CA's certificate.
    pub ca_cert: &'a Path,
    /// The CA's key.
    pub ca_key: &'a Path,
    /// The signing profiles, in cfssl's JSON.
    pub config: &'a Path,
    /// The profile to sign with, such as `server`.
    pub profile: &'a str,
    /// The request, in cfssl's JSON.
    pub request: &'a Path,
    /// The folder for the two files, which must be there.
    pub out_dir: &'a Path,
    /// The files are `NAME.pem` and `NAME-key.pem`.
    pub name: &'a str,
    /// Whether files that are there already are replaced.
    pub force: bool,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The private key's file, readable by its owner alone.
    pub key: PathBuf,
    /// What the certificate says.
    pub summary: Summary,
    /// What its owner should know.
    pub warnings: Vec<Warning>,
}

/// Makes a CA: a fresh key, and a certificate that it signs itself.
///
/// # Errors
///
/// Any of [`CertsError`]'s; no file is written unless both are.
pub fn make_ca(order: &CaOrder<'_>) -> Result<Written, CertsError> {
    let (request, section) = Request::read_ca(order.request)?;
    let pair = Pair::new(order.out_dir, order.name, order.force)?;
    let now = Moment::now();
    let blank = Blank {
        name: &request.name,
        hosts: &request.hosts,
        usages: &Usages::of_authority(),
        constraint: Some(section.constraint),
        validity: section.expiry.validity(now),
    };
    let key = request.key.generate()?;
    let certificate = blank.sign(&key, None).map_err(openssl("sign the certificate"))?;
    store(&pair, &certificate, &key, request.warnings)
}

/// Issues a certificate: a fresh key, and a certificate that the CA signs.
///
/// # Errors
///
/// Any of [`CertsError`]'s; no file is written unless both are.
pub fn issue(order: &LeafOrder<'_>) -> Result<Written, CertsError> {
    let request = Request::read_leaf(order.request)?;
    let profile = Profile::read(order.config, order.profile)?;
    let pair = Pair::new(order.out_dir, order.name, order.force)?;
    let now = Moment::now();
    let issuer = Issuer::read(order.ca_cert, order.ca_key, now)?;
    if profile.constraint.is_some() {
        issuer.check_may_sign_authority()?;
    }
    let mut warnings = request.warnings;
    let wanted = profile.expiry.validity(now);
    let not_after = wanted.not_after.min(issuer.not_after()?);
    if not_after < wanted.not_after {
        warnings.push(Warning::EndsWithCa { not_after });
    }
    let blank = Blank {
        name: &request.name,
        hosts: &request.hosts,
        usages: &profile.usages,
        constraint: profile.constraint,
        validity: Validity { not_after, ..wanted },
    };
    let key = request.key.generate()?;
    let certificate = blank.sign(&key, Some(&issuer)).map_err(openssl("sign the certificate"))?;
    warnings.extend(warn_of(&blank, &certificate, order.request));
    store(&pair, &certificate, &key, warnings)
}

/// What will keep the certificate from its use.
fn warn_of(blank: &Blank<'_>, certificate: &X509, request: &Path) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let is_reachable = blank.hosts.iter().any(|host| host.is_reachable());
    if blank.usages.are_for_servers() && !is_reachable {
        warnings.push(Warning::NoHosts { path: request.to_owned() });
    }
    if blank.usages.are_for_clients()
        && let Err(reason) = subject_of(certificate)
    {
        warnings.push(Warning::NoSubject { path: request.to_owned(), reason });
    }
    warnings
}

fn store(
    pair: &Pair,
    certificate: &X509,
    key: &PKey<Private>,
    warnings: Vec<Warning>,
) -> Result<Written, CertsError> {
    let encode = openssl("encode the certificate and its key");
    let encoded = certificate.to_pem().and_then(|pem| {
        let key_pem = key.private_key_to_pem_pkcs8()?;
        Ok((pem, key_pem, certificate.to_der()?))
    });
    let (pem, key_pem, der) = encoded.map_err(encode)?;
    let summary = Parts::read(&der)
        .and_then(|parts| Summary::read(certificate, &parts, Moment::now()))
        .expect("a certificate that was just made is well-formed");
    pair.write(&pem, &key_pem)?;
    Ok(Written { certificate: pair.certificate.clone(), key: pair.key.clone(), summary, warnings })
}

fn openssl(op: &'static str) -> impl FnOnce(ErrorStack) -> CertsError {
    move |source| CertsError::OpenSsl { op, source }
}
