//! Certificates made on the spot, good ones and bad ones.

use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Object, Asn1OctetString, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
};
use openssl::x509::{
    X509, X509Builder, X509CrlBuilder, X509Extension, X509Name, X509NameRef, X509RevokedBuilder,
};

pub(crate) const DAY_S: i64 = 24 * 60 * 60;

/// A certification authority.
pub(crate) struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// What a certificate is to say.
pub(crate) struct Wish<'a> {
    pub(crate) common_name: Option<&'a str>,
    pub(crate) uri: Option<&'a str>,
    pub(crate) is_server: bool,
    /// When it ends, in seconds from now.
    pub(crate) seconds: i64,
}

impl Wish<'_> {
    pub(crate) fn client(name: &str) -> Wish<'_> {
        Wish { common_name: Some(name), uri: None, is_server: false, seconds: 30 * DAY_S }
    }
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = key();
        let name = named(Some(name));
        let mut builder = builder(&name, &name, &key, 365 * DAY_S);
        let constraints = BasicConstraints::new().critical().ca().build().unwrap();
        builder.append_extension(constraints).unwrap();
        let usage = KeyUsage::new().critical().key_cert_sign().crl_sign().build().unwrap();
        builder.append_extension(usage).unwrap();
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        Self { certificate: builder.build(), key }
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.certificate.to_pem().unwrap()
    }

    pub(crate) fn issue(&self, wish: &Wish<'_>) -> Identity {
        let key = key();
        let name = named(wish.common_name);
        let mut builder = builder(&name, self.certificate.subject_name(), &key, wish.seconds);
        let usage = KeyUsage::new().critical().digital_signature().build().unwrap();
        builder.append_extension(usage).unwrap();
        let mut purpose = ExtendedKeyUsage::new();
        let purpose = if wish.is_server { purpose.server_auth() } else { purpose.client_auth() };
        builder.append_extension(purpose.build().unwrap()).unwrap();
        let mut names = SubjectAlternativeName::new();
        if wish.is_server {
            names.dns("localhost").ip("127.0.0.1");
        }
        if let Some(uri) = wish.uri {
            names.uri(uri);
        }
        if wish.is_server || wish.uri.is_some() {
            let context = builder.x509v3_context(Some(&self.certificate), None);
            let names = names.build(&context).unwrap();
            builder.append_extension(names).unwrap();
        }
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        Identity {
            certificate: builder.build().to_pem().unwrap(),
            key: key.private_key_to_pem_pkcs8().unwrap(),
        }
    }

    /// Its revocation list, which names these and is out of date in so many seconds.
    pub(crate) fn revocation_list(&self, revoked: &[&Identity], seconds: i64) -> Vec<u8> {
        let now = now_s();
        let mut builder = X509CrlBuilder::new().unwrap();
        builder.set_issuer_name(self.certificate.subject_name()).unwrap();
        builder.set_last_update(&Asn1Time::from_unix(now - DAY_S).unwrap()).unwrap();
        builder.set_next_update(&Asn1Time::from_unix(now + seconds).unwrap()).unwrap();
        // The builder makes no list without the key's id and its own number.
        builder.append_extension(extension("2.5.29.35", &[0x30, 3, 0x80, 1, 7])).unwrap();
        builder.append_extension(extension("2.5.29.20", &[2, 1, 9])).unwrap();
        for identity in revoked {
            let certificate = X509::from_pem(&identity.certificate).unwrap();
            let mut entry = X509RevokedBuilder::new().unwrap();
            entry.set_serial_number(certificate.serial_number()).unwrap();
            entry.set_revocation_date(&Asn1Time::from_unix(now - DAY_S).unwrap()).unwrap();
            builder.add_revoked(entry.build()).unwrap();
        }
        builder.sign(&self.key, MessageDigest::sha256()).unwrap();
        builder.build().unwrap().to_pem().unwrap()
    }

    pub(crate) fn client(&self, name: &str) -> Identity {
        self.issue(&Wish::client(name))
    }

    pub(crate) fn server(&self) -> Identity {
        self.issue(&Wish { is_server: true, ..Wish::client("server") })
    }
}

fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap()
}

fn extension(kind: &str, value: &[u8]) -> X509Extension {
    let kind = Asn1Object::from_str(kind).unwrap();
    let value = Asn1OctetString::new_from_bytes(value).unwrap();
    X509Extension::new_from_der(&kind, false, &value).unwrap()
}

fn key() -> PKey<Private> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap()
}

fn named(common_name: Option<&str>) -> X509Name {
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_text("O", "Varve tests").unwrap();
    if let Some(common_name) = common_name {
        name.append_entry_by_text("CN", common_name).unwrap();
    }
    name.build()
}

fn builder(
    subject: &X509NameRef,
    issuer: &X509NameRef,
    key: &PKey<Private>,
    seconds: i64,
) -> X509Builder {
    let now = now_s();
    let mut serial = BigNum::new().unwrap();
    serial.rand(127, MsbOption::MAYBE_ZERO, false).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    builder.set_serial_number(&serial.to_asn1_integer().unwrap()).unwrap();
    builder.set_subject_name(subject).unwrap();
    builder.set_issuer_name(issuer).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&Asn1Time::from_unix(now - 60 * DAY_S).unwrap()).unwrap();
    builder.set_not_after(&Asn1Time::from_unix(now + seconds).unwrap()).unwrap();
    builder
}
