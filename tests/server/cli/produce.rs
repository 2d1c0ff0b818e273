//! `varve produce`: batches, keys and headers, formats, and connections that break.

use std::io::BufReader;
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::proxy::Proxy;
use super::site::{Outcome, Running, Site, run, varve};

fn produce(site: &Site, server: &Running, flags: &[&str], input: &[u8]) -> Outcome {
    let command = [&["produce"], flags].concat();
    run(site.client("root", &server.address, &command), input)
}

fn consume(site: &Site, server: &Running, flags: &[&str]) -> String {
    let command = [&["consume"], flags].concat();
    let out = run(site.client("root", &server.address, &command), b"").done();
    String::from_utf8(out).unwrap()
}

/// A server that begins on the port that another one had.
fn serve_again(site: &Site, address: &str) -> Running {
    let serve = site.server_flags(&["serve"]);
    let args: Vec<_> = serve.get_args().map(|arg| arg.to_str().unwrap().to_owned()).collect();
    Running::start(varve(args.iter().map(|arg| match arg.as_str() {
        "127.0.0.1:0" => address,
        arg => arg,
    })))
}

/// Waits for a line of standard error that has `text`.
fn hear(stderr: &mut impl std::io::BufRead, text: &str) -> String {
    let mut heard = String::new();
    while !heard.contains(text) {
        assert_ne!(stderr.read_line(&mut heard).unwrap(), 0, "no {text:?} in {heard}");
    }
    heard
}

#[test]
fn keys_and_headers_come_back() {
    let site = Site::new();
    let server = site.serve();
    let flags = ["--record-key", "k", "--header", "a=1", "--header", "a=b=c"];
    produce(&site, &server, &flags, b"x\ny\n").done();
    let lines = consume(&site, &server, &["--json"]);
    let rest = "\"key\":\"k\",\"headers\":[{\"name\":\"a\",\"value\":\"1\"},\
                {\"name\":\"a\",\"value\":\"b=c\"}],\"value\":\"x\"}";
    assert!(lines.lines().next().unwrap().ends_with(rest), "{lines}");
    assert_eq!(lines.lines().count(), 2);
}

#[test]
fn json_goes_in_as_it_came_out() {
    let (site, other) = (Site::new(), Site::new());
    let (server, copy) = (site.serve(), other.serve());
    let input = "{\"key_base64\":\"/w==\",\"headers\":[{\"name\":\"h\",\"value\":\"1\"}],\
                 \"value\":\"a\\n\"}\n{\"value_base64\":\"AP8=\"}\n";
    produce(&site, &server, &["--format", "json"], input.as_bytes()).done();
    let lines = consume(&site, &server, &["--json"]);
    produce(&other, &copy, &["--format", "json"], lines.as_bytes()).done();
    let without_times = |lines: &str| -> Vec<String> {
        let cut = |line: &str| {
            let (begin, rest) = line.split_once("\"time\"").unwrap();
            format!("{begin}{}", rest.split_once("Z\",").unwrap().1)
        };
        lines.lines().map(cut).collect()
    };
    assert_eq!(without_times(&consume(&other, &copy, &["--json"])), without_times(&lines));
    let expected = [
        "{\"offset\":0,\"key_base64\":\"/w==\",\"headers\":[{\"name\":\"h\",\"value\":\"1\"}],\
         \"value\":\"a\\n\"}",
        "{\"offset\":1,\"value_base64\":\"AP8=\"}",
    ];
    assert_eq!(without_times(&lines), expected);

    let wrong =
        produce(&site, &server, &["--format", "json"], b"{\"value\":\"1\"}\n{\"vlaue\":1}\n");
    wrong.refused(1, &["line 2 of the input", "vlaue", "1 record acknowledged, offset 2"]);
}

