//! `varve backup`: a copy of logs as they are now, by a server or without one.
//!
//! Files: `report` (what was made, for people and programs).

mod report;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{ArgMatches, Args, Command, FromArgMatches};
use grpcio::CallOption;

use self::report::Report;
use super::client::args::ClientArgs;
use super::client::connection::Connection;
use super::client::error::ClientError;
use super::error::CliError;
use super::escape::Escaped;
use super::verify::{self, check};
use super::{output, progress};
use crate::log::{Disk, LogName, OsDisk, back_up_at_rest};
use crate::proto::admin_service::BackUpRequest;

/// The server ends the connection before.
const CALL_TIME_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// A server that was at work for longer is not likely to have made nothing.
const MADE_WITHIN: Duration = Duration::from_secs(60);

const EXAMPLES: &str = "\
Examples:
  varve backup                                    all logs, called by the time
  varve backup before-upgrade                     the same, by a name
  varve backup --log orders --log payments        some logs
  varve backup --data-dir /var/lib/varve --to /mnt/monday     without a server
  varve restore /mnt/monday --to /var/lib/varve               and back

A server makes the folder backups/NAME in its data directory, while appends go on: all that was
acknowledged as synced before is in it. It needs the permission `admin` on each log. Without a
server, for which the server must be stopped, the folder may be anywhere.

Sealed segments are links where the file system allows it, so a backup takes no time and at first no
space. But a link is the same bytes on the same disk: it saves from a deletion, a trim or a bad
upgrade, and from a broken disk only once it is copied to another one. To remove it, remove the
folder.

Then every byte is checked. Whatever the check finds is told, and the backup is there. A check of
more than 50 minutes outlives its connection, and its outcome is told to nobody: for so much take
--no-verify, and `varve verify` afterwards.

Exit codes:
  0   made, and checked unless that was not wanted
  1   refused, or no server was reached, or the check found a derived file wrong
  2   wrong certificates; without a server: no such log, or the folder cannot be the backup
  65  the check found damage; without a server: no data directory, or one of a newer release
  74  a file could not be read or written
  75  without a server: one has the directory, or somebody makes the same backup";

/// Make a backup of logs, while appends go on
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Backup {
    /// What to call it; the time unless it is given
    #[arg(value_name = "NAME", conflicts_with_all = ["data_dir", "to"])]
    name: Option<String>,
    /// A log to back up; all unless some are named. May be given several times
    #[arg(long = "log", value_name = "LOG")]
    logs: Vec<String>,
    /// Do not check what was made
    #[arg(long)]
    no_verify: bool,
    /// Back up this folder of logs, which no server uses, without a server
    #[arg(long, value_name = "DIR", requires = "to")]
    data_dir: Option<PathBuf>,
    /// The folder to make, with --data-dir
    #[arg(long, value_name = "FOLDER", requires = "data_dir")]
    to: Option<PathBuf>,
    #[command(flatten)]
    client: MaybeClient,
}

/// The flags of a client, which are needed unless there is to be no server.
#[derive(Debug)]
struct MaybeClient(ClientArgs);

impl MaybeClient {
    fn relax(command: Command) -> Command {
        ["cert", "key", "ca"].into_iter().fold(command, |command, id| {
            command.mut_arg(id, |arg| arg.required_unless_present_any(["plaintext", "data_dir"]))
        })
    }
}

