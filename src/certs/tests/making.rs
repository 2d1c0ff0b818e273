//! What is made of requests and profiles.

use std::time::Duration;

use openssl::nid::Nid;
use openssl::x509::X509;

use super::folder::{CONFIG, Folder, certificate};
use crate::certs::{CertsError, Warning};
use crate::tls::{IdentityError, Moment};

const HOUR_S: i64 = 3600;

fn digest_of(certificate: &X509) -> Nid {
    let algorithm = certificate.signature_algorithm().object().nid();
    algorithm.signature_algorithms().unwrap().digest
}

#[test]
fn a_ca_signs_itself_and_what_it_issues() {
    let folder = Folder::bare();
    let ca = folder.make_ca().unwrap();
    assert!(ca.summary.is_ca);
    assert_eq!(ca.summary.usages, ["cert sign", "crl sign"]);
    assert_eq!(ca.summary.subject, "CN=test ca");
    let leaf = folder.issue("server").unwrap();
    assert!(!leaf.summary.is_ca);
    assert_eq!(leaf.summary.issuer, "CN=test ca");
    assert_eq!(leaf.summary.usages, ["digital signature", "key encipherment", "server auth"]);
    assert_eq!(leaf.summary.names, ["DNS:localhost"]);
    assert_eq!(leaf.warnings, []);
    let (ca, leaf) = (certificate(&ca.certificate), certificate(&leaf.certificate));
    let ca_key = ca.public_key().unwrap();
    assert!(ca.verify(&ca_key).unwrap() && leaf.verify(&ca_key).unwrap());
    let key_id = |bytes: &openssl::asn1::Asn1OctetStringRef| bytes.as_slice().to_vec();
    assert_eq!(leaf.authority_key_id().map(key_id), ca.subject_key_id().map(key_id));
    assert!(leaf.subject_key_id().is_some());
    assert_eq!((ca.version(), leaf.version()), (2, 2));
}

#[test]
fn key_usage_and_basic_constraints_are_critical() {
    let folder = Folder::new();
    folder.issue("server").unwrap();
    for name in ["ca.pem", "leaf.pem"] {
        let der = certificate(&folder.path(name)).to_der().unwrap();
        for kind in [0x0f, 0x13] {
            // The object id, then the flag.
            let critical = [0x06, 0x03, 0x55, 0x1d, kind, 0x01, 0x01, 0xff];
            assert!(der.windows(8).any(|bytes| bytes == critical), "{name} {kind:#x}");
        }
    }
}

#[test]
fn the_subject_has_its_parts_in_the_usual_order() {
    let folder = Folder::new();
    let request = r#"{"CN": "root", "names": [
        {"OU": "Clients", "O": "Varve", "L": "", "ST": "Utrecht", "C": "NL", "SerialNumber": "7"},
        {"OU": "R\u00f6tan"}
    ]}"#;
    let subject = folder.issue_of(request).unwrap().summary.subject;
    assert_eq!(
        subject,
        "C=NL, ST=Utrecht, O=Varve, OU=Clients, serialNumber=7, OU=R\u{f6}tan, CN=root"
    );
}

#[test]
fn a_certificate_begins_five_minutes_ago_and_lives_as_long_as_its_profile_says() {
    let folder = Folder::new();
    let before = Moment::now();
    let summary = folder.issue("server").unwrap().summary;
    let begins = summary.not_before.plus(Duration::from_secs(300));
    assert!(before <= begins && begins <= Moment::now());
    assert_eq!(summary.not_after.unix_s() - summary.not_before.unix_s(), 8_760 * HOUR_S);
    assert_eq!(summary.days_left, 364);
}

