//! Looks for rot in sealed segments before a reader finds it, a little at a time (R10).
//!
//! A thread of its own reads one segment after the other at a set rate, checks every checksum, and
//! marks damage as a read does. It opens stores apart from the cache of open files, so that nothing
//! that is in use is pushed out, and holds no lock that an append or a read takes while it reads.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::commit_log::Log;
use super::engine::Engine;
use super::error::IoError;
use super::offset::Offset;
use super::reached::Reached;
use super::scan::{Found, Scan};
use super::segment::Segment;
use super::store::StoreFault;
use super::store_header::STORE_HEADER_BYTES;
use super::width::wide;
use crate::sync::Instant;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::channel::{Receiver, RecvTimeoutError};
use crate::sync::thread::{self, JoinHandle};

/// Bytes after which the disk is left alone for a while.
const PIECE_BYTES: u64 = 1 << 20;
/// The least time from the end of a pass to the next: little data need not be read all the time.
const REST: Duration = Duration::from_secs(3600);

/// What the scrubber has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Bytes of stores that were read.
    pub bytes: u64,
    /// Segments that were read to their end.
    pub segments: u64,
    /// Ranges of offsets that were found damaged and not known to be.
    pub damaged_ranges: u64,
    /// Segments that could not be read; they are tried again in the next pass.
    pub unreadable: u64,
    /// Passes through all sealed segments.
    pub passes: u64,
    /// When the last pass ended, in microseconds since the Unix epoch; `None` before the first.
    pub last_pass_us: Option<u64>,
}

/// Counts what is done. All calls may run concurrently.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    bytes: AtomicU64,
    segments: AtomicU64,
    damaged_ranges: AtomicU64,
    unreadable: AtomicU64,
    passes: AtomicU64,
    last_pass_us: AtomicU64,
}

impl Counters {
    pub(crate) fn snapshot(&self) -> Scrubbed {
        let passes = self.passes.load(Ordering::Acquire);
        Scrubbed {
            bytes: self.bytes.load(Ordering::Relaxed),
            segments: self.segments.load(Ordering::Relaxed),
            damaged_ranges: self.damaged_ranges.load(Ordering::Relaxed),
            unreadable: self.unreadable.load(Ordering::Relaxed),
            passes,
            last_pass_us: (passes > 0).then(|| self.last_pass_us.load(Ordering::Relaxed)),
        }
    }

    fn end_pass(&self, now_us: u64) {
        self.last_pass_us.store(now_us, Ordering::Relaxed);
        self.passes.fetch_add(1, Ordering::Release);
    }
}

/// Starts the thread; it ends when `stop` is disconnected. `logs` lists the logs of the moment.
pub(crate) fn start(
    engine: Arc<Engine>,
    bytes_per_s: u64,
    logs: impl Fn() -> Vec<Arc<Log>> + Send + 'static,
    stop: Receiver<()>,
) -> io::Result<JoinHandle<()>> {
    thread::Builder::new().name("scrub".to_owned()).spawn(move || {
        let wait =
            |time| stop.recv_deadline(Instant::now() + time) == Err(RecvTimeoutError::Timeout);
        let pause = |bytes: u64| {
            let time_us = u128::from(bytes) * 1_000_000 / u128::from(bytes_per_s.max(1));
            wait(Duration::from_micros(u64::try_from(time_us).unwrap_or(u64::MAX)))
        };
        while pass(&engine, &logs(), &pause) && wait(REST) {}
    })
}

/// Reads all sealed segments once; `false` if `pause`, which is told how much was read, ended it.
pub(crate) fn pass(engine: &Engine, logs: &[Arc<Log>], pause: &dyn Fn(u64) -> bool) -> bool {
    for log in logs {
        for segment in log.sealed_segments() {
            match scrub(engine, log, &segment, pause) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) if segment.is_gone() || log.is_gone() => {}
                Err(error) => {
                    engine.scrubbed.unreadable.fetch_add(1, Ordering::Relaxed);
                    log::warn!(log:% = log.name(), error:err; "scrub_failed");
                }
            }
        }
    }
    engine.scrubbed.end_pass(engine.clock.now_us());
    true
}

/// Reads one segment; `false` if `pause` ended it.
fn scrub(
    engine: &Engine,
    log: &Log,
    segment: &Segment,
    pause: &dyn Fn(u64) -> bool,
) -> Result<bool, IoError> {
    let store = match segment.open_apart() {
        Ok(store) => store,
        Err(StoreFault::Io(error)) => return Err(error),
        Err(StoreFault::Header | StoreFault::Newer(_)) => {
            tell(engine, log, segment, (segment.base(), segment.end()));
            return Ok(true);
        }
    };
    let mut reached = Reached::nothing(segment.base()).within(segment.end());
    let (mut told, mut is_over) = (0, false);
    let mut scan = Scan::verified(&store, wide(STORE_HEADER_BYTES))?;
    while !is_over {
        let at = match scan.next()? {
            Found::Frame { position, header, intact } => {
                let end = reached.end;
                if intact && reached.take(&header) && header.base > end {
                    tell(engine, log, segment, (end, header.base));
                }
                position + wide(header.frame_bytes())
            }
            Found::Footer { position, .. } => {
                is_over = true;
                position
            }
            Found::Nothing { position } => {
                is_over = !scan.resync()?;
                position
            }
        };
        if at >= told + PIECE_BYTES || is_over {
            let read = at.saturating_sub(told);
            engine.scrubbed.bytes.fetch_add(read, Ordering::Relaxed);
            told = at;
            if !pause(read) {
                return Ok(false);
            }
        }
    }
    if reached.end < segment.end() {
        tell(engine, log, segment, (reached.end, segment.end()));
    }
    engine.scrubbed.segments.fetch_add(1, Ordering::Relaxed);
    Ok(true)
}

/// Remembers damage for reads, and says so once.
fn tell(engine: &Engine, log: &Log, segment: &Segment, (from, resume): (Offset, Offset)) {
    // What has the segment's name by now may be another's.
    if segment.is_gone() || log.is_gone() || !segment.mark_damaged(from, Some(resume)) {
        return;
    }
    engine.scrubbed.damaged_ranges.fetch_add(1, Ordering::Relaxed);
    log::error!(
        log:% = log.name(), from = from.get(), resume = resume.get(),
        path:% = segment.store_path().display(), found_by = "scrub";
        "log_damaged"
    );
}
