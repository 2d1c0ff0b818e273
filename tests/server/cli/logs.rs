//! `varve log` and `varve info`.

use super::site::{Outcome, Running, Site, run};

fn client(site: &Site, server: &Running, command: &[&str]) -> Outcome {
    run(site.client("root", &server.address, command), b"")
}

fn text(outcome: Outcome) -> String {
    String::from_utf8(outcome.done()).unwrap()
}

fn produce(site: &Site, server: &Running, log: &str, input: &[u8]) {
    let flags = ["produce", "--log", log, "--batch-records", "1"];
    run(site.client("root", &server.address, &flags), input).done();
}

/// The row of a table that begins with `name`, in cells.
fn row(table: &str, name: &str) -> Vec<String> {
    let row = table.lines().find(|line| line.split_whitespace().next() == Some(name));
    let row = row.unwrap_or_else(|| panic!("no {name} in {table}"));
    row.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_log_is_made_used_described_and_deleted() {
    let site = Site::new();
    let server = site.serve();
    let made = client(&site, &server, &["log", "create", "orders", "--retention-age", "7d"]);
    assert_eq!(made.stderr, "made the log orders\n");
    client(&site, &server, &["log", "create", "orders"])
        .refused(1, &["LOG_EXISTS", "varve log describe orders"]);
    client(&site, &server, &["log", "create", "No Good"]).refused(1, &["INVALID_ARGUMENT"]);

    produce(&site, &server, "orders", b"one\ntwo\n");
    let flags = ["consume", "--log", "orders"];
    assert_eq!(text(client(&site, &server, &flags)), "one\ntwo\n");
    assert_eq!(text(client(&site, &server, &["consume"])), "");
    client(&site, &server, &["reader", "commit", "billing", "--log", "orders", "--offset", "1"])
        .done();

    let list = text(client(&site, &server, &["log", "list"]));
    assert_eq!(row(&list, "orders")[1..4], ["0", "2", "2"]);
    assert_eq!(row(&list, "default")[1..4], ["0", "0", "0"]);
    let list = text(client(&site, &server, &["log", "list", "--prefix", "ord", "--json"]));
    assert!(list.starts_with("{\"log\":\"orders\",\"log_id\":\""), "{list}");
    assert!(list.contains("\"end_offset\":2,"), "{list}");
    assert_eq!(list.lines().count(), 1);

    let described = text(client(&site, &server, &["log", "describe", "orders"]));
    assert_eq!(row(&described, "retention-age"), ["retention-age", "7d", "this", "log"]);
    assert_eq!(row(&described, "segment-bytes-max"), ["segment-bytes-max", "128MiB", "server"]);
    assert_eq!(row(&described, "billing")[1..3], ["1", "1"]);
    let described = text(client(&site, &server, &["log", "describe", "orders", "--json"]));
    assert!(described.contains("\"own_settings\":{\"retention_age_ms\":604800000}"), "{described}");

    // Nobody asks where there is no terminal.
    let delete = ["log", "delete", "orders"];
    client(&site, &server, &delete).refused(2, &["confirmation", "--yes"]);
    let other_end = [&delete[..], &["--yes", "--expect-end", "1"]].concat();
    client(&site, &server, &other_end).refused(1, &["NOT_AT_END"]);
    let deleted = client(&site, &server, &[&delete[..], &["--yes"]].concat());
    assert_eq!(deleted.stderr, "deleted the log orders\n");
    client(&site, &server, &flags).refused(1, &["LOG_NOT_FOUND", "varve log create orders"]);
    client(&site, &server, &["log", "delete", "default", "--yes"]).refused(1, &["LOG_PROTECTED"]);
}

#[test]
fn settings_change_and_follow_the_server_again() {
    let site = Site::new();
    let server = site.serve();
    let update =
        |flags: &[&str]| client(&site, &server, &[&["log", "update", "default"], flags].concat());
    let changed = text(update(&["--segment-bytes-max", "64MiB", "--retention-bytes", "10GiB"]));
    assert_eq!(row(&changed, "segment-bytes-max"), ["segment-bytes-max", "64MiB", "this", "log"]);
    assert_eq!(row(&changed, "retention-bytes"), ["retention-bytes", "10GiB", "this", "log"]);
    let changed = text(update(&["--reset", "segment-bytes-max", "--json"]));
    assert_eq!(changed, "{\"retention_bytes\":10737418240}\n");
    update(&[]).refused(2, &["no setting was named", "help log update"]);
    update(&["--segment-bytes-max", "1B"]).refused(1, &["SETTING_INVALID", "segment_bytes_max"]);
}

#[test]
fn a_trim_is_tried_before_it_is_done() {
    let site = Site::new();
    let server = site.serve();
    client(&site, &server, &["log", "create", "orders", "--segment-bytes-max", "4KiB"]).done();
    let record = [&[b'x'; 1000][..], b"\n"].concat();
    produce(&site, &server, "orders", &record.repeat(20));
    let trim = ["log", "trim", "orders", "--before", "10"];
    let tried = client(&site, &server, &[&trim[..], &["--dry-run"]].concat());
    assert!(tried.stderr.contains(" would go; the log would begin at offset "), "{}", tried.stderr);
    let held = |flags: &[&str]| {
        let flags = [&["consume", "--log", "orders"], flags].concat();
        client(&site, &server, &flags)
    };
    assert_eq!(held(&[]).done().len(), 20 * record.len());
    let done = text(client(&site, &server, &[&trim[..], &["--json"]].concat()));
    assert!(done.contains("\"dry_run\":false}"), "{done}");
    let left = held(&[]).done().len() / record.len();
    assert!((10..20).contains(&left), "{left}");
    let start = format!("\"start_offset\":{},", 20 - left);
    assert!(done.contains(&start), "{done}");

    // What was trimmed is told or stepped over.
    held(&["--offset", "0"]).refused(1, &["OFFSET_OUT_OF_RANGE", "--on-trimmed skip"]);
    let skipped = held(&["--offset", "0", "--on-trimmed", "skip"]);
    let warning = format!("the records from offset 0 to {} were trimmed", 20 - left - 1);
    assert!(skipped.stderr.contains(&warning), "{}", skipped.stderr);
    assert_eq!(skipped.done().len(), left * record.len());
}

#[test]
fn a_log_that_was_made_anew_is_not_read_on() {
    let site = Site::new();
    let server = site.serve();
    client(&site, &server, &["log", "create", "orders"]).done();
    produce(&site, &server, "orders", b"one\n");
    let flags = ["consume", "--log", "orders", "--follow"];
    let mut follower = Running::spawn(site.client("root", &server.address, &flags));
    assert_eq!(follower.read(4), b"one\n");
    client(&site, &server, &["log", "delete", "orders", "--yes"]).done();
    let (outcome, _) = follower.wait();
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("NOT_FOUND"), "{}", outcome.stderr);
}

