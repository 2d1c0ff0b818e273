//! `varve log delete`: deletes a log, after asking.
//!
//! The server deletes only a log that ends where the caller says, so that what was appended after
//! the question was asked is not lost with it.

use std::io::{self, BufRead as _, IsTerminal as _};

use clap::Args;
use serde::Serialize;

use super::{describe, late, show};
use crate::cli::client::args::ClientArgs;
use crate::cli::client::connection::Connection;
use crate::cli::error::CliError;
use crate::cli::escape::Escaped;
use crate::cli::output;
use crate::proto::admin_service::{DeleteLogRequest, LogSummary};

/// Delete a log, its records and its readers; there is no way back
#[derive(Debug, Args)]
pub(super) struct Delete {
    /// The log
    name: String,
    /// Delete without being asked
    #[arg(long)]
    yes: bool,
    /// Delete only if the log ends at this offset; where it ends now unless given
    #[arg(long, value_name = "OFFSET")]
    expect_end: Option<u64>,
    #[command(flatten)]
    client: ClientArgs,
}

/// What was deleted, for programs.
#[derive(Serialize)]
struct Deleted<'a> {
    deleted: show::Summary<'a>,
}

impl Delete {
    pub(super) fn run(self, is_json: bool) -> Result<(), CliError> {
        let connection = Connection::open(&self.client)?;
        let log = describe(&connection, &self.name)?.log.unwrap_or_default();
        if !self.yes {
            self.confirm(&log)?;
        }
        let request = DeleteLogRequest {
            log: self.name,
            expected_end_offset: Some(self.expect_end.unwrap_or(log.end_offset)),
            log_id: log.log_id.clone(),
            ..DeleteLogRequest::default()
        };
        let deleted =
            connection.call_long(|option| connection.admin().delete_log_opt(&request, option));
        deleted.map_err(|why| late(why, &request.log))?;
        if is_json {
            return output::json(&Deleted { deleted: show::Summary::from(&log) });
        }
        output::note(format_args!("deleted the log {}", Escaped(&request.log)));
        Ok(())
    }

    fn confirm(&self, log: &LogSummary) -> Result<(), CliError> {
        let stdin = io::stdin();
        if !stdin.is_terminal() {
            return Err(CliError::Unconfirmed { log: self.name.clone() });
        }
        output::note(format_args!("{}; all of it will be gone.", show::loss(log)));
        output::note("To delete it, type its name:");
        let mut typed = String::new();
        stdin.lock().read_line(&mut typed).map_err(CliError::Ask)?;
        self.check(typed.trim())
    }

    fn check(&self, typed: &str) -> Result<(), CliError> {
        if typed == self.name {
            return Ok(());
        }
        let typed = if typed.is_empty() { "nothing" } else { typed };
        Err(CliError::OtherName { typed: format!("{}", Escaped(typed)), log: self.name.clone() })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        delete: Delete,
    }

    #[test]
    fn only_the_name_itself_confirms() {
        let delete = Line::try_parse_from(["x", "orders", "--plaintext"]).unwrap().delete;
        assert!(delete.check("orders").is_ok());
        for typed in ["", "order", "Orders", "y", "yes"] {
            assert!(matches!(delete.check(typed), Err(CliError::OtherName { .. })), "{typed}");
        }
    }
}
