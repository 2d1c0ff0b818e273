//! `varve reader`, and consumers that move one.

use rustix::process::Signal;

use super::site::{Outcome, Running, Site, run};

fn client(site: &Site, server: &Running, command: &[&str]) -> Outcome {
    run(site.client("root", &server.address, command), b"")
}

fn produce(site: &Site, server: &Running, input: &[u8]) {
    run(site.client("root", &server.address, &["produce"]), input).done();
}

fn text(outcome: Outcome) -> String {
    String::from_utf8(outcome.done()).unwrap()
}

/// Where the reader `billing` stands.
fn position(site: &Site, server: &Running) -> u64 {
    let shown = text(client(site, server, &["reader", "get", "billing", "--json"]));
    let offset = shown.split("\"offset\":").nth(1).unwrap();
    offset.split(',').next().unwrap().parse().unwrap()
}

#[test]
fn a_reader_is_made_moved_shown_and_forgotten() {
    let site = Site::new();
    let server = site.serve();
    produce(&site, &server, b"a\nb\nc\n");
    assert_eq!(text(client(&site, &server, &["reader", "list"])).lines().count(), 1);
    client(&site, &server, &["reader", "get", "billing"]).refused(1, &["READER_NOT_FOUND"]);

    let made = text(client(&site, &server, &["reader", "commit", "billing", "--offset", "1"]));
    let cells: Vec<_> = made.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(cells[..3], ["billing", "1", "2"], "{made}");
    assert_eq!(*cells.last().unwrap(), "root");
    let json = text(client(&site, &server, &["reader", "list", "--json"]));
    assert!(json.starts_with("{\"name\":\"billing\",\"offset\":1,\"owner\":\"root\","), "{json}");
    assert!(json.contains("\"lag_records\":2,"), "{json}");

    let back = ["reader", "commit", "billing", "--offset", "0"];
    client(&site, &server, &back).refused(1, &["READER_AHEAD", "--force"]);
    client(&site, &server, &[&back[..], &["--force"]].concat()).done();
    assert_eq!(position(&site, &server), 0);
    client(&site, &server, &["reader", "commit", "billing", "--offset", "9"])
        .refused(1, &["OUT_OF_RANGE"]);

    let deleted = client(&site, &server, &["reader", "delete", "billing"]);
    assert_eq!(deleted.stderr, "deleted the reader billing\n");
    client(&site, &server, &["reader", "delete", "billing"]).refused(1, &["READER_NOT_FOUND"]);
}

#[test]
fn a_consumer_goes_on_where_its_reader_stands() {
    let site = Site::new();
    let server = site.serve();
    produce(&site, &server, b"a\nb\nc\n");
    let reading = ["consume", "--reader", "billing", "--commit"];
    let new = client(&site, &server, &reading);
    new.refused(1, &["READER_NOT_FOUND", "--from or --offset beside --reader"]);

    let from_start = [&reading[..], &["--from", "earliest", "-n", "2"]].concat();
    assert_eq!(text(client(&site, &server, &from_start)), "a\nb\n");
    assert_eq!(position(&site, &server), 2);
    // It is not new any more, so it does not begin at the start.
    let again = [&reading[..], &["--from", "earliest"]].concat();
    assert_eq!(text(client(&site, &server, &again)), "c\n");
    assert_eq!(text(client(&site, &server, &reading)), "");
    // Reading alone moves nothing.
    produce(&site, &server, b"d\n");
    for _ in 0..2 {
        assert_eq!(text(client(&site, &server, &["consume", "--reader", "billing"])), "d\n");
    }
    assert_eq!(position(&site, &server), 3);
    let alone = client(&site, &server, &["consume", "--commit"]);
    assert_eq!(alone.code, 2);
    assert!(alone.stderr.contains("--reader"), "{}", alone.stderr);
}

#[test]
fn a_follower_commits_soon_and_when_it_is_interrupted() {
    let site = Site::new();
    let server = site.serve();
    produce(&site, &server, b"a\n");
    let flags = ["consume", "--reader", "billing", "--from", "earliest", "--commit", "--follow"];
    let mut follower = Running::spawn(site.client("root", &server.address, &flags));
    assert_eq!(follower.read(2), b"a\n");
    let wait = std::time::Instant::now() + super::site::PATIENCE;
    while client(&site, &server, &["reader", "get", "billing"]).code != 0 {
        assert!(std::time::Instant::now() < wait, "no commit");
    }
    assert_eq!(position(&site, &server), 1);
    // The commit that is not yet due comes before the end.
    produce(&site, &server, b"b\n");
    assert_eq!(follower.read(2), b"b\n");
    follower.signal(Signal::TERM);
    let (signal, rest, stderr) = follower.wait_for_signal();
    assert_eq!((signal, &rest[..], &stderr[..]), (Signal::TERM.as_raw(), &b""[..], ""));
    assert_eq!(position(&site, &server), 2);
}

#[test]
fn what_was_written_before_a_failure_is_committed() {
    let site = Site::new();
    site.write("small.toml", "[log]\nsegment_bytes_max = \"4KiB\"\n");
    let serve = || {
        let mut command = site.server_flags(&["serve"]);
        command.args(["--config", &site.path("small.toml")]);
        Running::start(command)
    };
    let server = serve();
    let record = [&[b'x'; 1000][..], b"\n"].concat();
    let flags = ["produce", "--batch-records", "1"];
    run(site.client("root", &server.address, &flags), &record.repeat(20)).done();
    server.signal(Signal::TERM);
    server.wait().0.done();
    let mut stores: Vec<_> = std::fs::read_dir(site.path("data/logs/default"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "store"))
        .collect();
    stores.sort();
    std::fs::remove_file(&stores[1]).unwrap();
    let server = serve();
    let flags = ["consume", "--reader", "billing", "--from", "earliest", "--commit"];
    let failed = client(&site, &server, &flags);
    failed.refused(1, &["DATA_LOSS"]);
    let written = u64::try_from(failed.stdout.len() / record.len()).unwrap();
    assert!(written > 0);
    assert_eq!(position(&site, &server), written);
}

#[test]
fn a_reader_survives_the_server() {
    let site = Site::new();
    let server = site.serve();
    produce(&site, &server, b"a\nb\n");
    client(&site, &server, &["reader", "commit", "billing", "--offset", "1"]).done();
    server.signal(Signal::KILL);
    drop(server);
    let server = site.serve();
    assert_eq!(text(client(&site, &server, &["consume", "--reader", "billing"])), "b\n");
}
