//! The service as systemd knows it, from `systemctl show`, which anyone may ask.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::finding::Finding;

const NAME: &str = "varve.service";
const SOCKETS: [&str; 2] = ["varve.socket", "varve-metrics.socket"];
const CHECK: &str = "service";
/// The folder that exists where systemd is the host's first process (`sd_booted(3)`).
const BOOTED: &str = "/run/systemd/system";
const PROPERTIES: &str = "LoadState,UnitFileState,ActiveState,SubState,Result,ExecMainStatus,\
                          NRestarts,FragmentPath,DropInPaths,ExecStart,User,StateDirectory,\
                          NeedDaemonReload,WatchdogUSec,LimitNOFILE,TasksMax,MemoryMax,MainPID";

/// Whether systemd runs this host, and what it knows of the service.
#[derive(Debug)]
pub(super) enum Systemd {
    /// Another program is the first process.
    Absent,
    /// It could not be asked, for this reason.
    Mute(String),
    /// What it knows.
    Unit(Box<Unit>),
}

/// The unit's properties by name.
#[derive(Debug, Default)]
pub(super) struct Unit {
    properties: HashMap<String, String>,
    /// Sockets that it opened for the service.
    sockets: Vec<&'static str>,
}

impl Systemd {
    pub(super) fn look() -> Self {
        if !Path::new(BOOTED).is_dir() {
            return Self::Absent;
        }
        match show(&[NAME, "--property", PROPERTIES]) {
            Ok(text) => {
                let is_active = |name: &&str| {
                    let state = show(&[name, "--property", "ActiveState"]);
                    state.is_ok_and(|state| state.trim() == "ActiveState=active")
                };
                let sockets = SOCKETS.into_iter().filter(is_active).collect();
                Self::Unit(Box::new(Unit { sockets, ..Unit::parse(&text) }))
            }
            Err(why) => Self::Mute(why),
        }
    }

    /// The unit, if it is installed.
    pub(super) fn installed(&self) -> Option<&Unit> {
        match self {
            Self::Unit(unit) if unit.get("LoadState") == "loaded" => Some(unit),
            Self::Unit(_) | Self::Absent | Self::Mute(_) => None,
        }
    }

    /// What is to be said about the service. `judged` is the configuration's file.
    pub(super) fn judge(&self, judged: Option<&Path>) -> Vec<Finding> {
        match self {
            Self::Absent => vec![Finding::note(
                CHECK,
                "systemd does not run this host: nothing restarts the server or watches it",
            )],
            Self::Mute(why) => vec![Finding::not_looked_at(CHECK, why)],
            Self::Unit(unit) => unit.judge(judged),
        }
    }
}

