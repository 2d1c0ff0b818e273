//! What a server tells of itself: its own log, and the log of who changed what.

use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use super::site::{PATIENCE, Running, Site, run, varve};

fn serve(site: &Site, more: &str) -> Running {
    site.write(
        "varve.toml",
        &format!(
            "listen = \"127.0.0.1:0\"\ndata_dir = \"data\"\n[tls]\ncert = \"server.pem\"\n\
             key = \"server-key.pem\"\nclient_ca = \"ca.pem\"\n[acl]\nfile = \"acl.csv\"\n\
             [metrics]\nlisten = \"off\"\n{more}\n"
        ),
    );
    Running::start(varve(["serve", "--config", &site.path("varve.toml")]))
}

fn audit(site: &Site, server: &Running, name: &str) -> Vec<Value> {
    let consume = ["consume", "--log", "_audit"];
    let told = run(site.client(name, &server.address, &consume), b"").done();
    told.split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
fn who_changed_what_is_read_by_those_who_administer_it() {
    let site = Site::new();
    site.write("acl.csv", "p, root, *, *\np, nobody, *, consume\np, clerk, _audit, admin\n");
    site.issue("client", "clerk", "");
    let server = serve(&site, "");
    let as_root = |command: &[&str]| run(site.client("root", &server.address, command), b"x\n");
    as_root(&["log", "create", "orders"]).done();
    as_root(&["produce", "--log", "orders"]).done();
    as_root(&["log", "update", "orders", "--retention-bytes", "64MiB"]).done();
    as_root(&["log", "delete", "orders", "--yes"]).done();
    let denied = run(site.client("nobody", &server.address, &["produce"]), b"x\n");
    denied.refused(1, &["nobody not permitted to produce to default"]);
    server.signal(Signal::HUP);
    server.wait_for_log("event=reloaded");
    site.write("acl.csv", "nonsense\n");
    server.signal(Signal::HUP);
    server.wait_for_log("event=reload_refused");

    // What was told in the log a moment ago may not be written yet.
    let began = Instant::now();
    let mut told = audit(&site, &server, "clerk");
    while told.len() < 6 {
        assert!(began.elapsed() < PATIENCE, "{told:?}");
        told = audit(&site, &server, "clerk");
    }
    let events: Vec<_> = told.iter().map(|record| record["event"].as_str().unwrap()).collect();
    let expected =
        ["log_created", "log_updated", "log_deleted", "denied", "reloaded", "reload_refused"];
    assert_eq!(events, expected);
    let (created, updated, deleted) = (&told[0], &told[1], &told[2]);
    assert_eq!((&created["subject"], &created["log"]), (&"root".into(), &"orders".into()));
    assert_eq!(updated["retention_bytes"], "67108864");
    assert_eq!((&deleted["id"], &deleted["end"]), (&created["id"], &"1".into()));
    assert_eq!((&told[3]["subject"], &told[3]["object"]), (&"nobody".into(), &"default".into()));
    let id = told[3]["request_id"].as_str().unwrap();
    assert!(server.log().contains(&format!("request_id={id}")), "{}", server.log());
    let file = told[5]["error"].as_str().unwrap();
    assert!(file.contains("acl.csv:1: "), "{file}");
}

#[test]
fn the_log_of_who_changed_what_is_for_nobody_to_change() {
    let site = Site::new();
    site.write("acl.csv", "p, root, *, *\np, nobody, *, consume\n");
    let server = serve(&site, "[audit]\nretention_age = \"7d\"\nretention_bytes = \"2MiB\"");
    let client =
        |name: &str, command: &[&str]| run(site.client(name, &server.address, command), b"x\n");
    let refused = client("nobody", &["consume", "--log", "_audit"]);
    refused.refused(1, &["nobody not permitted to consume to _audit"]);
    let refused = client("root", &["produce", "--log", "_audit"]);
    refused.refused(1, &["root not permitted to produce to _audit"]);
    let own = "log _audit is the server's own";
    client("root", &["log", "delete", "_audit", "--yes"]).refused(1, &[own]);
    client("root", &["log", "update", "_audit", "--retention-bytes", "1"]).refused(1, &[own]);
    client("root", &["log", "trim", "_audit", "--before", "1"]).refused(1, &[own]);
    client("root", &["log", "create", "_other"]).refused(1, &["begins with a letter or digit"]);
    let shown = client("root", &["log", "describe", "_audit", "--json"]).done();
    let shown: Value = serde_json::from_slice(&shown).unwrap();
    let text = shown.to_string();
    assert!(text.contains("2097152") && text.contains("604800"), "{text}");

    server.signal(Signal::TERM);
    assert_eq!(server.wait().0.code, 0);
    // It is there again, with what the configuration says now; and switched off it stays as it is.
    let server = serve(&site, "[audit]\nretention_bytes = \"3MiB\"");
    let told = audit(&site, &server, "root");
    assert!(told.iter().all(|record| record["event"] == "denied") && told.len() == 2, "{told:?}");
    drop(server);
    let server = serve(&site, "[audit]\nlog = false");
    run(site.client("nobody", &server.address, &["produce"]), b"x\n").refused(1, &["nobody"]);
    server.wait_for_log("event=denied");
    assert_eq!(audit(&site, &server, "root").len(), 2);
}

#[test]
fn lines_can_be_objects_and_slow_calls_have_one() {
    let site = Site::new();
    let server =
        serve(&site, "[logging]\nform = \"json\"\nslow_call = \"1us\"\nslow_sync = \"1us\"");
    run(site.client("root", &server.address, &["produce"]), b"x\n").done();
    server.wait_for_log("slow_call");
    server.wait_for_log("slow_sync");
    server.signal(Signal::TERM);
    let log = server.wait().0.stderr;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |event: &str| {
        let found = lines.iter().find(|line| line["event"] == event);
        found.unwrap_or_else(|| panic!("no {event} in {log}"))
    };
    assert_eq!(find("listening")["logs"], 1);
    let slow = find("slow_call");
    assert_eq!((&slow["subject"], &slow["code"]), (&"root".into(), &"OK".into()));
    assert!(slow["request_id"].is_string() && slow["method"].is_string(), "{slow}");
    assert!(find("slow_sync")["took_ms"].is_u64());
    assert!(lines.iter().all(|line| line["time"].is_string() && line["level"].is_string()));
}
