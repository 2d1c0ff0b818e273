//! The flags of the measurements, and what they come to.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::batch::{STAMP_BYTES, Shape};
use super::error::BenchError;
use crate::cli::client::args::ClientArgs;
use crate::cli::human;
use crate::cli::produce::Level;

/// The most that one request may be, in bytes. The server's own limit may be lower.
const MESSAGE_BYTES_MAX: u64 = 256 << 20;

/// More logs than a server may be set to have.
const LOGS_MAX: usize = 100_000;

/// What is measured, for how long, and what becomes of the figures.
#[derive(Clone, Debug, Args)]
pub(super) struct Target {
    /// The log; it must be there, unless the server makes logs with their first batch
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(super) log: String,
    /// How long to measure
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = human::duration)]
    pub(super) duration: Duration,
    /// How long to run before that
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = human::duration)]
    pub(super) warmup: Duration,
    /// The server's process, if it is on this host and cannot be found by its port
    #[arg(long, value_name = "PID")]
    pub(super) server_pid: Option<u32>,
    /// Threads of this client that own connections
    #[arg(long, value_name = "N", default_value = "1")]
    pub(super) client_threads: usize,
    /// Draw the latencies as an SVG file
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

/// What producers send.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Records")]
pub(super) struct Records {
    /// Bytes of a record's value
    #[arg(long, value_name = "N", default_value = "100")]
    record_bytes: u64,
    /// What an acknowledgement waits for
    #[arg(long, value_enum, default_value = "synced")]
    pub(super) durability: Level,
    /// Records per second in all, evenly spaced; as many as possible unless given
    #[arg(long, value_name = "N")]
    pub(super) rate: Option<u64>,
}

/// How records are put together.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Records")]
pub(super) struct Batching {
    /// Records of a batch
    #[arg(long, value_name = "N")]
    batch_records: Option<u64>,
    /// Bytes of a batch's values, instead of their number
    #[arg(long, value_name = "SIZE", value_parser = human::size, conflicts_with = "batch_records")]
    batch_bytes: Option<u64>,
}

/// Over how many logs producers spread what they send.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Records")]
pub(super) struct Spread {
    /// Write to so many logs in turn, which must be there: NAME-1, NAME-2 and on for --log NAME;
    /// each stream writes to one of them
    #[arg(long, value_name = "N")]
    logs: Option<usize>,
}

impl Spread {
    /// The logs to write to, where `log` is the one that was named and there are so many `streams`,
    /// if calls do not take turns.
    pub(super) fn names(
        &self,
        log: &str,
        streams: Option<usize>,
    ) -> Result<Vec<String>, BenchError> {
        let Some(count) = self.logs else {
            return Ok(vec![log.to_owned()]);
        };
        bounded("logs", count, streams.unwrap_or(LOGS_MAX))?;
        Ok((1..=count).map(|number| format!("{log}-{number}")).collect())
    }
}

impl Target {
    /// Looks at what can be wrong before anything is done.
    pub(super) fn check(&self) -> Result<(), BenchError> {
        if self.duration.is_zero() {
            return Err(BenchError::NoTime);
        }
        bounded("client-threads", self.client_threads, 64)?;
        let folder = self.plot.as_deref().and_then(|file| file.parent());
        match folder.filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir()) {
            Some(folder) => Err(BenchError::NoPlotFolder { folder: folder.to_owned() }),
            None => Ok(()),
        }
    }
}

impl Records {
    /// The batch that the flags describe, with so many records unless they say.
    pub(super) fn shape(
        &self,
        batching: Option<&Batching>,
        records_default: u64,
    ) -> Result<Shape, BenchError> {
        let record_bytes = self.record_bytes;
        let asked = batching.and_then(|batching| match batching.batch_bytes {
            Some(bytes) => Some((bytes / record_bytes.max(1)).max(1)),
            None => batching.batch_records,
        });
        let records = asked.unwrap_or(records_default);
        check_number("batch-records", records, 1_000_000)?;
        check_rate(self.rate)?;
        let bytes = records.saturating_mul(record_bytes.saturating_add(8));
        if bytes > MESSAGE_BYTES_MAX {
            let max = MESSAGE_BYTES_MAX;
            return Err(BenchError::BatchTooLarge { records, record_bytes, bytes, max });
        }
        Ok(Shape {
            record_bytes: usize::try_from(record_bytes).unwrap_or(usize::MAX),
            records: u32::try_from(records).unwrap_or(u32::MAX),
            durability: self.durability.into(),
        })
    }

    /// That a record has room for the time that it was due at.
    pub(super) fn check_stamped(&self) -> Result<(), BenchError> {
        let min = u64::try_from(STAMP_BYTES).unwrap_or(u64::MAX);
        if self.record_bytes >= min {
            return Ok(());
        }
        let (flag, value, max) = ("record-bytes", self.record_bytes, MESSAGE_BYTES_MAX);
        Err(BenchError::OutOfBounds { flag, value, min, max })
    }
}

fn check_rate(rate: Option<u64>) -> Result<(), BenchError> {
    rate.map_or(Ok(()), |rate| check_number("rate", rate, 1_000_000_000))
}

/// A number of things, at least one.
pub(super) fn bounded(flag: &'static str, value: usize, max: usize) -> Result<(), BenchError> {
    let wide = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
    check_number(flag, wide(value), wide(max))
}

fn check_number(flag: &'static str, value: u64, max: u64) -> Result<(), BenchError> {
    let min = 1;
    if (min..=max).contains(&value) {
        Ok(())
    } else {
        Err(BenchError::OutOfBounds { flag, value, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(record_bytes: u64) -> Records {
        Records { record_bytes, durability: Level::Synced, rate: None }
    }

    fn batching(batch_records: Option<u64>, batch_bytes: Option<u64>) -> Batching {
        Batching { batch_records, batch_bytes }
    }

    #[test]
    fn a_batch_is_counted_in_records_or_in_bytes() {
        for (flags, expected) in [
            (batching(None, None), 1000),
            (batching(Some(7), None), 7),
            (batching(None, Some(10_050)), 100),
            (batching(None, Some(5)), 1),
        ] {
            let shape = records(100).shape(Some(&flags), 1000).unwrap();
            assert_eq!(shape.records, expected, "{flags:?}");
        }
        assert_eq!(records(100).shape(None, 1).unwrap().records, 1);
    }

    #[test]
    fn logs_that_take_turns_are_numbered() {
        let names = |logs| Spread { logs }.names("a", None).unwrap();
        assert_eq!(names(None), ["a"]);
        assert_eq!(names(Some(1)), ["a-1"]);
        assert_eq!(names(Some(3)), ["a-1", "a-2", "a-3"]);
        assert!(Spread { logs: Some(0) }.names("a", None).is_err());
        assert!(Spread { logs: Some(3) }.names("a", Some(2)).is_err());
    }

    #[test]
    fn what_makes_no_sense_is_named_with_its_bounds() {
        let refused = |records: Records, flags: Batching| {
            records.shape(Some(&flags), 1).unwrap_err().to_string()
        };
        let zero = refused(records(100), batching(Some(0), None));
        assert_eq!(zero, "--batch-records 0 is out of bounds: 1 to 1000000");
        let none = refused(Records { rate: Some(0), ..records(100) }, batching(None, None));
        assert_eq!(none, "--rate 0 is out of bounds: 1 to 1000000000");
        let large = refused(records(1 << 20), batching(Some(1000), None));
        assert!(large.contains("1000 records of 1048576 B"), "{large}");
        assert!(records(15).check_stamped().is_err());
        assert!(records(16).check_stamped().is_ok());
    }
}
