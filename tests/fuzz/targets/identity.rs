//! Who a client is, by its certificate: whom it is read to be, OpenSSL finds there too.
//!
//! The first byte says whether the rest is a certificate in DER or a file in PEM.

#![no_main]

use libfuzzer_sys::fuzz_target;
use openssl::base64::encode_block;
use openssl::nid::Nid;
use openssl::x509::{X509, X509Ref};
use varve::tls::Subject;
use varve::tls::identity::subject_of;
use varve_fuzz::counted::compared;
use varve_fuzz::is_one_line;

fuzz_target!(|input: &[u8]| {
    let Some((is_der, bytes)) = input.split_first() else { return };
    let pem = match is_der & 1 {
        1 => as_pem(bytes),
        _ => bytes.to_vec(),
    };
    // What OpenSSL does not read, the C core never takes for a client's.
    let Ok(certificate) = X509::from_pem(&pem) else { return };
    compared();
    match subject_of(&certificate) {
        Ok(subject) => assert!(openssl_finds(&certificate, &subject), "{subject:?}"),
        Err(error) => assert!(is_one_line(&error), "{error:?}"),
    }
});

fn as_pem(der: &[u8]) -> Vec<u8> {
    let digits = encode_block(der);
    let lines = digits.as_bytes().chunks(64).flat_map(|line| [line, b"\n"].concat());
    let mut pem = b"-----BEGIN CERTIFICATE-----\n".to_vec();
    pem.extend(lines);
    pem.extend_from_slice(b"-----END CERTIFICATE-----\n");
    pem
}

/// Whether it is the one URI name or, where there is none, the one common name.
fn openssl_finds(certificate: &X509Ref, subject: &Subject) -> bool {
    let name = subject.as_str();
    let names = certificate.subject_alt_names();
    let uris: Vec<_> = names.iter().flatten().filter_map(|name| name.uri()).collect();
    let entries = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
    let common: Vec<_> = entries.map(|entry| entry.data().as_slice()).collect();
    match (&uris[..], &common[..]) {
        ([], [common]) => *common == name.as_bytes(),
        ([uri], _) => *uri == name,
        _ => false,
    }
}
