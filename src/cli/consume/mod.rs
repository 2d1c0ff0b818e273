//! `varve consume`: reads records to standard output.

mod format;
mod receive;

use std::io;
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use thiserror::Error;

use self::format::Format;
use self::receive::Stretch;
use super::client::args::ClientArgs;
use super::client::connection::Connection;
use super::error::CliError;

const EXAMPLES: &str = "\
Examples:
  varve consume                                  all records, one per line
  varve consume --offset 42 --count 1            one record
  varve consume --offset end --follow            what comes from now on
  varve consume --json | jq -r .value            with offsets, as JSON lines
  varve consume --format raw --count 1 > photo.jpg

Formats:
  lines      the record's bytes and a newline
  raw        the records' bytes, nothing between them
  json       {\"offset\":7,\"value\":\"text\"}, or value_base64 if the bytes are not UTF-8
  delimited  each record behind its length, a protobuf varint

Without --follow the command ends at the end that the log had when it began.
The certificate, key and CA come from flags or from VARVE_CERT, VARVE_KEY and VARVE_CA.";

/// Read records to standard output
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Consume {
    /// Where to begin: an offset, `start` (the oldest record held) or `end`
    #[arg(long, default_value = "0", value_name = "OFFSET")]
    offset: Begin,
    /// Wait at the end for what is appended
    #[arg(long, short)]
    follow: bool,
    /// End after this many records
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<NonZeroU64>,
    /// How records are written; lines, or json with --json
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    client: ClientArgs,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    At(u64),
    Start,
    End,
}

/// What was typed is no place in a log.
#[derive(Debug, Error)]
#[error("an offset is a whole number from 0, or `start`, or `end`")]
struct NoPlace;

impl FromStr for Begin {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        match text {
            "start" => Ok(Self::Start),
            "end" => Ok(Self::End),
            number => number.parse().map(Self::At).or(Err(NoPlace)),
        }
    }
}

impl Consume {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let connection = Connection::open(&self.client)?;
        let format = self.format.unwrap_or(if is_json { Format::Json } else { Format::Lines });
        let stretch = self.stretch(&connection)?;
        receive::copy(&connection, stretch, format, io::stdout().lock())?;
        Ok(ExitCode::SUCCESS)
    }

    /// The offsets that are to be read. The bounds are asked for only where they matter.
    fn stretch(&self, connection: &Connection) -> Result<Stretch, CliError> {
        let records_max = self.count.map_or(u64::MAX, NonZeroU64::get);
        if let (Begin::At(from), true) = (self.offset, self.follow) {
            return Ok(Stretch { from, end: u64::MAX, records_max });
        }
        let bounds = receive::bounds(connection)?;
        let from = match self.offset {
            Begin::At(offset) => offset,
            Begin::Start => bounds.start,
            Begin::End => bounds.end,
        };
        let end = if self.follow { u64::MAX } else { bounds.end };
        Ok(Stretch { from, end, records_max })
    }
}
