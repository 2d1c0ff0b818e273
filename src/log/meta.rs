//! A log's `meta` file: its id, its name and the settings that were set for it.
//!
//! Lines of `key = value`, the first `format = 1`, the last a CRC32C of all bytes before it in hex.
//! It is written whole under another name and renamed, so it is there whole or as it was. Settings
//! that are absent follow the server's defaults; keys that this release does not know are kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::Disk;
use super::error::{IoError, OpenError};
use super::lines::{self, Lines};
use super::names::{self, LogName};
use super::offset::LogId;
use super::settings::{LogOverrides, milliseconds};

const FORMAT: &str = "1";
/// The keys of this release, but for those of settings.
const OWN: [&str; 3] = ["format", "id", "name"];

/// What is kept of a log beside its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) id: LogId,
    pub(crate) name: LogName,
    pub(crate) overrides: LogOverrides,
    /// What a newer release wrote and this one does not know.
    pub(crate) unknown: Vec<(String, String)>,
}

impl Meta {
    /// That of a new log.
    pub(crate) fn new(id: LogId, name: LogName, overrides: LogOverrides) -> Self {
        Self { id, name, overrides, unknown: Vec::new() }
    }

    /// Writes the file into the log's directory, durably but for the directory's own sync.
    pub(crate) fn write(&self, disk: &dyn Disk, directory: &Path) -> Result<(), IoError> {
        lines::replace(disk, &names::meta(directory), &self.encode())
    }

    /// Reads the file from the log's directory; `None` if it is absent or damaged, since a log can
    /// be rebuilt without it.
    ///
    /// # Errors
    ///
    /// `NewerFormat`, or `Io` if it is there and cannot be read.
    pub(crate) fn read(disk: &dyn Disk, directory: &Path) -> Result<Option<Self>, OpenError> {
        let path = names::meta(directory);
        let Some(lines) = lines::read(disk, &path)? else {
            return Ok(None);
        };
        match lines.first() {
            Some(("format", FORMAT)) => Ok(Self::decode(&lines)),
            Some(("format", newer)) => Err(newer_format(path, newer)),
            _ => Ok(None),
        }
    }

    /// Whether the settings are such as can be set.
    pub(crate) fn are_settings_sound(&self) -> bool {
        // An archive may come and go with the server's own settings.
        self.overrides.check(true).is_ok()
    }

    /// The same log with the server's settings.
    pub(crate) fn without_settings(self) -> Self {
        Self { overrides: LogOverrides::default(), ..self }
    }

    fn encode(&self) -> String {
        let mut lines = Lines::default();
        lines.put("format", FORMAT);
        lines.put("id", self.id);
        lines.put("name", &self.name);
        for (key, value) in numbers(&self.overrides) {
            if let Some(value) = value {
                lines.put(key, value);
            }
        }
        for (key, value) in &self.unknown {
            lines.put(key, value);
        }
        lines.sealed()
    }

    fn decode(lines: &Lines) -> Option<Self> {
        let number = |key| lines.get(key).and_then(|value| value.parse::<u64>().ok());
        let small = |key| number(key).map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let time = |key| number(key).map(Duration::from_millis);
        let overrides = LogOverrides {
            segment_bytes_max: number("segment_bytes_max"),
            index_bytes_max: number("index_bytes_max"),
            segment_age_max: time("segment_age_max_ms"),
            batch_bytes_max: small("batch_bytes_max"),
            record_bytes_max: small("record_bytes_max"),
            retention_bytes: number("retention_bytes"),
            retention_age: time("retention_age_ms"),
            retain_for_readers_bytes: number("retain_for_readers_bytes"),
            archive: number("archive").map(|archive| archive != 0),
        };
        let known = numbers(&overrides);
        let is_known =
            |key: &str| OWN.contains(&key) || known.iter().any(|(known, _)| *known == key);
        let unknown = lines.iter().filter(|(key, _)| !is_known(key));
        let unknown = unknown.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Some(Self {
            id: LogId::parse(lines.get("id")?)?,
            name: LogName::parse_any(lines.get("name")?).ok()?,
            unknown: unknown.collect(),
            overrides,
        })
    }
}

