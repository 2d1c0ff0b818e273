//! What a backup amounts to, for people and programs.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::cli::error::CliError;
use crate::cli::escape::Escaped;
use crate::cli::hex::hex;
use crate::cli::human::{about_bytes, about_us};
use crate::cli::table::{self, Align};
use crate::cli::{output, verify};
use crate::log::{BackedUp, Fault, Meaning};
use crate::proto::admin_service::backup_fault::Meaning as Told;
use crate::proto::admin_service::{BackUpResponse, BackupFault};

/// A backup that was made.
#[derive(Serialize)]
pub(super) struct Report {
    /// The folder; from a server seen from its data directory.
    path: String,
    elapsed_us: u64,
    store_bytes: u64,
    segments: u64,
    linked: u64,
    logs: Vec<LogReport>,
    /// Whether every byte was checked.
    checked: bool,
    faults: Vec<String>,
    #[serde(skip)]
    meanings: Vec<Meaning>,
    #[serde(skip)]
    is_remote: bool,
}

#[derive(Serialize)]
struct LogReport {
    log: String,
    log_id: String,
    start_offset: u64,
    end_offset: u64,
    segments: u64,
    store_bytes: u64,
    linked: u64,
}

impl Report {
    /// That of a backup in `folder`, not checked yet.
    pub(super) fn of(folder: &Path, made: &[BackedUp], elapsed: Duration) -> Self {
        let wide = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let logs = made.iter().map(|log| LogReport {
            log: log.log.clone(),
            log_id: log.id.to_string(),
            start_offset: log.start.get(),
            end_offset: log.end.get(),
            segments: wide(log.segments),
            store_bytes: log.store_bytes,
            linked: wide(log.linked),
        });
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        Self::with(folder.display().to_string(), elapsed_us, logs.collect())
    }

    fn with(path: String, elapsed_us: u64, logs: Vec<LogReport>) -> Self {
        Self {
            path,
            elapsed_us,
            store_bytes: logs.iter().map(|log| log.store_bytes).sum(),
            segments: logs.iter().map(|log| log.segments).sum(),
            linked: logs.iter().map(|log| log.linked).sum(),
            logs,
            checked: false,
            faults: Vec::new(),
            meanings: Vec::new(),
            is_remote: false,
        }
    }

    /// Every byte was checked, and these were found.
    pub(super) fn add(&mut self, faults: &[Fault], shown: impl Fn(&Fault) -> String) {
        self.checked = true;
        self.faults.extend(faults.iter().map(shown));
        self.meanings.extend(faults.iter().map(|fault| fault.meaning));
    }

    /// With which code the command ends.
    pub(super) fn code(&self) -> u8 {
        verify::code_of(&self.meanings)
    }

    pub(super) fn write(&self, is_json: bool) -> Result<(), CliError> {
        if is_json {
            return output::json(self);
        }
        for fault in &self.faults {
            output::line(fault)?;
        }
        output::line(self.table())?;
        output::line(self.summary())?;
        if self.linked > 0 {
            super::warn_of_links(&self.path);
        }
        Ok(())
    }

    fn table(&self) -> String {
        let (left, right) = (Align::Left, Align::Right);
        let heading = [
            ("LOG", left),
            ("START", right),
            ("END", right),
            ("SEGMENTS", right),
            ("LINKED", right),
            ("SIZE", right),
        ];
        let row = |log: &LogReport| {
            [
                log.log.clone(),
                log.start_offset.to_string(),
                log.end_offset.to_string(),
                log.segments.to_string(),
                log.linked.to_string(),
                about_bytes(log.store_bytes),
            ]
        };
        table::rows(heading, self.logs.iter().map(row))
    }

    fn summary(&self) -> String {
        let place = if self.is_remote { " in the server's data directory" } else { "" };
        let checked = match (self.checked, self.faults.len()) {
            (false, _) => "not checked".to_owned(),
            (true, 0) => "every byte checked, no faults".to_owned(),
            (true, faults) => format!("every byte checked, faults: {faults}"),
        };
        format!(
            "{}{place}: {} made in {}; {checked}",
            Escaped(&self.path),
            about_bytes(self.store_bytes),
            about_us(self.elapsed_us)
        )
    }
}

impl From<&BackUpResponse> for Report {
    fn from(made: &BackUpResponse) -> Self {
        let logs = made.logs.iter().map(|log| LogReport {
            log: log.log.clone(),
            log_id: hex(&log.log_id),
            start_offset: log.start_offset,
            end_offset: log.end_offset,
            segments: log.segments.into(),
            store_bytes: log.store_bytes,
            linked: log.linked.into(),
        });
        let mut report = Self::with(made.path.clone(), made.elapsed_us, logs.collect());
        report.is_remote = true;
        report.checked = made.checked;
        report.faults = made.faults.iter().map(shown).collect();
        report.meanings = made.faults.iter().map(meaning).collect();
        report
    }
}

fn meaning(fault: &BackupFault) -> Meaning {
    match fault.meaning.enum_value_or_default() {
        Told::MEANING_UNREADABLE => Meaning::Unreadable,
        Told::MEANING_DERIVED => Meaning::Derived,
        Told::MEANING_TORN_TAIL => Meaning::TornTail,
        Told::MEANING_LEFT_OVER => Meaning::LeftOver,
        // What a newer server tells is taken for the worst.
        Told::MEANING_UNSPECIFIED | Told::MEANING_DAMAGE => Meaning::Damage,
    }
}

fn shown(fault: &BackupFault) -> String {
    let log = match fault.log.as_str() {
        "" => String::new(),
        log => format!("log {}, ", Escaped(log)),
    };
    let offsets = match (fault.from_offset, fault.to_offset) {
        (from, to) if from < to => format!(", offsets {from} up to but not including {to}"),
        _ => String::new(),
    };
    let (file, what) = (Escaped(&fault.file), Escaped(&fault.what));
    format!("{}: {log}{file}{offsets}: {what}", meaning(fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_server_tells_is_taken_for_the_worst() {
        let mut fault = BackupFault { log: "orders".into(), to_offset: 7, ..Default::default() };
        fault.file = "meta".into();
        fault.what = "odd".into();
        let told = BackUpResponse { faults: vec![fault], checked: true, ..Default::default() };
        let report = Report::from(&told);
        assert_eq!(report.code(), 65);
        let text = "damage: log orders, meta, offsets 0 up to but not including 7: odd";
        assert_eq!(report.faults, [text]);
    }
}
