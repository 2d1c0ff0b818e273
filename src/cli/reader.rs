//! `varve reader`: named positions from which consumers go on.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::client::args::ClientArgs;
use super::client::connection::Connection;
use super::error::CliError;
use super::escape::Escaped;
use super::human::{Time, about_us};
use super::output;
use super::table::{self, Align};
use crate::proto::readers_service::{
    CommitReaderRequest, DeleteReaderRequest, GetReaderRequest, ListReadersRequest, Reader,
};

const EXAMPLES: &str = "\
Examples:
  varve reader list --log orders
  varve reader get billing --log orders
  varve reader commit billing --log orders --offset 42
  varve reader commit billing --log orders --offset 0 --force
  varve reader delete billing --log orders

`varve consume --reader billing --commit` moves a reader behind what it has written out.

A reader belongs to the subject that made it; to see or move another's takes the permission `admin`
on the log.

The certificate, key and CA come from flags or from VARVE_CERT, VARVE_KEY and VARVE_CA.";

/// Look at, move and delete readers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReaderCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Commit(Commit),
    Get(Named),
    List(List),
    Delete(Deletion),
}

/// Move a reader, and make it if there is none
#[derive(Debug, Args)]
struct Commit {
    /// The offset of the record to read next: all before it are done
    #[arg(long, value_name = "OFFSET")]
    offset: u64,
    /// Let it go back
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    reader: Named,
}

/// Show where a reader stands
#[derive(Debug, Args)]
struct Named {
    /// The reader
    name: String,
    /// The log that it reads
    #[arg(long, value_name = "NAME", default_value = "default")]
    log: String,
    #[command(flatten)]
    client: ClientArgs,
}

/// Show the readers of a log
#[derive(Debug, Args)]
struct List {
    /// The log that they read
    #[arg(long, value_name = "NAME", default_value = "default")]
    log: String,
    #[command(flatten)]
    client: ClientArgs,
}

/// Forget a reader
#[derive(Debug, Args)]
struct Deletion {
    #[command(flatten)]
    reader: Named,
}

/// A reader for programs.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    name: &'a str,
    offset: u64,
    owner: &'a str,
    commit_time_us: u64,
    lag_records: u64,
    lag_us: u64,
}

/// What was deleted, for programs.
#[derive(Serialize)]
struct Deleted<'a> {
    deleted: &'a str,
}

impl<'a> From<&'a Reader> for Shown<'a> {
    fn from(reader: &'a Reader) -> Self {
        Self {
            name: &reader.name,
            offset: reader.offset,
            owner: &reader.owner,
            commit_time_us: reader.commit_time_us,
            lag_records: reader.lag_records,
            lag_us: reader.lag_us,
        }
    }
}

impl ReaderCommand {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        match self.command {
            Command::Commit(commit) => commit.run(is_json),
            Command::Get(get) => get.show(is_json),
            Command::List(list) => list.run(is_json),
            Command::Delete(deletion) => deletion.run(is_json),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Commit {
    fn run(self, is_json: bool) -> Result<(), CliError> {
        let connection = Connection::open(&self.reader.client)?;
        let request = CommitReaderRequest {
            log: self.reader.log,
            reader: self.reader.name,
            offset: self.offset,
            force: self.force,
            ..CommitReaderRequest::default()
        };
        let moved =
            connection.call(|option| connection.readers().commit_reader_opt(&request, option))?;
        tell(&moved.reader.unwrap_or_default(), is_json)
    }
}

impl Named {
    fn show(self, is_json: bool) -> Result<(), CliError> {
        let connection = Connection::open(&self.client)?;
        let request =
            GetReaderRequest { log: self.log, reader: self.name, ..GetReaderRequest::default() };
        let got =
            connection.call(|option| connection.readers().get_reader_opt(&request, option))?;
        tell(&got.reader.unwrap_or_default(), is_json)
    }
}

impl List {
    fn run(self, is_json: bool) -> Result<(), CliError> {
        let connection = Connection::open(&self.client)?;
        let request = ListReadersRequest { log: self.log, ..ListReadersRequest::default() };
        let list =
            connection.call(|option| connection.readers().list_readers_opt(&request, option))?;
        if is_json {
            return list.readers.iter().try_for_each(|reader| output::json(&Shown::from(reader)));
        }
        output::line(table(&list.readers))
    }
}

impl Deletion {
    fn run(self, is_json: bool) -> Result<(), CliError> {
        let Named { name, log, client } = self.reader;
        let connection = Connection::open(&client)?;
        let request = DeleteReaderRequest { log, reader: name, ..DeleteReaderRequest::default() };
        connection.call(|option| connection.readers().delete_reader_opt(&request, option))?;
        if is_json {
            return output::json(&Deleted { deleted: &request.reader });
        }
        output::note(format_args!("deleted the reader {}", Escaped(&request.reader)));
        Ok(())
    }
}

fn tell(reader: &Reader, is_json: bool) -> Result<(), CliError> {
    if is_json {
        return output::json(&Shown::from(reader));
    }
    output::line(table(std::slice::from_ref(reader)))
}

/// Readers in a table.
pub(super) fn table(readers: &[Reader]) -> String {
    let rows = readers.iter().map(|reader| {
        let [offset, lag] = [reader.offset, reader.lag_records].map(|number| number.to_string());
        let moved = format!("{:.0}", Time(reader.commit_time_us));
        let lag_time = if reader.lag_us == 0 { "-".to_owned() } else { about_us(reader.lag_us) };
        [reader.name.clone(), offset, lag, lag_time, moved, reader.owner.clone()]
    });
    let (left, right) = (Align::Left, Align::Right);
    let heading = [
        ("READER", left),
        ("OFFSET", right),
        ("LAG", right),
        ("LAG TIME", right),
        ("MOVED", left),
        ("OWNER", left),
    ];
    table::rows(heading, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_shown_with_its_lag() {
        let reader = Reader {
            name: "billing".to_owned(),
            offset: 7,
            owner: "root".to_owned(),
            commit_time_us: 1_795_375_000_000_000,
            lag_records: 3,
            lag_us: 200_000_000,
            ..Reader::default()
        };
        let idle = Reader { lag_us: 0, lag_records: 0, ..reader.clone() };
        assert_eq!(
            table(&[reader.clone(), idle]),
            "READER   OFFSET  LAG  LAG TIME  MOVED                 OWNER\n\
             billing       7    3     3m20s  2026-11-22T19:16:40Z  root\n\
             billing       7    0         -  2026-11-22T19:16:40Z  root"
        );
        assert_eq!(
            serde_json::to_string(&Shown::from(&reader)).unwrap(),
            "{\"name\":\"billing\",\"offset\":7,\"owner\":\"root\",\
             \"commit_time_us\":1795375000000000,\"lag_records\":3,\"lag_us\":200000000}"
        );
    }
}
