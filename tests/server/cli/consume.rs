//! `varve consume`: where it begins and ends, gaps, and connections that break.

use std::time::Instant;

use rustix::process::Signal;

use super::site::{Outcome, Running, Site, run};

fn serve_small_segments(site: &Site) -> Running {
    site.write("small.toml", "[log]\nsegment_bytes_max = \"4KiB\"\n");
    let mut command = site.server_flags(&["serve"]);
    command.args(["--config", &site.path("small.toml")]);
    Running::start(command)
}

fn produce(site: &Site, server: &Running, input: &[u8]) {
    let flags = ["produce", "--batch-records", "1"];
    run(site.client("root", &server.address, &flags), input).done();
}

fn consume(site: &Site, server: &Running, flags: &[&str]) -> Outcome {
    let command = [&["consume"], flags].concat();
    run(site.client("root", &server.address, &command), b"")
}

fn text(outcome: Outcome) -> String {
    String::from_utf8(outcome.done()).unwrap()
}

#[test]
fn reading_begins_at_a_time() {
    let site = Site::new();
    let server = site.serve();
    produce(&site, &server, b"one\ntwo\n");
    let lines = text(consume(&site, &server, &["--json"]));
    let second = lines.lines().nth(1).unwrap();
    let time = second.split("\"time\":\"").nth(1).unwrap().split('"').next().unwrap();
    let from = |from: &str| text(consume(&site, &server, &["--from", from]));
    assert_eq!(from(time), "two\n");
    assert_eq!(from("earliest"), "one\ntwo\n");
    assert_eq!(from("latest"), "");
    assert_eq!(from("1h"), "one\ntwo\n");
    assert_eq!(from("2100-01-01T00:00:00+01:00"), "");
    let early = consume(&site, &server, &["--from", "42"]);
    assert_eq!(early.code, 2);
    assert!(early.stderr.contains("--offset"), "{}", early.stderr);
    assert_eq!(consume(&site, &server, &["--from", "1h", "--offset", "0"]).code, 2);
}

#[test]
fn waiting_ends_when_nothing_came_for_so_long() {
    let site = Site::new();
    let server = site.serve();
    produce(&site, &server, b"one\n");
    let began = Instant::now();
    assert_eq!(text(consume(&site, &server, &["--max-wait", "300ms"])), "one\n");
    let took = began.elapsed();
    assert!(took.as_millis() >= 300, "{took:?}");
    let follow = ["--follow", "--max-wait", "1s", "--from", "latest"];
    assert_eq!(text(consume(&site, &server, &follow)), "");
}

#[test]
fn a_log_without_records_ends_at_once() {
    let site = Site::new();
    let server = site.serve();
    for flags in [&[][..], &["--from", "latest"], &["--offset", "0"], &["-n", "5"]] {
        assert_eq!(text(consume(&site, &server, flags)), "", "{flags:?}");
    }
    let missing = consume(&site, &server, &["--log", "no-such-log"]);
    missing.refused(1, &["no-such-log", "LOG_NOT_FOUND", "varve log create no-such-log"]);
}

#[test]
fn damaged_records_are_told_or_stepped_over() {
    let site = Site::new();
    let server = serve_small_segments(&site);
    let record = [&[b'x'; 1000][..], b"\n"].concat();
    produce(&site, &server, &record.repeat(20));
    server.signal(Signal::TERM);
    server.wait().0.done();
    std::fs::remove_file(site.path("data/logs/default/00000000000000000000.store")).unwrap();
    let server = serve_small_segments(&site);
    consume(&site, &server, &[]).refused(1, &["DATA_LOSS", "--on-damaged skip"]);

    let skipped = consume(&site, &server, &["--on-damaged", "skip"]);
    let warning = "varve: warning: the records from offset 0 to ";
    assert!(skipped.stderr.starts_with(warning), "{}", skipped.stderr);
    assert!(skipped.stderr.contains("are damaged and left out"), "{}", skipped.stderr);
    let left = skipped.done().len() / record.len();
    assert!((1..20).contains(&left), "{left}");

    let json = text(consume(&site, &server, &["--on-damaged", "skip", "--json"]));
    let gap = format!("{{\"gap\":{{\"from\":0,\"to\":{},\"cause\":\"damaged\"}}}}", 20 - left);
    assert_eq!(json.lines().next().unwrap(), gap);
    assert_eq!(json.lines().count(), left + 1);
}

#[test]
fn an_interrupted_consumer_has_written_what_it_got() {
    let site = Site::new();
    let server = site.serve();
    produce(&site, &server, b"one\n");
    let mut follower =
        Running::spawn(site.client("root", &server.address, &["consume", "--follow"]));
    assert_eq!(follower.read(4), b"one\n");
    follower.signal(Signal::TERM);
    let (signal, stdout, stderr) = follower.wait_for_signal();
    assert_eq!((signal, &stdout[..], &stderr[..]), (Signal::TERM.as_raw(), &b""[..], ""));
}

#[test]
fn a_consumer_that_never_reached_its_server_does_not_try_again() {
    let site = Site::new();
    let began = Instant::now();
    let flags = ["consume", "--follow", "--retry-for", "60s"];
    run(site.client("root", "127.0.0.1:1", &flags), b"").refused(1, &["cannot connect"]);
    assert!(began.elapsed().as_secs() < 30);
}
