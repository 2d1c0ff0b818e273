//! `varve acl check`: what the access control list says, and which line says it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::error::CliError;
use super::{exit, output};
use crate::acl::{Action, Policy};

const EXAMPLES: &str = "\
Examples:
  varve acl check root produce default --acl /etc/varve/acl.csv
  varve acl check spiffe://example/billing consume orders.eu --acl acl.csv

Exit codes:
  0  allowed
  1  denied
  2  the list is wrong; the message names the line";

/// Look at the access control list
#[derive(Debug, Args)]
pub(super) struct Acl {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(Check),
}

/// Say whether a subject may do something, and which line decides
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
struct Check {
    /// Who: the subject of a certificate, as `varve certs inspect` shows it
    subject: String,
    /// What: produce, consume or admin
    action: Action,
    /// On which log
    log: String,
    /// The access control list
    #[arg(long, value_name = "FILE")]
    acl: PathBuf,
}

/// The answer for programs.
#[derive(Serialize)]
struct Answer<'a> {
    allowed: bool,
    line: Option<u32>,
    rule: Option<&'a str>,
}

impl Acl {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let Command::Check(check) = self.command;
        let policy = Policy::load(&check.acl)?;
        let decision = policy.decide(&check.subject, check.action, &check.log);
        if is_json {
            let (line, rule) = (decision.rule.map(|rule| rule.line()), decision.rule);
            let rule = rule.map(|rule| rule.text());
            output::json(&Answer { allowed: decision.allowed, line, rule })?;
        } else {
            output::line(decision)?;
        }
        let code = if decision.allowed { 0 } else { exit::FAILED };
        Ok(ExitCode::from(code))
    }
}
