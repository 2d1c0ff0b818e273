//! What is wrong in a request or a configuration is found, named and placed.

use std::fs;

use super::folder::{CONFIG, Folder, fault_of};
use crate::certs::{CertsError, Fault};
use crate::tls::{CertificateFault, Exposure, KeyFault, TlsError};

/// The message for a request of a leaf, without the path.
#[track_caller]
fn leaf_message(request: &str) -> String {
    let folder = Folder::new();
    let (line, fault) = fault_of(folder.issue_of(request));
    assert_eq!(folder.made(), ["ca-key.pem", "ca.pem"]);
    format!("{line}: {fault}")
}

#[track_caller]
fn ca_message(request: &str) -> String {
    let folder = Folder::bare();
    let (line, fault) = fault_of(folder.make_ca_of(request));
    assert!(folder.made().is_empty());
    format!("{line}: {fault}")
}

#[track_caller]
fn config_message(config: &str) -> String {
    let folder = Folder::new();
    folder.write("config.json", config);
    let (line, fault) = fault_of(folder.issue("server"));
    format!("{line}: {fault}")
}

#[test]
fn unknown_keys_are_named_with_the_nearest_known_one_at_every_level() {
    for (request, expected) in [
        (
            "{\n\"CN\": \"x\",\n\"host\": []}",
            "3: unknown key \"host\" in the request: did you mean \"hosts\"?",
        ),
        ("{\"cn\": \"x\"}", "1: unknown key \"cn\" in the request: did you mean \"CN\"?"),
        (
            "{\"CN\": \"x\", \"key\": {\n\"algorithm\": \"rsa\"}}",
            "2: unknown key \"algorithm\" in the key: the known ones are algo, size",
        ),
        (
            "{\"CN\": \"x\", \"names\": [{},\n{\"S\": \"x\"}]}",
            "2: unknown key \"S\" in a name: did you mean \"ST\"?",
        ),
        (
            "{\"CN\": \"x\", \"extensions\": []}",
            "1: \"extensions\" in the request is a setting of cfssl that varve does not have: \
             remove it",
        ),
    ] {
        assert_eq!(leaf_message(request), expected);
    }
    assert_eq!(
        ca_message("{\"CN\": \"x\", \"ca\": {\"expire\": \"1h\"}}"),
        "1: unknown key \"expire\" in \"ca\": did you mean \"expiry\"?"
    );
    for (config, expected) in [
        (
            "{\"sining\": {}}",
            "1: unknown key \"sining\" in the configuration: did you mean \"signing\"?",
        ),
        (
            "{\"signing\": {\n\"profile\": {}}}",
            "2: unknown key \"profile\" in \"signing\": did you mean \"profiles\"?",
        ),
        (
            "{\"signing\": {\"profiles\": {\"x\": {\n\"usage\": []}}}}",
            "2: unknown key \"usage\" in the profile: did you mean \"usages\"?",
        ),
        (
            "{\"signing\": {\"default\": {\"ca_constraint\": {\"isca\": true}}}}",
            "1: unknown key \"isca\" in \"ca_constraint\": did you mean \"is_ca\"?",
        ),
        (
            "{\"signing\": {}, \"auth_keys\": {}}",
            "1: \"auth_keys\" in the configuration is a setting of cfssl that varve does not \
             have: remove it",
        ),
    ] {
        assert_eq!(config_message(config), expected);
    }
}