#[test]
fn an_expected_offset_is_met_or_nothing_is_appended() {
    let site = Site::new();
    let server = site.serve();
    let at = |offset: &str| {
        let flags = ["--batch-records", "2", "--expect-offset", offset];
        produce(&site, &server, &flags, b"a\nb\nc\nd\ne\n")
    };
    at("1").refused(1, &["NOT_AT_END", "no records acknowledged", "try: look at what is there"]);
    assert!(at("0").stderr.starts_with("5 records acknowledged, offsets 0 to 4"));
    at("0").refused(1, &["NOT_AT_END"]);
    assert!(at("5").stderr.starts_with("5 records acknowledged, offsets 5 to 9"));
    assert_eq!(consume(&site, &server, &["--offset", "8"]), "d\ne\n");
}

#[test]
fn the_report_says_how_durable_the_records_are() {
    let site = Site::new();
    let server = site.serve();
    let flags = ["--json", "--durability", "buffered", "--batch-records", "2"];
    let report = String::from_utf8(produce(&site, &server, &flags, b"1\n2\n3\n").done()).unwrap();
    assert!(report.contains("\"batches\":2,\"deduplicated\":0,\"durability\":\""), "{report}");
    let none = [&flags[..], &["--producer-id", "none"]].concat();
    let report = String::from_utf8(produce(&site, &server, &none, b"1\n").done()).unwrap();
    assert!(report.contains("\"producer\":null"), "{report}");
}

#[test]
fn an_input_goes_on_where_it_was_left() {
    let site = Site::new();
    let server = site.serve();
    let input = [&b"one\ntwo\n"[..], &vec![b'x'; 2 << 20], b"\nlast\n"].concat();
    site.write("input", str::from_utf8(&input).unwrap());
    let outcome = produce(&site, &server, &["--json", &site.path("input")], b"");
    outcome.refused(1, &["record 3 of the input", "2 records acknowledged", "--skip 2"]);
    let report = String::from_utf8(outcome.stdout).unwrap();
    assert!(report.contains("\"records\":2") && report.contains("\"complete\":false"), "{report}");
    let told = produce(&site, &server, &["--skip", "3", &site.path("input")], b"");
    assert_eq!(told.stderr, "1 record acknowledged, offset 2\n");
    assert_eq!(consume(&site, &server, &[]), "one\ntwo\nlast\n");
    let more = produce(&site, &server, &["--skip", "9", &site.path("input")], b"");
    more.refused(1, &["has only 4 records, and 9 are to be left out"]);
}

#[test]
fn a_producer_outlives_its_server() {
    let site = Site::new();
    let server = site.serve();
    let address = server.address.clone();
    let mut command = site.client("root", &address, &["produce"]);
    command.stdin(Stdio::piped());
    let mut producer = Running::spawn(command);
    let mut news = BufReader::new(producer.take_stderr());
    let flags = ["consume", "--follow", "--retry-for", "60s"];
    let mut follower = Running::spawn(site.client("root", &address, &flags));
    producer.write(b"one\n");
    assert_eq!(follower.read(4), b"one\n");

    server.signal(Signal::KILL);
    drop(server);
    hear(&mut news, "what was not acknowledged is sent again");
    producer.write(b"two\n");
    let server = serve_again(&site, &address);
    assert_eq!(follower.read(4), b"two\n");
    producer.write(b"three\n");
    producer.close_input();
    assert_eq!(follower.read(6), b"three\n");
    hear(&mut news, "3 records acknowledged, offsets 0 to 2");
    assert_eq!(producer.wait().0.code, 0);
    assert_eq!(consume(&site, &server, &[]), "one\ntwo\nthree\n");
}

