//! `varve produce`: appends the records of a file or of standard input.
//!
//! Files, in the way of a record: `records` (cuts the input), `json` (a record as a line of JSON),
//! `input` (records as they are appended), `batches`, `producer` (who counts them), `delivery`
//! (what is on its way), `exchange` (one call), `send` (calls until all is acknowledged), `report`.

mod batches;
mod delivery;
mod exchange;
mod input;
mod json;
mod producer;
mod records;
mod report;
mod send;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use thiserror::Error;

use self::batches::{Batches, Limits};
use self::delivery::Terms;
use self::input::{Common, Input};
use self::producer::{Id, Named, Producer};
use self::records::Framing;
use self::send::Shipment;
use super::client::args::ClientArgs;
use super::client::connection::Connection;
use super::client::retry::RetryArgs;
use super::error::CliError;
use super::output;
use super::progress::{Progress, Unit};
use crate::proto::log_service::Durability;
use crate::proto::record::Header;

pub(super) use self::records::InputError;
pub(super) use self::report::Unfinished;

const EXAMPLES: &str = "\
Examples:
  echo hello | varve produce                          one record
  varve produce --log audit access.log                a record per line, into the log audit
  varve produce --format whole photo.jpg              one record
  tail -f access.log | varve produce                  each line as it comes
  varve produce --record-key host7 --header a=b m     a key and a header for every record
  varve consume --json | varve produce --format json --log copy
  varve produce --expect-offset 0 first.log           only if the log is empty

Formats:
  lines      a record per line
  whole      the whole input is one record
  json       a record per line:
             {\"key\":\"k\",\"headers\":[{\"name\":\"n\",\"value\":\"v\"}],\"value\":\"text\"}
             key and headers may be missing; key_base64 and value_base64 stand for other bytes;
             offset and time, as `varve consume --json` writes them, are passed over
  delimited  each record behind its length, a protobuf varint

A record is acknowledged once it is on the server's disk, unless --durability says less. Many
records go as one batch, which is in the log whole or not at all. A connection that breaks is made
anew for as long as --retry-for says, and what was not acknowledged is sent again; it is appended
once all the same, because the server knows each batch by its producer's id and its number. With
`--producer-id none` it does not, and then nothing is sent twice.

If the command fails or is interrupted it says how many records were acknowledged, and how to go on
behind them.

The certificate, key and CA come from flags or from VARVE_CERT, VARVE_KEY and VARVE_CA.";

/// Append records, one per line
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Produce {
    /// The input; standard input if there is none or it is -
    file: Option<PathBuf>,
    /// The log to append to
    #[arg(long, value_name = "NAME", default_value = "default")]
    log: String,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    appending: Appending,
    #[command(flatten)]
    retry: RetryArgs,
    #[command(flatten)]
    client: ClientArgs,
}

/// How the input becomes records.
#[derive(Debug, Args)]
#[command(next_help_heading = "Records")]
struct Reading {
    /// How records stand in the input
    #[arg(long, value_enum, default_value = "lines")]
    format: Format,
    /// The same as --format whole
    #[arg(long, conflicts_with_all = ["delimited", "format"])]
    file_as_record: bool,
    /// The same as --format delimited
    #[arg(long, conflicts_with = "format")]
    delimited: bool,
    /// The key of every record that has none of its own
    #[arg(long, value_name = "TEXT")]
    record_key: Option<String>,
    /// A header of every record; may be given several times
    #[arg(long = "header", value_name = "NAME=VALUE")]
    headers: Vec<HeaderArg>,
    /// Leave out the first N records of the input
    #[arg(long, value_name = "N", default_value = "0")]
    skip: u64,
}

/// How batches are appended.
#[derive(Debug, Args)]
#[command(next_help_heading = "Appending")]
struct Appending {
    /// What an acknowledgement waits for
    #[arg(long, value_enum, default_value = "synced")]
    durability: Level,
    /// Append only if the first record gets this offset, and the others follow on
    #[arg(long, value_name = "OFFSET")]
    expect_offset: Option<u64>,
    /// The producer's id, by which a batch that is sent again is known: 32 hexadecimal digits, or
    /// none; random unless given. With an id, batches are cut by their size alone
    #[arg(long, value_name = "HEX")]
    producer_id: Option<Named>,
    /// The producer's epoch; a higher one shuts out those before it
    #[arg(long, value_name = "N", default_value = "0", requires = "producer_id")]
    epoch: u32,
    /// The number of the first batch in the epoch
    #[arg(long, value_name = "N", default_value = "0", requires = "producer_id")]
    sequence: u64,
}

/// How records stand in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One a line
    Lines,
    /// All of it is one
    Whole,
    /// A line of JSON each
    Json,
    /// Each behind its length, a protobuf varint
    Delimited,
}

