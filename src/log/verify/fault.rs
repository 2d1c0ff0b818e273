//! What a check reports.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::log::error::IoError;
use crate::log::names::LogName;
use crate::log::offset::Offset;

/// What a fault means for those who use the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Meaning {
    /// Something that was acknowledged cannot be read any more.
    Damage,
    /// The file could not be read, so nobody knows.
    Unreadable,
    /// What is made from other files, such as an index, is not as it should be, or a file is no
    /// part of the log. Nothing is lost.
    Derived,
    /// Writing stopped here: what follows was never known to be durable, and a start cuts it off.
    TornTail,
    /// Left by something that was interrupted, or made ahead; a start removes it.
    LeftOver,
}

impl fmt::Display for Meaning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damage => "damage",
            Self::Unreadable => "unreadable",
            Self::Derived => "derived",
            Self::TornTail => "torn tail",
            Self::LeftOver => "left over",
        })
    }
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The log; `None` for what is beside all logs.
    pub log: Option<LogName>,
    /// The file.
    pub path: PathBuf,
    /// Where in the file.
    pub position: Option<u64>,
    /// The offsets that are concerned, from the first up to but not including the second.
    pub offsets: Option<(Offset, Offset)>,
    /// What it means.
    pub meaning: Meaning,
    /// What was found.
    pub what: String,
}

impl Fault {
    /// A fault of a whole file.
    pub(crate) fn of(path: &Path, meaning: Meaning, what: impl Into<String>) -> Self {
        let (path, what) = (path.to_owned(), what.into());
        Self { log: None, path, position: None, offsets: None, meaning, what }
    }

    pub(crate) fn unreadable(error: &IoError) -> Self {
        let what = format!("cannot {} it: {}", error.op, error.source);
        Self::of(&error.path, Meaning::Unreadable, what)
    }

    pub(crate) fn is_unreadable(&self) -> bool {
        self.meaning == Meaning::Unreadable
    }

    pub(crate) fn at(self, position: u64) -> Self {
        Self { position: Some(position), ..self }
    }

    pub(crate) fn over(self, from: Offset, to: Offset) -> Self {
        Self { offsets: Some((from, to)), ..self }
    }
}
