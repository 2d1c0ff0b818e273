//! What many logs cost a server: its start, its memory, its processors and its open files.
//!
//! `cargo bench --bench logs [-- LOGS [SEGMENTS [DIRECTORY]]]` makes LOGS logs (10,000 by default)
//! of SEGMENTS segments each (1 by default, 0 for logs without records) below DIRECTORY, and serves
//! them with `varve serve`, its defaults, and at most 4,096 open files: after a clean stop, and
//! after a kill that came when each log had just got a record. The logs have the smallest segments
//! there are, so that many take little space. They are appended to and read over mutual TLS.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::as_conversions, missing_docs)]
#![allow(clippy::indexing_slicing, unreachable_pub)]

#[path = "rig.rs"]
mod rig;

use std::future::Future;
use std::io::{BufRead as _, BufReader};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use varve::log::{
    DEFAULT_LOG, Durability, LogName, LogOverrides, Logs, Options, OsDisk, SEGMENT_BYTES_MIN,
};
use varve::proto::log_service::consume_request::Start;
use varve::proto::log_service::{ConsumeRequest, ProduceRequest};
use varve::proto::log_service_grpc::LogClient;
use varve::proto::record::Record;

use rig::Certificates;

/// Says to the child process how many logs of how many segments to make, and where.
const MAKE: &str = "VARVE_BENCH_MAKE";
/// More than half of the smallest segment, so that each batch takes one.
const BATCH_RECORDS: u64 = 10;
const RECORD_BYTES: usize = 300;
const OPEN_FILES_MAX: usize = 4096;
const SAMPLE: usize = 500;
const MAKERS: usize = 16;
const CALLERS: usize = 16;
const IDLE: Duration = Duration::from_secs(5);

fn main() {
    if let Ok(order) = std::env::var(MAKE) {
        let fields: Vec<&str> = order.splitn(3, ':').collect();
        let [logs, segments] = [0, 1].map(|n| fields[n].parse().unwrap());
        return make(Path::new(fields[2]), logs, segments);
    }
    let mut arguments = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let mut number = |default| arguments.next().map_or(default, |n| n.parse().unwrap());
    let (logs, segments) = (number(10_000), number(1));
    let root = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let (scratch, certificates) = rig::scratch_in(&root);
    let data = scratch.path().join("data");
    let began = Instant::now();
    run_maker(&data, logs, segments);
    println!("{logs} logs of {segments} segments, made in {:?}", began.elapsed());

    let server = Served::start(&certificates, &data, "a clean stop");
    server.idle();
    server.sample(&certificates, logs, segments);
    server.append_to_all(&certificates, logs);
    server.stop(true);
    let server = Served::start(&certificates, &data, "a kill");
    server.idle();
    server.sample(&certificates, logs, segments);
    server.append_to_all(&certificates, logs);
    server.stop(false);
}

/// `n`-th of the names; the first is the log that always exists.
fn name(n: usize) -> String {
    if n == 0 { DEFAULT_LOG.to_owned() } else { format!("log-{n:05}") }
}

/// In a process of its own, so that what it did to the memory does not matter.
fn run_maker(data: &Path, logs: usize, segments: usize) {
    let made = Command::new(std::env::current_exe().unwrap())
        .env(MAKE, format!("{logs}:{segments}:{}", data.display()))
        .status()
        .unwrap();
    assert!(made.success());
}

fn make(data: &Path, logs: usize, segments: usize) {
    let options = Options { flushers: MAKERS, ..Options::default() };
    let set = Logs::open(data, Arc::new(OsDisk::new()), options).unwrap();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..MAKERS {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= logs {
                        return;
                    }
                    make_log(&set, &name(n), segments);
                }
            });
        }
    });
    set.close().unwrap();
}

fn make_log(set: &Logs, name: &str, segments: usize) {
    let overrides =
        LogOverrides { segment_bytes_max: Some(SEGMENT_BYTES_MIN), ..LogOverrides::default() };
    let log = match set.get(name) {
        Some(log) => log,
        None => set.create(&LogName::parse(name).unwrap(), overrides).unwrap(),
    };
    let payload = payload();
    let records = NonZeroU32::new(u32::try_from(BATCH_RECORDS).unwrap()).unwrap();
    let mut newest = None;
    for _ in 0..segments {
        newest = Some(log.append(&payload, records, Durability::Buffered).unwrap());
    }
    if let Some(pending) = newest {
        block_on(log.past(pending.base_offset())).unwrap();
    }
}

