//! A log's `meta` file: its id, its name and the settings that were set for it.
//!
//! Lines of `key = value`, the first `format = 1`, the last a CRC32C of all bytes before it in hex.
//! It is written whole under another name and renamed, so it is there whole or as it was. Settings
//! that are absent follow the server's defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::disk::Disk;
use super::error::{IoError, OpenError, SYNC};
use super::names::{self, LogName};
use super::offset::LogId;
use super::settings::LogOverrides;
use super::width::narrow;

const FORMAT: &str = "1";
/// A meta file is a few lines; a longer one is none.
const META_BYTES_MAX: u64 = 64 << 10;

/// What is kept of a log beside its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    pub(crate) id: LogId,
    pub(crate) name: LogName,
    pub(crate) overrides: LogOverrides,
}

impl Meta {
    /// Writes the file into the log's directory, durably but for the directory's own sync.
    pub(crate) fn write(&self, disk: &dyn Disk, directory: &Path) -> Result<(), IoError> {
        let path = names::meta(directory);
        let temporary = directory.join("meta.new");
        let file = disk.create(&temporary).map_err(IoError::at("create", &temporary))?;
        let text = self.encode();
        file.write_at(text.as_bytes(), 0).map_err(IoError::at("write", &temporary))?;
        file.sync().map_err(IoError::at(SYNC, &temporary))?;
        disk.rename(&temporary, &path).map_err(IoError::at("rename", &temporary))
    }

    /// Reads the file from the log's directory; `None` if it is absent or damaged, since a log can
    /// be rebuilt without it.
    ///
    /// # Errors
    ///
    /// `NewerFormat`, or `Io` if it is there and cannot be read.
    pub(crate) fn read(disk: &dyn Disk, directory: &Path) -> Result<Option<Self>, OpenError> {
        let path = names::meta(directory);
        let file = match disk.open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(IoError::at("open", &path)(e).into()),
        };
        let bytes = file.file_bytes().map_err(IoError::at("stat", &path))?;
        let mut text = vec![0; narrow(bytes.min(META_BYTES_MAX))];
        file.read_at(&mut text, 0).map_err(IoError::at("read", &path))?;
        let Some(fields) = checked_fields(&text) else {
            return Ok(None);
        };
        match fields.first() {
            Some(("format", FORMAT)) => Ok(Self::decode(&fields)),
            Some(("format", newer)) => Err(newer_format(path, newer)),
            _ => Ok(None),
        }
    }

    fn encode(&self) -> String {
        let mut text = format!("format = {FORMAT}\nid = {}\nname = {}\n", self.id, self.name);
        let settings = &self.overrides;
        let mut put = |key: &str, value: Option<u64>| {
            if let Some(value) = value {
                text.push_str(&format!("{key} = {value}\n"));
            }
        };
        put("segment_bytes_max", settings.segment_bytes_max);
        put("index_bytes_max", settings.index_bytes_max);
        put("segment_age_max_ms", settings.segment_age_max.map(milliseconds));
        put("batch_bytes_max", settings.batch_bytes_max.map(u64::from));
        let crc = crc32c::crc32c(text.as_bytes());
        text.push_str(&format!("crc32c = {crc:08x}\n"));
        text
    }

    fn decode(fields: &[(&str, &str)]) -> Option<Self> {
        let get = |key| fields.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
        let number = |key| get(key).and_then(|value| value.parse::<u64>().ok());
        Some(Self {
            id: LogId::parse(get("id")?)?,
            name: LogName::parse(get("name")?).ok()?,
            overrides: LogOverrides {
                segment_bytes_max: number("segment_bytes_max"),
                index_bytes_max: number("index_bytes_max"),
                segment_age_max: number("segment_age_max_ms").map(Duration::from_millis),
                batch_bytes_max: number("batch_bytes_max").and_then(|n| u32::try_from(n).ok()),
            },
        })
    }
}

fn newer_format(path: PathBuf, found: &str) -> OpenError {
    OpenError::NewerFormat {
        path,
        found: format!("version {found}"),
        supported: format!("version {FORMAT}"),
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The lines before the checksum, if it holds.
fn checked_fields(text: &[u8]) -> Option<Vec<(&str, &str)>> {
    let text = std::str::from_utf8(text).ok()?;
    let (covered, crc) = text.trim_end_matches('\n').rsplit_once('\n')?;
    let crc = u32::from_str_radix(crc.strip_prefix("crc32c = ")?, 16).ok()?;
    let covered_with_newline = text.get(..=covered.len())?;
    if crc32c::crc32c(covered_with_newline.as_bytes()) != crc {
        return None;
    }
    covered.lines().map(|line| line.split_once(" = ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::disk::SimDisk;

    fn meta() -> Meta {
        Meta {
            id: LogId::from_bytes([0xab; 16]),
            name: LogName::parse("orders").unwrap(),
            overrides: LogOverrides {
                segment_bytes_max: Some(1 << 20),
                segment_age_max: Some(Duration::from_secs(60)),
                ..LogOverrides::default()
            },
        }
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
}
