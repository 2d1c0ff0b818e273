//! All findings together: for people with the worst last, for programs in the order of the checks.

use std::path::Path;

use serde::Serialize;

use super::finding::{Finding, Verdict};
use crate::cli::escape::Escaped;
use crate::cli::exit;

/// What was found on this host.
#[derive(Debug, Serialize)]
pub(super) struct Report<'a> {
    version: &'static str,
    /// The file of the configuration; none if flags and defaults are all.
    config: Option<&'a Path>,
    data_dir: Option<&'a Path>,
    /// As whom files were judged.
    user: &'a str,
    verdict: Verdict,
    exit_code: u8,
    checks: &'a [Finding],
}

impl<'a> Report<'a> {
    pub(super) fn new(
        config: Option<&'a Path>,
        data_dir: Option<&'a Path>,
        user: &'a str,
        checks: &'a [Finding],
    ) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let (verdict, exit_code) = (worst(checks), exit_code(checks));
        Self { version, config, data_dir, user, verdict, exit_code, checks }
    }

    pub(super) fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// A line for each finding, the remedy below it, and how many there were of which.
    pub(super) fn text(&self) -> String {
        let mut checks: Vec<&Finding> = self.checks.iter().collect();
        checks.sort_by_key(|finding| finding.verdict);
        let words = checks.iter().map(|finding| finding.verdict.word().len()).max().unwrap_or(0);
        let names = checks.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
        let mut lines = Vec::new();
        for Finding { check, verdict, found, remedy, .. } in checks {
            let (word, name) = (verdict.word(), check.replace('_', " "));
            lines.push(format!("{word:words$}  {name:names$}  {}", Escaped(found)));
            if let Some(remedy) = remedy {
                lines.push(format!("{:words$}  {:names$}  -> {}", "", "", Escaped(remedy)));
            }
        }
        lines.push(String::new());
        lines.push(self.sum());
        lines.join("\n")
    }

    fn sum(&self) -> String {
        let counted = [
            (Verdict::Fault, "fault", "faults"),
            (Verdict::Warning, "warning", "warnings"),
            (Verdict::NotLookedAt, "not looked at", "not looked at"),
            (Verdict::Note, "note", "notes"),
            (Verdict::Ok, "ok", "ok"),
        ];
        let parts = counted.into_iter().filter_map(|(verdict, one, many)| {
            let count = self.checks.iter().filter(|finding| finding.verdict == verdict).count();
            let name = if count == 1 { one } else { many };
            (count > 0).then(|| format!("{count} {name}"))
        });
        parts.collect::<Vec<_>>().join(", ")
    }
}

fn worst(checks: &[Finding]) -> Verdict {
    checks.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
}

/// That of the first finding which keeps a server from starting; else whether something has to be
/// done.
fn exit_code(checks: &[Finding]) -> u8 {
    let serve = checks.iter().find_map(|finding| finding.serve_exit_code);
    let failed = (worst(checks) >= Verdict::Warning).then_some(exit::FAILED);
    serve.or(failed).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(checks: &[Finding]) -> Report<'_> {
        Report::new(None, None, "varve", checks)
    }

    #[test]
    fn the_worst_stands_last_with_its_remedy() {
        let checks = [
            Finding::fault("clock", "wrong", "set it"),
            Finding::ok("disk", "fast"),
            Finding::not_looked_at("open_files", "needs root"),
            Finding::warning("space", "low\u{1b}", "free some"),
        ];
        let text = "\
            ok       disk        fast\n\
            unknown  open files  not looked at: needs root\n\
            WARNING  space       low\\u{1b}\n         \
                                 -> free some\n\
            FAULT    clock       wrong\n         \
                                 -> set it\n\n\
            1 fault, 1 warning, 1 not looked at, 1 ok";
        let lines = |text: &str| {
            text.lines()
                .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>()
        };
        let shown = report(&checks).text();
        assert_eq!(lines(&shown), lines(text));
        assert!(shown.starts_with("ok       disk        fast\n"), "{shown}");
    }

    #[test]
    fn the_exit_code_is_that_of_serve_or_says_that_something_is_to_be_done() {
        let fault = || Finding::fault("a", "", "");
        let code = |checks: &[Finding]| report(checks).exit_code();
        assert_eq!(code(&[]), 0);
        assert_eq!(code(&[Finding::note("a", ""), Finding::not_looked_at("b", "")]), 0);
        assert_eq!(code(&[Finding::warning("a", "", "")]), exit::FAILED);
        assert_eq!(code(&[fault()]), exit::FAILED);
        assert_eq!(code(&[fault(), fault().ends_serve(75), fault().ends_serve(2)]), 75);
    }
}
