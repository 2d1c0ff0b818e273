//! `varve log`: makes, shows, changes, trims and deletes logs.
//!
//! Files: `settings` (how a log is kept, as typed and as shown), `show` (logs for people and
//! programs), `delete`.

mod delete;
mod settings;
mod show;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use self::settings::{Setting, SettingArgs};
use super::client::args::ClientArgs;
use super::client::connection::Connection;
use super::client::error::ClientError;
use super::error::CliError;
use super::escape::Escaped;
use super::human::about_bytes;
use super::output;
use crate::proto::admin_service::{
    CreateLogRequest, DescribeLogRequest, DescribeLogResponse, ListLogsRequest, LogSummary,
    TrimRequest, TrimResponse, UpdateLogRequest,
};

const EXAMPLES: &str = "\
Examples:
  varve log create audit --retention-age 90d --retention-bytes 50GiB
  varve log list
  varve log describe audit
  varve log update audit --segment-bytes-max 64MiB --reset retention-age
  varve log trim audit --before 100000 --dry-run
  varve log delete audit

Each needs the permission `admin` on the log; the list shows the logs with which the caller may do
anything.

The certificate, key and CA come from flags or from VARVE_CERT, VARVE_KEY and VARVE_CA.";

/// Make, look at, change, trim and delete logs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct LogCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Create(Create),
    List(List),
    Describe(Describe),
    Update(Update),
    Trim(Trim),
    Delete(delete::Delete),
}

/// Make an empty log
#[derive(Debug, Args)]
struct Create {
    /// Its name: a to z, 0 to 9, `.`, `_` and `-`, beginning with a letter or a digit
    name: String,
    #[command(flatten)]
    settings: SettingArgs,
    #[command(flatten)]
    client: ClientArgs,
}

/// Show the logs
#[derive(Debug, Args)]
struct List {
    /// Only logs whose names begin with this
    #[arg(long, value_name = "TEXT", default_value = "")]
    prefix: String,
    #[command(flatten)]
    client: ClientArgs,
}

/// Show all that is known of a log, with its readers
#[derive(Debug, Args)]
struct Describe {
    /// The log
    name: String,
    #[command(flatten)]
    client: ClientArgs,
}

/// Change how a log is kept; what is not named stays
#[derive(Debug, Args)]
struct Update {
    /// The log
    name: String,
    #[command(flatten)]
    settings: SettingArgs,
    /// A setting that is to follow the server's configuration again; may be given several times
    #[arg(long, value_enum, value_name = "SETTING")]
    reset: Vec<Setting>,
    #[command(flatten)]
    client: ClientArgs,
}

/// Drop old segments
#[derive(Debug, Args)]
struct Trim {
    /// The log
    name: String,
    /// Drop the segments whose records are all below this offset; the log's end drops everything
    #[arg(long, value_name = "OFFSET")]
    before: u64,
    /// Only say what would be dropped
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// What a trim dropped, for programs.
#[derive(Serialize)]
struct Trimmed<'a> {
    log: &'a str,
    start_offset: u64,
    segments: u32,
    bytes: u64,
    dry_run: bool,
}

impl LogCommand {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        match self.command {
            Command::Create(create) => create.run(is_json),
            Command::List(list) => list.run(is_json),
            Command::Describe(describe) => describe.run(is_json),
            Command::Update(update) => update.run(is_json),
            Command::Trim(trim) => trim.run(is_json),
            Command::Delete(delete) => delete.run(is_json),
        }?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Create {
    fn run(self, is_json: bool) -> Result<(), CliError> {
        let connection = Connection::open(&self.client)?;
        let request = CreateLogRequest {
            log: self.name,
            settings: Some(self.settings.into()).into(),
            ..CreateLogRequest::default()
        };
        let made = connection.call(|option| connection.admin().create_log_opt(&request, option))?;
        if is_json {
            return output::json(&show::Summary::from(&made.log.unwrap_or_default()));
        }
        output::note(format_args!("made the log {}", Escaped(&request.log)));
        Ok(())
    }
}

impl List {
    fn run(self, is_json: bool) -> Result<(), CliError> {
        let connection = Connection::open(&self.client)?;
        let logs = self.logs(&connection)?;
        if is_json {
            return logs.iter().try_for_each(|log| output::json(&show::Summary::from(log)));
        }
        output::line(show::list(&logs))
    }

