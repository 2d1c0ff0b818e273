//! A running server: one owner, its signals, what systemd hears, what it leaves behind.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::site::{self, PATIENCE, Running, Site, run, varve};

const STOP_MAX: Duration = Duration::from_secs(5);

#[test]
fn a_free_port_is_named_for_people_and_programs() {
    let site = Site::new();
    let server = site.serve();
    let port: u16 = server.address.strip_prefix("127.0.0.1:").unwrap().parse().unwrap();
    assert_ne!(port, 0);
    drop(server);

    let mut json = Running::spawn(site.server_flags(&["serve", "--json"]));
    let begin = b"{\"listening\":\"127.0.0.1:";
    assert_eq!(json.read(begin.len()), begin);
}

#[test]
fn a_second_server_on_the_data_changes_nothing() {
    let site = Site::new();
    let server = site.serve();
    run(site.client("root", &server.address, &["produce"]), b"one\ntwo\n").done();
    let before = site.data();
    let second = run(site.server_flags(&["serve"]), b"");
    second.refused(75, &["data", "another server uses", "--data-dir"]);
    assert!(site.data() == before);
    let consumed = run(site.client("root", &server.address, &["consume"]), b"").done();
    assert_eq!(consumed, b"one\ntwo\n");
}

#[test]
fn a_second_server_on_the_port_is_refused() {
    let (site, other) = (Site::new(), Site::new());
    let server = site.serve();
    let mut second = other.server_flags(&["serve"]);
    let args: Vec<_> = second.get_args().map(|arg| arg.to_str().unwrap().to_owned()).collect();
    second = varve(args.iter().map(|arg| match arg.as_str() {
        "127.0.0.1:0" => &server.address,
        arg => arg,
    }));
    run(second, b"").refused(75, &[&server.address, "taken", "--listen"]);
}

#[test]
fn a_stop_ends_parked_consumers_and_the_next_start_finds_everything() {
    let site = Site::new();
    let server = site.serve();
    run(site.client("root", &server.address, &["produce"]), b"one\n").done();
    let flags = ["consume", "--follow", "--retry-for", "0"];
    let mut parked = Running::spawn(site.client("root", &server.address, &flags));
    assert_eq!(parked.read(4), b"one\n");
    server.signal(Signal::TERM);
    let (outcome, took) = server.wait();
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    assert!(took < STOP_MAX, "{took:?}");
    assert!(outcome.stderr.contains("event=stopped"), "{}", outcome.stderr);
    parked.wait().0.refused(1, &["the server is stopping", "UNAVAILABLE"]);

    let server = site.serve();
    let consumed = run(site.client("root", &server.address, &["consume"]), b"").done();
    assert_eq!(consumed, b"one\n");
    server.signal(Signal::INT);
    assert_eq!(server.wait().0.code, 0);
}

/// A file that is mapped into memory can lose it: by an outsider, or with its disk.
#[test]
fn r12_a_server_whose_index_lost_its_memory_ends_as_after_a_failed_write() {
    let site = Site::new();
    let server = site.serve();
    run(site.client("root", &server.address, &["produce"]), b"one\n").done();
    let index = site.dir.path().join("data/logs/default/00000000000000000000.index");
    File::options().write(true).open(index).unwrap().set_len(0).unwrap();
    let flags = ["produce", "--retry-for", "0"];
    assert_ne!(run(site.client("root", &server.address, &flags), b"two\n").code, 0);
    let (outcome, _) = server.wait();
    assert_eq!(outcome.code, 74, "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the memory of an index is gone"), "{}", outcome.stderr);

    let server = site.serve();
    let consumed = run(site.client("root", &server.address, &["consume"]), b"").done();
    assert!(consumed.starts_with(b"one\n"), "{consumed:?}");
}

/// Nothing took the signals while logs were recovered.
#[test]
fn a_stop_while_logs_are_recovered_ends_the_server_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let site = Site::new();
        let server = site.serve();
        run(site.client("root", &server.address, &["produce"]), b"one\n").done();
        drop(server);
        // Without the one recovery asks the other, and waits for somebody who writes into it.
        std::fs::remove_file(site.path("data/logs/default/meta")).unwrap();
        let store = site.path("data/logs/default/00000000000000000000.store");
        std::fs::remove_file(&store).unwrap();
        site::make_pipe(&store);
        let server = Running::spawn(site.server_flags(&["serve"]));
        let began = Instant::now();
        while !takes_signals(server.pid()) {
            assert!(began.elapsed() < PATIENCE, "it never took signals");
            std::thread::sleep(Duration::from_millis(5));
        }
        server.signal(signal);
        let (outcome, took) = server.wait();
        assert_eq!(outcome.code, 0, "{}", outcome.stderr);
        assert!(took < STOP_MAX, "{took:?}");
        for part in ["event=stopping", "the next start does it again", "event=stopped"] {
            assert!(outcome.stderr.contains(part), "{}", outcome.stderr);
        }
    }
}