#[test]
fn only_administrators_look_after_logs() {
    let site = Site::new();
    site.write("acl.csv", "p, root, *, *\np, nobody, default, consume\n");
    let server = site.serve();
    client(&site, &server, &["log", "create", "orders"]).done();
    let nobody = |command: &[&str]| run(site.client("nobody", &server.address, command), b"");
    let list = text(nobody(&["log", "list"]));
    assert!(list.contains("default") && !list.contains("orders"), "{list}");
    for command in [
        &["log", "create", "mine"][..],
        &["log", "describe", "default"],
        &["log", "update", "default", "--retention-age", "1d"],
        &["log", "trim", "default", "--before", "0"],
        &["log", "delete", "orders", "--yes"],
        &["info"],
    ] {
        nobody(command).refused(1, &["NOT_PERMITTED", "try: a line `p, nobody, "]);
    }
}

#[test]
fn a_server_tells_about_itself() {
    let site = Site::new();
    let server = site.serve();
    let shown = text(client(&site, &server, &["info"]));
    assert_eq!(row(&shown, "version")[1], format!("{},", env!("CARGO_PKG_VERSION")));
    assert_eq!(row(&shown, "limits.record_bytes_max")[1], "1MiB");
    assert!(shown.contains("root, over TLS"), "{shown}");
    let json = text(client(&site, &server, &["info", "--json"]));
    assert!(json.contains("\"subject\":\"root\",\"transport_security\":\"TLS\""), "{json}");
    assert!(json.contains("\"limits.record_bytes_max\":1048576"), "{json}");
}
