//! `varve bench disk`: how fast the disk takes what a server would write to it.
//!
//! One block after the other is written and synced, into a file whose space is only allocated, as
//! the server's stores are, and into one that was filled with zeros ahead. The files have no name
//! while they are written, so that nothing is left behind, however the command ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::fs::{FallocateFlags, fallocate};
use serde::Serialize;

use super::error::BenchError;
use super::flags::bounded;
use super::meter::{Latencies, latencies};
use super::report::{Percentiles, float, rounded};
use crate::cli::error::CliError;
use crate::cli::human::{self, set_bytes};
use crate::cli::interrupt::{Interrupt, Signal};
use crate::cli::output;
use crate::cli::progress::{Progress, Unit};
use crate::cli::table;
use crate::service::null::spool::nameless;

/// How much is written at once where it is not measured.
const ZEROS: usize = 1 << 20;

/// Write and sync blocks one after the other, as a server would; leaves nothing behind
#[derive(Debug, Args)]
pub(super) struct DiskBench {
    /// A folder on the disk
    folder: PathBuf,
    /// The size of each of the two files
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = human::size)]
    bytes: u64,
    /// What is written before each sync
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = human::size)]
    block_bytes: u64,
    /// How long to write to each file at most
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = human::duration)]
    duration: Duration,
}

/// How a file's space comes to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Space {
    Allocated,
    Zeroed,
}

/// What one file showed.
#[derive(Debug, Serialize)]
struct Pass {
    space: Space,
    seconds: f64,
    blocks: u64,
    bytes: u64,
    /// Of 1,000,000 bytes.
    mb_per_s: f64,
    syncs_per_s: f64,
    /// A block's write and sync.
    latency_us: Option<Percentiles>,
}

/// The figures for programs.
#[derive(Debug, Serialize)]
struct Report<'a> {
    folder: &'a Path,
    block_bytes: u64,
    interrupted: bool,
    passes: Vec<Pass>,
}

impl DiskBench {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        self.check()?;
        let mut interrupt = Interrupt::watch()?;
        let mut passes = Vec::new();
        let mut progress = Progress::new(None, Unit::Bytes, true);
        for space in [Space::Allocated, Space::Zeroed] {
            if interrupt.fired().is_none() {
                let pass = self.pass(space, &mut interrupt, &mut progress);
                let path = self.folder.clone();
                passes.push(pass.map_err(|source| BenchError::Disk { path, source })?);
            }
        }
        drop(progress);
        let signal = interrupt.fired();
        self.tell(passes, signal, is_json)?;
        signal.map_or(Ok(ExitCode::SUCCESS), |signal| Err(CliError::Stopped { signal }))
    }

    fn check(&self) -> Result<(), BenchError> {
        if !self.folder.is_dir() {
            return Err(BenchError::NoFolder { path: self.folder.clone() });
        }
        if self.duration.is_zero() {
            return Err(BenchError::NoTime);
        }
        let narrow = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        bounded("bytes", narrow(self.bytes), 1 << 40)?;
        bounded("block-bytes", narrow(self.block_bytes), narrow(self.bytes.min(1 << 30)))
    }

    fn pass(
        &self,
        space: Space,
        interrupt: &mut Interrupt,
        progress: &mut Progress,
    ) -> io::Result<Pass> {
        let file = nameless(&self.folder)?;
        fallocate(&file, FallocateFlags::empty(), 0, self.bytes)?;
        if space == Space::Zeroed {
            self.fill(&file, interrupt)?;
        }
        file.sync_all()?;
        let block = vec![b'v'; usize::try_from(self.block_bytes).unwrap_or(usize::MAX)];
        let (mut measured, mut written) = (latencies(), 0);
        let began = Instant::now();
        while written + self.block_bytes <= self.bytes
            && began.elapsed() < self.duration
            && interrupt.fired().is_none()
        {
            let took = synced_write(&file, &block, written)?;
            measured.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            written += self.block_bytes;
            progress.set(written, || format!("{space:?}"));
        }
        Ok(Pass::new(space, began.elapsed(), written, &measured))
    }

    fn fill(&self, file: &File, interrupt: &mut Interrupt) -> io::Result<()> {
        let zeros = vec![0; ZEROS];
        let mut position = 0;
        while position < self.bytes && interrupt.fired().is_none() {
            let left = usize::try_from(self.bytes - position).unwrap_or(usize::MAX);
            let part = zeros.get(..left.min(ZEROS)).unwrap_or_default();
            file.write_all_at(part, position)?;
            position += u64::try_from(part.len()).unwrap_or(u64::MAX);
        }
        Ok(())
    }

    fn tell(
        &self,
        passes: Vec<Pass>,
        signal: Option<Signal>,
        is_json: bool,
    ) -> Result<(), CliError> {
        if is_json {
            let (folder, block_bytes) = (self.folder.as_path(), self.block_bytes);
            let interrupted = signal.is_some();
            return output::json(&Report { folder, block_bytes, interrupted, passes });
        }
        let block = set_bytes(self.block_bytes);
        let mut rows = vec![("measured", format!("blocks of {block}, each written and synced"))];
        for pass in passes {
            let (name, latency) = match pass.space {
                Space::Allocated => ("allocated", "a block takes"),
                Space::Zeroed => ("filled ahead", "a block takes"),
            };
            let rate = format!("{:.1} MB/s, {:.0} syncs/s", pass.mb_per_s, pass.syncs_per_s);
            rows.push((name, rate));
            rows.push((latency, pass.latency_us.map_or("none".to_owned(), Percentiles::text)));
        }
        output::line(table::pairs(rows))
    }
}

/// Writes a block and syncs it, and tells how long that took.
pub(in crate::cli) fn synced_write(
    file: &File,
    block: &[u8],
    position: u64,
) -> io::Result<Duration> {
    let began = Instant::now();
    file.write_all_at(block, position)?;
    file.sync_data()?;
    Ok(began.elapsed())
}

impl Pass {
    fn new(space: Space, took: Duration, bytes: u64, measured: &Latencies) -> Self {
        let seconds = took.as_secs_f64().max(1e-9);
        Self {
            space,
            seconds: took.as_secs_f64(),
            blocks: measured.len(),
            bytes,
            mb_per_s: rounded(float(bytes) / seconds / 1e6, 1000.0),
            syncs_per_s: rounded(float(measured.len()) / seconds, 10.0),
            latency_us: Percentiles::of(measured),
        }
    }
}