#[test]
fn bad_names_are_refused() {
    let long = "x".repeat(65);
    for (request, expected) in [
        ("{\n}".to_owned(), "1: the request names nobody: add \"CN\""),
        (
            "{\"CN\": \"\", \"names\": [{\"O\": \"\"}]}".to_owned(),
            "1: the request names nobody: add \"CN\"",
        ),
        ("{\"CN\":\n7}".to_owned(), "1: expected a text in quotes, found an integer"),
        (
            format!("{{\"CN\": \"{long}\"}}"),
            "1: \"CN\" has 65 characters: at most 64 fit in a certificate",
        ),
        (
            "{\"CN\": \"a\\u0000b\"}".to_owned(),
            "1: \"CN\" is \"a\\0b\", with a control character: remove it",
        ),
        (
            "{\"CN\": \"x\", \"names\": [{\"C\": \"Holland\"}]}".to_owned(),
            "1: country \"Holland\": write its code of two letters, such as \"NL\"",
        ),
        (
            format!("{{\"CN\": \"x\", \"names\": [{{\n\"OU\": \"{long}\"}}]}}"),
            "2: \"OU\" has 65 characters: at most 64 fit in a certificate",
        ),
        (
            "{\"CN\": \"x\", \"names\": {}}".to_owned(),
            "1: expected a list in brackets, found an object",
        ),
    ] {
        assert_eq!(leaf_message(&request), expected);
    }
}

#[test]
fn bad_hosts_and_keys_are_refused() {
    for (request, expected) in [
        (
            "{\"CN\": \"x\", \"hosts\": [\n\"localhost\",\n\"127.0.0.1:8400\"]}",
            "3: host \"127.0.0.1:8400\" has a colon: write a name or an address without the port, \
             and no brackets",
        ),
        (
            "{\"CN\": \"x\", \"hosts\": \"localhost\"}",
            "1: expected a list in brackets, found a text",
        ),
        (
            "{\"CN\": \"x\", \"key\": {\"algo\": \"rsa\",\n\"size\": 1024}}",
            "2: rsa keys of 1024 bits are not made: write 2048 to 8192",
        ),
        (
            "{\"CN\": \"x\", \"key\": {\"algo\": \"dsa\"}}",
            "1: unknown key algorithm \"dsa\": write \"rsa\" or \"ecdsa\"",
        ),
        (
            "{\"CN\": \"x\", \"key\": {\"size\": 2048}}",
            "1: the key has no \"algo\": add it, as \"algo\": \"ecdsa\"",
        ),
        ("{\"CN\": \"x\",\n\"ca\": {}}", "2: \"ca\" belongs into the request of a CA: remove it"),
    ] {
        assert_eq!(leaf_message(request), expected);
    }
}

#[test]
fn bad_sections_of_a_ca_are_refused() {
    for (section, expected) in [
        (
            "\"expiry\": \"10y\"",
            "1: \"10y\" is no duration: write it as \"8760h\" or \"1h30m\", in the units h, m, s, \
             ms, us and ns",
        ),
        (
            "\"expiry\": \"5m\"",
            "1: an expiry of \"5m\" is too short: certificates begin 5 minutes in the past",
        ),
        (
            "\"expiry\": \"8766001h\"",
            "1: an expiry of \"8766001h\" is too long: write at most \"8766000h\", 1000 years",
        ),
        ("\"expiry\": 3600", "1: expected a text in quotes, found an integer"),
        ("\"pathlen\": -1", "1: a path length of -1: write 0 to 100"),
        ("\"pathlen\": 101", "1: a path length of 101: write 0 to 100"),
        ("\"pathlenzero\": 1", "1: expected true or false, found an integer"),
    ] {
        let request = format!("{{\"CN\": \"x\", \"ca\": {{{section}}}}}");
        assert_eq!(ca_message(&request), expected);
    }
}

