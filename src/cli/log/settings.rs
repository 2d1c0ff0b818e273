//! How a log is kept: as flags, as a table, and for programs.

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cli::human::{NoSize, age_ms, set_age_ms, set_bytes, size};
use crate::cli::table::{self, Align};
use crate::proto::admin_service::LogSettings;

/// The settings that were typed. What is not set follows the server's configuration.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct SettingArgs {
    /// A segment is sealed before it grows beyond this
    #[arg(long, value_name = "SIZE", value_parser = size)]
    segment_bytes_max: Option<u64>,
    /// A segment is sealed this long after its first record, or `never`
    #[arg(long, value_name = "AGE", value_parser = age_ms)]
    segment_age_max: Option<u64>,
    /// Old segments are dropped while the log has more than this, or `none` to keep all
    #[arg(long, value_name = "SIZE", value_parser = size_or_none)]
    retention_bytes: Option<u64>,
    /// A segment is dropped once its newest record is this old, or `never`
    #[arg(long, value_name = "AGE", value_parser = age_ms)]
    retention_age: Option<u64>,
    /// The largest record, its key and headers counted
    #[arg(long, value_name = "SIZE", value_parser = size_u32)]
    record_bytes_max: Option<u32>,
    /// The largest batch
    #[arg(long, value_name = "SIZE", value_parser = size_u32)]
    batch_bytes_max: Option<u32>,
    /// What readers have yet to read stays, up to so much; `none` takes no notice of readers
    #[arg(long, value_name = "SIZE", value_parser = size_or_none)]
    retain_for_readers_bytes: Option<u64>,
    /// Whether segments are archived before they are dropped
    #[arg(long, value_name = "true|false")]
    archive: Option<bool>,
}

/// The name of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Setting {
    SegmentBytesMax,
    SegmentAgeMax,
    RetentionBytes,
    RetentionAge,
    RecordBytesMax,
    BatchBytesMax,
    RetainForReadersBytes,
    Archive,
}

/// Settings for programs: numbers in the unit of their name; what is not set is left out.
#[derive(Serialize)]
pub(super) struct Shown {
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_age_max_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_age_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record_bytes_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_bytes_max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retain_for_readers_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<bool>,
}

impl SettingArgs {
    pub(super) fn is_empty(&self) -> bool {
        LogSettings::from(self.clone()) == LogSettings::default()
    }
}

impl From<SettingArgs> for LogSettings {
    fn from(typed: SettingArgs) -> Self {
        Self {
            segment_bytes_max: typed.segment_bytes_max,
            segment_age_max_ms: typed.segment_age_max,
            retention_bytes: typed.retention_bytes,
            retention_age_ms: typed.retention_age,
            record_bytes_max: typed.record_bytes_max,
            batch_bytes_max: typed.batch_bytes_max,
            retain_for_readers_bytes: typed.retain_for_readers_bytes,
            archive: typed.archive,
            ..Self::default()
        }
    }
}

impl From<&LogSettings> for Shown {
    fn from(settings: &LogSettings) -> Self {
        Self {
            segment_bytes_max: settings.segment_bytes_max,
            segment_age_max_ms: settings.segment_age_max_ms,
            retention_bytes: settings.retention_bytes,
            retention_age_ms: settings.retention_age_ms,
            record_bytes_max: settings.record_bytes_max,
            batch_bytes_max: settings.batch_bytes_max,
            retain_for_readers_bytes: settings.retain_for_readers_bytes,
            archive: settings.archive,
        }
    }
}

