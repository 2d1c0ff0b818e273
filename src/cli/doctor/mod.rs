//! `varve doctor`: what an operator wants to know before the first start, and on a bad day.
//!
//! Everything is judged against the configuration that `varve serve` would run with, read by the
//! same code. A check is facts and a function from them to a verdict; what could not be looked at
//! says so and never passes.
//!
//! Files, lowest first: `finding` (a verdict), `report` (all of them), `servant` (who serves and
//! what modes let that user do), `unit` (what systemd knows), `case` (a configuration and who
//! serves), and the checks: `access` (certificates, policy), `files` (who may change them), `data`
//! (the folder, its format, its space), `archive`, `mounts`, `device`, `disk`, `limits`, `ports`,
//! `kernel_clock`, `host` (clock, OpenSSL).

mod access;
mod archive;
mod case;
mod data;
mod device;
mod disk;
mod files;
mod finding;
mod host;
mod kernel_clock;
mod limits;
mod mounts;
mod ports;
mod report;
mod servant;
mod unit;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Args;

use self::case::Case;
use self::finding::Finding;
use self::mounts::Mount;
use self::ports::Neighbours;
use self::report::Report;
use self::servant::Servant;
use self::unit::{Systemd, Unit};
use super::error::CliError;
use super::exit::USAGE;
use super::output;
use super::output::chain;
use super::serve::settings::Settings;
use crate::config::{Config, Origin};
use crate::log::Glance;

const NOTES: &str = "\
Examples:
  varve doctor                                     the service, as its unit runs it
  varve doctor --config dev/varve.toml --quick     another configuration, without its disk
  varve doctor --json | jq '.checks[] | select(.verdict == \"fault\")'

Give it the flags that `varve serve` is given. It changes nothing: for the disk it writes a file of
400 KiB without a name into the data directory, or the nearest folder above it, and gives an empty
file two names for a moment. It may run beside a server. As root it sees the most; what it cannot
look at it says.

Each check is ok, a note, unknown (it could not be looked at), a warning (it works, and something
costs or is going to fail) or a fault, with what to do about it. The worst stand last.

Exit codes:
  0               nothing is worse than a note or an unknown
  1               there is a warning, or a fault with which a server starts
  2, 65, 74, 75   `varve serve` would end with that";

/// Look for what is wrong, or will be, with this host and a server on it
#[derive(Debug, Args)]
#[command(after_long_help = NOTES)]
pub(super) struct Doctor {
    #[command(flatten)]
    settings: Settings,
    /// Do not measure the disk
    #[arg(long)]
    quick: bool,
    /// Who serves; the unit's user if the configuration is the service's, else you
    #[arg(long = "as", value_name = "USER")]
    user: Option<String>,
}

impl Doctor {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let systemd = Systemd::look();
        let case = match Case::read(&self.settings, self.user.as_deref(), &systemd) {
            Ok(case) => Ok(case),
            Err(CliError::Config(error)) => Err(broken(&chain(&error))),
            Err(error) => return Err(error),
        };
        let (checks, case) = match case {
            Ok(case) => (self.examine(&case, &systemd), Some(case)),
            Err(fault) => (without_configuration(fault, &systemd), None),
        };
        let me = Servant::this_process();
        let user = case.as_ref().map_or(me.name.as_str(), Case::user);
        let config = case.as_ref().map(|case| &case.config);
        let file = config.and_then(|config| config.file.as_deref());
        let data_dir = config.map(|config| config.data_dir.as_path());
        let report = Report::new(file, data_dir, user, &checks);
        if is_json {
            output::json(&report)?;
        } else {
            output::line(report.text())?;
        }
        Ok(ExitCode::from(report.exit_code()))
    }

    /// Every check, in the order in which a start would meet what they find.
    fn examine(&self, case: &Case, systemd: &Systemd) -> Vec<Finding> {
        let unit = systemd.installed();
        let mut findings = vec![configuration(case)];
        findings.extend(access::look(case));
        findings.extend(files::look(case));
        let data = data::look(case);
        findings.extend(data.findings);
        findings.extend(archive::look(case, &data.folder));
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mount = Mount::of(&table, &data.folder);
        findings.extend(mount.as_ref().map(Mount::judge));
        if !self.quick {
            findings.extend(disk::look(case, &data.folder, mount.as_ref()));
        }
        let owner = data.glance.as_ref().and_then(|glance| glance.owner);
        let has_sockets = unit.is_some_and(Unit::has_sockets);
        findings.push(server(data.glance.as_ref(), unit));
        findings.extend(ports::look(case, Neighbours { owner, has_sockets }));
        findings.extend(limits::look(case, unit));
        findings.push(host::clock(data.glance.and_then(|glance| glance.age_time)));
        findings.push(host::openssl());
        findings.extend(systemd.judge(case.config.file.as_deref()));
        findings
    }
}

/// What can be said without a configuration.
fn without_configuration(fault: Finding, systemd: &Systemd) -> Vec<Finding> {
    let rest = "files, data, disk, ports and limits depend on the configuration";
    let mut findings = vec![fault, Finding::not_looked_at("rest", rest)];
    findings.extend([host::clock(None), host::openssl()]);
    findings.extend(systemd.judge(None));
    findings
}

fn broken(why: &str) -> Finding {
    Finding::fault("config", why, "mend that; docs/OPERATIONS.md lists the keys").ends_serve(USAGE)
}

fn configuration(case: &Case) -> Finding {
    let Config { file, effective, .. } = &case.config;
    let set = effective.iter().filter(|row| row.origin != Origin::Default).count();
    let file = file.as_deref().map(Path::display);
    let file = file.map_or_else(|| "no file".to_owned(), |file| file.to_string());
    let found = format!("{file}, {set} keys set; judged as the user {}", case.user());
    Finding::ok("config", found)
}

/// Whether a server has the data.
fn server(glance: Option<&Glance>, unit: Option<&Unit>) -> Finding {
    const CHECK: &str = "server";
    let Some(glance) = glance else {
        return Finding::not_looked_at(CHECK, "the data directory could not be read");
    };
    match glance.owner.map(|owner| owner.pid) {
        None => Finding::ok(CHECK, "none has the data directory"),
        Some(None) => Finding::ok(CHECK, "one in another container has the data directory"),
        Some(Some(pid)) if unit.and_then(Unit::pid).is_some_and(|own| own != pid) => {
            Finding::warning(
                CHECK,
                format!("process {pid} has the data directory, and is not the service's"),
                "end it; the service cannot start or runs on another folder",
            )
        }
        Some(Some(pid)) => Finding::ok(CHECK, format!("process {pid} has the data directory")),
    }
}
