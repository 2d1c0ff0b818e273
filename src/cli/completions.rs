//! `varve completions`: what a shell needs to complete the command line.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::Cli;
use super::error::CliError;

const EXAMPLES: &str = "\
Examples:
  varve completions bash > /etc/bash_completion.d/varve
  varve completions zsh > \"${fpath[1]}/_varve\"
  varve completions fish > ~/.config/fish/completions/varve.fish";

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    /// Runs the command.
    pub(super) fn run(self) -> Result<ExitCode, CliError> {
        // The generator itself panics when it cannot write.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "varve", &mut script);
        let mut out = io::stdout().lock();
        out.write_all(&script).and_then(|()| out.flush()).map_err(CliError::Output)?;
        Ok(ExitCode::SUCCESS)
    }
}