fn show(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("systemctl");
    command.arg("show").args(arguments).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("systemctl: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("systemctl: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

impl Unit {
    fn parse(text: &str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let properties = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { properties, sockets: Vec::new() }
    }

    fn get(&self, name: &str) -> &str {
        self.properties.get(name).map_or("", String::as_str)
    }

    /// The user that runs the service.
    pub(super) fn user(&self) -> &str {
        if self.get("User").is_empty() { "root" } else { self.get("User") }
    }

    /// The first folder that systemd makes for the service's data.
    pub(super) fn state_directory(&self) -> Option<PathBuf> {
        let name = self.get("StateDirectory").split_whitespace().next()?;
        Some(Path::new("/var/lib").join(name))
    }

    /// A limit by systemd's name; `None` without one.
    pub(super) fn limit(&self, name: &str) -> Option<u64> {
        self.get(name).parse().ok().filter(|limit| *limit != u64::MAX)
    }

    /// The server's process, if it runs.
    pub(super) fn pid(&self) -> Option<u32> {
        self.get("MainPID").parse().ok().filter(|pid| *pid != 0)
    }

    /// Whether systemd listens for the service.
    pub(super) fn has_sockets(&self) -> bool {
        !self.sockets.is_empty()
    }

    /// The arguments behind the program's name that starts the service.
    fn arguments(&self) -> Vec<&str> {
        let text = self.get("ExecStart");
        let argv = text.split_once("argv[]=").map_or("", |(_, rest)| rest);
        argv.split(" ;").next().unwrap_or_default().split_whitespace().skip(1).collect()
    }

    /// The configuration that the service is started with.
    pub(super) fn config(&self) -> Option<PathBuf> {
        let arguments = self.arguments();
        let flag = arguments.iter().position(|word| *word == "--config")?;
        arguments.get(flag + 1).map(PathBuf::from)
    }

    fn judge(&self, judged: Option<&Path>) -> Vec<Finding> {
        match self.get("LoadState") {
            "loaded" => {}
            "masked" => {
                return vec![Finding::warning(
                    CHECK,
                    "the unit is masked, so it cannot be started",
                    "systemctl unmask varve",
                )];
            }
            _ => {
                return vec![Finding::note(
                    CHECK,
                    "no unit varve.service: nothing restarts the server or watches it",
                )];
            }
        }
        let mut findings = vec![self.state()];
        findings.extend(self.deviations(judged));
        findings
    }

    fn state(&self) -> Finding {
        let (active, sub) = (self.get("ActiveState"), self.get("SubState"));
        let enabled = match self.get("UnitFileState") {
            "" => "not enabled",
            state => state,
        };
        let restarts = self.get("NRestarts").parse().unwrap_or(0);
        let watchdog = match self.get("WatchdogUSec") {
            "" | "0" | "infinity" => "no watchdog".to_owned(),
            time => format!("watchdog {time}"),
        };
        let sockets = match self.sockets.as_slice() {
            [] => String::new(),
            names => format!(", its port opened by {}", names.join(" and ")),
        };
        let found = format!("{active} ({sub}), {enabled}, {watchdog}{sockets}");
        let finding = match active {
            "failed" => {
                let (result, status) = (self.get("Result"), self.get("ExecMainStatus"));
                Finding::fault(
                    CHECK,
                    format!("failed: {result}, last exit status {status}; {enabled}"),
                    "journalctl -u varve has the reason; then systemctl reset-failed varve and \
                     systemctl start varve",
                )
            }
            _ if restarts > 0 => Finding::warning(
                CHECK,
                format!("{found}; systemd restarted it {restarts} times"),
                "journalctl -u varve has the reasons",
            ),
            _ if enabled == "disabled" => {
                Finding::note(CHECK, format!("{found}: it does not start with the host"))
            }
            _ => Finding::ok(CHECK, found),
        };
        finding.with("restarts", restarts)
    }

    /// Where the unit and what was judged go apart.
    fn deviations(&self, judged: Option<&Path>) -> Vec<Finding> {
        const CHECK: &str = "unit";
        let mut findings = Vec::new();
        if self.get("NeedDaemonReload") == "yes" {
            findings.push(Finding::warning(
                CHECK,
                "its files changed since systemd read them",
                "systemctl daemon-reload",
            ));
        }
        let config = self.config();
        if let Some(other) = config.filter(|own| Some(own.as_path()) != judged) {
            findings.push(Finding::note(
                CHECK,
                format!("starts the server with {}, which was not judged here", other.display()),
            ));
        }
        let arguments = self.arguments();
        let flags = arguments.iter().filter(|word| word.starts_with("--") && **word != "--config");
        let flags: Vec<&str> = flags.copied().collect();
        if !flags.is_empty() {
            findings.push(Finding::note(
                CHECK,
                format!("gives the server {} as well: give the doctor the same", flags.join(" ")),
            ));
        }
        let drop_ins = self.get("DropInPaths");
        if findings.is_empty() {
            let with = if drop_ins.is_empty() { "" } else { " with " };
            let found = format!("{}{with}{drop_ins}", self.get("FragmentPath"));
            findings.push(Finding::ok(CHECK, found));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    const SHOWN: &str = "\
LoadState=loaded
UnitFileState=enabled
ActiveState=active
SubState=running
Result=success
ExecMainStatus=0
NRestarts=0
FragmentPath=/etc/systemd/system/varve.service
DropInPaths=
ExecStart={ path=/usr/bin/varve ; argv[]=/usr/bin/varve serve --config /etc/varve/varve.toml ; \
ignore_errors=no ; start_time=[n/a] ; pid=7 }
User=varve
StateDirectory=varve
NeedDaemonReload=no
WatchdogUSec=1min
LimitNOFILE=65536
TasksMax=8192
MemoryMax=18446744073709551615
MainPID=7
";

    fn judged(changed: &[(&str, &str)]) -> Vec<Finding> {
        let mut unit = Unit::parse(SHOWN);
        for (name, value) in changed {
            unit.properties.insert((*name).to_owned(), (*value).to_owned());
        }
        Systemd::Unit(Box::new(unit)).judge(Some(Path::new("/etc/varve/varve.toml")))
    }

    fn verdicts(changed: &[(&str, &str)]) -> Vec<Verdict> {
        judged(changed).into_iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn the_unit_tells_who_serves_what() {
        let unit = Unit::parse(SHOWN);
        assert_eq!((unit.user(), unit.pid()), ("varve", Some(7)));
        assert_eq!(unit.config(), Some(PathBuf::from("/etc/varve/varve.toml")));
        assert_eq!(unit.state_directory(), Some(PathBuf::from("/var/lib/varve")));
        assert_eq!((unit.limit("LimitNOFILE"), unit.limit("MemoryMax")), (Some(65_536), None));
        assert_eq!(Unit::parse("User=\nMainPID=0\n").user(), "root");
    }

    #[test]
    fn a_service_that_runs_is_well() {
        assert_eq!(verdicts(&[]), [Verdict::Ok, Verdict::Ok]);
        assert_eq!(judged(&[])[0].found, "active (running), enabled, watchdog 1min");
    }

    #[test]
    fn a_service_that_failed_or_restarts_is_told_with_its_result() {
        let failed = [("ActiveState", "failed"), ("Result", "exit-code"), ("ExecMainStatus", "74")];
        let finding = &judged(&failed)[0];
        assert_eq!(finding.verdict, Verdict::Fault);
        assert!(finding.found.contains("exit-code, last exit status 74"), "{finding:?}");
        assert_eq!(verdicts(&[("NRestarts", "2")])[0], Verdict::Warning);
        assert_eq!(verdicts(&[("UnitFileState", "disabled")])[0], Verdict::Note);
        assert_eq!(verdicts(&[("LoadState", "masked")]), [Verdict::Warning]);
        assert_eq!(verdicts(&[("LoadState", "not-found")]), [Verdict::Note]);
    }

    #[test]
    fn a_unit_that_starts_something_else_is_told_of() {
        assert_eq!(verdicts(&[("NeedDaemonReload", "yes")])[1], Verdict::Warning);
        let other = "{ path=/usr/bin/varve ; argv[]=/usr/bin/varve serve --config /other.toml \
                     --listen [::]:8400 ; ignore_errors=no }";
        let findings = judged(&[("ExecStart", other)]);
        assert!(findings[1].found.contains("/other.toml"), "{findings:?}");
        assert!(findings[2].found.contains("--listen"), "{findings:?}");
    }
}