#[test]
fn an_answer_that_is_lost_costs_no_record_and_makes_none_twice() {
    let site = Site::new();
    let server = site.serve();
    let proxy = Proxy::to(&server.address);
    let mut command = site.client("root", &proxy.address, &["produce"]);
    command.stdin(Stdio::piped());
    let mut producer = Running::spawn(command);
    let mut follower =
        Running::spawn(site.client("root", &server.address, &["consume", "--follow"]));
    producer.write(b"one\n");
    assert_eq!(follower.read(4), b"one\n");
    proxy.mute();
    producer.write(b"two\n");
    assert_eq!(follower.read(4), b"two\n");
    proxy.cut();
    producer.write(b"three\n");
    producer.close_input();
    let (outcome, _) = producer.wait();
    // The answer to the first may be among those that are lost.
    let told = outcome.stderr.lines().last().unwrap();
    let begin = "3 records acknowledged, offsets 0 to 2, ";
    assert!(told.starts_with(begin) && told.ends_with("of them there already"), "{told}");
    outcome.done();
    assert_eq!(consume(&site, &server, &[]), "one\ntwo\nthree\n");
}

#[test]
fn a_named_producer_may_run_again() {
    let site = Site::new();
    let server = site.serve();
    let id = "000000000000000000000000000000a1";
    let named = ["--producer-id", id, "--batch-records", "2"];
    let told = produce(&site, &server, &named, b"a\nb\nc\n").stderr;
    assert_eq!(told, "3 records acknowledged, offsets 0 to 2\n");
    let told = produce(&site, &server, &named, b"a\nb\nc\n").stderr;
    assert_eq!(told, "3 records acknowledged, offsets 0 to 2, all of them there already\n");
    let others = produce(&site, &server, &named, b"a\nx\n");
    others.refused(1, &["SEQUENCE_REUSED", "no records acknowledged", "--batch-records"]);
    let gap = [&named[..], &["--sequence", "7"]].concat();
    produce(&site, &server, &gap, b"d\n").refused(1, &["SEQUENCE_GAP", "expects batch 2"]);
    let higher = [&named[..], &["--epoch", "1"]].concat();
    let told = produce(&site, &server, &higher, b"d\n").stderr;
    assert_eq!(told, "1 record acknowledged, offset 3\n");
    produce(&site, &server, &named, b"e\n").refused(1, &["PRODUCER_FENCED", "--epoch"]);
    assert_eq!(consume(&site, &server, &[]), "a\nb\nc\nd\n");
}

#[test]
fn what_was_in_flight_is_appended_once_when_the_input_goes_on() {
    let site = Site::new();
    let server = site.serve();
    let proxy = Proxy::to(&server.address);
    let path = site.path("input");
    site.write("input", "1\n2\n3\n4\n5\n");
    let mut follower =
        Running::spawn(site.client("root", &server.address, &["consume", "--follow"]));
    let id = "000000000000000000000000000000a1";
    let flags = ["--producer-id", id, "--batch-records", "1", "--retry-for", "0"];
    let mut command = site.client("root", &proxy.address, &[&["produce"], &flags[..]].concat());
    command.stdin(Stdio::piped());
    let mut producer = Running::spawn(command);
    producer.write(b"1\n2\n");
    assert_eq!(follower.read(4), b"1\n2\n");
    proxy.mute();
    producer.write(b"3\n4\n");
    assert_eq!(follower.read(4), b"3\n4\n");
    proxy.cut();
    let (outcome, _) = producer.wait();
    outcome.refused(1, &["more may be in the log or not", "--epoch 0 --sequence "]);
    let hint = outcome.stderr.split("try: ").last().unwrap().split(" goes on").next().unwrap();
    let again = [&["--batch-records", "1"], &hint.split(' ').collect::<Vec<_>>()[..], &[&path]];
    let told = produce(&site, &server, &again.concat(), b"").stderr;
    assert!(told.contains(" of them there already"), "{told}");
    assert_eq!(consume(&site, &server, &[]), "1\n2\n3\n4\n5\n");
}

