//! How fast the service takes records over mutual TLS, with client and server in one process.
//!
//! `cargo bench --bench wire [-- DIRECTORY]` makes certificates, starts a server on a free loopback
//! port with its data below DIRECTORY, and measures one produce stream, 64 unary callers and one
//! unary caller. Every reply is sent after its record's sync.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::as_conversions, missing_docs)]
#![allow(clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{
    Channel, ChannelBuilder, ChannelCredentialsBuilder, EnvBuilder, Environment, WriteFlags,
};
use varve::acl::Policy;
use varve::certs::{self, CaOrder, LeafOrder};
use varve::log::{DEFAULT_LOG, Log, Logs, Options, OsDisk};
use varve::proto::health::HealthCheckRequest;
use varve::proto::health_grpc::HealthClient;
use varve::proto::log::{ProduceRequest, Record};
use varve::proto::log_grpc::LogClient;
use varve::server::{Server, ServerOptions, Transport};
use varve::tls::Credentials;

const RECORD_BYTES: usize = 100;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);
const CALLERS: usize = 64;

fn main() {
    let directory = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let root = directory.map_or_else(std::env::temp_dir, PathBuf::from);
    let scratch = tempfile::tempdir_in(root).unwrap();
    let certificates = Certificates::make(scratch.path());
    let data = scratch.path().join("data");
    let logs = Logs::open(&data, Arc::new(OsDisk::new()), Options::default()).unwrap();
    let server = certificates.serve(&logs);
    let log = logs.get(DEFAULT_LOG).unwrap();
    println!("medians of {ROUNDS} rounds of {ROUND:?}, records of {RECORD_BYTES} B, mutual TLS");
    for _ in 0..2 {
        produce_stream(&certificates.client(server.port()));
    }
    unary(&certificates, server.port(), &log);
    lone_caller(&certificates, server.port());
    let _stopped = server.shutdown();
    logs.close().unwrap();
}

struct Certificates {
    directory: PathBuf,
    environment: Arc<Environment>,
}

impl Certificates {
    fn make(directory: &Path) -> Self {
        let requests = Path::new(env!("CARGO_MANIFEST_DIR")).join("certs");
        let file = |name: &str| requests.join(name);
        let (request, config) = (file("ca-csr.json"), file("ca-config.json"));
        let ca = CaOrder { request: &request, out_dir: directory, name: "ca", force: false };
        let ca = certs::make_ca(&ca).unwrap();
        for (name, profile) in [("server", "server"), ("root-client", "client")] {
            certs::issue(&LeafOrder {
                ca_cert: &ca.certificate,
                ca_key: &ca.key,
                config: &config,
                profile,
                request: &file(&format!("{name}-csr.json")),
                out_dir: directory,
                name,
                force: false,
            })
            .unwrap();
        }
        let environment = Arc::new(EnvBuilder::new().cq_count(1).name_prefix("client").build());
        Self { directory: directory.to_owned(), environment }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn serve(&self, logs: &Arc<Logs>) -> Server {
        let credentials = Credentials::load(
            &self.file("server.pem"),
            &self.file("server-key.pem"),
            &self.file("ca.pem"),
        );
        let transport = Transport::MutualTls(Arc::new(credentials.unwrap()));
        let policy = Policy::parse("p, root, *, *", Path::new("acl.csv")).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let options = ServerOptions::new(listen, transport, Arc::new(policy));
        Server::start(options, Arc::clone(logs)).unwrap()
    }

    fn client(&self, port: u16) -> LogClient {
        LogClient::new(self.channel(port))
    }

    fn channel(&self, port: u16) -> Channel {
        let read = |name: &str| std::fs::read(self.file(name)).unwrap();
        let credentials = ChannelCredentialsBuilder::new()
            .root_cert(read("ca.pem"))
            .cert(read("root-client.pem"), read("root-client-key.pem"))
            .build();
        ChannelBuilder::new(Arc::clone(&self.environment))
            .use_local_subchannel_pool(true)
            .set_credentials(credentials)
            .connect(&format!("127.0.0.1:{port}"))
    }
}

fn request() -> ProduceRequest {
    let record = Record { value: vec![7; RECORD_BYTES].into(), ..Record::default() };
    ProduceRequest { record: Some(record).into(), ..ProduceRequest::default() }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
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
    let clients: Vec<LogClient> = (0..4).map(|_| certificates.client(port)).collect();
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
    let (client, channel) = (certificates.client(port), certificates.channel(port));
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
