//! `varve config check`: what `varve serve` would run with.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::error::CliError;
use super::output;
use super::serve::access::Access;
use super::serve::settings::Settings;
use crate::config::{Config, Effective, Origin};

const NOTES: &str = "\
Reads the configuration and the files that it names, as `varve serve` does with the same flags, and
starts nothing. Shows each key's value and who set it.";

/// Look at the configuration
#[derive(Debug, Args)]
pub(super) struct ConfigCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the configuration, the certificates and the access control list
    #[command(after_long_help = NOTES)]
    Check(Settings),
}

/// The outcome for programs.
#[derive(Serialize)]
struct Report<'a> {
    settings: &'a [Effective],
    warnings: &'a [String],
}

impl ConfigCommand {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let Command::Check(settings) = self.command;
        let config = settings.load()?;
        let warnings = Access::load(&config)?.warnings();
        if is_json {
            output::json(&Report { settings: &config.effective, warnings: &warnings })?;
        } else {
            output::line(table(&config))?;
            for warning in &warnings {
                output::note(format_args!("varve: warning: {warning}"));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(config: &Config) -> String {
    let width = |text: fn(&Effective) -> &str| {
        config.effective.iter().map(|row| text(row).chars().count()).max().unwrap_or_default()
    };
    let (keys, values) = (width(|row| row.key), width(|row| &row.value));
    let rows = config.effective.iter().map(|Effective { key, value, origin }| {
        let value = if value.is_empty() { "-" } else { value };
        format!("{key:keys$}  {value:values$}  {}", who(*origin))
    });
    rows.collect::<Vec<_>>().join("\n")
}

fn who(origin: Origin) -> &'static str {
    match origin {
        Origin::Default => "default",
        Origin::File => "file",
        Origin::Flag => "flag",
        Origin::Service => "STATE_DIRECTORY",
    }
}
