//! `varve verify`: checks a data directory or a copy of one, without changing it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::escape::Escaped;
use super::human::about_bytes;
use super::progress::{Progress, Unit};
use super::table::{self, Align};
use super::{exit, output};
use crate::log::{
    Fault, LogName, Meaning, OpenError, OsDisk, Verified, VerifiedLog, VerifyProgress, verify,
};

const EXAMPLES: &str = "\
Examples:
  varve verify --data-dir /var/lib/varve           every file of every log
  varve verify --data-dir /var/lib/varve orders    one log
  varve verify /copies/monday                      a copy; a folder is told by its slash
  varve --json verify ./data | jq -c '.faults[]'   what is wrong, for programs

Nothing is changed. While a server runs on the directory, each log is judged up to its last
checkpoint, about a second ago.

What is wrong is told with its meaning:
  damage       acknowledged records, or settings or positions, cannot be read any more
  unreadable   a file could not be read, so nobody knows
  derived      an index or the like, which is made anew, or a file not of the log; nothing is lost
  torn tail    writing stopped here; a start cuts off what nobody was promised
  left over    a start removes it; no fault

Exit codes:
  0   all is well; left-over files may be there
  1   a derived file is wrong, or a torn tail was found
  2   a log that is not there
  65  there is damage, or the folder is no data directory, or one of a newer release
  74  a file could not be read, and no damage was found";

/// The folder of logs that a command works on, and which logs of it.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The folder of the logs; ./data unless it is named
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The logs; all unless some are named. A first one with a slash is the folder
    #[arg(value_name = "LOG")]
    logs: Vec<String>,
}

impl Place {
    /// The folder and the names of the logs.
    pub(super) fn read(&self) -> Result<(PathBuf, Vec<LogName>), CliError> {
        let mut logs = self.logs.as_slice();
        let mut folder = self.data_dir.clone();
        if let (None, Some((first, rest))) = (&folder, logs.split_first())
            && (first.contains('/') || first.starts_with('.'))
        {
            (folder, logs) = (Some(PathBuf::from(first)), rest);
        }
        let parse = |name: &String| {
            LogName::parse_any(name)
                .map_err(|source| CliError::LogName { name: name.clone(), source })
        };
        let names = logs.iter().map(parse).collect::<Result<_, _>>()?;
        Ok((folder.unwrap_or_else(|| PathBuf::from("data")), names))
    }
}

/// Check every byte of a data directory, or of a copy
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Verify {
    #[command(flatten)]
    place: Place,
}

impl Verify {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let (folder, logs) = self.place.read()?;
        let began = Instant::now();
        let verified = check(&folder, &logs)?;
        Report::of(&folder, &verified, began.elapsed()).write(is_json, &verified)?;
        Ok(ExitCode::from(code(&verified)))
    }
}

