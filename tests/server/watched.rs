//! Metrics, health and the status page over HTTP: what is told, to whom, and what hostile or slow
//! clients get.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::StreamExt as _;
use grpcio::RpcStatusCode;
use varve::log::{LogName, LogOverrides, Options, SimDisk};
use varve::ops::http::HttpListener;
use varve::ops::{Ops, SeriesMax};

use crate::disk::fail_syncs;
use crate::world::{Plan, Producer, Records, World, anywhere, code, in_time, record};

/// Far above the limits of the listener, far below those of a test.
const SOON: Duration = Duration::from_secs(8);

/// A world with a listener for it.
struct Watched {
    listener: Option<HttpListener>,
    world: World,
    address: SocketAddr,
    ops: Arc<Ops>,
}

impl Watched {
    fn new() -> Self {
        Self::of(World::new(), SeriesMax::default())
    }

    fn of(world: World, series_max: SeriesMax) -> Self {
        let ops = Ops::new(Arc::clone(&world.logs), world.server().observer(), series_max);
        let ops = Arc::new(ops);
        let bound = TcpListener::bind(anywhere()).unwrap();
        let listener = HttpListener::start(bound, &ops).unwrap();
        let address = listener.address();
        Self { listener: Some(listener), world, address, ops }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// What is answered to these bytes.
    fn ask(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // A request that is too large may be refused before all of it was taken.
        let _ = stream.write_all(request);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The status line and the body of a plain request.
    fn get(&self, target: &str) -> (String, String) {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = self.ask(request.as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.lines().next().unwrap().to_owned(), body.to_owned())
    }

    fn metrics(&self) -> String {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, "HTTP/1.1 200 OK");
        body
    }

    /// The value of the series written like this.
    fn series(&self, series: &str) -> Option<f64> {
        value(&self.metrics(), series)
    }
}

fn value(metrics: &str, series: &str) -> Option<f64> {
    let behind = |line: &str| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(behind)
}

/// The names of all families, those of a histogram's parts included.
fn names(metrics: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        names.insert(name.to_owned());
        if kind == "histogram" {
            for part in ["_bucket", "_sum", "_count"] {
                names.insert(format!("{name}{part}"));
            }
        }
    }
    names
}

/// Words of `text` that are names of our metrics.
fn names_in(text: &str) -> BTreeSet<String> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_of_name(c))
        .filter(|word| {
            // Packages are called alike, with a version or its place behind.
            let rest = word.strip_prefix("varve_").or_else(|| word.strip_prefix("process_"));
            rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
        })
        .map(str::to_owned)
        .collect()
}

#[test]
fn appends_and_calls_are_counted() {
    let watched = Watched::new();
    let client = watched.world.client("root");
    for _ in 0..3 {
        client.produce_opt(&record("x"), in_time()).unwrap();
    }
    let mut producer = Producer::open(&client);
    for _ in 0..2 {
        producer.send(record("y")).unwrap();
        producer.offset();
    }
    let mut records = Records::open(&client, 0);
    for _ in 0..5 {
        records.next().unwrap();
    }
    let metrics = watched.metrics();
    let of = |series: &str| value(&metrics, series).unwrap_or_else(|| panic!("no {series}"));
    assert_eq!(of("varve_appended_records_total"), 5.0);
    assert_eq!(of("varve_batch_records_bucket{le=\"1\"}"), 5.0);
    assert!(of("varve_sync_seconds_count") >= 1.0 && of("varve_appended_bytes_total") > 400.0);
    assert_eq!(of("varve_log_high_watermark_offset{log=\"default\"}"), 5.0);
    let ended = "varve_grpc_calls_ended_total{method=\"log.v1.Log/Produce\",code=\"OK\"}";
    assert_eq!(of(ended), 3.0);
    let handled = |method| of(&format!("varve_grpc_handling_seconds_count{{method=\"{method}\"}}"));
    assert_eq!([handled("log.v1.Log/Produce"), handled("log.v1.Log/ProduceStream")], [3.0, 2.0]);
    assert!(handled("log.v1.Log/ConsumeStream") >= 1.0);
    assert!(of("varve_consumed_bytes_total") >= 15.0);
    assert_eq!(of("varve_open_streams"), 2.0);
    assert!(of("varve_connections_accepted_total") >= 1.0);
    assert!(of("varve_certificate_expiry_timestamp_seconds{certificate=\"server\"}") > 1.7e9);
    assert!(of("process_threads") > 5.0);
}

