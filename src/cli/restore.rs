//! `varve restore`: a backup becomes a data directory, whole or up to an offset or a time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde::Serialize;
use thiserror::Error;

use super::backup::names;
use super::consume::begin::{From as Begin, NoTime};
use super::error::CliError;
use super::human::about_bytes;
use super::table::{self, Align};
use super::verify::{check, code, shown};
use super::{output, progress};
use crate::log::{Cut, Disk, LogName, Offset, OsDisk, Restore as Planned, RestoredLog, Verified};

const EXAMPLES: &str = "\
Examples:
  varve restore /mnt/monday --to /var/lib/varve --dry-run       what would be there
  varve restore /mnt/monday --to /var/lib/varve                 all of it
  varve restore /mnt/monday --to ./x --log orders --to-offset orders=120000
  varve restore /mnt/monday --to ./x --to-time 2026-11-28T14:59:00Z

The folder may be a backup, a copy of one, or a data directory whose server is stopped; it is left
as it is, and shares nothing with the new one that a server writes. It is checked before, and what
was made after; --no-verify does without both, and restores a damaged one too.

With --to-offset a log ends before that offset, with --to-time all logs end before that time.
Batches are never divided: the one that holds the offset is left out, so the log may end a few
records before it, which is told. Readers that stood behind the end stand at it.

Run it as the user that the server runs as, and give the server an archive folder of its own.";

/// Make a data directory from a backup
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Restore {
    /// The folder of the backup
    backup: PathBuf,
    /// The data directory to make: empty, or not there yet
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// A log to restore; all unless some are named. May be given several times
    #[arg(long = "log", value_name = "LOG")]
    logs: Vec<String>,
    /// End a log before this offset. May be given several times
    #[arg(long, value_name = "LOG=OFFSET", conflicts_with = "to_time")]
    to_offset: Vec<LogOffset>,
    /// End all logs before the first batch of this time, such as 2026-11-28T14:59:00Z, or 5m ago
    #[arg(long, value_name = "TIME")]
    to_time: Option<Time>,
    /// Say what would be there, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not check the backup and what was made of it
    #[arg(long)]
    no_verify: bool,
}

/// Where a log is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LogOffset(LogName, u64);

#[derive(Debug, PartialEq, Eq, Error)]
#[error("it is the name of a log, `=` and an offset, such as orders=120000")]
struct NoLogOffset;

impl FromStr for LogOffset {
    type Err = NoLogOffset;

    fn from_str(text: &str) -> Result<Self, NoLogOffset> {
        let (log, offset) = text.split_once('=').ok_or(NoLogOffset)?;
        let log = LogName::parse_any(log).map_err(|_| NoLogOffset)?;
        Ok(Self(log, offset.parse().map_err(|_| NoLogOffset)?))
    }
}

/// A time, in microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Time(u64);

impl FromStr for Time {
    type Err = NoTime;

    fn from_str(text: &str) -> Result<Self, NoTime> {
        match text.parse::<Begin>()? {
            Begin::Time(time_us) => Ok(Self(time_us)),
            Begin::Ago(ago) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let then = now.saturating_sub(ago).as_micros();
                Ok(Self(u64::try_from(then).unwrap_or(u64::MAX)))
            }
            Begin::Earliest | Begin::Latest => Err(NoTime::Unreadable),
        }
    }
}

/// What was made, for programs.
#[derive(Serialize)]
struct Report {
    dry_run: bool,
    checked: bool,
    store_bytes: u64,
    logs: Vec<LogReport>,
}

#[derive(Serialize)]
struct LogReport {
    log: String,
    start_offset: u64,
    end_offset: u64,
    backup_end_offset: u64,
    asked_end_offset: Option<u64>,
    readers_moved: usize,
}

