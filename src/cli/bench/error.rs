//! Why a measurement was not made.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a measurement was not made, or not to its end.
#[derive(Debug, Error)]
pub(crate) enum BenchError {
    #[error("--{flag} {value} is out of bounds: {min} to {max}")]
    OutOfBounds { flag: &'static str, value: u64, min: u64, max: u64 },
    #[error("--duration must be more than 0")]
    NoTime,
    #[error(
        "a batch of {records} records of {record_bytes} B is {bytes} B; at most {max} B are sent \
         in one"
    )]
    BatchTooLarge { records: u64, record_bytes: u64, bytes: u64, max: u64 },
    #[error("there is no process {pid} on this host, or it is hidden")]
    NoProcess { pid: u32, source: io::Error },
    #[error("the folder of the plot, {}, is not there", folder.display())]
    NoPlotFolder { folder: PathBuf },
    #[error("cannot write the plot {}", path.display())]
    Plot { path: PathBuf, source: io::Error },
    #[error("{} is no folder", path.display())]
    NoFolder { path: PathBuf },
    #[error("cannot write in {}", path.display())]
    Disk { path: PathBuf, source: io::Error },
    #[error("the log {log} is empty: there is nothing to read")]
    EmptyLog { log: String },
}

impl BenchError {
    /// Whether the command line is what is wrong.
    pub(crate) fn is_usage(&self) -> bool {
        !matches!(self, Self::Plot { .. } | Self::Disk { .. } | Self::EmptyLog { .. })
    }

    /// Whether the host failed to write.
    pub(crate) fn is_io(&self) -> bool {
        matches!(self, Self::Plot { .. } | Self::Disk { .. })
    }
}