#[test]
fn failures_count_by_code_and_denials_by_action() {
    let watched = Watched::new();
    let refused = watched.world.client("nobody").produce_opt(&record("x"), in_time());
    assert_eq!(code(refused), RpcStatusCode::PERMISSION_DENIED);
    let code = "PERMISSION_DENIED";
    let ended =
        format!("varve_grpc_calls_ended_total{{method=\"log.v1.Log/Produce\",code=\"{code}\"}}");
    assert_eq!(watched.series(&ended), Some(1.0));
    assert_eq!(watched.series("varve_denials_total{action=\"produce\"}"), Some(1.0));
}

#[test]
fn a_client_that_leaves_its_stream_counts_as_cancelled() {
    let watched = Watched::new();
    let client = watched.world.client("root");
    client.produce_opt(&record("x"), in_time()).unwrap();
    let mut replies = client.consume_stream_opt(&crate::world::at(0), in_time()).unwrap();
    block_on(replies.next()).unwrap().unwrap();
    replies.cancel();
    let series =
        "varve_grpc_calls_ended_total{method=\"log.v1.Log/ConsumeStream\",code=\"CANCELLED\"}";
    crate::world::within_a_second(|| watched.series(series).filter(|count| *count == 1.0));
}

#[test]
fn logs_beyond_the_bound_are_counted_and_have_no_series() {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.logs.create(&LogName::parse(name).unwrap(), LogOverrides::default()).unwrap();
    }
    let watched = Watched::of(world, SeriesMax { logs_max: 2, readers_max: 0 });
    let metrics = watched.metrics();
    let segments = |log| value(&metrics, &format!("varve_log_segments{{log=\"{log}\"}}"));
    assert_eq!([segments("a"), segments("b")], [Some(0.0); 2]);
    assert_eq!([segments("c"), segments("default")], [None; 2]);
    assert_eq!(value(&metrics, "varve_metrics_logs_left_out"), Some(2.0));
    assert_eq!(value(&metrics, "varve_logs"), Some(4.0));
}

#[test]
fn reloads_are_counted_and_the_last_one_is_told() {
    let watched = Watched::new();
    watched.ops.reloads().done();
    watched.ops.reloads().refused();
    assert_eq!(watched.series("varve_reload_generation"), Some(2.0));
    assert_eq!(watched.series("varve_reloads_total{outcome=\"refused\"}"), Some(1.0));
    assert_eq!(watched.series("varve_reload_last_refused"), Some(1.0));
    watched.ops.reloads().done();
    assert_eq!(watched.series("varve_reload_last_refused"), Some(0.0));
}

#[test]
fn the_manual_the_alerts_and_the_dashboard_name_the_metrics_there_are() {
    let watched = Watched::new();
    let client = watched.world.client("root");
    client.produce_opt(&record("x"), in_time()).unwrap();
    let there = names(&watched.metrics());
    let read = |path: &str| names_in(&fs::read_to_string(path).unwrap());
    // They come with the first reader.
    let readers = ["varve_reader_lag_records", "varve_reader_lag_seconds"].map(str::to_owned);
    let known: BTreeSet<String> = there.iter().cloned().chain(readers).collect();
    for path in ["docs/alerts.yml", "docs/grafana.json"] {
        let named = read(path);
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty() && named.len() > 10, "{path} names {unknown:?}");
    }
    let manual = read("docs/OPERATIONS.md");
    let is_part = |name: &str| {
        ["_bucket", "_sum", "_count"]
            .iter()
            .any(|part| name.strip_suffix(part).is_some_and(|family| known.contains(family)))
    };
    let missing: Vec<_> =
        known.iter().filter(|name| !is_part(name) && !manual.contains(*name)).collect();
    assert!(missing.is_empty(), "the manual lacks {missing:?}");
    let unknown: Vec<_> = manual.difference(&known).collect();
    assert!(unknown.is_empty(), "the manual names {unknown:?}");
}

/// What `promtool` says to `input`; `None`, and a line that says so, if it is not on the path.
fn promtool(arguments: &[&str], input: &str) -> Option<(bool, String)> {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        println!("skipped: promtool is not on the path");
        return None;
    };
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    Some((output.status.success(), said))
}

#[test]
fn promtool_has_nothing_to_say_about_metrics_and_alerts() {
    let watched = Watched::new();
    watched.world.client("root").produce_opt(&record("x"), in_time()).unwrap();
    for (arguments, input) in [
        (&["check", "metrics"][..], watched.metrics()),
        (&["check", "rules", "docs/alerts.yml"], String::new()),
    ] {
        if let Some((is_well, said)) = promtool(arguments, &input) {
            assert!(is_well, "{said}");
        }
    }
}

