//! The readers of encoded bytes: any bytes, and OpenSSL's own opinion.

use openssl::x509::X509;
use openssl::x509::extension::{BasicConstraints, KeyUsage as Usage};
use proptest::prelude::*;

use super::maker::{Plan, tlv};
use crate::tls::identity::subject_of;
use crate::tls::parts::{AlternativeName, BasicConstraints as Constraints, KeyUsage, Parts};

#[test]
fn every_part_of_a_certificate_is_read() {
    let root = Plan::root().self_signed();
    let names = [tlv(0x81, b"a@b"), tlv(0x82, b"host"), tlv(0x87, &[1, 2, 3, 4]), tlv(0x88, b"*")];
    let usage = Usage::new().digital_signature().decipher_only().build().unwrap();
    let plan = Plan::named("leaf").alternative(&names.concat()).purpose(true, false);
    let der = plan.extension(usage).issued_by(&root).certificate.to_der().unwrap();
    let parts = Parts::read(&der).unwrap();
    assert_eq!(parts.issuer.to_string(), "CN=test ca");
    assert_eq!(parts.subject.to_string(), "CN=leaf");
    assert_eq!(
        parts.alternative_names,
        [
            AlternativeName::Mail(b"a@b"),
            AlternativeName::Dns(b"host"),
            AlternativeName::Address(&[1, 2, 3, 4]),
            AlternativeName::Other,
        ]
    );
    assert_eq!(parts.authority, None);
    assert_eq!(parts.key_usage, Some(KeyUsage(0x8080)));
    assert_eq!(parts.purposes, Some(vec![Parts::SERVER_AUTH]));
}

#[test]
fn the_path_length_is_read_at_any_size() {
    for length in [0, 1, 127, 128, 255, 256, 32_767] {
        let constraints = BasicConstraints::new().ca().pathlen(length).build().unwrap();
        let made = Plan::named("ca").extension(constraints).self_signed();
        let der = made.certificate.to_der().unwrap();
        let expected = Constraints { is_ca: true, path_length: Some(length) };
        assert_eq!(Parts::read(&der).unwrap().authority, Some(expected));
    }
}

#[test]
fn malformed_extensions_are_refused() {
    let cases: [(&str, &[u8]); 10] = [
        ("2.5.29.15", b"\x03\x01\x08"),
        ("2.5.29.15", b"\x03\x04\x00\x80\x80\x80"),
        ("2.5.29.15", b"\x03\x00"),
        ("2.5.29.15", b"\x04\x02\x00\x80"),
        ("2.5.29.19", b"\x30\x03\x01\x01\x01"),
        ("2.5.29.19", b"\x30\x03\x02\x01\x80"),
        ("2.5.29.19", b"\x30\x05\x02\x03\x01\x00\x00"),
        ("2.5.29.19", b"\x30\x02\x04\x00"),
        ("2.5.29.37", b"\x30\x02\x04\x00"),
        ("2.5.29.37", b"\x30\x02\x06"),
    ];
    for (kind, value) in cases {
        let der =
            Plan::named("x").raw_extension(kind, value).self_signed().certificate.to_der().unwrap();
        assert!(Parts::read(&der).is_err(), "{kind} {value:x?}");
    }
}

fn sample() -> Vec<u8> {
    let uri = tlv(0x86, b"spiffe://varve/writer");
    let plan = Plan::named("writer").authority().purpose(true, true).alternative(&uri);
    plan.self_signed().certificate.to_der().unwrap()
}

#[test]
fn a_certificate_cut_short_is_malformed() {
    let der = sample();
    for length in 0..der.len() {
        assert!(Parts::read(&der[..length]).is_err(), "{length}");
    }
    assert!(Parts::read(&[der, vec![0]].concat()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Parts::read(&bytes);
    }

    /// Where OpenSSL can read a damaged certificate too and sees no URI name, none is missed.
    #[test]
    fn damaged_certificates_are_read_or_refused(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut der = sample();
        for (place, byte) in places {
            let place = place.index(der.len());
            der[place] = byte;
        }
        let _ = Parts::read(&der);
        if let Ok(certificate) = X509::from_der(&der) {
            let found = subject_of(&certificate);
            let names = certificate.subject_alt_names();
            let uri = names.and_then(|names| Some(names.get(0)?.uri()?.to_owned()));
            if let (Some(uri), Ok(subject)) = (uri, found) {
                prop_assert_eq!(uri, subject.to_string());
            }
        }
    }
}
