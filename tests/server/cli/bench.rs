//! `varve bench`: its figures add up, what it is told wrong is refused, and what it leaves behind.

use std::fs;
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

use super::site::{Running, Site, run, varve};

/// Long enough for a few batches on a busy machine.
const SHORT: [&str; 4] = ["--duration", "400ms", "--warmup", "0"];

fn bench(site: &Site, server: &str, flags: &[&str]) -> Command {
    let (scenario, rest) = flags.split_first().unwrap();
    let mut command = site.client("root", server, &["bench", scenario]);
    command.args(rest);
    command
}

fn figures(command: Command) -> Value {
    serde_json::from_slice(&run(command, b"").done()).unwrap()
}

fn number(figures: &Value, path: &str) -> u64 {
    figures.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {figures}"))
}

fn end_offset(site: &Site, server: &str) -> u64 {
    let mut describe = site.client("root", server, &["log", "describe", "default"]);
    describe.arg("--json");
    number(&figures(describe), "/end_offset")
}

fn null_flags(site: &Site) -> Vec<String> {
    let files = ["--cert", "server.pem", "--key", "server-key.pem", "--client-ca", "ca.pem"];
    let path = |text: &&str| match text.strip_prefix("--") {
        Some(_) => (*text).to_owned(),
        None => site.path(text),
    };
    ["bench", "null"].iter().map(ToString::to_string).chain(files.iter().map(path)).collect()
}

#[test]
fn what_is_produced_is_in_the_log_and_read_again() {
    let site = Site::new();
    let server = site.serve();
    let flags = ["produce", "--json", "--batch-records", "10", "--record-bytes", "50"];
    let mut command = bench(&site, &server.address, &[&flags[..], &SHORT].concat());
    command.args(["--connections", "2", "--streams", "2", "--in-flight", "3"]);
    let produced = figures(command);
    let end = end_offset(&site, &server.address);
    // What was answered after the end is in the log and not in the figures: what was in flight, and
    // a batch that a stream was about to send.
    let measured = number(&produced, "/produced/records");
    assert!(measured > 0 && measured <= end && end <= measured + 4 * 4 * 10, "{end}: {produced}");
    assert_eq!(measured, number(&produced, "/produced/messages") * 10);
    assert_eq!(number(&produced, "/produced/bytes"), measured * 52);
    assert_eq!(number(&produced, "/produced/latency_us/count") * 10, end);
    assert_eq!(number(&produced, "/unanswered_batches"), 0);
    assert_eq!(number(&produced, "/settings/producers"), 4);
    assert_eq!(number(&produced, "/server/pid"), u64::from(server.pid()));
    assert!(number(&produced, "/server/rss_anon_kib") > 0);
    assert!(number(&produced, "/client/rss_file_kib") > 0);
    for key in ["p50", "p90", "p99", "p99.9", "max"] {
        let latency = produced.pointer(&format!("/produced/latency_us/{key}"));
        assert!(latency.and_then(Value::as_f64).is_some_and(|us| us > 0.0), "{key}: {produced}");
    }
    assert_eq!(produced.pointer("/consumed"), Some(&Value::Null));

    for more in [&[][..], &["--unary"]] {
        let mut command = bench(&site, &server.address, &["consume", "--json", "--once"]);
        command.args(more);
        let consumed = figures(command);
        assert_eq!(number(&consumed, "/consumed/records"), end, "{more:?}");
        assert_eq!(number(&consumed, "/consumed/bytes"), end * 52, "{more:?}");
    }
}

#[test]
fn calls_keep_a_rate_and_can_be_drawn() {
    let site = Site::new();
    let server = site.serve();
    let plot = site.path("plot.svg");
    let flags = ["latency", "--json", "--callers", "3", "--rate", "100", "--plot", &plot];
    let latency = figures(bench(&site, &server.address, &[&flags[..], &SHORT].concat()));
    let (due, late) = (40, number(&latency, "/late_batches"));
    let counted = number(&latency, "/produced/latency_us/count");
    // Each that was due counts, on however busy a machine, and a tick of the clock late is none.
    assert!(counted >= due - 3 && counted <= due + 30, "{latency}");
    assert!(end_offset(&site, &server.address) >= counted - late, "{latency}");
    assert!(fs::read_to_string(&plot).unwrap().contains("<polyline"));
}

