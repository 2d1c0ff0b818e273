//! What a certificate says, for people and for programs.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{Id, PKeyRef, Public};
use openssl::x509::X509Ref;
use serde::Serialize;

use super::error::CertsError;
use super::usage;
use crate::tls::identity::subject_of;
use crate::tls::parts::{AlternativeName, Parts};
use crate::tls::pem::Bundle;
use crate::tls::{Malformed, Moment, Role, checks};

/// Every certificate of a file, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// At least one.
    pub certificates: Vec<Summary>,
}

/// What one certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Whom it names, as in `O=Varve, CN=root`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The subject that a server takes its owner for, if it is a client's.
    pub varve_subject: Option<String>,
    /// Why a server lets nobody in with it.
    pub no_varve_subject: Option<String>,
    /// Its hosts and other alternative names, as in `DNS:localhost`.
    pub names: Vec<String>,
    /// The kind and size of its key, as in `RSA 2048`.
    pub key: String,
    /// What it may be used for, in cfssl's words; empty if it does not say.
    pub usages: Vec<String>,
    /// Whether it is a CA's.
    pub is_ca: bool,
    /// How many CAs may follow below, if there is a limit.
    pub path_length: Option<u32>,
    /// Its first moment.
    pub not_before: Moment,
    /// Its last moment.
    pub not_after: Moment,
    /// Whole days to its last moment; below zero once it is past.
    pub days_left: i64,
    /// In hexadecimal digits.
    pub serial: String,
    /// The SHA-256 digest of the certificate, as `openssl x509 -fingerprint` shows it.
    pub sha256: String,
}

/// Reads every certificate of a PEM file, also of ones that are expired or of no use to varve.
///
/// # Errors
///
/// `Tls`, if the file cannot be read or has no certificate that can be decoded.
pub fn inspect(path: &Path) -> Result<Inspection, CertsError> {
    let bundle = Bundle::read(path, Role::Inspected)?;
    let now = Moment::now();
    let mut certificates = Vec::new();
    bundle.for_each(|_, certificate, parts| {
        certificates.push(Summary::read(certificate, parts, now)?);
        Ok(())
    })?;
    Ok(Inspection { certificates })
}

impl Summary {
    pub(super) fn read(
        certificate: &X509Ref,
        parts: &Parts<'_>,
        now: Moment,
    ) -> Result<Self, Malformed> {
        let (not_before, not_after) = checks::validity(certificate)?;
        let (varve_subject, no_varve_subject) = match subject_of(certificate) {
            Ok(subject) => (Some(subject.to_string()), None),
            Err(reason) => (None, Some(reason.to_string())),
        };
        let serial = certificate.serial_number().to_bn().and_then(|number| number.to_hex_str());
        let serial = serial.map_err(|_| Malformed { what: "serial number" })?;
        let digest = certificate.digest(MessageDigest::sha256());
        let digest = digest.map_err(|_| Malformed { what: "certificate" })?;
        Ok(Self {
            subject: parts.subject.to_string(),
            issuer: parts.issuer.to_string(),
            varve_subject,
            no_varve_subject,
            names: parts.alternative_names.iter().map(show_name).collect(),
            key: certificate.public_key().map_or("unreadable".to_owned(), |key| show_key(&key)),
            usages: usage::describe(parts),
            is_ca: parts.authority.is_some_and(|constraints| constraints.is_ca),
            path_length: parts.authority.and_then(|constraints| constraints.path_length),
            not_before,
            not_after,
            days_left: now.days_until(not_after),
            serial: serial.to_string(),
            sha256: hexadecimal(&digest),
        })
    }
}

fn show_name(name: &AlternativeName<'_>) -> String {
    match *name {
        AlternativeName::Mail(mail) => format!("email:{}", mail.escape_ascii()),
        AlternativeName::Dns(dns) => format!("DNS:{}", dns.escape_ascii()),
        AlternativeName::Uri(uri) => format!("URI:{}", uri.escape_ascii()),
        AlternativeName::Address(bytes) => show_address(bytes),
        AlternativeName::Other => "other".to_owned(),
    }
}

fn show_address(bytes: &[u8]) -> String {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return format!("IP:{}", Ipv4Addr::from(four));
    }
    match <[u8; 16]>::try_from(bytes) {
        Ok(sixteen) => format!("IP:{}", Ipv6Addr::from(sixteen)),
        Err(_) => format!("IP:(malformed, {} bytes)", bytes.len()),
    }
}

fn show_key(key: &PKeyRef<Public>) -> String {
    match key.id() {
        Id::RSA => format!("RSA {}", key.bits()),
        Id::EC => {
            let curve = key.ec_key().ok().and_then(|key| key.group().curve_name());
            match curve {
                Some(Nid::X9_62_PRIME256V1) => "ECDSA P-256".to_owned(),
                Some(Nid::SECP384R1) => "ECDSA P-384".to_owned(),
                Some(_) | None => format!("ECDSA {}, another curve", key.bits()),
            }
        }
        Id::ED25519 => "Ed25519".to_owned(),
        _ => format!("another kind, {} bits", key.bits()),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

impl fmt::Display for Inspection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, summary) in self.certificates.iter().enumerate() {
            let gap = if place == 0 { "" } else { "\n\n" };
            write!(out, "{gap}{summary}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |words: &[String]| match words {
            [] => "none".to_owned(),
            _ => words.join(", "),
        };
        writeln!(out, "subject        {}", self.subject)?;
        writeln!(out, "issuer         {}", self.issuer)?;
        match (&self.varve_subject, &self.no_varve_subject) {
            (Some(subject), _) => writeln!(out, "varve subject  {subject}")?,
            (None, reason) => {
                writeln!(out, "varve subject  none: {}", reason.as_deref().unwrap_or_default())?;
            }
        }
        writeln!(out, "names          {}", list(&self.names))?;
        writeln!(out, "key            {}", self.key)?;
        writeln!(out, "usages         {}", list(&self.usages))?;
        match (self.is_ca, self.path_length) {
            (false, _) => writeln!(out, "ca             no")?,
            (true, None) => writeln!(out, "ca             yes")?,
            (true, Some(length)) => writeln!(out, "ca             yes, path length {length}")?,
        }
        writeln!(out, "not before     {}", self.not_before)?;
        writeln!(out, "not after      {} ({})", self.not_after, Remaining(self.days_left))?;
        writeln!(out, "serial         {}", self.serial)?;
        write!(out, "sha-256        {}", self.sha256)
    }
}

struct Remaining(i64);

impl fmt::Display for Remaining {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ..0 => out.write_str("expired"),
            0 => out.write_str("less than a day left"),
            1 => out.write_str("1 day left"),
            days => write!(out, "{days} days left"),
        }
    }
}
