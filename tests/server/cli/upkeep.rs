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