#[test]
fn a_ca_lives_five_years_if_its_request_says_nothing() {
    let summary = Folder::bare().make_ca_of(r#"{"CN": "x"}"#).unwrap().summary;
    assert_eq!(summary.not_after.unix_s() - summary.not_before.unix_s(), 43_800 * HOUR_S);
    let summary = Folder::bare().make_ca_of(r#"{"CN": "x", "ca": {}}"#).unwrap().summary;
    assert_eq!(summary.not_after.unix_s() - summary.not_before.unix_s(), 43_800 * HOUR_S);
}

#[test]
fn a_certificate_does_not_outlive_its_ca() {
    let folder = Folder::bare();
    let ca = folder.make_ca_of(r#"{"CN": "x", "ca": {"expiry": "24h"}}"#).unwrap().summary;
    let leaf = folder.issue("server").unwrap();
    assert_eq!(leaf.summary.not_after, ca.not_after);
    assert_eq!(leaf.warnings, [Warning::EndsWithCa { not_after: ca.not_after }]);
}

#[test]
fn dates_beyond_2049_are_encoded_right() {
    let request = r#"{"CN": "x", "ca": {"expiry": "876000h"}}"#;
    let ca = Folder::bare().make_ca_of(request).unwrap().summary;
    assert_eq!(ca.not_after.unix_s() - ca.not_before.unix_s(), 876_000 * HOUR_S);
}

#[test]
fn the_path_length_is_read_as_cfssl_does() {
    for (section, expected) in [
        ("", None),
        (r#""pathlen": 0"#, None),
        (r#""pathlen": 0, "pathlenzero": true"#, Some(0)),
        (r#""pathlenzero": true"#, Some(0)),
        (r#""pathlen": 2"#, Some(2)),
        (r#""pathlen": 2, "pathlenzero": true"#, Some(2)),
    ] {
        let request = format!(r#"{{"CN": "x", "ca": {{{section}}}}}"#);
        let summary = Folder::bare().make_ca_of(&request).unwrap().summary;
        assert_eq!(summary.path_length, expected, "{section}");
    }
}

#[test]
fn every_kind_of_key_is_made_and_signs_with_a_digest_of_its_strength() {
    for (key, shown, digest) in [
        (r#"{"algo": "rsa", "size": 2048}"#, "RSA 2048", Nid::SHA256),
        (r#"{"algo": "ecdsa", "size": 256}"#, "ECDSA P-256", Nid::SHA256),
        (r#"{"algo": "ecdsa", "size": 384}"#, "ECDSA P-384", Nid::SHA384),
    ] {
        let folder = Folder::bare();
        let ca = folder.make_ca_of(&format!(r#"{{"CN": "x", "key": {key}}}"#)).unwrap();
        assert_eq!(ca.summary.key, shown);
        let leaf = folder.issue("server").unwrap();
        assert_eq!(leaf.summary.key, "ECDSA P-256");
        assert_eq!(digest_of(&certificate(&leaf.certificate)), digest);
    }
}

#[test]
fn every_kind_of_host_is_named() {
    let hosts = r#""*.a.b", "10.0.0.1", "::1", "a@b.c", "spiffe://varve/w""#;
    let written = Folder::new().issue_of(&format!(r#"{{"CN": "x", "hosts": [{hosts}]}}"#)).unwrap();
    let expected = ["DNS:*.a.b", "IP:10.0.0.1", "IP:::1", "email:a@b.c", "URI:spiffe://varve/w"];
    assert_eq!(written.summary.names, expected);
    assert_eq!(written.summary.varve_subject.as_deref(), Some("spiffe://varve/w"));
}

#[test]
fn every_usage_of_cfssl_is_known() {
    let folder = Folder::new();
    let usages = [
        "digital signature",
        "content commitment",
        "key encipherment",
        "data encipherment",
        "key agreement",
        "cert sign",
        "crl sign",
        "encipher only",
        "decipher only",
        "any",
        "server auth",
        "client auth",
        "code signing",
        "email protection",
        "ipsec end system",
        "ipsec tunnel",
        "ipsec user",
        "timestamping",
        "ocsp signing",
        "microsoft sgc",
        "netscape sgc",
    ];
    let synonyms = ["signing", "content committment", "s/mime"];
    let all = [&usages[..], &synonyms].concat();
    let profile =
        format!(r#"{{"expiry": "1h", "usages": {all:?}, "ca_constraint": {{"is_ca": true}}}}"#);
    folder.write("config.json", &format!(r#"{{"signing": {{"profiles": {{"all": {profile}}}}}}}"#));
    assert_eq!(folder.issue("all").unwrap().summary.usages, usages);
}

#[test]
fn a_profile_takes_from_the_default_what_it_lacks() {
    let folder = Folder::new();
    folder.write(
        "config.json",
        r#"{"signing": {"default": {"expiry": "10h", "usages": ["client auth"]},
            "profiles": {"short": {"expiry": "1h"}, "other": {"usages": ["server auth"]}}}}"#,
    );
    let life = |summary: &crate::certs::Summary| {
        (summary.not_after.unix_s() - summary.not_before.unix_s()) / HOUR_S
    };
    for (profile, hours, usage) in
        [("default", 10, "client auth"), ("short", 1, "client auth"), ("other", 10, "server auth")]
    {
        let summary = folder.issue_by("ca", profile, profile).unwrap().summary;
        assert_eq!((life(&summary), &summary.usages[..]), (hours, &[usage.to_owned()][..]));
    }
}

#[test]
fn a_ca_below_a_ca_is_made_as_far_as_the_path_length_allows() {
    let folder = Folder::bare();
    folder.make_ca_of(r#"{"CN": "x", "ca": {"pathlen": 1}}"#).unwrap();
    let constraint = r#"{"is_ca": true, "max_path_len": 0, "max_path_len_zero": true}"#;
    let below = format!(
        r#""below": {{"expiry": "1h", "usages": ["cert sign"], "ca_constraint": {constraint}}},"#
    );
    folder.write(
        "config.json",
        &CONFIG.replace("\"profiles\": {", &format!("\"profiles\": {{{below}")),
    );
    let between = folder.issue_by("ca", "below", "between").unwrap().summary;
    assert_eq!((between.is_ca, between.path_length), (true, Some(0)));
    folder.issue_by("between", "server", "leaf").unwrap();
    let error = folder.issue_by("between", "below", "next").unwrap_err();
    assert!(matches!(error, CertsError::PathLength { .. }), "{error:?}");
}

#[test]
fn serial_numbers_are_long_positive_and_differ() {
    let folder = Folder::new();
    let serials =
        ["a", "b"].map(|name| folder.issue_by("ca", "server", name).unwrap().summary.serial);
    assert_ne!(serials[0], serials[1]);
    for serial in serials {
        assert_eq!(serial.len(), 32);
        assert!(matches!(serial.as_bytes()[0], b'4'..=b'7'), "{serial}");
    }
}

#[test]
fn what_will_trouble_the_owner_is_a_warning() {
    let folder = Folder::new();
    let request = folder.path("leaf.json");
    let written = folder.issue_of("{\"CN\": \"x\", \"hosts\": [\n\"\"]}").unwrap();
    let empty = Warning::EmptyHost { path: request.clone(), line: 2 };
    assert_eq!(written.warnings, [empty, Warning::NoHosts { path: request.clone() }]);
    folder.write("leaf.json", r#"{"CN": "x", "hosts": ["ops@varve.example"]}"#);
    let written = folder.issue_by("ca", "server", "mail").unwrap();
    assert_eq!(written.warnings, [Warning::NoHosts { path: request.clone() }]);
    folder.write("leaf.json", r#"{"CN": "x", "hosts": ["https://a", "https://b"]}"#);
    let written = folder.issue_by("ca", "client", "client").unwrap();
    let reason = IdentityError::SeveralUris { count: 2 };
    assert_eq!(written.warnings, [Warning::NoSubject { path: request, reason }]);
}