impl Args for MaybeClient {
    fn augment_args(command: Command) -> Command {
        Self::relax(ClientArgs::augment_args(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::relax(ClientArgs::augment_args_for_update(command))
    }
}

impl FromArgMatches for MaybeClient {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        ClientArgs::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl Backup {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let report = match (&self.data_dir, &self.to) {
            (Some(data_dir), Some(to)) => self.at_rest(data_dir.clone(), to.clone())?,
            _ => self.by_server()?,
        };
        report.write(is_json)?;
        Ok(ExitCode::from(report.code()))
    }

    fn by_server(&self) -> Result<Report, CliError> {
        let connection = Connection::open(&self.client.0)?;
        let request = BackUpRequest {
            name: self.name.clone().unwrap_or_default(),
            logs: self.logs.clone(),
            skip_check: self.no_verify,
            ..BackUpRequest::default()
        };
        let option = CallOption::default().timeout(CALL_TIME_MAX);
        let began = Instant::now();
        let made = connection.admin().back_up_opt(&request, option);
        let waited = began.elapsed();
        let made = made.map_err(|error| unanswered(connection.explain(error), waited, self));
        Ok(Report::from(&made?))
    }

    fn at_rest(&self, data_dir: PathBuf, to: PathBuf) -> Result<Report, CliError> {
        let logs = names(&self.logs)?;
        let disk: Arc<dyn Disk> = Arc::new(OsDisk::new());
        let began = Instant::now();
        let made = progress::while_copying(None, |copied| {
            back_up_at_rest(&disk, &data_dir, &to, &logs, copied)
        });
        let made = made.map_err(|source| CliError::BackUp { folder: data_dir, source })?;
        let mut report = Report::of(&to, &made, began.elapsed());
        if !self.no_verify {
            let verified = check(&to, &[])?;
            report.add(&verified.faults, verify::shown);
        }
        Ok(report)
    }
}

/// What it means that there is no answer although the server was at work for so long.
fn unanswered(why: ClientError, waited: Duration, asked: &Backup) -> CliError {
    if waited < MADE_WITHIN || !why.is_silence() {
        return why.into();
    }
    let name = asked.name.as_deref().unwrap_or("NAME");
    let outcome = "the backup may be there, and its check was not heard of";
    let look = format!(
        "see whether `backups/{}` is in the server's data directory: `varve verify` checks it. A \
         server ends connections that are older than 54 minutes: with --no-verify a backup is \
         answered before, and is to be checked afterwards",
        Escaped(name)
    );
    CliError::Unanswered { why: why.into(), outcome, look }
}

/// Names of logs as they were typed.
pub(super) fn names(typed: &[String]) -> Result<Vec<LogName>, CliError> {
    let parse = |name: &String| {
        LogName::parse_any(name).map_err(|source| CliError::LogName { name: name.clone(), source })
    };
    typed.iter().map(parse).collect()
}

/// Says that links are no second disk.
fn warn_of_links(path: &str) {
    output::note(format_args!(
        "links share the disk's fate: copy {path} to another disk, as with `cp -a`, to be safe \
         from this one"
    ));
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use grpcio::RpcStatusCode;

    use super::*;
    use crate::cli::client::refusal::Refusal;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        backup: Backup,
    }

    /// A connection ends after an hour, and the command said no more than that it had.
    #[test]
    fn a_backup_that_was_not_answered_may_be_there() {
        let asked = Line::try_parse_from(["x", "monday", "--plaintext"]).unwrap().backup;
        let ended = |code, reason: &str, waited_s| {
            let why = ClientError::Refused(Refusal::of(code, reason).into());
            unanswered(why, Duration::from_secs(waited_s), &asked)
        };
        let told = ended(RpcStatusCode::UNAVAILABLE, "", 3300);
        assert!(told.to_string().contains("the backup may be there"), "{told}");
        assert!(told.hints()[0].contains("backups/monday"), "{:?}", told.hints());
        for told in [
            ended(RpcStatusCode::UNAVAILABLE, "", 3),
            ended(RpcStatusCode::UNAVAILABLE, "BACKUP_RUNNING", 3300),
        ] {
            assert!(matches!(told, CliError::Client(_)), "{told}");
        }
    }

    #[test]
    fn certificates_are_needed_only_for_a_server_with_tls() {
        let parse = |args: &[&str]| Line::try_parse_from([&["x"], args].concat()).is_ok();
        assert!(parse(&["--plaintext"]));
        assert!(parse(&["--data-dir", "a", "--to", "b"]));
        assert!(parse(&["monday", "--cert", "a", "--key", "b", "--ca", "c"]));
        let wrong: [&[&str]; 5] = [
            &[],
            &["--cert", "a"],
            &["--data-dir", "a"],
            &["--plaintext", "--to", "b"],
            &["monday", "--data-dir", "a", "--to", "b"],
        ];
        for args in wrong {
            assert!(!parse(args), "{args:?}");
        }
    }
}
