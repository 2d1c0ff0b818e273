//! How soon one record reaches many tailing consumers, and what these cost while they wait.
//!
//! `cargo bench --bench fanout [-- DIRECTORY]` makes certificates, starts a server on a free
//! loopback port with its data below DIRECTORY, opens 2,000 consume streams of one log on 20
//! connections, and appends a record now and then. Client and server are one process, so what is
//! said of memory and CPU is that of both.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::as_conversions, missing_docs)]
#![allow(clippy::indexing_slicing, unreachable_pub)]

#[path = "rig.rs"]
mod rig;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use varve::log::{DEFAULT_LOG, Logs, Options, OsDisk};
use varve::proto::log_service::consume_request::Start;
use varve::proto::log_service::{ConsumeRequest, ProduceRequest};
use varve::proto::log_service_grpc::LogClient;
use varve::proto::record::Record;

const CONNECTIONS: usize = 20;
const STREAMS: usize = 100;
const RECORDS: usize = 50;

fn main() {
    let (scratch, certificates) = rig::scratch();
    let data = scratch.path().join("data");
    let logs = Logs::open(&data, Arc::new(OsDisk::new()), Options::default()).unwrap();
    let server = certificates.serve_with(&logs, |options| {
        options.limits.streams_per_subject_max = CONNECTIONS * STREAMS;
    });
    let before = anonymous_kib();
    let (tell, told) = channel();
    let clients: Vec<LogClient> =
        (0..CONNECTIONS).map(|_| LogClient::new(certificates.channel(server.port()))).collect();
    for client in &clients {
        for _ in 0..STREAMS {
            tail(client, tell.clone());
        }
    }
    // Each says at once where it stands.
    receive(&told);
    let consumers = CONNECTIONS * STREAMS;
    println!("{consumers} tailing consumers of one log on {CONNECTIONS} connections, mutual TLS");
    println!("anonymous memory: {} KiB before, {} KiB with them", before, anonymous_kib());
    let cpu = rig::cpu_time();
    thread::sleep(Duration::from_secs(5));
    println!("CPU in 5 s of waiting: {:?}", rig::cpu_time() - cpu);
    let producer = LogClient::new(certificates.channel(server.port()));
    let mut latencies: Vec<Duration> = (0..RECORDS)
        .map(|_| {
            let record = Record { value: vec![7; 100].into(), ..Record::default() };
            let (log, records) = (DEFAULT_LOG.to_owned(), vec![record]);
            let request = ProduceRequest { log, records, ..ProduceRequest::default() };
            let began = Instant::now();
            producer.produce(&request).unwrap();
            receive(&told);
            began.elapsed()
        })
        .collect();
    latencies.sort_unstable();
    let (median, worst) = (latencies[RECORDS / 2], latencies[RECORDS - 1]);
    println!("from the append to the last of them: median {median:?}, worst {worst:?}");
    println!("anonymous memory afterwards: {} KiB", anonymous_kib());
    drop(clients);
    let _stopped = server.shutdown();
    logs.close().unwrap();
}

/// Opens a stream at the end of the log that tells of each reply.
fn tail(client: &LogClient, tell: Sender<()>) {
    let request = ConsumeRequest {
        log: DEFAULT_LOG.to_owned(),
        start: Some(Start::Offset(0)),
        heartbeat_ms: 600_000,
        ..ConsumeRequest::default()
    };
    let mut replies = client.consume_stream(&request).unwrap();
    client.spawn(async move {
        while let Some(Ok(_)) = replies.next().await {
            if tell.send(()).is_err() {
                return;
            }
        }
    });
}

/// Waits until each consumer has told.
fn receive(told: &Receiver<()>) {
    for _ in 0..CONNECTIONS * STREAMS {
        told.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}

fn anonymous_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
