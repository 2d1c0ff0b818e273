//! `varve produce`: appends the records of a file or of standard input.

mod records;
mod send;

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use self::records::{Framing, Records};
use super::client::args::ClientArgs;
use super::client::connection::Connection;
use super::error::CliError;
use super::output;

pub(super) use self::records::InputError;
pub(super) use self::send::Acknowledged;

const EXAMPLES: &str = "\
Examples:
  echo hello | varve produce                          one record
  varve produce access.log                            a record per line
  varve produce --file-as-record photo.jpg            one record
  tail -f access.log | varve produce                  each line as it comes
  varve consume --format delimited | varve produce --delimited --server other:8400

The certificate, key and CA come from flags or from VARVE_CERT, VARVE_KEY and VARVE_CA.
A record is acknowledged once it is on the server's disk. If the command fails, it says how many
were; the others may or may not be in the log.";

/// Append records, one per line
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Produce {
    /// The input; standard input if there is none or it is -
    file: Option<PathBuf>,
    /// Make one record of the whole input
    #[arg(long, conflicts_with = "delimited")]
    file_as_record: bool,
    /// Read records behind their lengths (protobuf varints) instead of lines
    #[arg(long)]
    delimited: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// What was acknowledged, for programs.
#[derive(Serialize)]
struct Report {
    records: u64,
    first_offset: Option<u64>,
    last_offset: Option<u64>,
}

impl From<Acknowledged> for Report {
    fn from(acknowledged: Acknowledged) -> Self {
        Self {
            records: acknowledged.records,
            first_offset: acknowledged.first,
            last_offset: acknowledged.last,
        }
    }
}

impl Produce {
    /// Runs the command. The report goes to standard error, or to standard output in JSON.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let connection = Connection::open(&self.client)?;
        let framing = match (self.file_as_record, self.delimited) {
            (true, _) => Framing::Whole,
            (false, true) => Framing::Delimited,
            (false, false) => Framing::Lines,
        };
        let input = self.input()?;
        let acknowledged = send::all(&connection, Records::new(input, framing))?;
        if is_json {
            output::json(&Report::from(acknowledged))?;
        } else {
            output::note(acknowledged);
        }
        Ok(ExitCode::SUCCESS)
    }

    fn input(&self) -> Result<Box<dyn Read + Send>, CliError> {
        match self.file.as_deref() {
            Some(path) if path.as_os_str() != "-" => File::open(path)
                .map(|file| -> Box<dyn Read + Send> { Box::new(file) })
                .map_err(|source| CliError::OpenInput { path: path.to_owned(), source }),
            _ => Ok(Box::new(io::stdin())),
        }
    }
}
