//! What can be wrong with a configuration: where it stands, what it is, and what would be right.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::units::show_bytes;

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line of the file is wrong; it is the first that was found.
    #[error("{}:{line}: {fault}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// A value that was given on the command line is wrong.
    #[error("on the command line: {0}")]
    Flag(Fault),
    /// Something without which nothing can be served is set nowhere.
    #[error("no {what} is set: give {flag}, or set {key} in the configuration file")]
    Missing {
        /// What is needed.
        what: &'static str,
        /// The flag that sets it.
        flag: &'static str,
        /// The key that sets it.
        key: &'static str,
    },
    /// A record that is allowed would not fit what carries it.
    #[error(
        "limits.record_bytes_max is {} and {key} is {}: raise the latter to at least {}",
        show_bytes(*record_bytes),
        show_bytes(*bytes),
        show_bytes(*bytes_min)
    )]
    RecordsDoNotFit {
        /// The largest record.
        record_bytes: u64,
        /// The key that is too small for it.
        key: &'static str,
        /// What is set there.
        bytes: u64,
        /// What is needed there.
        bytes_min: u64,
    },
    /// Segments are to be archived, and nobody said where.
    #[error("log.archive is true, and storage.archive_directory is not set")]
    ArchiveWithoutDirectory,
    /// Certificates and a plaintext listener exclude each other.
    #[error("both insecure.plaintext and {key} are set: remove one of them")]
    PlaintextWithTls {
        /// The key that speaks of TLS.
        key: &'static str,
    },
    /// Metrics could be read from other hosts, and only one key says that they may.
    #[error(
        "metrics.listen is {listen}, which other hosts can reach: whoever does may read the names \
         of logs, readers and subjects; use a loopback address, or say so with metrics.public"
    )]
    MetricsInPublic {
        /// The address.
        listen: String,
    },
    /// A plaintext listener could be reached from other hosts.
    #[error("a plaintext server may listen on a loopback address only, and {listen} is none")]
    PlaintextInPublic {
        /// The address.
        listen: String,
    },
}

/// What is wrong with one key or value. Text that was typed is shown with its control bytes
/// escaped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// Not TOML.
    #[error("not valid TOML: {message}")]
    Syntax {
        /// What the parser said.
        message: String,
    },
    /// A key that nothing reads.
    #[error("unknown key {key:?}{}", did_you_mean(nearest.as_deref()))]
    UnknownKey {
        /// The key with its section.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<String>,
    },
    /// A section that has no known key.
    #[error("unknown section [{section}]{}", did_you_mean(nearest.as_deref()))]
    UnknownSection {
        /// Its name, as it can be typed.
        section: String,
        /// The known section that looks most like it.
        nearest: Option<String>,
    },
    /// A key stands where a section is meant, such as `log = 1`.
    #[error("{section} is a section: write [{section}] on a line of its own, and its keys below")]
    NotASection {
        /// Its name.
        section: &'static str,
    },
    /// A value of another type.
    #[error("{key} is {found}, and should be {expected}")]
    Type {
        /// The key with its section.
        key: &'static str,
        /// What was typed.
        found: String,
        /// What would be right, with an example.
        expected: &'static str,
    },
    /// A number, size or duration outside its range.
    #[error("{key} is {value}, and should be from {min} to {max}")]
    OutOfRange {
        /// The key with its section.
        key: &'static str,
        /// What was typed.
        value: String,
        /// The least value.
        min: String,
        /// The greatest value.
        max: String,
    },
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(": did you mean {nearest}?"))
}
