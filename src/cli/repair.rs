//! `varve repair`: puts a data directory in order, without a server and without deleting anything.

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::verify::Place;
use super::{exit, output};
use crate::log::{Disk, OsDisk, RepairKind, RepairOptions, RepairStep, Repaired, repair};

const EXAMPLES: &str = "\
Examples:
  varve repair --dry-run --data-dir /var/lib/varve    say what would be done, and do nothing
  varve repair --data-dir /var/lib/varve              do it
  varve repair --data-dir /var/lib/varve orders       to one log alone

It makes wrong indexes anew, cuts torn tails off as the next start would, and makes a log writable
again that answers LOG_DAMAGED to appends: the damaged segment is sealed with the batches that can
be read, which keep their offsets; the others stay lost, and reading them stays DATA_LOSS.

Nothing is deleted: each file that is replaced or taken away is first kept whole in the folder
quarantine/<log>-<time>/ of the data directory. To undo a repair, stop the server and move the files
back, unless records were appended since.

The server must be stopped.

Exit codes:
  0   done, or nothing was to be done
  2   a log that is not there
  65  a log cannot be made writable again, or the folder is no data directory, or one of a newer
      release
  74  a file could not be read or written; the same again goes on
  75  a server has the directory";

/// Rebuild indexes, cut torn tails, and make damaged logs writable again
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Repair {
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: Place,
}

/// What was done, for programs.
#[derive(Serialize)]
struct Report {
    dry_run: bool,
    steps: Vec<StepReport>,
    not_repaired: Vec<LeftReport>,
}

#[derive(Serialize)]
struct StepReport {
    log: String,
    file: String,
    step: &'static str,
    quarantine: Option<String>,
    entries: Option<u32>,
    position: Option<u64>,
    from_offset: Option<u64>,
    end_offset: Option<u64>,
}

#[derive(Serialize)]
struct LeftReport {
    log: String,
    why: String,
}

impl Repair {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let (folder, logs) = self.place.read()?;
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::new());
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_us = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let options = RepairOptions { dry_run: self.dry_run, threads, now_us };
        let repaired = repair(&disk, &folder, &logs, options)?;
        if is_json {
            output::json(&Report::of(&repaired, self.dry_run))?;
        } else {
            self.show(&repaired)?;
        }
        let code = if repaired.left.is_empty() { 0 } else { exit::DAMAGED };
        Ok(ExitCode::from(code))
    }

    fn show(&self, repaired: &Repaired) -> Result<(), CliError> {
        for step in &repaired.steps {
            output::line(if self.dry_run { format!("would: {step}") } else { step.to_string() })?;
        }
        for (log, why) in &repaired.left {
            output::line(format!("log {log}: cannot be made writable again: {why}"))?;
        }
        match (repaired.steps.len(), self.dry_run) {
            (0, _) => output::line("there was nothing to repair"),
            (_, true) => output::line("nothing was done"),
            (steps, false) => output::line(format!(
                "{steps} steps were done; `varve verify` says what is still lost"
            )),
        }
    }
}

impl Report {
    fn of(repaired: &Repaired, dry_run: bool) -> Self {
        let left = repaired.left.iter();
        let left = left.map(|(log, why)| LeftReport { log: log.to_string(), why: why.clone() });
        let steps = repaired.steps.iter().map(StepReport::of).collect();
        Self { dry_run, steps, not_repaired: left.collect() }
    }
}

impl StepReport {
    fn of(step: &RepairStep) -> Self {
        let mut report = Self {
            log: step.log.to_string(),
            file: step.path.display().to_string(),
            step: "",
            quarantine: None,
            entries: None,
            position: None,
            from_offset: None,
            end_offset: None,
        };
        report.step = match &step.kind {
            RepairKind::Kept { quarantine } => {
                report.quarantine = Some(quarantine.display().to_string());
                "kept"
            }
            RepairKind::IndexRebuilt { entries } => {
                report.entries = Some(*entries);
                "index_rebuilt"
            }
            RepairKind::TailCut { position } => {
                report.position = Some(*position);
                "tail_cut"
            }
            RepairKind::Sealed { end } => {
                report.end_offset = Some(end.get());
                "sealed"
            }
            RepairKind::Filled { from, end } => {
                (report.from_offset, report.end_offset) = (Some(from.get()), Some(end.get()));
                "filled"
            }
            RepairKind::TakenAway => "taken_away",
        };
        report
    }
}
