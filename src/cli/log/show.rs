//! Logs as people and programs see them.

use serde::Serialize;

use super::settings;
use crate::cli::escape::Escaped;
use crate::cli::hex::hex;
use crate::cli::human::{Time, about_bytes};
use crate::cli::reader;
use crate::cli::table::{self, Align};
use crate::proto::admin_service::{DescribeLogResponse, LogSummary};

/// A log in short, for programs.
#[derive(Serialize)]
pub(super) struct Summary<'a> {
    log: &'a str,
    log_id: String,
    start_offset: u64,
    end_offset: u64,
    stored_bytes: u64,
    damaged: bool,
}

/// All of a log, for programs.
#[derive(Serialize)]
pub(super) struct Description<'a> {
    #[serde(flatten)]
    summary: Option<Summary<'a>>,
    segments: u32,
    oldest_time_us: u64,
    newest_time_us: u64,
    records_per_s: f64,
    bytes_per_s: f64,
    settings: Option<settings::Shown>,
    own_settings: Option<settings::Shown>,
    readers: Vec<reader::Shown<'a>>,
    readers_damaged: bool,
}

impl<'a> From<&'a LogSummary> for Summary<'a> {
    fn from(log: &'a LogSummary) -> Self {
        Self {
            log: &log.log,
            log_id: hex(&log.log_id),
            start_offset: log.start_offset,
            end_offset: log.end_offset,
            stored_bytes: log.stored_bytes,
            damaged: log.damaged,
        }
    }
}

impl<'a> From<&'a DescribeLogResponse> for Description<'a> {
    fn from(log: &'a DescribeLogResponse) -> Self {
        Self {
            summary: log.log.as_ref().map(Summary::from),
            segments: log.segments,
            oldest_time_us: log.oldest_time_us,
            newest_time_us: log.newest_time_us,
            records_per_s: log.records_per_s,
            bytes_per_s: log.bytes_per_s,
            settings: log.settings.as_ref().map(settings::Shown::from),
            own_settings: log.own_settings.as_ref().map(settings::Shown::from),
            readers: log.readers.iter().map(reader::Shown::from).collect(),
            readers_damaged: log.readers_damaged,
        }
    }
}

/// Logs in a table.
pub(super) fn list(logs: &[LogSummary]) -> String {
    let rows = logs.iter().map(|log| {
        let records = log.end_offset.saturating_sub(log.start_offset);
        let offsets = [log.start_offset, log.end_offset, records].map(|number| number.to_string());
        let [start, end, records] = offsets;
        [log.log.clone(), start, end, records, about_bytes(log.stored_bytes), state(log)]
    });
    let (left, right) = (Align::Left, Align::Right);
    let heading = [
        ("LOG", left),
        ("START", right),
        ("END", right),
        ("RECORDS", right),
        ("STORED", right),
        ("STATE", left),
    ];
    table::rows(heading, rows)
}

/// All of a log, for people.
pub(super) fn description(described: &DescribeLogResponse) -> String {
    let log = described.log.get_or_default();
    let records = log.end_offset.saturating_sub(log.start_offset);
    let mut text = table::pairs([
        ("log", log.log.clone()),
        ("id", hex(&log.log_id)),
        ("state", state(log)),
        ("start offset", log.start_offset.to_string()),
        ("end offset", log.end_offset.to_string()),
        ("records", records.to_string()),
        ("stored", about_bytes(log.stored_bytes)),
        ("segments", described.segments.to_string()),
        ("oldest record", time(described.oldest_time_us)),
        ("newest record", time(described.newest_time_us)),
        ("appended", rate(described)),
    ]);
    let own = described.own_settings.get_or_default();
    let readers = match described.readers_damaged {
        true => "The positions of its readers are damaged.".to_owned(),
        false => reader::table(&described.readers),
    };
    for part in [settings::table(described.settings.get_or_default(), Some(own)), readers] {
        text.push_str("\n\n");
        text.push_str(&part);
    }
    text
}

/// What a deletion would take.
pub(super) fn loss(log: &LogSummary) -> String {
    let records = log.end_offset.saturating_sub(log.start_offset);
    let stored = about_bytes(log.stored_bytes);
    format!("{} has {records} records, {stored}", Escaped(&log.log))
}

fn state(log: &LogSummary) -> String {
    if log.damaged { "damaged" } else { "ok" }.to_owned()
}

fn time(time_us: u64) -> String {
    if time_us == 0 { "none".to_owned() } else { format!("{:.0}", Time(time_us)) }
}

fn rate(log: &DescribeLogResponse) -> String {
    // Rounded for people; what does not fit the type is no rate.
    let bytes = format!("{:.0}", log.bytes_per_s).parse().unwrap_or_default();
    format!("{:.1} records/s, {}/s", log.records_per_s, about_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::admin_service::LogSettings;

    fn log() -> LogSummary {
        LogSummary {
            log: "orders".to_owned(),
            log_id: vec![0xa1; 16].into(),
            start_offset: 5,
            end_offset: 12,
            stored_bytes: 4096,
            ..LogSummary::default()
        }
    }

    #[test]
    fn a_list_has_a_row_for_each_log() {
        let damaged = LogSummary { log: "a".to_owned(), damaged: true, ..LogSummary::default() };
        assert_eq!(
            list(&[damaged, log()]),
            "LOG     START  END  RECORDS    STORED  STATE\n\
             a           0    0        0       0 B  damaged\n\
             orders      5   12        7  4.00 KiB  ok"
        );
    }

    #[test]
    fn a_description_has_the_log_its_settings_and_its_readers() {
        let settings = LogSettings { archive: Some(true), ..LogSettings::default() };
        let described = DescribeLogResponse {
            log: Some(log()).into(),
            settings: Some(settings).into(),
            segments: 2,
            oldest_time_us: 1_795_375_000_000_000,
            records_per_s: 1.25,
            bytes_per_s: 2048.4,
            ..DescribeLogResponse::default()
        };
        let text = description(&described);
        for part in [
            "end offset     12\n",
            "oldest record  2026-11-22T19:16:40Z\n",
            "newest record  none\n",
            "1.2 records/s, 2.00 KiB/s\n",
            "archive   true  server",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        let json = serde_json::to_string(&Description::from(&described)).unwrap();
        let begin = format!("{{\"log\":\"orders\",\"log_id\":\"{}\",\"start", "a1".repeat(16));
        assert!(json.starts_with(&begin), "{json}");
        assert!(json.contains("\"settings\":{\"archive\":true}"), "{json}");
    }
}