impl Setting {
    /// Its field in the interface.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::SegmentBytesMax => "segment_bytes_max",
            Self::SegmentAgeMax => "segment_age_max_ms",
            Self::RetentionBytes => "retention_bytes",
            Self::RetentionAge => "retention_age_ms",
            Self::RecordBytesMax => "record_bytes_max",
            Self::BatchBytesMax => "batch_bytes_max",
            Self::RetainForReadersBytes => "retain_for_readers_bytes",
            Self::Archive => "archive",
        }
    }

    /// Its name as a flag.
    fn flag(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn shown(self, settings: &LogSettings) -> Option<String> {
        match self {
            Self::SegmentBytesMax => settings.segment_bytes_max.map(set_bytes),
            Self::SegmentAgeMax => settings.segment_age_max_ms.map(set_age_ms),
            Self::RetentionBytes => settings.retention_bytes.map(set_bytes),
            Self::RetentionAge => settings.retention_age_ms.map(set_age_ms),
            Self::RecordBytesMax => settings.record_bytes_max.map(|bytes| set_bytes(bytes.into())),
            Self::BatchBytesMax => settings.batch_bytes_max.map(|bytes| set_bytes(bytes.into())),
            Self::RetainForReadersBytes => settings.retain_for_readers_bytes.map(set_bytes),
            Self::Archive => settings.archive.map(|archive| archive.to_string()),
        }
    }
}

/// The settings that are set, with who set them if `own` says which are the log's.
pub(super) fn table(settings: &LogSettings, own: Option<&LogSettings>) -> String {
    let rows = Setting::value_variants().iter().filter_map(|setting| {
        let value = setting.shown(settings)?;
        let is_own = own.is_none_or(|own| setting.shown(own).is_some());
        let origin = if is_own { "this log" } else { "server" };
        Some([setting.flag(), value, origin.to_owned()])
    });
    let (left, right) = (Align::Left, Align::Right);
    table::rows([("SETTING", left), ("VALUE", right), ("SET BY", left)], rows)
}

fn size_or_none(text: &str) -> Result<u64, NoSize> {
    if text == "none" { Ok(0) } else { size(text) }
}

fn size_u32(text: &str) -> Result<u32, String> {
    let bytes = size(text).map_err(|error| error.to_string())?;
    u32::try_from(bytes).map_err(|_| "it is at most 4294967295 bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        settings: SettingArgs,
    }

    fn typed(flags: &[&str]) -> Result<LogSettings, String> {
        let line = Line::try_parse_from([&["x"], flags].concat());
        line.map(|line| line.settings.into()).map_err(|error| error.to_string())
    }

    #[test]
    fn settings_are_typed_with_units() {
        let settings = typed(&[
            "--segment-bytes-max=64MiB",
            "--segment-age-max=never",
            "--retention-bytes=4096",
            "--retention-age=7d",
            "--record-bytes-max=1KiB",
            "--retain-for-readers-bytes=none",
            "--archive=true",
        ]);
        let expected = LogSettings {
            segment_bytes_max: Some(64 << 20),
            segment_age_max_ms: Some(0),
            retention_bytes: Some(4096),
            retention_age_ms: Some(604_800_000),
            record_bytes_max: Some(1024),
            retain_for_readers_bytes: Some(0),
            archive: Some(true),
            ..LogSettings::default()
        };
        assert_eq!(settings, Ok(expected));
        for (flag, said) in [
            ("--retention-age=7", "an age is"),
            ("--retention-bytes=7d", "a size is"),
            ("--batch-bytes-max=5GiB", "at most 4294967295"),
            ("--archive=maybe", "true, false"),
        ] {
            assert!(typed(&[flag]).unwrap_err().contains(said), "{flag}");
        }
        assert!(SettingArgs::default().is_empty());
    }

    #[test]
    fn a_table_shows_who_set_what() {
        let own = LogSettings { retention_age_ms: Some(604_800_000), ..LogSettings::default() };
        let all = LogSettings { segment_bytes_max: Some(128 << 20), ..own.clone() };
        assert_eq!(
            table(&all, Some(&own)),
            "SETTING             VALUE  SET BY\n\
             segment-bytes-max  128MiB  server\n\
             retention-age          7d  this log"
        );
        assert!(!table(&own, None).contains("segment"));
    }

    #[test]
    fn every_setting_has_the_name_of_its_field() {
        for setting in Setting::value_variants() {
            let flag = setting.flag().replace('-', "_");
            assert!(setting.field().starts_with(&flag), "{flag}");
        }
    }
}