#[test]
fn health_tells_its_reasons() {
    let disk = Arc::new(SimDisk::new());
    let storage = Options { min_free_bytes: 0, ..Options::default() };
    let world = World::of(Plan { disk: Some(Arc::clone(&disk)), storage, ..Plan::default() });
    let watched = Watched::of(world, SeriesMax::default());
    assert_eq!(watched.get("/healthz"), ("HTTP/1.1 200 OK".to_owned(), "ok\n".to_owned()));
    fail_syncs(&disk);
    assert!(watched.world.client("root").produce_opt(&record("x"), in_time()).is_err());
    let (status, body) = watched.get("/healthz");
    assert_eq!(status, "HTTP/1.1 503 Service Unavailable");
    assert!(body.starts_with("failing\na write or sync failed"), "{body}");
    assert_eq!(watched.series("varve_storage_failed"), Some(1.0));
}

#[test]
fn the_status_is_json_with_the_segments_of_a_chosen_log() {
    let watched = Watched::new();
    let client = watched.world.client("root");
    client.produce_opt(&record("x"), in_time()).unwrap();
    let _stream = Records::open(&client, 0).next().unwrap();
    let (_, body) = watched.get("/status.json?log=default");
    let status: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status["health"]["state"], "ok");
    assert_eq!(status["totals"]["appended_records"], 1);
    assert_eq!(status["logs"][0]["name"], "default");
    assert_eq!(status["segments"]["list"][0]["end"], 1);
    let (_, body) = watched.get("/status.json?log=..%2f..");
    let status: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert!(status["segments"].is_null());
}

#[test]
fn the_page_comes_with_a_policy_against_everything_from_outside() {
    let watched = Watched::new();
    let answer = watched.ask(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8401\r\n\r\n");
    for header in [
        "HTTP/1.1 200 OK\r\n",
        "Content-Type: text/html; charset=utf-8\r\n",
        "default-src 'none'; script-src 'sha256-",
        "frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff\r\n",
        "Referrer-Policy: no-referrer\r\n",
    ] {
        assert!(answer.contains(header), "{header}");
    }
}

#[test]
fn it_is_read_only_and_answers_to_its_own_names_alone() {
    let watched = Watched::new();
    for (request, status) in [
        ("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 405),
        ("DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        ("POST /metrics HTTP/1.1\r\nHost: evil.example:8401\r\n\r\n", 403),
        ("GET /metrics HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
        ("GET /../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("GET /metrics/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        ("\x16\x03\x01\x02\0\x01\0\x01", 400),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ] {
        let answer = watched.ask(request.as_bytes());
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
    }
    let head = watched.ask(b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(head.contains("Content-Length: 3\r\n") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn a_head_that_has_no_end_is_refused() {
    let watched = Watched::new();
    let long = "x".repeat(64 * 1024);
    for request in [
        format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\nA: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "A: b\r\n".repeat(1000)),
    ] {
        let answer = watched.ask(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[test]
fn slow_clients_delay_others_for_a_bounded_time() {
    let watched = Watched::new();
    let began = Instant::now();
    // More than there are threads, each with a request that does not end.
    let slow: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = watched.connect();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: local").unwrap();
            stream
        })
        .collect();
    assert_eq!(watched.get("/healthz").1, "ok\n");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    for mut stream in slow {
        let mut rest = Vec::new();
        // Closed without an answer, or reset.
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
}

#[test]
fn a_stop_does_not_wait_for_clients_that_do_nothing() {
    let mut watched = Watched::new();
    let mut idle: Vec<_> = (0..8).map(|_| watched.connect()).collect();
    idle[0].write_all(b"GET /metr").unwrap();
    let began = Instant::now();
    drop(watched.listener.take());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    for stream in &mut idle {
        // Closed or reset, and not left waiting.
        assert!(stream.read(&mut [0]).map_or(true, |bytes| bytes == 0));
    }
    assert!(TcpStream::connect(watched.address).is_err());
}

#[test]
fn a_scrape_while_the_server_stops_is_answered() {
    let mut watched = Watched::new();
    watched.world.shutdown();
    assert_eq!(watched.get("/healthz").0, "HTTP/1.1 503 Service Unavailable");
    watched.world.logs.close().unwrap();
    assert_eq!(watched.series("varve_logs"), Some(1.0));
}
