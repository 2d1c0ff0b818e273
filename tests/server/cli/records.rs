//! Records in and out: byte for byte, in every format.

use std::process::Stdio;

use rustix::process::Signal;

use super::site::{Running, Site, run};

fn produce(site: &Site, server: &Running, flags: &[&str], input: &[u8]) -> String {
    let command = [&["produce"], flags].concat();
    let outcome = run(site.client("root", &server.address, &command), input);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    outcome.stderr
}

fn consume(site: &Site, server: &Running, flags: &[&str]) -> Vec<u8> {
    let command = [&["consume"], flags].concat();
    run(site.client("root", &server.address, &command), b"").done()
}

#[test]
fn lines_come_back_byte_for_byte() {
    let (site, empty) = (Site::new(), b"");
    let server = site.serve();
    assert_eq!(consume(&site, &server, &[]), empty);
    let told = produce(&site, &server, &[], b"one\n\n \tthree\r\n\xff\0\n\nlast");
    assert_eq!(told, "6 records acknowledged, offsets 0 to 5\n");
    assert_eq!(consume(&site, &server, &[]), b"one\n\n \tthree\r\n\xff\0\n\nlast\n");
    assert_eq!(produce(&site, &server, &[], b"\n"), "1 record acknowledged, offset 6\n");
    assert_eq!(produce(&site, &server, &[], b""), "no records acknowledged\n");
    assert_eq!(consume(&site, &server, &["--offset", "5"]), b"last\n\n");
    assert_eq!(consume(&site, &server, &["--offset", "2", "--count", "1"]), b" \tthree\r\n");
    assert_eq!(consume(&site, &server, &["--offset", "end"]), empty);
    assert_eq!(consume(&site, &server, &["--offset", "start", "-n", "1"]), b"one\n");
}

#[test]
fn a_whole_file_is_one_record() {
    let site = Site::new();
    let server = site.serve();
    let bytes: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).take(1_000_000).collect();
    std::fs::write(site.path("photo"), &bytes).unwrap();
    produce(&site, &server, &["--file-as-record", &site.path("photo")], b"");
    produce(&site, &server, &["--file-as-record"], b"");
    assert_eq!(consume(&site, &server, &["--format", "raw"]), bytes);
    assert_eq!(consume(&site, &server, &["--offset", "1"]), b"\n");
}

#[test]
fn delimited_records_pass_from_one_log_to_another() {
    let (site, other) = (Site::new(), Site::new());
    let (server, copy) = (site.serve(), other.serve());
    let long = vec![b'\n'; 70_000];
    let mut input = vec![0, 3, b'a', b'\n', 0xff];
    input.extend([0xf0, 0xa2, 0x04]);
    input.extend(&long);
    produce(&site, &server, &["--delimited"], &input);
    let stream = consume(&site, &server, &["--format", "delimited"]);
    assert_eq!(stream, input);
    produce(&other, &copy, &["--delimited"], &stream);
    assert_eq!(consume(&other, &copy, &["--format", "delimited"]), input);
}

#[test]
fn json_has_offsets_and_every_byte() {
    let site = Site::new();
    let server = site.serve();
    let mut command = site.client("root", &server.address, &["produce", "--json"]);
    command.stderr(Stdio::null());
    let report = run(command, "a\"\u{fc}\n\n".as_bytes()).done();
    let report = String::from_utf8(report).unwrap();
    let begin = "{\"log\":\"default\",\"records\":2,\"first_offset\":0,\"last_offset\":1,";
    assert!(report.starts_with(begin) && report.ends_with("\"complete\":true}\n"), "{report}");
    produce(&site, &server, &[], b"\xff\n");
    let lines = String::from_utf8(consume(&site, &server, &["--json"])).unwrap();
    let expected = [
        ("{\"offset\":0,\"time\":\"20", "Z\",\"value\":\"a\\\"\u{fc}\"}"),
        ("{\"offset\":1,\"time\":\"20", "Z\",\"value\":\"\"}"),
        ("{\"offset\":2,\"time\":\"20", "Z\",\"value_base64\":\"/w==\"}"),
    ];
    assert_eq!(lines.lines().count(), expected.len());
    for (line, (begin, end)) in lines.lines().zip(expected) {
        assert!(line.starts_with(begin) && line.ends_with(end), "{line}");
    }
}

#[test]
fn many_records_keep_their_order() {
    let site = Site::new();
    let server = site.serve();
    let input: String = (0..50_000).map(|n| format!("record {n}\n")).collect();
    let told = produce(&site, &server, &[], input.as_bytes());
    assert_eq!(told, "50000 records acknowledged, offsets 0 to 49999\n");
    assert!(consume(&site, &server, &[]) == input.as_bytes());
}

#[test]
fn a_follower_gets_each_record_as_it_comes() {
    let site = Site::new();
    let server = site.serve();
    let mut producer = site.client("root", &server.address, &["produce"]);
    let mut producer = Running::spawn({
        producer.stdin(Stdio::piped());
        producer
    });
    let flags = ["consume", "--follow", "--count", "3"];
    let mut follower = Running::spawn(site.client("root", &server.address, &flags));
    for record in [&b"one\n"[..], b"two\n"] {
        // The producer must not wait for more input before it sends.
        producer.write(record);
        assert_eq!(follower.read(4), record);
    }
    producer.write(b"three");
    producer.close_input();
    let (outcome, _) = follower.wait();
    assert_eq!(outcome.done(), b"three\n");
    assert_eq!(producer.wait().0.code, 0);
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let site = Site::new();
    let server = site.serve();
    produce(&site, &server, &[], &b"a record\n".repeat(20_000));
    let mut consumer = Running::spawn(site.client("root", &server.address, &["consume"]));
    assert_eq!(consumer.read(9), b"a record\n");
    consumer.stop_reading();
    let (outcome, _) = consumer.wait();
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
}

#[test]
fn a_failed_produce_says_how_much_is_safe() {
    let site = Site::new();
    let server = site.serve();
    let input = [&b"small\n"[..], &vec![b'x'; 2 << 20]].concat();
    let outcome = run(site.client("root", &server.address, &["produce"]), &input);
    outcome.refused(
        1,
        &[
            "RECORD_TOO_LARGE",
            "2097157",
            "in record 2 of the input",
            "1 record acknowledged, offset 0",
        ],
    );
    let outcome =
        run(site.client("root", &server.address, &["produce", "--delimited"]), &[1, b'a', 9, b'b']);
    outcome.refused(1, &["ends within record 2", "1 record acknowledged, offset 1"]);
    // A refusal is told at once, although the input goes on.
    let mut denied = site.client("nobody", &server.address, &["produce"]);
    denied.stdin(Stdio::piped());
    let mut denied = Running::spawn(denied);
    denied.write(b"one\n");
    let (outcome, _) = denied.wait();
    outcome.refused(1, &["nobody not permitted to produce to default", "no records acknowledged"]);
    server.signal(Signal::TERM);
    assert_eq!(server.wait().0.code, 0);
}
