//! What the files of a data directory are called.
//!
//! `DATA/LOCK`, `DATA/clock`, `DATA/logs/<name>/`, `DATA/trash/`, `DATA/backups/<name>/`; in a
//! log's directory `meta`, `checkpoint`, `producers`, `readers`, and per segment
//! `<base offset in 20 digits>.store` and `.index`.

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::offset::Offset;
use crate::own::AUDIT_LOG;

/// Files of a log that were not finished or not needed: a start removes them.
pub(crate) const LEFT_OVERS: [&str; 7] = [
    "next.store",
    "next.index",
    "meta.new",
    "producers.new",
    "readers.new",
    "repair.store",
    "repair.index",
];

/// The longest log name, in bytes.
pub const LOG_NAME_BYTES_MAX: usize = 128;

/// A log's name: `[a-z0-9][a-z0-9._-]{0,127}` without `..`, so that it is a safe file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogName(String);

/// Why a text is no name of a log or a reader.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// It is empty.
    #[error("a name must not be empty")]
    Empty,
    /// It is too long.
    #[error("a name has at most 128 bytes, and this one {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It has a character that no name has there.
    #[error(
        "character {at} of the name is {found:?}; a name has a-z, 0-9, '.', '_' and '-', and \
         begins with a letter or digit"
    )]
    Character {
        /// Which one, from 0.
        at: usize,
        /// The character.
        found: char,
    },
    /// It has two dots in a row.
    #[error("a name must not contain \"..\"")]
    Dots,
    /// It is what a backup is called until it is whole.
    #[error("a backup's name must not end in \".part\"")]
    Part,
}