/// Whether the process has a handler of its own for SIGTERM, SIGINT and SIGHUP.
fn takes_signals(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    [Signal::TERM, Signal::INT, Signal::HUP]
        .into_iter()
        .all(|signal| caught & (1 << (signal.as_raw() - 1)) != 0)
}

#[test]
fn systemd_hears_when_the_server_is_ready_reloading_and_stopping() {
    let site = Site::new();
    let socket = UnixDatagram::bind(site.path("notify")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let hear = |state: &str| {
        let mut heard = [0; 4096];
        loop {
            let length = socket.recv(&mut heard).unwrap();
            let text = str::from_utf8(&heard[..length]).unwrap();
            if text.lines().any(|line| line == state) {
                return text.to_owned();
            }
        }
    };
    let mut command = site.server_flags(&["serve"]);
    command.env("NOTIFY_SOCKET", site.path("notify")).env("WATCHDOG_USEC", "400000");
    let server = Running::start(command);
    let ready = hear("READY=1");
    let status = format!("STATUS=serving 1 logs on {}", server.address);
    assert!(ready.lines().any(|line| line == status), "{ready}");
    hear("WATCHDOG=1");
    server.signal(Signal::HUP);
    assert!(hear("RELOADING=1").contains("MONOTONIC_USEC="));
    hear("READY=1");
    server.signal(Signal::TERM);
    hear("STOPPING=1");
    assert_eq!(server.wait().0.code, 0);
}

#[test]
fn data_is_for_its_owner_alone_whatever_the_umask() {
    let site = Site::new();
    let server = site.serve();
    run(site.client("root", &server.address, &["produce"]), b"one\n").done();
    for (path, mode, _) in site.data() {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{path:?}");
    }
}

#[test]
fn variables_that_weaken_the_connection_are_taken_out() {
    let site = Site::new();
    let mut command = site.server_flags(&["serve"]);
    command.env("SSLKEYLOGFILE", site.path("keys")).env("GRPC_VERBOSITY", "debug");
    let server = Running::start(command);
    run(site.client("root", &server.address, &["produce"]), b"one\n").done();
    let log = server.log();
    for name in ["SSLKEYLOGFILE", "GRPC_VERBOSITY"] {
        assert!(log.contains(&format!("event=variable_ignored name={name}")), "{log}");
    }
    assert!(!std::fs::exists(site.path("keys")).unwrap());
}

#[test]
fn a_plaintext_server_knows_one_subject() {
    let site = Site::new();
    site.write("acl.csv", "p, anonymous, default, *\n");
    let flags = ["serve", "--plaintext", "--listen", "127.0.0.1:0"];
    let mut command = varve(flags);
    command.args(["--acl", &site.path("acl.csv"), "--data-dir", &site.path("data")]);
    let server = Running::start(command);
    let client = |command| varve([command, "--plaintext", "--server", &server.address]);
    run(client("produce"), b"one\n").done();
    assert_eq!(run(client("consume"), b"").done(), b"one\n");
    assert!(server.log().contains("event=check text=\"plaintext"), "{}", server.log());
    // A client that expects TLS does not fall back.
    let outcome = run(site.client("root", &server.address, &["consume"]), b"");
    outcome.refused(2, &["TLS handshake", "--plaintext"]);
}

#[test]
fn damaged_data_is_refused_if_so_set_and_else_served_around() {
    let site = Site::new();
    site.write("small.toml", "[log]\nsegment_bytes_max = \"4KiB\"\n");
    site.write("strict.toml", "[storage]\nstrict = true\n");
    let with = |file: &str| {
        let mut command = site.server_flags(&["serve"]);
        command.args(["--config", &site.path(file)]);
        command
    };
    let server = Running::start(with("small.toml"));
    let input = [&[b'x'; 1000][..], b"\n"].concat().repeat(20);
    let flags = ["produce", "--batch-records", "1"];
    run(site.client("root", &server.address, &flags), &input).done();
    server.signal(Signal::TERM);
    server.wait().0.done();
    std::fs::remove_file(site.path("data/logs/default/00000000000000000000.store")).unwrap();
    let before = site.data();

    run(with("strict.toml"), b"").refused(65, &["damaged from offset 0", "storage.strict"]);
    assert!(site.data() == before);

    let server = Running::start(with("small.toml"));
    let consume = |offset: &str| {
        run(site.client("root", &server.address, &["consume", "--offset", offset]), b"")
    };
    let damaged = consume("0");
    damaged.refused(1, &["LOG_DAMAGED", "goes on behind the damage"]);
    let resume = damaged.stderr.split("--offset ").nth(1).unwrap().split(' ').next().unwrap();
    assert!(!consume(resume).done().is_empty());
}

#[test]
fn a_limit_on_file_sizes_makes_segments_smaller_or_refuses_appends_and_ends_nothing() {
    // One or two MiB, and less than the smallest segment: shells differ in the unit.
    for (limit, fits) in [(2048, true), (200, false)] {
        let site = Site::new();
        let serve = site.server_flags(&["serve"]);
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("ulimit -f {limit}; exec \"$0\" \"$@\"")]);
        limited.arg(serve.get_program()).args(serve.get_args());
        let server = Running::start(limited);
        let input = [&[b'x'; 100][..], b"\n"].concat().repeat(40_000);
        let flags = ["produce", "--retry-for", "0"];
        let produced = run(site.client("root", &server.address, &flags), &input);
        if fits {
            produced.done();
        } else {
            produced.refused(1, &["RESOURCE_EXHAUSTED", "records acknowledged"]);
        }
        let consumed = run(site.client("root", &server.address, &["consume"]), b"").done();
        assert!(input.starts_with(&consumed));
        assert_eq!(consumed.len(), if fits { input.len() } else { 0 });
        server.signal(Signal::TERM);
        assert_eq!(server.wait().0.code, 0);
    }
}