/// Every setting by its key.
fn numbers(settings: &LogOverrides) -> [(&'static str, Option<u64>); 9] {
    [
        ("segment_bytes_max", settings.segment_bytes_max),
        ("index_bytes_max", settings.index_bytes_max),
        ("segment_age_max_ms", settings.segment_age_max.map(milliseconds)),
        ("batch_bytes_max", settings.batch_bytes_max.map(u64::from)),
        ("record_bytes_max", settings.record_bytes_max.map(u64::from)),
        ("retention_bytes", settings.retention_bytes),
        ("retention_age_ms", settings.retention_age.map(milliseconds)),
        ("retain_for_readers_bytes", settings.retain_for_readers_bytes),
        ("archive", settings.archive.map(u64::from)),
    ]
}

fn newer_format(path: PathBuf, found: &str) -> OpenError {
    OpenError::NewerFormat {
        path,
        found: format!("version {found}"),
        supported: format!("version {FORMAT}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::disk::SimDisk;

    fn meta() -> Meta {
        let overrides = LogOverrides {
            segment_bytes_max: Some(1 << 20),
            segment_age_max: Some(Duration::from_secs(60)),
            retention_bytes: Some(0),
            retention_age: Some(Duration::from_millis(1500)),
            archive: Some(false),
            ..LogOverrides::default()
        };
        Meta::new(LogId::from_bytes([0xab; 16]), LogName::parse("orders").unwrap(), overrides)
    }

    fn disk_with(bytes: &[u8]) -> SimDisk {
        let disk = SimDisk::new();
        disk.create_directory(Path::new("/l")).unwrap();
        disk.create(Path::new("/l/meta")).unwrap().write_at(bytes, 0).unwrap();
        disk
    }

    #[test]
    fn a_meta_file_reads_back() {
        let disk = SimDisk::new();
        disk.create_directory(Path::new("/l")).unwrap();
        meta().write(&disk, Path::new("/l")).unwrap();
        assert_eq!(Meta::read(&disk, Path::new("/l")).unwrap(), Some(meta()));
    }

    #[test]
    fn a_damaged_meta_file_counts_as_absent() {
        let bytes = meta().encode().into_bytes();
        for at in 0..bytes.len() - 1 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            let read = Meta::read(&disk_with(&damaged), Path::new("/l")).unwrap();
            // Two digits of the checksum may differ in case alone and mean the same.
            assert!(read.is_none() || read == Some(meta()), "byte {at}");
        }
    }

    #[test]
    fn a_newer_meta_file_is_refused() {
        let text = "format = 2\nwhatever = 1\n";
        let text = format!("{text}crc32c = {:08x}\n", crc32c::crc32c(text.as_bytes()));
        let read = Meta::read(&disk_with(text.as_bytes()), Path::new("/l"));
        assert!(matches!(read, Err(OpenError::NewerFormat { .. })), "{read:?}");
    }
    #[test]
    fn keys_of_a_newer_release_are_kept_when_the_file_is_written_anew() {
        let newer = Meta { unknown: vec![("colour".into(), "a = b".into())], ..meta() };
        let disk = disk_with(newer.encode().as_bytes());
        let read = Meta::read(&disk, Path::new("/l")).unwrap().unwrap();
        assert_eq!(read, newer);
        read.write(&disk, Path::new("/l")).unwrap();
        assert_eq!(Meta::read(&disk, Path::new("/l")).unwrap(), Some(newer));
    }

    /// As the first release wrote it.
    #[test]
    fn an_older_meta_file_reads_with_the_rest_unset() {
        let text = format!(
            "format = 1\nid = {}\nname = orders\nsegment_bytes_max = 5\n",
            LogId::from_bytes([0xab; 16])
        );
        let text = format!("{text}crc32c = {:08x}\n", crc32c::crc32c(text.as_bytes()));
        let read = Meta::read(&disk_with(text.as_bytes()), Path::new("/l")).unwrap().unwrap();
        let overrides = LogOverrides { segment_bytes_max: Some(5), ..LogOverrides::default() };
        assert_eq!(read, Meta { overrides, ..meta() });
    }
}
