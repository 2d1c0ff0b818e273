//! `varve doctor`: what it finds on real folders, and that a server ends as it says.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;

use super::site::{PATIENCE, Running, Site, run, varve};

/// The flags of a server of `site` that listens at `address`, behind `command`.
fn flags(site: &Site, command: &[&str], address: &str) -> Command {
    let flags = site.server_flags(command);
    let args: Vec<_> = flags.get_args().map(|arg| arg.to_str().unwrap().to_owned()).collect();
    varve(args.iter().map(|arg| if arg == "127.0.0.1:0" { address } else { arg }))
}

/// What the doctor finds, without a look at the disk.
struct Examined {
    code: i32,
    report: Value,
}

impl Examined {
    fn of(command: Command) -> Self {
        let outcome = run(command, b"");
        let report = serde_json::from_slice(&outcome.stdout);
        let report: Value = report.unwrap_or_else(|_| panic!("{}", outcome.stderr));
        assert_eq!(report["exit_code"], outcome.code, "{report}");
        Self { code: outcome.code, report }
    }

    /// The check of that name that went worst, as far as they go worse in this order.
    fn check(&self, name: &str) -> &Value {
        let checks = self.report["checks"].as_array().unwrap();
        let order = ["fault", "warning", "not_looked_at", "note", "ok"];
        let named = checks.iter().filter(|check| check["check"] == name);
        let worst = named.min_by_key(|check| order.iter().position(|v| check["verdict"] == *v));
        worst.unwrap_or_else(|| panic!("no {name} in {}", self.report))
    }

    fn expect(&self, name: &str, verdict: &str, parts: &[&str]) {
        let check = self.check(name);
        assert_eq!(check["verdict"], verdict, "{check}");
        for part in parts {
            assert!(check.to_string().contains(part), "{part:?} is not in {check}");
        }
    }
}

fn examine(site: &Site, address: &str) -> Examined {
    Examined::of(flags(site, &["doctor", "--json", "--quick"], address))
}

/// Expects a fault of the check, and that `varve serve` ends as the doctor says.
fn assert_both_refuse(site: &Site, address: &str, (check, code): (&str, i32), parts: &[&str]) {
    let examined = examine(site, address);
    examined.expect(check, "fault", parts);
    assert_eq!(examined.code, code, "{}", examined.report);
    assert_eq!(run(flags(site, &["serve"], address), b"").code, code, "serve");
}

const ANY_PORT: &str = "127.0.0.1:0";

#[test]
fn before_the_first_start_all_is_well_and_nothing_is_made() {
    let site = Site::new();
    let examined = examine(&site, ANY_PORT);
    for check in ["config", "client_ca", "acl", "files", "data_directory", "data_format"] {
        let verdict = &examined.check(check)["verdict"];
        // The site's certificates are for a day.
        assert!(verdict == "ok" || check == "client_ca", "{}", examined.check(check));
    }
    examined.expect("data_directory", "ok", &["is absent", "can make it"]);
    examined.expect(
        "certificate",
        "warning",
        &["ends in 0 days", "issue another", "DNS:localhost"],
    );
    examined.expect("acl", "ok", &["1 may produce, 1 consume, 1 administer"]);
    examined.expect("port", "note", &["another port"]);
    assert!(!fs::exists(site.path("data")).unwrap());
    let lists_the_disk = examined.report["checks"].to_string().contains("sync_median_us");
    assert!(!lists_the_disk, "{}", examined.report);
}

#[test]
fn the_disk_is_measured_and_nothing_is_left() {
    let site = Site::new();
    fs::create_dir(site.path("data")).unwrap();
    let examined = Examined::of(flags(&site, &["doctor", "--json"], ANY_PORT));
    let figures = &examined.check("disk")["figures"];
    let median = figures["sync_median_us"].as_u64().unwrap();
    assert!(figures["sync_p99_us"].as_u64().unwrap() >= median, "{figures}");
    assert_eq!(site.data(), []);
}

#[test]
fn people_get_a_line_for_each_check_with_the_worst_last() {
    let site = Site::new();
    let outcome = run(flags(&site, &["doctor", "--quick"], ANY_PORT), b"");
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.starts_with("ok "), "{text}");
    assert!(text.contains("\n         ") && text.contains("-> issue another"), "{text}");
    assert!(text.lines().last().unwrap().ends_with(" ok"), "{text}");
    assert_eq!(outcome.stderr, "");
    assert_eq!(outcome.code, 1, "{text}");
}

#[test]
fn a_key_that_strangers_can_read_is_a_fault() {
    let site = Site::new();
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(site.path("server-key.pem"), mode).unwrap();
    let parts = ["server-key.pem", "every user has access", "0644", "chmod 600"];
    assert_both_refuse(&site, ANY_PORT, ("certificate", 2), &parts);
}