#[test]
fn a_taken_port_costs_the_metrics_and_not_the_server() {
    let site = Site::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let server = Running::start(with_metrics(&site, &address));
    server.wait_for_log(&format!("event=metrics_unavailable address={address} error="));
    run(site.client("root", &server.address, &["produce"]), b"one\n").done();
}

#[test]
fn handshakes_that_fail_and_reloads_are_told_in_metrics() {
    let (site, stranger) = (Site::new(), Site::new());
    let server = Running::start(with_metrics(&site, "127.0.0.1:0"));
    server.wait_for_log("event=metrics_listening address=");
    let log = server.log();
    let (_, behind) = log.split_once("event=metrics_listening address=").unwrap();
    let address = behind.split_whitespace().next().unwrap().to_owned();
    let series = |series: &str| {
        let metrics = get(&address, "/metrics");
        let behind = |line: &str| line.strip_prefix(series)?.trim().parse::<f64>().ok();
        metrics.lines().find_map(behind).unwrap_or_else(|| panic!("no {series} in {metrics}"))
    };
    let refused = "varve_handshakes_refused_total{reason=\"certificate\"}";
    assert_eq!(series(refused), 0.0);
    let (ca, cert) = (site.path("ca.pem"), stranger.path("root.pem"));
    let key = stranger.path("root-key.pem");
    let foreign = ["--server", &server.address, "--ca", &ca, "--cert", &cert, "--key", &key];
    let mut produce = varve(["produce", "--retry-for", "0"]);
    produce.args(foreign);
    assert_ne!(run(produce, b"one\n").code, 0);
    assert!(series(refused) >= 1.0);
    site.write("acl.csv", "p, root\n");
    server.signal(Signal::HUP);
    server.wait_for_log("event=reload_refused");
    assert_eq!(series("varve_reloads_total{outcome=\"refused\"}"), 1.0);
    assert_eq!(series("varve_reload_last_refused"), 1.0);
}

/// The server of `site` with its metrics at `address`.
fn with_metrics(site: &Site, address: &str) -> Command {
    let command = site.server_flags(&["serve"]);
    let args: Vec<_> = command.get_args().map(|arg| arg.to_str().unwrap().to_owned()).collect();
    varve(args.iter().map(|arg| if arg == "off" { address } else { arg }))
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