#[test]
fn each_consumer_of_a_fan_out_gets_each_record() {
    let site = Site::new();
    let server = site.serve();
    let flags = ["fanout", "--json", "--consumers", "5", "--connections", "2", "--rate", "50"];
    let fanout = figures(bench(&site, &server.address, &[&flags[..], &SHORT].concat()));
    let acknowledged = number(&fanout, "/produced/latency_us/count");
    assert!(acknowledged > 0, "{fanout}");
    let received = number(&fanout, "/consumed/latency_us/count");
    // The last may be on their way when the consumers are cut off.
    assert!(received <= acknowledged * 5 && received + 5 >= acknowledged * 5, "{fanout}");

    let flags = ["mixed", "--json", "--batch-records", "7", "--in-flight", "2"];
    let mixed = figures(bench(&site, &server.address, &[&flags[..], &SHORT].concat()));
    assert_eq!(number(&mixed, "/consumed/records") % 7, 0, "{mixed}");
    assert!(number(&mixed, "/consumed/latency_us/count") > 0, "{mixed}");
}

#[test]
fn logs_take_turns() {
    let site = Site::new();
    let server = site.serve();
    let mut names = Vec::new();
    for number in 1..=3 {
        names.push(format!("bench-{number}"));
        let create = ["log", "create", &format!("bench-{number}")];
        run(site.client("root", &server.address, &create), b"").done();
    }
    let flags = ["latency", "--json", "--log", "bench", "--logs", "3"];
    let measured = figures(bench(&site, &server.address, &[&flags[..], &SHORT].concat()));
    assert_eq!(measured.pointer("/log").and_then(Value::as_str), Some("bench-1 to bench-3"));
    let ends = names.iter().map(|name| {
        let mut describe = site.client("root", &server.address, &["log", "describe", name]);
        describe.arg("--json");
        number(&figures(describe), "/end_offset")
    });
    let ends: Vec<_> = ends.collect();
    let (least, most) = (ends.iter().min().unwrap(), ends.iter().max().unwrap());
    assert!(*least > 0 && most - least <= 1, "{ends:?}");
    let refused = |scenario: &str, code: i32, part: &str| {
        let flags = [&[scenario, "--log", "bench", "--logs", "4"][..], &SHORT].concat();
        run(bench(&site, &server.address, &flags), b"").refused(code, &[part]);
    };
    refused("latency", 1, "LOG_NOT_FOUND");
    // Its one stream would leave three logs out.
    refused("produce", 2, "--logs 4 is out of bounds: 1 to 1");
}

#[test]
fn a_server_that_keeps_nothing_can_be_measured() {
    let site = Site::new();
    fs::create_dir(site.dir.path().join("disk")).unwrap();
    for more in [vec![], vec!["--disk".to_owned(), site.path("disk")]] {
        let null = Running::start(varve([null_flags(&site), more.clone()].concat()));
        for scenario in [&["produce"][..], &["produce", "--unary"], &["latency"], &["consume"]] {
            let flags = [scenario, &["--json"], &SHORT].concat();
            let measured = figures(bench(&site, &null.address, &flags));
            let side = if scenario == ["consume"] { "/consumed" } else { "/produced" };
            assert!(number(&measured, &format!("{side}/records")) > 0, "{more:?}: {measured}");
        }
        // Whoever has no certificate of the right root is not served.
        let plain = varve(["bench", "latency", "--plaintext", "--server", &null.address]);
        assert_ne!(run(plain, b"").code, 0);
        null.signal(Signal::TERM);
        null.wait().0.done();
    }
    assert_eq!(fs::read_dir(site.path("disk")).unwrap().count(), 0);
}