/// What an acknowledgement waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Level {
    /// The server has the batch in memory
    Buffered,
    /// The kernel of the server's host has it
    Written,
    /// The disk has it
    Synced,
}

/// A header as it is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HeaderArg {
    name: String,
    value: String,
}

/// What was typed is no header.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("a header is a name and a value, such as type=metric")]
struct NoHeader;

impl FromStr for HeaderArg {
    type Err = NoHeader;

    fn from_str(text: &str) -> Result<Self, NoHeader> {
        match text.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                Ok(Self { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err(NoHeader),
        }
    }
}

/// An input, and what is known of it.
struct Source {
    reader: Box<dyn Read + Send>,
    /// Its size, if it is a regular file, which never makes anyone wait.
    size: Option<u64>,
}

impl Produce {
    /// Runs the command. The report goes to standard error, or to standard output in JSON.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let connection = Connection::open(&self.client)?;
        let source = self.source()?;
        let progress = Progress::new(source.size, Unit::Bytes, true);
        let is_repeatable = source.size.is_some() || self.appending.has_name();
        let mut input = Input::new(source.reader, self.reading.framing(), self.reading.common());
        input
            .skip(self.reading.skip)
            .map_err(|why| CliError::Input { done: Box::default(), why })?;
        let skipped = input.taken();
        let batches = Batches::new(input, self.limits, is_repeatable);
        let terms = Terms {
            log: self.log.clone(),
            durability: self.appending.durability.into(),
            expected: self.appending.expect_offset,
            producer: self.appending.producer()?,
            is_named: self.appending.has_name(),
            is_repeatable,
        };
        let retry = self.retry.into();
        let mut shipment = Shipment::new(connection, (batches, skipped), terms, retry, progress)?;
        let ended = shipment.send_all();
        let (acknowledged, producer) = (shipment.acknowledged(), shipment.producer());
        drop(shipment);
        if is_json {
            output::json(&acknowledged.report(&self.log, producer, ended.is_ok()))?;
        } else if ended.is_ok() {
            output::note(acknowledged);
        }
        ended.map(|()| ExitCode::SUCCESS)
    }

    fn source(&self) -> Result<Source, CliError> {
        let (path, file) = match self.file.as_deref() {
            Some(path) if path.as_os_str() != "-" => (path.to_owned(), File::open(path)),
            _ => (PathBuf::from("-"), io::stdin().as_fd().try_clone_to_owned().map(File::from)),
        };
        let opened = file.and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.map_err(|source| CliError::OpenInput { path, source })?;
        let size = metadata.is_file().then_some(metadata.len());
        Ok(Source { reader: Box::new(file), size })
    }
}

impl Reading {
    fn framing(&self) -> Framing {
        match (self.file_as_record, self.delimited, self.format) {
            (true, _, _) | (_, _, Format::Whole) => Framing::Whole,
            (_, true, _) | (_, _, Format::Delimited) => Framing::Delimited,
            (_, _, Format::Json) => Framing::Json,
            (_, _, Format::Lines) => Framing::Lines,
        }
    }

    fn common(&self) -> Common {
        let header = |header: &HeaderArg| Header {
            name: header.name.clone(),
            value: header.value.clone().into(),
            ..Header::default()
        };
        let key = self.record_key.clone().unwrap_or_default().into();
        Common { key, headers: self.headers.iter().map(header).collect() }
    }
}

impl Appending {
    /// Whether the user named the producer, who then can send the same again.
    fn has_name(&self) -> bool {
        matches!(self.producer_id, Some(Named::Id(_)))
    }

    fn producer(&self) -> Result<Option<Producer>, CliError> {
        let id = match self.producer_id {
            Some(Named::None) => return Ok(None),
            Some(Named::Id(id)) => id,
            None => Id::random().map_err(CliError::Random)?,
        };
        Ok(Some(Producer { id, epoch: self.epoch, sequence: self.sequence }))
    }
}

impl Level {
    /// As it is typed.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Buffered => "buffered",
            Self::Written => "written",
            Self::Synced => "synced",
        }
    }
}

impl From<Level> for Durability {
    fn from(level: Level) -> Self {
        match level {
            Level::Buffered => Self::DURABILITY_BUFFERED,
            Level::Written => Self::DURABILITY_WRITTEN,
            Level::Synced => Self::DURABILITY_SYNCED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_cut_at_its_first_equals_sign() {
        let header =
            |name: &str, value: &str| HeaderArg { name: name.to_owned(), value: value.to_owned() };
        assert_eq!("a=b=c".parse(), Ok(header("a", "b=c")));
        assert_eq!("a=".parse(), Ok(header("a", "")));
        for text in ["", "a", "=b"] {
            assert_eq!(text.parse::<HeaderArg>(), Err(NoHeader), "{text}");
        }
    }
}
