//! How fast the service takes records over mutual TLS, with client and server in one process.
//!
//! `cargo bench --bench wire [-- DIRECTORY]` makes certificates, starts a server on a free loopback
//! port with its data below DIRECTORY, and measures one produce stream, 64 unary callers and one
//! unary caller. Every reply is sent after its record's sync.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::as_conversions, missing_docs)]
#![allow(clippy::indexing_slicing, unreachable_pub)]

#[path = "rig.rs"]
mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::WriteFlags;
use varve::log::{DEFAULT_LOG, Log, Logs, Options, OsDisk};
use varve::proto::health::HealthCheckRequest;
use varve::proto::health_grpc::HealthClient;
use varve::proto::log::{ProduceRequest, Record};
use varve::proto::log_grpc::LogClient;

use rig::{Certificates, median};

const RECORD_BYTES: usize = 100;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);
const CALLERS: usize = 64;

fn main() {
    let (scratch, certificates) = rig::scratch();
    let data = scratch.path().join("data");
    let logs = Logs::open(&data, Arc::new(OsDisk::new()), Options::default()).unwrap();
    let server = certificates.serve(&logs);
    let log = logs.get(DEFAULT_LOG).unwrap();
    println!("medians of {ROUNDS} rounds of {ROUND:?}, records of {RECORD_BYTES} B, mutual TLS");
    for _ in 0..2 {
        produce_stream(&client(&certificates, server.port()));
    }
    unary(&certificates, server.port(), &log);
    lone_caller(&certificates, server.port());
    let _stopped = server.shutdown();
    logs.close().unwrap();
}

fn client(certificates: &Certificates, port: u16) -> LogClient {
    LogClient::new(certificates.channel(port))
}

fn request() -> ProduceRequest {
    let record = Record { value: vec![7; RECORD_BYTES].into(), ..Record::default() };
    ProduceRequest { record: Some(record).into(), ..ProduceRequest::default() }
}

/// One stream, one record per request, as many in flight as the server lets be. The client's loops
/// run on its completion queue, where they cost the least.
fn produce_stream(client: &LogClient) {
    let rates = (0..ROUNDS).map(|_| {
        let (mut sink, mut replies) = client.produce_stream().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        client.spawn(async move {
            sink.enhance_batch(true);
            while !stopped.load(Ordering::Relaxed) {
                for _ in 0..64 {
                    sink.feed((request(), WriteFlags::default())).await.unwrap();
                }
                sink.flush().await.unwrap();
            }
            sink.close().await.unwrap();
        });
        let (tell, told) = std::sync::mpsc::channel();
        client.spawn(async move {
            let began = Instant::now();
            let mut acknowledged = 0_u64;
            while let Some(reply) = replies.next().await {
                reply.unwrap();
                acknowledged += 1;
                if began.elapsed() > ROUND {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            tell.send(acknowledged as f64 / began.elapsed().as_secs_f64()).unwrap();
        });
        told.recv().unwrap()
    });
    println!("one produce stream: {:.0} records/s", median(rates.collect()));
}

/// Callers that each wait for their reply before they call again.
fn unary(certificates: &Certificates, port: u16, log: &Log) {
    let clients: Vec<LogClient> = (0..4).map(|_| client(certificates, port)).collect();
    let syncs = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let (calls, elapsed) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut end = log.bounds().end;
            while !done.load(Ordering::Relaxed) {
                // One more call after the last wakes this for the last time.
                let Ok(next) = block_on(log.past(end)) else { break };
                syncs.fetch_add(1, Ordering::Relaxed);
                end = next;
            }
        });
        let began = Instant::now();
        let (tell, told) = std::sync::mpsc::channel();
        for caller in 0..CALLERS {
            let client = &clients[caller % clients.len()];
            let (calling, tell) = (client.clone(), tell.clone());
            client.spawn(async move {
                let mut calls = 0_u64;
                while began.elapsed() < ROUND * 2 {
                    calling.produce_async(&request()).unwrap().await.unwrap();
                    calls += 1;
                }
                tell.send(calls).unwrap();
            });
        }
        drop(tell);
        let calls: u64 = told.iter().sum();
        let elapsed = began.elapsed();
        done.store(true, Ordering::Relaxed);
        clients[0].produce(&request()).unwrap();
        (calls, elapsed)
    });
    let per_sync = calls as f64 / syncs.load(Ordering::Relaxed) as f64;
    let rate = calls as f64 / elapsed.as_secs_f64();
    println!("{CALLERS} unary callers: {rate:.0} records/s, {per_sync:.1} records per sync");
}

/// One caller, beside the same caller's calls that touch no log: what the wire alone takes.
fn lone_caller(certificates: &Certificates, port: u16) {
    let (client, channel) = (client(certificates, port), certificates.channel(port));
    let health = HealthClient::new(channel);
    let latencies = |name: &str, call: &dyn Fn()| {
        let mut latencies: Vec<Duration> = (0..5000)
            .map(|_| {
                let began = Instant::now();
                call();
                began.elapsed()
            })
            .collect();
        latencies.sort_unstable();
        let at = |part: usize| latencies[latencies.len() * part / 1000];
        println!("{name}: p50 {:?}, p99 {:?}, p99.9 {:?}", at(500), at(990), at(999));
    };
    for _ in 0..2 {
        latencies("one unary caller", &|| drop(client.produce(&request()).unwrap()));
        latencies("one health check", &|| {
            drop(health.check(&HealthCheckRequest::default()).unwrap());
        });
    }
}