impl Restore {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let logs = names(&self.logs)?;
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::new());
        let failed = |source| CliError::Restore { backup: self.backup.clone(), source };
        let planned = Planned::plan(&disk, &self.backup, &self.to, &logs, &self.cut());
        let planned = planned.map_err(failed)?;
        if !self.no_verify {
            refuse_unsound(&self.backup, &check(&self.backup, &logs)?, "nothing was restored")?;
        }
        let report = self.report(planned.logs());
        if !self.dry_run {
            let total = Some(report.store_bytes);
            progress::while_copying(total, |copied| planned.run(copied)).map_err(failed)?;
            if !self.no_verify {
                refuse_unsound(&self.to, &check(&self.to, &[])?, "do not use it")?;
            }
        }
        if is_json {
            output::json(&report)?
        } else {
            self.show(&report)?
        }
        Ok(ExitCode::SUCCESS)
    }

    fn cut(&self) -> Cut {
        if let Some(Time(time_us)) = self.to_time {
            return Cut::Time(time_us);
        }
        let offsets = self.to_offset.iter().map(|at| (at.0.clone(), Offset::new(at.1)));
        let offsets: BTreeMap<_, _> = offsets.collect();
        if offsets.is_empty() { Cut::Nowhere } else { Cut::Offsets(offsets) }
    }

    fn report<'a>(&self, logs: impl Iterator<Item = &'a RestoredLog>) -> Report {
        let asked = |log: &RestoredLog| {
            self.to_offset.iter().rev().find(|at| at.0 == log.log).map(|at| at.1)
        };
        let (mut store_bytes, mut reports) = (0, Vec::new());
        for log in logs {
            store_bytes += log.store_bytes;
            reports.push(LogReport {
                log: log.log.to_string(),
                start_offset: log.start.get(),
                end_offset: log.end.get(),
                backup_end_offset: log.backup_end.get(),
                asked_end_offset: asked(log),
                readers_moved: log.readers_moved,
            });
        }
        let (dry_run, checked) = (self.dry_run, !self.no_verify);
        Report { dry_run, checked, store_bytes, logs: reports }
    }

    fn show(&self, report: &Report) -> Result<(), CliError> {
        let (left, right) = (Align::Left, Align::Right);
        let heading = [
            ("LOG", left),
            ("START", right),
            ("END", right),
            ("IN THE BACKUP", right),
            ("READERS MOVED", right),
        ];
        let row = |log: &LogReport| {
            let ends = [log.start_offset, log.end_offset, log.backup_end_offset];
            let [start, end, backup_end] = ends.map(|offset| offset.to_string());
            [log.log.clone(), start, end, backup_end, log.readers_moved.to_string()]
        };
        output::line(table::rows(heading, report.logs.iter().map(row)))?;
        for log in &report.logs {
            if let Some(asked) = log.asked_end_offset.filter(|asked| *asked > log.end_offset) {
                output::line(format!(
                    "log {}: the batch that holds offset {asked} begins at {}, where the log ends",
                    log.log, log.end_offset
                ))?;
            }
        }
        let bytes = about_bytes(report.store_bytes);
        let (to, checked) = (self.to.display(), if report.checked { "checked" } else { "made" });
        output::line(match self.dry_run {
            true => format!("{to}: about {bytes} would be there; nothing was done"),
            false => format!("{to}: {bytes} copied and {checked}; `varve serve` can open it"),
        })
    }
}

/// Tells what is wrong, and ends if something is lost. What a start makes anew is none of it.
fn refuse_unsound(path: &Path, verified: &Verified, outcome: &'static str) -> Result<(), CliError> {
    for fault in &verified.faults {
        output::note(shown(fault));
    }
    let code = code(verified);
    if code == super::exit::DAMAGED || code == super::exit::IO {
        let (path, faults) = (path.to_owned(), verified.faults.len());
        return Err(CliError::Unsound { path, faults, outcome, code });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_a_log_and_an_offset_or_a_time() {
        let orders = LogName::parse("orders").unwrap();
        assert_eq!("orders=7".parse(), Ok(LogOffset(orders, 7)));
        for wrong in ["", "orders", "orders=", "=7", "orders=-1", "Orders=7", "orders=7=8"] {
            assert_eq!(wrong.parse::<LogOffset>(), Err(NoLogOffset), "{wrong}");
        }
        assert_eq!("2026-11-22T19:16:40Z".parse(), Ok(Time(1_795_375_000_000_000)));
        for wrong in ["", "earliest", "latest", "yesterday"] {
            assert!(wrong.parse::<Time>().is_err(), "{wrong}");
        }
        assert!("5m".parse::<Time>().unwrap().0 > 1_700_000_000_000_000);
    }
}
