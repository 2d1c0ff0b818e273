//! A glance at a data directory for those who look for what is wrong with a host: who has it, what
//! format it is in, how many logs there are. It reads a few bytes of each log and changes nothing;
//! whether the records are whole is `verify`'s to say.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use super::age;
use super::archived::{ArchivedError, ArchivedSegment};
use super::checkpoint::Slots;
use super::disk::{Disk, OsDisk, Owner, ReadOnly, owner};
use super::error::{IoError, OpenError};
use super::meta::Meta;
use super::names;
use super::store_header::FORMAT_VERSION;

/// What there is to see without reading records.
#[derive(Debug)]
pub struct Glance {
    /// Who has the directory.
    pub owner: Option<Owner>,
    /// How many logs there are.
    pub logs: usize,
    /// Of these, whose format was looked at.
    pub logs_seen: usize,
    /// The first file of a newer release that was found, as a start would refuse it.
    pub newer: Option<OpenError>,
    /// The time that ages are counted to, as the last server kept it.
    pub age_time: Option<Duration>,
}

/// Looks at the data directory `folder`, and at the format of `logs_max` of its logs. A folder that
/// is absent or empty has no logs.
///
/// # Errors
///
/// A file or folder that is there could not be read.
pub fn glance(folder: &Path, logs_max: usize) -> Result<Glance, OpenError> {
    let host = OsDisk::new();
    let disk = ReadOnly(&host);
    let lock = names::lock(folder);
    let above = names::logs(folder);
    let owner = owner(&lock).map_err(IoError::at("look at", &lock))?;
    let names = match disk.list(&above) {
        Ok(names) => names,
        Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(IoError::at("list", &above)(e).into()),
    };
    let logs_seen = names.len().min(logs_max);
    let directories = names.iter().take(logs_seen).map(|name| above.join(name));
    let mut newer = None;
    for directory in directories {
        match format(&disk, &directory) {
            Ok(()) => {}
            Err(error @ OpenError::NewerFormat { .. }) => {
                newer = Some(error);
                break;
            }
            // A server may be deleting it.
            Err(OpenError::Io(e)) if e.source.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let age_time = age::read(&disk, folder)?;
    Ok(Glance { owner, logs: names.len(), logs_seen, newer, age_time })
}

/// Reads a log's settings, its checkpoint, which vouches for the stores before the last, and the
/// head of its newest store.
fn format(disk: &dyn Disk, directory: &Path) -> Result<(), OpenError> {
    Meta::read(disk, directory)?;
    Slots::read(disk, directory)?;
    let files = disk.list(directory).map_err(IoError::at("list", directory))?;
    // Their names have the same number of digits.
    let Some(newest) = files.into_iter().filter(|name| name.ends_with(".store")).max() else {
        return Ok(());
    };
    let path = directory.join(newest);
    match ArchivedSegment::open(disk, &path) {
        Err(ArchivedError::NewerFormat { found }) => {
            let supported = format!("version {FORMAT_VERSION}");
            Err(OpenError::NewerFormat { path, found, supported })
        }
        Err(ArchivedError::Io(error)) => Err(error.into()),
        // Damage is another question.
        Ok(_) | Err(ArchivedError::NoStore | ArchivedError::Damaged { .. }) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::log::lines::Lines;
    use crate::log::{Logs, Options};

    #[test]
    fn a_glance_tells_the_owner_the_logs_and_a_newer_format() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let absent = glance(&data, 9).unwrap();
        assert_eq!((absent.owner, absent.logs, absent.age_time), (None, 0, None));

        let logs = Logs::open(&data, Arc::new(OsDisk::new()), Options::default()).unwrap();
        let seen = glance(&data, 9).unwrap();
        assert_eq!(seen.owner, Some(Owner { pid: Some(std::process::id()) }));
        assert_eq!((seen.logs, seen.logs_seen), (1, 1));
        assert!(seen.newer.is_none());
        logs.close().unwrap();
        let seen = glance(&data, 0).unwrap();
        assert_eq!((seen.owner, seen.logs, seen.logs_seen), (None, 1, 0));
        age::write(&OsDisk::new(), &data, 7).unwrap();
        assert_eq!(glance(&data, 0).unwrap().age_time, Some(Duration::from_micros(7)));

        let log = names::logs(&data).join("default");
        let mut slot = [b"VARVECKP", &[0; 152][..]].concat();
        slot[12] = 2;
        let crc = crc32c::crc32c(&slot[12..]).to_le_bytes();
        slot[8..12].copy_from_slice(&crc);
        let mut meta = Lines::default();
        meta.put("format", 2);
        let meta = meta.sealed().into_bytes();
        for (path, bytes) in [(names::checkpoint(&log), slot), (names::meta(&log), meta)] {
            let held = fs::read(&path).unwrap_or_default();
            fs::write(&path, bytes).unwrap();
            let newer = glance(&data, 9).unwrap().newer;
            let Some(OpenError::NewerFormat { path: found, .. }) = newer else {
                panic!("{path:?}: {newer:?}")
            };
            assert_eq!(found, path);
            fs::write(&path, held).unwrap();
        }
    }
}