#[test]
fn a_list_that_everyone_can_change_is_a_warning() {
    let site = Site::new();
    let mode = fs::Permissions::from_mode(0o666);
    fs::set_permissions(site.path("acl.csv"), mode).unwrap();
    examine(&site, ANY_PORT).expect(
        "files",
        "warning",
        &["every user can change", "acl.csv", "o-w"],
    );
    site.write("acl.csv", "p, root, *, prodce\n");
    assert_both_refuse(&site, ANY_PORT, ("acl", 2), &["acl.csv:1:", "prodce"]);
}

#[test]
fn an_expired_certificate_is_a_fault() {
    let site = Site::new();
    // Certificates begin five minutes in the past.
    let profile = r#"{"expiry": "302s", "usages": ["signing", "server auth"]}"#;
    site.write(
        "profiles.json",
        &format!(r#"{{"signing": {{"profiles": {{"server": {profile}}}}}}}"#),
    );
    for file in ["server.pem", "server-key.pem"] {
        fs::remove_file(site.path(file)).unwrap();
    }
    site.issue("server", "server", r#""localhost""#);
    let began = Instant::now();
    while examine(&site, ANY_PORT).check("certificate")["verdict"] != "fault" {
        assert!(began.elapsed() < PATIENCE, "it does not expire");
    }
    assert_both_refuse(&site, ANY_PORT, ("certificate", 2), &["server.pem", "expired at"]);
}

#[test]
fn a_wrong_configuration_is_told_with_its_line_and_what_was_not_looked_at() {
    let site = Site::new();
    site.write("varve.toml", "[storage]\nflushers = 0\n");
    let config = site.path("varve.toml");
    let examined = Examined::of(varve(["doctor", "--json", "--config", &config]));
    assert_eq!(examined.code, 2);
    examined.expect("config", "fault", &["varve.toml:2:", "storage.flushers is 0", "1 to 256"]);
    examined.expect("rest", "not_looked_at", &["files, data, disk"]);
    examined.check("clock");
    let mut named = flags(&site, &["doctor", "--as", "no-such-user"], ANY_PORT);
    named.arg("--quick");
    run(named, b"").refused(2, &["this host has no user no-such-user"]);
}

#[test]
fn a_folder_that_cannot_be_made_or_is_none_is_a_fault() {
    let site = Site::new();
    site.write("data", "no folder");
    assert_both_refuse(&site, ANY_PORT, ("data_directory", 74), &["is no folder"]);
    let mut command = flags(&site, &["doctor", "--json", "--quick"], ANY_PORT);
    let mut args: Vec<_> = command.get_args().map(|arg| arg.to_str().unwrap().to_owned()).collect();
    let (data, deeper) = (site.path("data"), site.path("none/data"));
    args.iter_mut().filter(|arg| **arg == data).for_each(|arg| arg.clone_from(&deeper));
    command = varve(&args);
    let examined = Examined::of(command);
    examined.expect("data_directory", "fault", &["is absent, and so is the folder", "install -d"]);
    assert_eq!(examined.code, 74, "{}", examined.report);
}

#[test]
fn files_are_judged_as_the_user_who_serves() {
    let site = Site::new();
    // Only root may read what belongs to somebody else, and so can tell.
    if !rustix::process::geteuid().is_root() {
        return;
    }
    fs::create_dir(site.path("data")).unwrap();
    let command = ["doctor", "--json", "--quick", "--as", "nobody"];
    let examined = Examined::of(flags(&site, &command, ANY_PORT));
    assert_eq!(examined.report["user"], "nobody");
    examined.expect("files", "fault", &["nobody may not read", "server-key.pem", "chgrp"]);
    examined.expect("data_directory", "fault", &["nobody may not write to", "install -d"]);
    assert_eq!(examined.code, 2, "{}", examined.report);
}

#[test]
fn data_of_a_newer_release_is_a_fault() {
    let site = Site::new();
    drop(site.serve());
    let text = "format = 2\n";
    let crc = crc32c::crc32c(text.as_bytes());
    site.write("data/logs/default/meta", &format!("{text}crc32c = {crc:08x}\n"));
    assert_both_refuse(
        &site,
        ANY_PORT,
        ("data_format", 65),
        &["meta has format version 2", "newer one"],
    );
}

#[test]
fn a_running_server_is_known_by_its_data_and_its_port() {
    let site = Site::new();
    let server: Running = site.serve();
    let process = format!("process {}", server.pid());
    let before = site.data();
    let examined = Examined::of(flags(&site, &["doctor", "--json"], &server.address));
    examined.expect("server", "ok", &[&process, "has the data directory"]);
    examined.expect("port", "ok", &["the server of this data", &process, &server.address]);
    examined.expect("data_format", "ok", &["2 logs"]);
    let elsewhere = examine(&site, "127.0.0.1:1");
    elsewhere.expect("port", "note", &["nobody listens on 127.0.0.1:1"]);
    assert!(site.data() == before, "something was changed");
}

#[test]
fn a_port_of_another_program_is_a_fault_with_its_name() {
    let site = Site::new();
    let other = TcpListener::bind(ANY_PORT).unwrap();
    let address = other.local_addr().unwrap().to_string();
    let own = format!("process {}", std::process::id());
    assert_both_refuse(&site, &address, ("port", 75), &[&address, "is taken by", &own]);
}