/// A batch as it is stored: the field `records` of `varve.v1.Batch`, repeated.
fn payload() -> Vec<u8> {
    use protobuf::Message as _;
    let batch = varve::proto::record::Batch {
        records: vec![record(); usize::try_from(BATCH_RECORDS).unwrap()],
        ..Default::default()
    };
    batch.write_to_bytes().unwrap()
}

fn record() -> Record {
    Record { value: vec![7; RECORD_BYTES].into(), ..Record::default() }
}

/// A `varve serve` that takes calls.
struct Served {
    child: Child,
    port: u16,
    /// Open as long as the server may write to it.
    _output: BufReader<ChildStdout>,
}

impl Served {
    fn start(certificates: &Certificates, data: &Path, after: &str) -> Self {
        let acl = certificates.file("acl.csv");
        std::fs::write(&acl, "p, root, *, *\n").unwrap();
        let began = Instant::now();
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -n {OPEN_FILES_MAX} && exec \"$0\" \"$@\""))
            .arg(env!("CARGO_BIN_EXE_varve"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .args([Path::new("--cert"), &certificates.file("server.pem")])
            .args([Path::new("--key"), &certificates.file("server-key.pem")])
            .args([Path::new("--client-ca"), &certificates.file("ca.pem")])
            .args([Path::new("--acl"), &acl])
            .env("VARVE_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        println!("start after {after}: ready in {:?}", began.elapsed());
        let port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
        Self { child, port, _output: output }
    }

    fn idle(&self) {
        let cpu = rig::cpu_time_of(self.child.id());
        thread::sleep(IDLE);
        let cpu = rig::cpu_time_of(self.child.id()) - cpu;
        println!("  idle: CPU {cpu:?} in {IDLE:?}, {}", self.holds());
    }

    /// Appends to and reads from some of the logs, one after the other.
    fn sample(&self, certificates: &Certificates, logs: usize, segments: usize) {
        let client = LogClient::new(certificates.channel(self.port));
        let (mut appends, mut reads, mut files) = (Vec::new(), Vec::new(), 0);
        for n in 0..SAMPLE {
            // Far apart, in an order of their own; what is read is anywhere in the log.
            let name = name((n * 7919 + 13) % logs);
            let began = Instant::now();
            let appended = client.produce(&one_record(&name)).unwrap();
            appends.push(began.elapsed());
            let held = segments as u64 * BATCH_RECORDS;
            assert!(appended.base_offset >= held, "{name} ends at {}", appended.base_offset);
            let offset = (n as u64 * 7) % (appended.base_offset + 1);
            let began = Instant::now();
            let start = Some(Start::Offset(offset));
            let request = ConsumeRequest { log: name, start, ..ConsumeRequest::default() };
            let read = client.consume(&request).unwrap();
            reads.push(began.elapsed());
            assert_eq!(read.batches[0].base_offset, offset);
            assert_eq!(read.batches[0].records[0], record());
            files = files.max(self.open_files());
        }
        let [appends, reads] = [appends, reads].map(|mut took| {
            took.sort_unstable();
            format!("median {:?}, worst {:?}", took[SAMPLE / 2], took[SAMPLE - 1])
        });
        println!("  {SAMPLE} logs: append {appends}; read {reads}; at most {files} open files");
    }

    /// Appends a record to each log, some at once.
    fn append_to_all(&self, certificates: &Certificates, logs: usize) {
        let client = LogClient::new(certificates.channel(self.port));
        let (next, files) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let began = Instant::now();
        thread::scope(|scope| {
            for _ in 0..CALLERS {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::Relaxed);
                        if n >= logs {
                            return;
                        }
                        client.produce(&one_record(&name(n))).unwrap();
                        if n.is_multiple_of(50) {
                            files.fetch_max(self.open_files(), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let (took, files) = (began.elapsed(), files.load(Ordering::Relaxed));
        println!("  a record to each log: {took:?}, at most {files} open files, {}", self.holds());
    }

    fn stop(mut self, kill: bool) {
        if kill {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
            return;
        }
        let began = Instant::now();
        let terminate = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(terminate.success());
        let ended = self.child.wait().unwrap();
        println!("  clean stop right afterwards: {:?}, {ended}", began.elapsed());
    }

    fn holds(&self) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
        let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        format!("{} MiB anonymous, {} open files", kib >> 10, self.open_files())
    }

    fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }
}

fn one_record(name: &str) -> ProduceRequest {
    let (log, records) = (name.to_owned(), vec![record()]);
    ProduceRequest { log, records, ..ProduceRequest::default() }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
        thread::sleep(Duration::from_millis(1));
    }
}
