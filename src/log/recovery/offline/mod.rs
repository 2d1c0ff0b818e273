//! Puts a data directory in order by hand, where a start must not: an operator's decision.
//!
//! What a start does by itself it does too: rebuilds indexes, cuts torn tails. Beyond that it makes
//! a log writable again whose unsealed tail is damaged: the segment is sealed with what can be read
//! of it, so that the lost range is a gap in a sealed segment, and appends go on behind it.
//!
//! Nothing is deleted. Every file that is replaced or taken away is kept whole in
//! `DATA/quarantine/<log>-<time>/` first, durably. A crash at any point leaves either the old file
//! or the new one under a name, and the same command goes on from there.
//!
//! Files: `plan` (what is to be done), `act` (does it), `claims` (how far a segment reached whose
//! header is gone).

mod act;
mod claims;
mod plan;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::log::disk::Disk;
use crate::log::engine::Engine;
use crate::log::error::OpenError;
use crate::log::names::{self, LogName};
use crate::log::offset::Offset;
use crate::log::settings::Options;
use crate::log::{lock, verify};

/// How a repair is made.
#[derive(Clone, Copy, Debug)]
pub struct RepairOptions {
    /// Says what would be done, and does nothing.
    pub dry_run: bool,
    /// Threads that look for what is wrong.
    pub threads: usize,
    /// Now, in microseconds since the Unix epoch, by which the quarantine is named.
    pub now_us: u64,
}

/// What was done, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepairKind {
    /// A file was kept whole in the quarantine.
    Kept {
        /// Where it is now, too.
        quarantine: PathBuf,
    },
    /// An index was made anew from its store.
    IndexRebuilt {
        /// How many entries it has.
        entries: u32,
    },
    /// A torn tail was cut off from this position.
    TailCut {
        /// Where the last whole batch ends.
        position: u64,
    },
    /// A damaged segment was sealed with the batches that can be read; it ends at the offset.
    Sealed {
        /// The offset at which appends go on.
        end: Offset,
    },
    /// An empty sealed segment stands for records that are gone.
    Filled {
        /// The first that is gone.
        from: Offset,
        /// The offset at which appends go on.
        end: Offset,
    },
    /// A file of which nothing can be read as the log's is only in the quarantine now.
    TakenAway,
}

/// A step of a repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairStep {
    /// The log.
    pub log: LogName,
    /// The file.
    pub path: PathBuf,
    /// What became of it.
    pub kind: RepairKind,
}

/// What a repair amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was done, in this order.
    pub steps: Vec<RepairStep>,
    /// Logs that cannot be made writable again, and why.
    pub left: Vec<(LogName, String)>,
}

impl fmt::Display for RepairStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(f, "log {}: {path}: ", self.log)?;
        match &self.kind {
            RepairKind::Kept { quarantine } => write!(f, "keep it as {}", quarantine.display()),
            RepairKind::IndexRebuilt { entries } => {
                write!(f, "make the index anew, with {entries} entries")
            }
            RepairKind::TailCut { position } => {
                write!(f, "cut off the torn tail from position {position} on")
            }
            RepairKind::Sealed { end } => {
                write!(f, "seal it with what can be read; appends go on at offset {end}")
            }
            RepairKind::Filled { from, end } => write!(
                f,
                "let an empty segment stand for the lost offsets {from} up to but not including \
                 {end}; appends go on there"
            ),
            RepairKind::TakenAway => {
                f.write_str("take it away: nothing in it can be read as this log's")
            }
        }
    }
}

/// Repairs the logs in the data directory `data` that are named, or all if none is.
///
/// # Errors
///
/// `Owned` if a server runs on it, `Invalid` if it is no data directory, `Absent` if it has no log
/// of a name, and `NewerFormat`, change nothing. After `Io` some steps may have been done; nothing
/// is lost, and another call goes on.
pub fn repair(
    disk: &Arc<dyn Disk>,
    data: &Path,
    logs: &[LogName],
    options: RepairOptions,
) -> Result<Repaired, OpenError> {
    let progress = verify::VerifyProgress::default();
    // First: a folder that is no data directory gets no lock file.
    verify::list(&**disk, data)?;
    let above = names::logs(data);
    let _lock = lock::take(&**disk, data)?;
    let found = verify::verify_owned(&**disk, data, logs, options.threads, &progress)?;
    let quiet = Options { logs_max: 0, leaving_logs_max: 0, ..Options::default() };
    let engine = Arc::new(Engine::new(Arc::clone(disk), data, quiet, found.logs.len()));
    let mut repaired = Repaired::default();
    for log in &found.logs {
        let directory = above.join(log.name.as_str());
        let broken = found.faults.iter().filter(|fault| fault.log.as_ref() == Some(&log.name));
        let indexes: Vec<Offset> = broken.filter_map(|fault| index_of(&fault.path)).collect();
        let plan = plan::of(&engine, &directory, &log.name, &indexes)?;
        repaired.left.extend(plan.left.iter().map(|why| (log.name.clone(), why.clone())));
        if plan.is_empty() {
            continue;
        }
        let quarantine = names::quarantine(data).join(format!("{}-{}", log.name, options.now_us));
        let work = act::Work { disk: &**disk, data, directory: &directory, quarantine };
        let steps = work.steps(&plan, &log.name)?;
        if !options.dry_run {
            work.run(&plan)?;
        }
        repaired.steps.extend(steps);
    }
    Ok(repaired)
}

fn index_of(path: &Path) -> Option<Offset> {
    names::index_base(path.file_name()?.to_str()?)
}
