//! Makes certificates, also such as no sane CA would issue.

use std::time::Duration;

use openssl::asn1::{Asn1Object, Asn1OctetString};
use openssl::bn::{BigNum, MsbOption};
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage};
use openssl::x509::{X509, X509Extension, X509Name};

use crate::tls::Moment;

pub(super) const UTF8: u8 = 0x0c;
pub(super) const PRINTABLE: u8 = 0x13;
pub(super) const TELETEX: u8 = 0x14;
pub(super) const WIDE: u8 = 0x1e;
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];

/// A certificate with its key.
#[derive(Clone)]
pub(super) struct Made {
    pub(super) certificate: X509,
    pub(super) key: PKey<Private>,
}

/// What the next certificate is to be.
pub(super) struct Plan {
    name: Vec<u8>,
    key: PKey<Private>,
    extensions: Vec<X509Extension>,
    not_before: Moment,
    not_after: Moment,
    digest: MessageDigest,
    serial: BigNum,
}

impl Plan {
    /// A certificate without extensions that is valid now, with one common name.
    pub(super) fn named(name: &str) -> Self {
        Self::with_names(&[(UTF8, name.as_bytes())])
    }

    /// The same with these common names, each in an encoding of its own.
    pub(super) fn with_names(names: &[(u8, &[u8])]) -> Self {
        let name = names.iter().flat_map(|(tag, text)| {
            let value = [tlv(0x06, &COMMON_NAME), tlv(*tag, text)].concat();
            tlv(0x31, &tlv(0x30, &value))
        });
        let hour = Duration::from_secs(3600);
        let mut serial = BigNum::new().unwrap();
        serial.rand(64, MsbOption::ONE, false).unwrap();
        Self {
            name: tlv(0x30, &name.collect::<Vec<_>>()),
            key: PKey::ec_gen("prime256v1").unwrap(),
            extensions: Vec::new(),
            not_before: Moment::now().minus(hour),
            not_after: Moment::now().plus(hour),
            digest: MessageDigest::sha256(),
            serial,
        }
    }

    pub(super) fn root() -> Self {
        Self::named("test ca").authority()
    }

    /// A server's certificate with the name `localhost`.
    pub(super) fn server() -> Self {
        Self::named("server").purpose(true, false).alternative(&tlv(0x82, b"localhost"))
    }

    pub(super) fn authority(self) -> Self {
        let constraints = BasicConstraints::new().critical().ca().build().unwrap();
        let usage = KeyUsage::new().critical().key_cert_sign().crl_sign().build().unwrap();
        self.extension(constraints).extension(usage)
    }

    /// A CA that may sign no revocation lists.
    pub(super) fn signs_certificates_only(self) -> Self {
        let constraints = BasicConstraints::new().critical().ca().build().unwrap();
        let usage = KeyUsage::new().critical().key_cert_sign().build().unwrap();
        self.extension(constraints).extension(usage)
    }

    pub(super) fn serial_of(mut self, other: &Made) -> Self {
        self.serial = other.certificate.serial_number().to_bn().unwrap();
        self
    }

    pub(super) fn purpose(self, server: bool, client: bool) -> Self {
        let mut purposes = ExtendedKeyUsage::new();
        if server {
            purposes.server_auth();
        }
        if client {
            purposes.client_auth();
        }
        self.extension(purposes.build().unwrap())
    }

    /// Adds the alternative names whose encoded elements these are.
    pub(super) fn alternative(self, names: &[u8]) -> Self {
        self.raw_extension("2.5.29.17", &tlv(0x30, names))
    }

    pub(super) fn raw_extension(self, kind: &str, value: &[u8]) -> Self {
        let kind = Asn1Object::from_str(kind).unwrap();
        let value = Asn1OctetString::new_from_bytes(value).unwrap();
        self.extension(X509Extension::new_from_der(&kind, false, &value).unwrap())
    }

    pub(super) fn extension(mut self, extension: X509Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    pub(super) fn time(mut self, not_before: Moment, not_after: Moment) -> Self {
        (self.not_before, self.not_after) = (not_before, not_after);
        self
    }

    pub(super) fn digest(mut self, digest: MessageDigest) -> Self {
        self.digest = digest;
        self
    }

    pub(super) fn key(mut self, key: PKey<Private>) -> Self {
        self.key = key;
        self
    }

    pub(super) fn self_signed(self) -> Made {
        self.sign(None)
    }

    pub(super) fn issued_by(self, issuer: &Made) -> Made {
        self.sign(Some(issuer))
    }

    fn sign(self, issuer: Option<&Made>) -> Made {
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_serial_number(&self.serial.to_asn1_integer().unwrap()).unwrap();
        let name = X509Name::from_der(&self.name).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder
            .set_issuer_name(issuer.map_or(&*name, |made| made.certificate.subject_name()))
            .unwrap();
        builder.set_not_before(&self.not_before.to_asn1().unwrap()).unwrap();
        builder.set_not_after(&self.not_after.to_asn1().unwrap()).unwrap();
        builder.set_pubkey(&self.key).unwrap();
        for extension in &self.extensions {
            builder.append_extension2(extension).unwrap();
        }
        builder.sign(issuer.map_or(&self.key, |made| &made.key), self.digest).unwrap();
        Made { certificate: builder.build(), key: self.key }
    }
}

impl Made {
    pub(super) fn certificate_pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    pub(super) fn key_pem(&self) -> Vec<u8> {
        self.key.private_key_to_pem_pkcs8().unwrap()
    }
}

pub(super) fn rsa_key(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap()
}

/// One DER element.
pub(super) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    match u8::try_from(content.len()) {
        Ok(length @ ..0x80) => bytes.push(length),
        Ok(length) => bytes.extend([0x81, length]),
        Err(_) => {
            bytes.push(0x82);
            bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        }
    }
    bytes.extend(content);
    bytes
}