#[test]
fn a_log_that_knows_no_more_producers_takes_records_all_the_same() {
    let site = Site::new();
    site.write("one.toml", "[limits]\nproducers_per_log_max = 1\n");
    let mut command = site.server_flags(&["serve"]);
    command.args(["--config", &site.path("one.toml")]);
    let server = Running::start(command);
    assert_eq!(produce(&site, &server, &[], b"1\n").stderr, "1 record acknowledged, offset 0\n");
    let told = produce(&site, &server, &["--batch-records", "1"], b"2\n3\n").stderr;
    assert!(told.contains("without a producer's id nothing is sent a second time"), "{told}");
    assert!(told.ends_with("2 records acknowledged, offsets 1 to 2\n"), "{told}");
    let named = ["--producer-id", "000000000000000000000000000000a1"];
    produce(&site, &server, &named, b"4\n").refused(1, &["PRODUCERS_MAX", "--producer-id none"]);
    assert_eq!(consume(&site, &server, &[]), "1\n2\n3\n");
}

#[test]
fn without_a_producers_id_nothing_is_sent_twice() {
    let site = Site::new();
    let server = site.serve();
    let address = server.address.clone();
    let flags = ["produce", "--producer-id", "none", "--retry-for", "1s"];
    let mut command = site.client("root", &address, &flags);
    command.stdin(Stdio::piped());
    let mut producer = Running::spawn(command);
    let mut follower = Running::spawn(site.client("root", &address, &["consume", "--follow"]));
    producer.write(b"one\n");
    assert_eq!(follower.read(4), b"one\n");
    // What the server neither takes nor refuses may be in the log, for all that a client knows.
    server.signal(Signal::STOP);
    producer.write(b"two\n");
    server.signal(Signal::KILL);
    drop(server);
    let (outcome, _) = producer.wait();
    outcome.refused(1, &["more may be in the log or not"]);
    assert!(!outcome.stderr.contains("sent again"), "{}", outcome.stderr);
}

#[test]
fn an_interrupted_producer_says_how_far_it_came() {
    let site = Site::new();
    let server = site.serve();
    let mut command = site.client("root", &server.address, &["produce", "--json"]);
    command.stdin(Stdio::piped());
    let mut producer = Running::spawn(command);
    let mut follower =
        Running::spawn(site.client("root", &server.address, &["consume", "--follow"]));
    producer.write(b"one\ntwo\n");
    assert_eq!(follower.read(8), b"one\ntwo\n");
    producer.signal(Signal::INT);
    let (signal, stdout, stderr) = producer.wait_for_signal();
    assert_eq!(signal, Signal::INT.as_raw());
    let parts = ["interrupted; 2 records acknowledged, offsets 0 to 1\n", "try: --skip 2 goes on"];
    for part in parts {
        assert!(stderr.contains(part), "{stderr}");
    }
    let report = String::from_utf8(stdout).unwrap();
    assert!(report.contains("\"records\":2,") && report.contains("\"complete\":false"), "{report}");
}

#[test]
fn many_records_go_in_few_batches() {
    let site = Site::new();
    let server = site.serve();
    let input: String = (0..10_000).map(|n| format!("record {n}\n")).collect();
    site.write("input", &input);
    let flags = ["--json", "--batch-records", "4000", &site.path("input")];
    let report = String::from_utf8(produce(&site, &server, &flags, b"").done()).unwrap();
    assert!(report.contains("\"batches\":3,"), "{report}");
    let flags = ["--json", "--batch-bytes", "1KiB", &site.path("input")];
    let report = String::from_utf8(produce(&site, &server, &flags, b"").done()).unwrap();
    let batches: u64 =
        report.split("\"batches\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert!((150..400).contains(&batches), "{report}");
    assert!(consume(&site, &server, &[]) == input.repeat(2));
}

#[test]
fn a_closed_port_is_no_reason_to_wait() {
    let site = Site::new();
    let began = std::time::Instant::now();
    let mut command: Command = site.client("root", "127.0.0.1:1", &["produce"]);
    command.args(["--retry-for", "60s"]);
    let outcome = run(command, b"x\n");
    outcome.refused(1, &["cannot connect to 127.0.0.1:1"]);
    assert!(!outcome.stderr.contains("may be in the log"), "{}", outcome.stderr);
    assert!(began.elapsed() < std::time::Duration::from_secs(30));
}