    /// All of them, page by page.
    fn logs(self, connection: &Connection) -> Result<Vec<LogSummary>, CliError> {
        let (mut logs, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListLogsRequest {
                prefix: self.prefix.clone(),
                page_token,
                ..ListLogsRequest::default()
            };
            let page =
                connection.call(|option| connection.admin().list_logs_opt(&request, option))?;
            logs.extend(page.logs);
            if page.next_page_token.is_empty() {
                return Ok(logs);
            }
            page_token = page.next_page_token;
        }
    }
}

impl Describe {
    fn run(self, is_json: bool) -> Result<(), CliError> {
        let connection = Connection::open(&self.client)?;
        let log = describe(&connection, &self.name)?;
        if is_json {
            return output::json(&show::Description::from(&log));
        }
        output::line(show::description(&log))
    }
}

impl Update {
    fn run(self, is_json: bool) -> Result<(), CliError> {
        if self.settings.is_empty() && self.reset.is_empty() {
            return Err(CliError::NothingToChange);
        }
        let connection = Connection::open(&self.client)?;
        let request = UpdateLogRequest {
            log: self.name,
            settings: Some(self.settings.into()).into(),
            reset: self.reset.iter().map(|setting| setting.field().to_owned()).collect(),
            ..UpdateLogRequest::default()
        };
        let changed =
            connection.call(|option| connection.admin().update_log_opt(&request, option))?;
        let settings = changed.settings.unwrap_or_default();
        if is_json {
            return output::json(&settings::Shown::from(&settings));
        }
        output::line(settings::table(&settings, None))
    }
}

impl Trim {
    fn run(self, is_json: bool) -> Result<(), CliError> {
        let connection = Connection::open(&self.client)?;
        let request = TrimRequest {
            log: self.name,
            before_offset: self.before,
            dry_run: self.dry_run,
            ..TrimRequest::default()
        };
        let trimmed = connection.call_long(|option| connection.admin().trim_opt(&request, option));
        let trimmed = trimmed.map_err(|why| late(why, &request.log))?;
        if is_json {
            let TrimResponse { start_offset, segments, bytes, .. } = trimmed;
            let (log, dry_run) = (request.log.as_str(), self.dry_run);
            return output::json(&Trimmed { log, start_offset, segments, bytes, dry_run });
        }
        output::note(trim_text(&trimmed, self.dry_run));
        Ok(())
    }
}

fn trim_text(trimmed: &TrimResponse, is_dry_run: bool) -> String {
    let segments = match trimmed.segments {
        1 => "1 segment".to_owned(),
        segments => format!("{segments} segments"),
    };
    let bytes = about_bytes(trimmed.bytes);
    let start = trimmed.start_offset;
    match is_dry_run {
        true => format!("{segments} with {bytes} would go; the log would begin at offset {start}"),
        false => format!("{segments} with {bytes} dropped; the log begins at offset {start}"),
    }
}

/// What it means that the log `name` was not trimmed or deleted in time.
fn late(why: ClientError, name: &str) -> CliError {
    if !why.is_late() {
        return why.into();
    }
    let outcome = "the server goes on with it";
    let look = format!("`varve log describe {}` tells what became of it", Escaped(name));
    CliError::Unanswered { why: why.into(), outcome, look }
}

fn describe(connection: &Connection, name: &str) -> Result<DescribeLogResponse, CliError> {
    let request = DescribeLogRequest { log: name.to_owned(), ..DescribeLogRequest::default() };
    Ok(connection.call(|option| connection.admin().describe_log_opt(&request, option))?)
}

#[cfg(test)]
mod tests {
    use grpcio::RpcStatusCode;

    use super::*;
    use crate::cli::client::refusal::Refusal;

    /// The command gave up after a minute as if nothing had been done, while the server went on.
    #[test]
    fn a_server_that_takes_its_time_is_said_to_go_on() {
        let refused = |code, reason: &str| {
            late(ClientError::Refused(Refusal::of(code, reason).into()), "orders")
        };
        let told = refused(RpcStatusCode::DEADLINE_EXCEEDED, "");
        assert!(told.to_string().ends_with("; the server goes on with it"), "{told}");
        assert_eq!(told.hints(), ["`varve log describe orders` tells what became of it"]);
        let told = refused(RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND");
        assert!(matches!(told, CliError::Client(_)), "{told}");
    }

    #[test]
    fn a_trim_says_what_it_did_or_would_do() {
        let trimmed =
            TrimResponse { start_offset: 9, segments: 1, bytes: 2048, ..TrimResponse::default() };
        assert_eq!(
            trim_text(&trimmed, true),
            "1 segment with 2.00 KiB would go; the log would begin at offset 9"
        );
        assert_eq!(
            trim_text(&TrimResponse { segments: 0, bytes: 0, ..trimmed }, false),
            "0 segments with 0 B dropped; the log begins at offset 9"
        );
    }
}