#[test]
fn bad_profiles_are_refused_also_if_another_is_wanted() {
    let with = |profile: &str| {
        CONFIG.replace("\"profiles\": {", &format!("\"profiles\": {{\"bad\": {{{profile}}},"))
    };
    for (profile, expected) in [
        (
            "\"expiry\": \"1h\"",
            "1: the profile has no \"usages\": add it, as \"usages\": [\"signing\", \
             \"server auth\"]",
        ),
        (
            "\"usages\": [\"signing\"]",
            "1: the profile has no \"expiry\": add it, as \"expiry\": \"8760h\"",
        ),
        (
            "\"expiry\": \"1h\", \"usages\": [\"server-auth\"]",
            "1: unknown usage \"server-auth\": did you mean \"server auth\"?",
        ),
        (
            "\"expiry\": \"1h\", \"usages\": []",
            "1: no usages: list at least one, such as \"server auth\"",
        ),
        (
            "\"expiry\": \"1h\", \"usages\": [\"cert sign\"]",
            "1: \"cert sign\" and a \"ca_constraint\" with \"is_ca\": true go together: write both \
             or none",
        ),
        (
            "\"expiry\": \"1h\", \"usages\": [\"signing\"], \"ca_constraint\": {\"is_ca\": true}",
            "1: \"cert sign\" and a \"ca_constraint\" with \"is_ca\": true go together: write both \
             or none",
        ),
    ] {
        assert_eq!(config_message(&with(profile)), expected);
    }
    let (_, fault) = fault_of(Folder::new().issue("Server"));
    let known = vec!["server".to_owned(), "client".to_owned()];
    assert_eq!(fault, Fault::NoProfile { given: "Server".to_owned(), known });
    assert_eq!(fault.to_string(), "no profile \"Server\": there are server, client");
    let known = vec!["\0server".to_owned()];
    let fault = Fault::NoProfile { given: "server".to_owned(), known };
    assert_eq!(fault.to_string(), "no profile \"server\": there are \\0server");
    assert_eq!(
        config_message("{\"signing\": {}}"),
        "1: no profile \"server\": there is none, add it to \"profiles\""
    );
}

#[test]
fn a_file_that_is_missing_or_no_json_is_named() {
    let folder = Folder::bare();
    fs::remove_file(folder.path("ca.json")).unwrap();
    let error = folder.make_ca().unwrap_err();
    assert!(matches!(&error, CertsError::Read { path, .. } if *path == folder.path("ca.json")));
    let error = folder.make_ca_of("{\n\"CN\": \"x\"\n\"hosts\": []}").unwrap_err();
    assert!(matches!(error, CertsError::Syntax { line: 3, .. }), "{error:?}");
}

#[test]
fn a_ca_that_cannot_sign_is_refused() {
    let folder = Folder::new();
    folder.issue("client").unwrap();
    let error = folder.issue_by("leaf", "client", "next").unwrap_err();
    let CertsError::Tls(TlsError::Certificate { fault, .. }) = error else { panic!("{error:?}") };
    assert_eq!(fault, CertificateFault::NotAuthority);
    fs::copy(folder.path("leaf-key.pem"), folder.path("ca-key.pem")).unwrap();
    let error = folder.issue_by("ca", "client", "next").unwrap_err();
    assert!(matches!(error, CertsError::Tls(TlsError::Mismatch { .. })), "{error:?}");
    assert_eq!(folder.made(), ["ca-key.pem", "ca.pem", "leaf-key.pem", "leaf.pem"]);
}

#[test]
fn a_ca_key_that_strangers_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::new();
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(folder.path("ca-key.pem"), open).unwrap();
    let error = folder.issue("client").unwrap_err();
    let CertsError::Tls(TlsError::Key { fault: KeyFault::Exposed(found), .. }) = error else {
        panic!("{error:?}")
    };
    assert_eq!(found, Exposure::Others { mode: 0o644 });
}

#[test]
fn files_are_not_overwritten_unless_forced() {
    let folder = Folder::new();
    let before = fs::read(folder.path("ca-key.pem")).unwrap();
    assert!(matches!(folder.make_ca(), Err(CertsError::Exists { .. })));
    assert_eq!(fs::read(folder.path("ca-key.pem")).unwrap(), before);
    let request = &folder.path("ca.json");
    let out_dir = &folder.path("");
    crate::certs::make_ca(&crate::certs::CaOrder { request, out_dir, name: "ca", force: true })
        .unwrap();
    assert_ne!(fs::read(folder.path("ca-key.pem")).unwrap(), before);
    folder.issue("server").unwrap();
}
