//! A folder with a CA, a configuration and requests, to be changed by a test.

use std::fs;
use std::path::{Path, PathBuf};

use openssl::x509::X509;

use crate::certs::{CaOrder, CertsError, Fault, LeafOrder, Written, issue, make_ca};

pub(super) const CA: &str = r#"{"CN": "test ca", "ca": {"expiry": "87600h"}}"#;
pub(super) const CONFIG: &str = r#"{"signing": {"profiles": {
    "server": {"expiry": "8760h", "usages": ["signing", "key encipherment", "server auth"]},
    "client": {"expiry": "8760h", "usages": ["signing", "key encipherment", "client auth"]}
}}}"#;
pub(super) const LEAF: &str = r#"{"CN": "leaf", "hosts": ["localhost"]}"#;

pub(super) struct Folder {
    folder: tempfile::TempDir,
}

impl Folder {
    /// With a configuration and two requests, but nothing made of them yet.
    pub(super) fn bare() -> Self {
        let new = Self { folder: tempfile::tempdir().unwrap() };
        new.write("ca.json", CA);
        new.write("config.json", CONFIG);
        new.write("leaf.json", LEAF);
        new
    }

    /// With a CA as well.
    pub(super) fn new() -> Self {
        let new = Self::bare();
        new.make_ca().unwrap();
        new
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub(super) fn make_ca(&self) -> Result<Written, CertsError> {
        let request = &self.path("ca.json");
        make_ca(&CaOrder { request, out_dir: self.folder.path(), name: "ca", force: false })
    }

    pub(super) fn make_ca_of(&self, request: &str) -> Result<Written, CertsError> {
        self.write("ca.json", request);
        self.make_ca()
    }

    pub(super) fn issue(&self, profile: &str) -> Result<Written, CertsError> {
        self.issue_by("ca", profile, "leaf")
    }

    pub(super) fn issue_of(&self, request: &str) -> Result<Written, CertsError> {
        self.write("leaf.json", request);
        self.issue("server")
    }

    pub(super) fn issue_by(
        &self,
        ca: &str,
        profile: &str,
        name: &str,
    ) -> Result<Written, CertsError> {
        issue(&LeafOrder {
            ca_cert: &self.path(&format!("{ca}.pem")),
            ca_key: &self.path(&format!("{ca}-key.pem")),
            config: &self.path("config.json"),
            profile,
            request: &self.path("leaf.json"),
            out_dir: self.folder.path(),
            name,
            force: false,
        })
    }

    /// The names of the PEM files.
    pub(super) fn made(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.ends_with(".json")).collect();
        names.sort();
        names
    }
}

pub(super) fn certificate(path: &Path) -> X509 {
    X509::from_pem(&fs::read(path).unwrap()).unwrap()
}

/// The line and the fault of a request or configuration.
#[track_caller]
pub(super) fn fault_of<T>(result: Result<T, CertsError>) -> (u32, Fault) {
    match result {
        Err(CertsError::Value { line, fault, .. }) => (line, fault),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was accepted"),
    }
}
