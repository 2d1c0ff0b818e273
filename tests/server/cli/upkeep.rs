//! The tools for the bad day: `verify`, `repair`, `backup` and `restore`.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use super::site::{Outcome, Site, run, varve};

/// A folder of data with records in `default` and in `orders`, as an orderly stop left it.
fn stopped() -> Site {
    let site = Site::new();
    let server = site.serve();
    run(site.client("root", &server.address, &["log", "create", "orders"]), b"").done();
    for log in ["default", "orders"] {
        for record in ["one\n", "two\n", "three\n"] {
            let command = site.client("root", &server.address, &["produce", "--log", log]);
            run(command, record.as_bytes()).done();
        }
    }
    server.signal(Signal::TERM);
    server.wait();
    site
}

fn store(site: &Site, log: &str) -> PathBuf {
    Path::new(&site.path("data")).join("logs").join(log).join(format!("{:020}.store", 0))
}

fn on_data(site: &Site, args: &[&str]) -> Outcome {
    run(varve([args, &["--data-dir", &site.path("data")]].concat()), b"")
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_slice(&outcome.stdout).unwrap()
}

/// Changes a byte of the second batch of a store.
fn spoil(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let second = bytes.windows(4).enumerate().filter(|(_, four)| four == b"VFRM").nth(1).unwrap().0;
    bytes[second + 90] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_check_says_what_is_wrong_where_and_ends_with_its_code() {
    let site = stopped();
    let before = site.data();
    let outcome = on_data(&site, &["verify"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let text = String::from_utf8(outcome.stdout).unwrap();
    assert!(text.contains("orders") && text.contains("no faults"), "{text}");
    assert_eq!(site.data(), before, "nothing was changed");

    fs::remove_file(store(&site, "orders").with_extension("index")).unwrap();
    let outcome = on_data(&site, &["verify", "--json"]);
    assert_eq!(outcome.code, 1);
    assert_eq!(json(&outcome)["faults"][0]["meaning"], "derived");

    spoil(&store(&site, "orders"));
    let outcome = on_data(&site, &["verify", "--json"]);
    assert_eq!(outcome.code, 65);
    let report = json(&outcome);
    let fault = report["faults"].as_array().unwrap().iter();
    let fault = fault.clone().find(|fault| fault["meaning"] == "damage").unwrap();
    assert_eq!((&fault["log"], &fault["from_offset"]), (&"orders".into(), &1.into()));
    assert_eq!(report["logs"].as_array().unwrap().len(), 3, "with the server's own");

    let outcome = on_data(&site, &["verify", "default"]);
    assert_eq!(outcome.code, 0, "the other log is whole");
    let folder = run(varve(["verify", &site.path("data"), "default"]), b"");
    assert_eq!(folder.code, 0, "{}", folder.stderr);
    on_data(&site, &["verify", "absent"]).refused(2, &["there is no log absent", "for all logs"]);
    on_data(&site, &["verify", "NO"]).refused(2, &["NO", "no name of a log"]);
    run(varve(["verify", "--data-dir", &site.folder()]), b"").refused(65, &["no data directory"]);
}

#[test]
fn a_check_of_a_running_servers_directory_leaves_it_alone() {
    let site = Site::new();
    let server = site.serve();
    run(site.client("root", &server.address, &["produce"]), b"one\n").done();
    let outcome = on_data(&site, &["verify", "--json"]);
    assert_eq!(outcome.code, 0, "{}", String::from_utf8_lossy(&outcome.stdout));
    assert_eq!(json(&outcome)["server_running"], true);
    run(site.client("root", &server.address, &["produce"]), b"two\n").done();
    server.signal(Signal::TERM);
    server.wait();
}

#[test]
fn a_log_that_took_no_appends_takes_them_again_after_a_repair() {
    let site = Site::new();
    let server = site.serve();
    for record in ["one\n", "two\n", "three\n"] {
        run(site.client("root", &server.address, &["produce"]), record.as_bytes()).done();
    }
    on_data(&site, &["repair"]).refused(75, &["LOCK", "another server"]);
    server.signal(Signal::KILL);
    server.wait_for_signal();
    spoil(&store(&site, "default"));
    // Else an orderly stop would vouch for the end, and the damage be found by a read.
    fs::remove_file(site.path("data/logs/default/checkpoint")).unwrap();

    let server = site.serve();
    let refused = run(site.client("root", &server.address, &["produce"]), b"four\n");
    refused.refused(1, &["damaged"]);
    server.signal(Signal::TERM);
    server.wait();

    let before = site.data();
    let outcome = on_data(&site, &["repair", "--dry-run"]);
    let text = String::from_utf8(outcome.done()).unwrap();
    assert!(text.contains("would: ") && text.contains("nothing was done"), "{text}");
    assert_eq!(site.data(), before);
    let outcome = on_data(&site, &["repair", "--json"]);
    let report = json(&outcome);
    let steps = report["steps"].as_array().unwrap();
    assert!(steps.iter().any(|step| step["step"] == "sealed"), "{report}");
    assert!(steps.iter().any(|step| step["step"] == "kept"), "{report}");
    assert_eq!(outcome.code, 0);

    let server = site.serve();
    run(site.client("root", &server.address, &["produce"]), b"four\n").done();
    let args = ["consume", "--from", "earliest", "--on-damaged", "skip"];
    let read = run(site.client("root", &server.address, &args), b"");
    assert_eq!(String::from_utf8(read.stdout).unwrap(), "one\nthree\nfour\n", "{}", read.stderr);
    server.signal(Signal::TERM);
    server.wait();
    let outcome = on_data(&site, &["repair"]);
    assert!(String::from_utf8(outcome.done()).unwrap().contains("nothing to repair"));
    assert_eq!(on_data(&site, &["verify"]).code, 65, "what is lost stays lost");
}

/// What `report` tells of a log.
fn log_in<'a>(report: &'a Value, name: &str) -> &'a Value {
    let mut logs = report["logs"].as_array().unwrap().iter();
    logs.find(|log| log["log"] == name).unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn a_backup_by_the_server_comes_back_whole_or_cut() {
    let site = Site::new();
    let server = site.serve();
    for record in ["one\n", "two\n", "three\n"] {
        run(site.client("root", &server.address, &["produce"]), record.as_bytes()).done();
    }
    let outcome = run(site.client("root", &server.address, &["backup", "monday", "--json"]), b"");
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let report = json(&outcome);
    assert_eq!((&report["path"], &report["checked"]), (&"backups/monday".into(), &true.into()));
    assert_eq!(log_in(&report, "default")["end_offset"], 3);
    assert_eq!((&report["linked"], &report["faults"]), (&1.into(), &Value::Array(Vec::new())));
    let outcome = run(site.client("root", &server.address, &["backup"]), b"");
    let told = outcome.stderr.clone();
    let text = String::from_utf8(outcome.done()).unwrap();
    assert!(text.contains("in the server's data directory"), "{text}");
    assert!(text.contains("no faults"), "{text}");
    assert!(told.contains("links share the disk's fate"), "{told}");
    run(site.client("root", &server.address, &["backup", "monday"]), b"")
        .refused(1, &["there is a backup monday already", "take another name"]);
    run(site.client("nobody", &server.address, &["backup"]), b"").refused(1, &["not permitted"]);
    run(site.client("root", &server.address, &["produce"]), b"four\n").done();
    run(varve(["restore", &site.path("data"), "--to", &site.path("x")]), b"")
        .refused(75, &["a server runs on"]);
    server.signal(Signal::TERM);
    server.wait();

    let backup = site.path("data/backups/monday");
    let restore = |args: &[&str]| run(varve([&["restore", &backup], args].concat()), b"");
    let target = site.path("new");
    let text = String::from_utf8(restore(&["--to", &target, "--dry-run"]).done()).unwrap();
    assert!(text.contains("nothing was done") && !Path::new(&target).exists(), "{text}");
    let cut = ["--to", &target, "--to-offset", "default=2", "--json"];
    let outcome = restore(&cut);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let report = json(&outcome);
    let log = log_in(&report, "default");
    assert_eq!((&log["end_offset"], &log["backup_end_offset"]), (&2.into(), &3.into()));
    let refused = restore(&["--to", &target]);
    refused.refused(2, &["is not empty", "name a folder with --to"]);
    let elsewhere = site.path("elsewhere");
    restore(&["--to", &elsewhere, "--to-offset", "default=4"])
        .refused(2, &["cannot end at offset 4", "0 up to but not including 3"]);
    restore(&["--to", &elsewhere, "--log", "absent"]).refused(2, &["there is no log absent"]);
    run(varve(["restore", &site.folder(), "--to", &elsewhere]), b"")
        .refused(65, &["no data directory"]);

    fs::rename(site.path("data"), site.path("old")).unwrap();
    fs::rename(&target, site.path("data")).unwrap();
    let server = site.serve();
    run(site.client("root", &server.address, &["produce"]), b"third\n").done();
    let read = run(site.client("root", &server.address, &["consume", "--from", "earliest"]), b"");
    assert_eq!(read.done(), b"one\ntwo\nthird\n");
    server.signal(Signal::TERM);
    server.wait();
}

#[test]
fn a_backup_without_a_server_is_refused_while_one_runs_and_checked() {
    let site = stopped();
    let back_up = |to: &str| on_data(&site, &["backup", "--to", &site.path(to), "--json"]);
    let outcome = back_up("monday");
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert_eq!(json(&outcome)["logs"].as_array().unwrap().len(), 3, "with the server's own");
    back_up("monday").refused(2, &["monday exists already"]);
    let one = ["backup", "--to", &site.path("one"), "--log", "orders"];
    assert!(String::from_utf8(on_data(&site, &one).done()).unwrap().contains("no faults"));
    assert!(!Path::new(&site.path("one/logs/default")).exists());
    let absent = ["backup", "--to", &site.path("two"), "--log", "absent"];
    on_data(&site, &absent).refused(2, &["there is no log absent"]);
    let nowhere = ["backup", "--data-dir", &site.path("nowhere"), "--to", &site.path("three")];
    run(varve(nowhere), b"").refused(65, &["no data directory"]);
    assert!(!Path::new(&site.path("nowhere")).exists());

    spoil(&store(&site, "orders"));
    let outcome = back_up("harmed");
    assert_eq!(outcome.code, 65, "{}", outcome.stderr);
    assert!(json(&outcome)["faults"][0].as_str().unwrap().starts_with("damage: log orders"));
    let harmed = site.path("harmed");
    let restore = ["restore", &harmed, "--to", &site.path("new")];
    let refused = run(varve(restore), b"");
    refused.refused(65, &["damage: log orders", "nothing was restored"]);
    run(varve(restore.iter().chain(&["--no-verify"])), b"").done();
    let server = site.serve();
    back_up("late").refused(75, &["LOCK", "another server"]);
    server.signal(Signal::TERM);
    server.wait();
}