impl LogName {
    /// Takes `text` for a log's name.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > LOG_NAME_BYTES_MAX {
            return Err(NameError::TooLong { bytes: text.len() });
        }
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let bad = text
            .chars()
            .enumerate()
            .find(|&(i, c)| !plain(c) && (i == 0 || !matches!(c, '.' | '_' | '-')));
        if let Some((at, found)) = bad {
            return Err(NameError::Character { at, found });
        }
        if text.contains("..") {
            return Err(NameError::Dots);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name of the log of who changed what: no client can make a log with such a name.
    #[must_use]
    pub fn audit() -> Self {
        Self(AUDIT_LOG.to_owned())
    }

    /// Takes `text` for the name of a log that may be the server's own.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn parse_any(text: &str) -> Result<Self, NameError> {
        if text == AUDIT_LOG { Ok(Self::audit()) } else { Self::parse(text) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LogName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A reader's name, of the same form as a log's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReaderName(LogName);

impl ReaderName {
    /// Takes `text` for a reader's name.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        LogName::parse(text).map(Self)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for ReaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A backup's name, of the same form as a log's; what is not whole yet ends in `.part`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupName(LogName);

impl BackupName {
    /// Takes `text` for a backup's name.
    ///
    /// # Errors
    ///
    /// Says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.ends_with(UNFINISHED) {
            return Err(NameError::Part);
        }
        LogName::parse(text).map(Self)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// How the name of a backup ends that is not whole.
pub(crate) const UNFINISHED: &str = ".part";

/// What the folder `whole` is called until it is whole.
pub(crate) fn unfinished(whole: &Path) -> PathBuf {
    let mut name = whole.file_name().unwrap_or_default().to_owned();
    name.push(UNFINISHED);
    whole.with_file_name(name)
}

/// The directory in which `path` has its name.
pub(crate) fn above(path: &Path) -> &Path {
    path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

pub(crate) fn lock(data: &Path) -> PathBuf {
    data.join("LOCK")
}

pub(crate) fn logs(data: &Path) -> PathBuf {
    data.join("logs")
}

pub(crate) fn trash(data: &Path) -> PathBuf {
    data.join("trash")
}

/// Where repairs keep what they replaced.
pub(crate) fn quarantine(data: &Path) -> PathBuf {
    data.join("quarantine")
}

/// The folder of the logs while a restore puts them there.
pub(crate) fn restoring(data: &Path) -> PathBuf {
    unfinished(&logs(data))
}

/// Where a server puts its backups.
pub(crate) fn backups(data: &Path) -> PathBuf {
    data.join("backups")
}

/// What the time of `age` has come to.
pub(crate) fn clock(data: &Path) -> PathBuf {
    data.join("clock")
}

pub(crate) fn meta(log: &Path) -> PathBuf {
    log.join("meta")
}

pub(crate) fn checkpoint(log: &Path) -> PathBuf {
    log.join("checkpoint")
}

pub(crate) fn producers(log: &Path) -> PathBuf {
    log.join("producers")
}

/// The file `producers` before it is whole.
pub(crate) fn new_producers(log: &Path) -> PathBuf {
    log.join("producers.new")
}

pub(crate) fn readers(log: &Path) -> PathBuf {
    log.join("readers")
}

/// The readers file that is about to take the old one's place.
pub(crate) fn next_readers(log: &Path) -> PathBuf {
    log.join("readers.new")
}

pub(crate) fn store(log: &Path, base: Offset) -> PathBuf {
    log.join(format!("{:020}.store", base.get()))
}

pub(crate) fn index(log: &Path, base: Offset) -> PathBuf {
    log.join(format!("{:020}.index", base.get()))
}

/// The store of the segment that is prepared ahead, before its base offset is known.
pub(crate) fn next_store(log: &Path) -> PathBuf {
    log.join("next.store")
}

/// The index of the segment that is prepared ahead.
pub(crate) fn next_index(log: &Path) -> PathBuf {
    log.join("next.index")
}

/// The store that a repair is making.
pub(crate) fn repair_store(log: &Path) -> PathBuf {
    log.join("repair.store")
}

/// The index that a repair is making.
pub(crate) fn repair_index(log: &Path) -> PathBuf {
    log.join("repair.index")
}

/// The base offset in a store file's name.
pub(crate) fn store_base(file_name: &str) -> Option<Offset> {
    segment_base(file_name, ".store")
}

/// The base offset in an index file's name.
pub(crate) fn index_base(file_name: &str) -> Option<Offset> {
    segment_base(file_name, ".index")
}

fn segment_base(file_name: &str, ending: &str) -> Option<Offset> {
    let digits = file_name.strip_suffix(ending)?;
    (digits.len() == 20 && digits.bytes().all(|b| b.is_ascii_digit()))
        .then(|| digits.parse().ok().map(Offset::new))
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_right_form_are_taken() {
        for name in ["default", "a", "0", "orders.eu-1_x", &"a".repeat(128)] {
            assert_eq!(LogName::parse(name).map(|n| n.as_str().to_owned()), Ok(name.to_owned()));
        }
    }

    #[test]
    fn what_is_not_whole_stands_beside_its_place() {
        for whole in ["/mnt/monday", "/mnt/monday/"] {
            assert_eq!(unfinished(Path::new(whole)), Path::new("/mnt/monday.part"));
        }
        assert_eq!(unfinished(Path::new("monday")), Path::new("monday.part"));
    }

    #[test]
    fn other_names_are_refused_with_their_reason() {
        assert_eq!(LogName::parse(""), Err(NameError::Empty));
        assert_eq!(LogName::parse(&"a".repeat(129)), Err(NameError::TooLong { bytes: 129 }));
        assert_eq!(LogName::parse("a..b"), Err(NameError::Dots));
        for (name, at) in [
            ("..", 0),
            (".a", 0),
            ("-a", 0),
            ("_a", 0),
            ("A", 0),
            ("/etc", 0),
            ("a/b", 1),
            ("a\0", 1),
            ("a b", 1),
            ("a\r\n", 1),
            ("a%2e", 1),
            ("ä", 0),
            ("a\u{202e}", 1),
        ] {
            let found = name.chars().nth(at).unwrap();
            assert_eq!(LogName::parse(name), Err(NameError::Character { at, found }), "{name:?}");
        }
    }

    #[test]
    fn a_backup_is_not_called_as_one_that_is_not_whole() {
        assert_eq!(BackupName::parse("20261128t150000z").unwrap().as_str(), "20261128t150000z");
        assert_eq!(BackupName::parse("monday.part"), Err(NameError::Part));
        assert_eq!(BackupName::parse(".."), Err(NameError::Character { at: 0, found: '.' }));
        assert_eq!(unfinished(Path::new("/d/monday")), Path::new("/d/monday.part"));
    }

    #[test]
    fn a_segment_name_reads_back_and_others_do_not() {
        let path = store(Path::new("/d"), Offset::new(42));
        assert_eq!(path.file_name().unwrap(), "00000000000000000042.store");
        assert_eq!(store_base("00000000000000000042.store"), Some(Offset::new(42)));
        for name in
            ["42.store", "next.store", "+0000000000000000042.store", "00000000000000000042.index"]
        {
            assert_eq!(store_base(name), None, "{name}");
        }
    }
}