/// Checks the folder with all processors, and shows on a terminal how far it is.
pub(super) fn check(folder: &Path, logs: &[LogName]) -> Result<Verified, OpenError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let progress = VerifyProgress::default();
    let mut shown = Progress::new(None, Unit::Bytes, true);
    thread::scope(|scope| {
        let checking = scope.spawn(|| verify(&OsDisk::new(), folder, logs, threads, &progress));
        let mut has_total = false;
        while !checking.is_finished() {
            let (done, total) = progress.bytes();
            if total > 0 && !has_total {
                has_total = true;
                shown.set_total(total);
            }
            shown.set(done, || "checked".to_owned());
            thread::sleep(Duration::from_millis(if done == 0 { 1 } else { 20 }));
        }
        checking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// With which code a check ends.
pub(super) fn code(verified: &Verified) -> u8 {
    code_of(&verified.faults.iter().map(|fault| fault.meaning).collect::<Vec<_>>())
}

/// With which code a check ends that found these.
pub(super) fn code_of(meanings: &[Meaning]) -> u8 {
    let has = |meaning| meanings.contains(&meaning);
    if has(Meaning::Damage) {
        exit::DAMAGED
    } else if has(Meaning::Unreadable) {
        exit::IO
    } else if has(Meaning::Derived) || has(Meaning::TornTail) {
        exit::FAILED
    } else {
        0
    }
}

/// All that was found, for programs.
#[derive(Serialize)]
struct Report {
    folder: String,
    server_running: bool,
    elapsed_ms: u64,
    store_bytes: u64,
    logs: Vec<LogReport>,
    faults: Vec<FaultReport>,
}

#[derive(Serialize)]
struct LogReport {
    log: String,
    log_id: Option<String>,
    start_offset: u64,
    end_offset: u64,
    segments: usize,
    batches: u64,
    records: u64,
    store_bytes: u64,
}

/// A fault, for programs.
#[derive(Serialize)]
pub(super) struct FaultReport {
    log: Option<String>,
    file: String,
    position: Option<u64>,
    from_offset: Option<u64>,
    to_offset: Option<u64>,
    meaning: String,
    what: String,
}

impl From<&VerifiedLog> for LogReport {
    fn from(log: &VerifiedLog) -> Self {
        Self {
            log: log.name.to_string(),
            log_id: log.id.map(|id| id.to_string()),
            start_offset: log.start.get(),
            end_offset: log.end.get(),
            segments: log.segments,
            batches: log.batches,
            records: log.records,
            store_bytes: log.store_bytes,
        }
    }
}

impl From<&Fault> for FaultReport {
    fn from(fault: &Fault) -> Self {
        Self {
            log: fault.log.as_ref().map(ToString::to_string),
            file: fault.path.display().to_string(),
            position: fault.position,
            from_offset: fault.offsets.map(|(from, _)| from.get()),
            to_offset: fault.offsets.map(|(_, to)| to.get()),
            meaning: fault.meaning.to_string().replace(' ', "_"),
            what: fault.what.clone(),
        }
    }
}

impl Report {
    fn of(folder: &Path, verified: &Verified, elapsed: Duration) -> Self {
        Self {
            folder: folder.display().to_string(),
            server_running: verified.is_running,
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            store_bytes: verified.logs.iter().map(|log| log.store_bytes).sum(),
            logs: verified.logs.iter().map(LogReport::from).collect(),
            faults: verified.faults.iter().map(FaultReport::from).collect(),
        }
    }

    fn write(&self, is_json: bool, verified: &Verified) -> Result<(), CliError> {
        if is_json {
            return output::json(self);
        }
        for fault in &verified.faults {
            output::line(shown(fault))?;
        }
        output::line(logs(&self.logs))?;
        output::line(self.summary(verified))
    }

    fn summary(&self, verified: &Verified) -> String {
        let counted = |meaning| verified.faults.iter().filter(|f| f.meaning == meaning).count();
        let meanings = [
            Meaning::Damage,
            Meaning::Unreadable,
            Meaning::Derived,
            Meaning::TornTail,
            Meaning::LeftOver,
        ];
        let told = meanings.map(|meaning| (meaning, counted(meaning)));
        let told = told.iter().filter(|(_, count)| *count > 0);
        let told: Vec<String> =
            told.map(|(meaning, count)| format!("{meaning}: {count}")).collect();
        let faults = if told.is_empty() { "no faults".to_owned() } else { told.join(", ") };
        let seconds = Duration::from_millis(self.elapsed_ms.max(1));
        let rate = u128::from(self.store_bytes) * 1000 / seconds.as_millis();
        let rate = about_bytes(u64::try_from(rate).unwrap_or(u64::MAX));
        let bytes = about_bytes(self.store_bytes);
        let live = if self.server_running {
            "; a server runs on it, and each log was judged up to its last checkpoint"
        } else {
            ""
        };
        format!("{}: {bytes} checked, {rate}/s; {faults}{live}", self.folder)
    }
}

/// A fault on one line.
pub(super) fn shown(fault: &Fault) -> String {
    let log = fault.log.as_ref().map_or_else(String::new, |log| format!("log {log}, "));
    let position = fault.position.map_or_else(String::new, |at| format!(" at position {at}"));
    let offsets = match fault.offsets {
        Some((from, to)) if from < to => format!(", offsets {from} up to but not including {to}"),
        Some((from, _)) => format!(", at offset {from}"),
        None => String::new(),
    };
    let path = fault.path.display().to_string();
    format!("{}: {log}{}{position}{offsets}: {}", fault.meaning, Escaped(&path), fault.what)
}

fn logs(logs: &[LogReport]) -> String {
    let heading = [
        ("LOG", Align::Left),
        ("START", Align::Right),
        ("END", Align::Right),
        ("SEGMENTS", Align::Right),
        ("BATCHES", Align::Right),
        ("RECORDS", Align::Right),
        ("SIZE", Align::Right),
    ];
    let row = |log: &LogReport| {
        [
            log.log.clone(),
            log.start_offset.to_string(),
            log.end_offset.to_string(),
            log.segments.to_string(),
            log.batches.to_string(),
            log.records.to_string(),
            about_bytes(log.store_bytes),
        ]
    };
    table::rows(heading, logs.iter().map(row))
}