#[test]
fn the_disk_is_measured_and_left_as_it_was() {
    let site = Site::new();
    let folder = site.path("disk");
    let disk = |more: &[&str]| {
        let mut command = varve(["bench", "disk", &folder, "--json"]);
        command.args(more);
        run(command, b"")
    };
    disk(&[]).refused(2, &["disk is no folder"]);
    fs::create_dir(&folder).unwrap();
    disk(&["--block-bytes", "0"]).refused(2, &["--block-bytes 0"]);
    let done = disk(&["--bytes", "64KiB", "--block-bytes", "16KiB"]).done();
    let measured: Value = serde_json::from_slice(&done).unwrap();
    for (place, space) in ["allocated", "zeroed"].iter().enumerate() {
        let pass = measured.pointer(&format!("/passes/{place}")).unwrap();
        assert_eq!(pass.pointer("/space").and_then(Value::as_str), Some(*space));
        assert_eq!((number(pass, "/blocks"), number(pass, "/bytes")), (4, 65_536));
        assert_eq!(number(pass, "/latency_us/count"), 4);
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let site = Site::new();
    let server = site.serve();
    let refused = |flags: &[&str], code: i32, parts: &[&str]| {
        run(bench(&site, &server.address, flags), b"").refused(code, parts);
    };
    refused(&["produce", "--batch-records", "0"], 2, &["--batch-records 0", "1 to 1000000"]);
    refused(&["produce", "--connections", "0"], 2, &["--connections 0"]);
    refused(&["produce", "--duration", "0"], 2, &["--duration"]);
    refused(&["produce", "--rate", "0"], 2, &["--rate 0"]);
    refused(&["mixed", "--record-bytes", "8"], 2, &["--record-bytes 8", "16"]);
    refused(&["latency", "--callers", "2", "--connections", "3"], 2, &["--connections 3"]);
    refused(&["produce", "--server-pid", "4294967295"], 2, &["no process 4294967295"]);
    refused(&["latency", "--plot", "/nowhere/at/all.svg"], 2, &["/nowhere/at"]);
    refused(&["produce", "--log", "absent"], 1, &["LOG_NOT_FOUND", "varve log create absent"]);
    refused(&["consume"], 1, &["default is empty", "varve bench produce"]);
    assert_eq!(end_offset(&site, &server.address), 0);
    let nobody = site.client("nobody", &server.address, &["bench", "latency"]);
    run(nobody, b"").refused(1, &["NOT_PERMITTED"]);
    let both = ["produce", "--batch-records", "1", "--batch-bytes", "1KiB"];
    assert_eq!(run(bench(&site, &server.address, &both), b"").code, 2);
    let null = varve(["bench", "null", "--plaintext", "--listen", "0.0.0.0:0"]);
    run(null, b"").refused(2, &["loopback"]);
    let null = varve(["bench", "null", "--plaintext", "--disk", &site.path("absent")]);
    run(null, b"").refused(2, &["absent is no folder"]);
}

#[test]
fn an_interrupted_run_shows_what_was_measured() {
    let site = Site::new();
    let server = site.serve();
    let flags = ["produce", "--json", "--duration", "10m", "--warmup", "0", "--batch-records", "1"];
    let running = Running::spawn(bench(&site, &server.address, &flags));
    let has_begun = || end_offset(&site, &server.address) > 0;
    assert!((0..1000).any(|_| has_begun()), "nothing is appended");
    running.signal(Signal::INT);
    let (signal, stdout, _) = running.wait_for_signal();
    assert_eq!(signal, Signal::INT.as_raw());
    let measured: Value = serde_json::from_slice(&stdout).unwrap();
    assert_eq!(measured.pointer("/interrupted"), Some(&Value::Bool(true)));
    assert!(number(&measured, "/produced/records") > 0, "{measured}");
}
