//! `varve serve`: from the configuration to an orderly stop.
//!
//! Files: `settings` (the flags), `process` (what the process is set to), `logging`, `fatal` and
//! `interrupted` (ends without a stop), `notify` and `passed` (systemd), `access` (certificates,
//! policy, limits), `reload` (those again), `looking` (again and again), `watch` (whether their
//! files changed), `watchdog` (signs of life), `watched` (metrics and the page), `running` (a
//! server and its signals).

pub(super) mod access;
mod allocator;
mod fatal;
mod interrupted;
mod logging;
mod looking;
mod notify;
mod passed;
mod process;
mod reload;
mod running;
pub(super) mod settings;
mod watch;
mod watchdog;
mod watched;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

use self::access::Access;
use self::running::Running;
use self::settings::Settings;
use self::watch::Seen;
use super::error::CliError;

const NOTES: &str = "\
Examples:
  varve serve --cert server.pem --key server-key.pem --client-ca ca.pem --acl acl.csv
  varve serve --config /etc/varve/varve.toml
  varve serve --plaintext --acl acl.csv --listen 127.0.0.1:0      a try on this host

When the server takes calls it prints `listening on ADDRESS:PORT`, and on another line where
metrics and the status page are; or with --json
{\"listening\":\"ADDRESS:PORT\",\"metrics\":\"ADDRESS:PORT\"}.
If the second address is not to be had, its log says why and the server runs without. The log goes
to standard error; VARVE_LOG sets the level: error, warn, info (the default), debug, or by module as
in `info,varve::log=debug`.

Signals:
  SIGTERM, SIGINT  stop: answer what is taken, sync, exit 0 within 5 s; while logs are recovered
                   leave at once, and the next start recovers them
  SIGHUP           read the configuration's limits, the certificates, revocations and the access
                   control list again; on any fault the old ones stay in force and the log says
                   why";

/// Run the server
#[derive(Debug, Args)]
#[command(after_long_help = NOTES)]
pub(super) struct Serve {
    #[command(flatten)]
    settings: Settings,
}

impl Serve {
    /// Runs the server until it is told to stop. `dropped` are the variables that were taken out of
    /// the environment.
    pub(super) fn run(self, is_json: bool, dropped: &[OsString]) -> Result<ExitCode, CliError> {
        let config = self.settings.load()?;
        // What is replaced from now on is read by a reload.
        let seen = Seen::now(config.reloaded_files());
        let access = Access::load(&config)?;
        passed::check(config.listen)?;
        logging::start(config.logging.form);
        for variable in dropped {
            log::warn!(name:% = variable.display(); "variable_ignored");
        }
        for warning in access.warnings() {
            log::warn!(text:% = warning; "check");
        }
        let (signals, told) = process::prepare()?;
        let running = Running::start(self.settings, config, (seen, access), told)?;
        running.announce(is_json)?;
        running.until_stopped(signals)?;
        Ok(ExitCode::SUCCESS)
    }
}
