//! Standard output and standard error.
//!
//! A reader that leaves early, such as `head`, is no failure: its broken pipe ends the command
//! quietly.

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;

use super::error::CliError;
use super::interrupt;

/// Writes a line to standard output.
pub(super) fn line(text: impl Display) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Writes a value to standard output as one line of JSON.
pub(super) fn json(value: &impl Serialize) -> Result<(), CliError> {
    serde_json::to_string(value).map_err(|error| CliError::Output(error.into())).and_then(line)
}

/// Writes a line of news to standard error. If nobody reads it, that is no failure.
pub(super) fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Ends the command: the error and its causes go to standard error, once, with what to do.
pub(super) fn exit(result: Result<ExitCode, CliError>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(CliError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            if !matches!(error, CliError::Stopped { .. }) {
                note(format_args!("varve: error: {}", chain(&error)));
            }
            for hint in error.hints() {
                note(format_args!("  try: {hint}"));
            }
            if let CliError::Interrupted { signal, .. } | CliError::Stopped { signal } = error {
                interrupt::end(signal);
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// An error and its causes on one line. A cause that the line ends with already is not repeated.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_causes_follow_the_error_once() {
        let inner = io::Error::other("the disk is gone");
        let outer = CliError::Output(inner);
        assert_eq!(chain(&outer), "cannot write to standard output: the disk is gone");
        let same = io::Error::other(outer);
        assert_eq!(chain(&same), "cannot write to standard output: the disk is gone");
    }
}
