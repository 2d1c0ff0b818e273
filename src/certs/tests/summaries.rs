//! What is shown of a certificate.

use std::fs;

use super::folder::Folder;
use crate::certs::{CertsError, inspect};
use crate::tls::TlsError;

#[test]
fn a_summary_is_shown_line_by_line() {
    let folder = Folder::bare();
    folder.make_ca_of(r#"{"CN": "test ca", "ca": {"pathlen": 2}}"#).unwrap();
    let summary = folder.issue("client").unwrap().summary;
    let expected = format!(
        "subject        CN=leaf\n\
         issuer         CN=test ca\n\
         varve subject  leaf\n\
         names          DNS:localhost\n\
         key            ECDSA P-256\n\
         usages         digital signature, key encipherment, client auth\n\
         ca             no\n\
         not before     {}\n\
         not after      {} (364 days left)\n\
         serial         {}\n\
         sha-256        {}",
        summary.not_before, summary.not_after, summary.serial, summary.sha256
    );
    assert_eq!(summary.to_string(), expected);
    assert_eq!(inspect(&folder.path("leaf.pem")).unwrap().certificates, [summary]);
    let ca = inspect(&folder.path("ca.pem")).unwrap().to_string();
    assert!(ca.contains("\nca             yes, path length 2\n"), "{ca}");
    assert!(ca.contains("\nnames          none\n"), "{ca}");
}

#[test]
fn a_certificate_without_a_subject_for_varve_says_why() {
    let folder = Folder::new();
    let written = folder.issue_of(r#"{"CN": "x", "hosts": ["https://a"]}"#).unwrap();
    let shown = written.summary.to_string();
    let line = "\nvarve subject  none: URI name \"https://a\" is no spiffe:// id\n";
    assert!(shown.contains(line), "{shown}");
}

#[test]
fn every_certificate_of_a_file_is_shown() {
    let folder = Folder::new();
    folder.issue("client").unwrap();
    let both = ["leaf.pem", "ca.pem"].map(|name| fs::read_to_string(folder.path(name)).unwrap());
    folder.write("both.pem", &both.concat());
    let inspection = inspect(&folder.path("both.pem")).unwrap();
    let subjects: Vec<_> = inspection.certificates.iter().map(|one| one.subject.as_str()).collect();
    assert_eq!(subjects, ["CN=leaf", "CN=test ca"]);
    assert_eq!(inspection.to_string().matches("\n\nsubject ").count(), 1);
}

#[test]
fn a_summary_is_serialized_with_plain_values() {
    let summary = Folder::new().issue("client").unwrap().summary;
    let value = serde_json::to_value(&summary).unwrap();
    assert_eq!(value["varve_subject"], "leaf");
    assert_eq!(value["not_after"], summary.not_after.to_string());
    assert_eq!(value["names"], serde_json::json!(["DNS:localhost"]));
    assert_eq!(value["days_left"], 364);
    assert_eq!(value["path_length"], serde_json::Value::Null);
}

#[test]
fn what_holds_no_certificate_is_refused() {
    let folder = Folder::new();
    let found = inspect(&folder.path("ca-key.pem"));
    assert!(matches!(found, Err(CertsError::Tls(TlsError::NoCertificate { .. }))));
}
