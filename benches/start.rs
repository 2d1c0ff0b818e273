//! How long a start takes with much stored, after a clean stop and after a kill.
//!
//! `cargo bench --no-default-features --bench start [-- GIB [DIRECTORY]]` stores GIB gibibytes (1 by
//! default) below DIRECTORY in a process of its own, ends it, and opens what it left.

#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]

use std::future::Future;
use std::io::{BufRead as _, BufReader, Write as _};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use varve::log::{AppendError, DEFAULT_LOG, Durability, Logs, Options, OsDisk};

/// Says to the child process where to write, and how many bytes.
const FILL: &str = "VARVE_BENCH_FILL";
/// A thousand records of 100 bytes in their encoding.
const BATCH_BYTES: usize = 104_000;

fn main() {
    if let Ok(order) = std::env::var(FILL) {
        let (bytes, path) = order.split_once(':').unwrap();
        return fill(Path::new(path), bytes.parse().unwrap());
    }
    let mut arguments = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let gib: u64 = arguments.next().map_or(1, |n| n.parse().unwrap());
    let root = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let scratch = tempfile::tempdir_in(root).unwrap();
    let data = scratch.path().join("data");
    for (how, kill) in [("a kill", true), ("a clean stop", false)] {
        let stored = run_child(&data, if kill { gib << 30 } else { 1 << 20 }, kill);
        let began = Instant::now();
        let logs = open(&data);
        let took = began.elapsed();
        let end = logs.get(DEFAULT_LOG).unwrap().bounds().end;
        assert!(end.get() >= stored, "{end} of {stored} records");
        println!("start after {how}, {gib} GiB stored: {took:?} ({end} records)");
        logs.close().unwrap();
    }
}

/// Has a process store `bytes` more and ends it; returns how many records it saw acknowledged.
fn run_child(data: &Path, bytes: u64, kill: bool) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env(FILL, format!("{bytes}:{}", data.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if kill {
        child.kill().unwrap();
    }
    // Closing its input tells the child to stop in order.
    drop(child.stdin.take());
    child.wait().unwrap();
    line.trim().parse().unwrap()
}

fn fill(data: &Path, bytes: u64) {
    let logs = open(data);
    let log = logs.get(DEFAULT_LOG).unwrap();
    let payload = vec![7; BATCH_BYTES];
    let mut left = bytes;
    let mut newest = None;
    while left > 0 {
        match log.append(&payload, NonZeroU32::new(1000).unwrap(), Durability::Synced) {
            Ok(pending) => {
                newest = Some(pending);
                left = left.saturating_sub(u64::try_from(BATCH_BYTES).unwrap());
            }
            Err(AppendError::Busy { .. }) => {
                newest.take().map(|pending| block_on(pending).unwrap());
            }
            Err(error) => panic!("{error}"),
        }
    }
    newest.map(|pending| block_on(pending).unwrap());
    println!("{}", log.bounds().end);
    std::io::stdout().flush().unwrap();
    std::io::stdin().lines().for_each(drop);
    logs.close().unwrap();
}

fn open(data: &Path) -> Arc<Logs> {
    Logs::open(data, Arc::new(OsDisk::new()), Options::default()).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return value;
        }
        std::thread::yield_now();
    }
}
