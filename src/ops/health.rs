//! Whether the server does its work, and why if it does not.

use serde::Serialize;

use crate::log::Logs;
use crate::server::Observer;

/// How the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It does all of its work.
    Ok,
    /// It goes on, but not with everything.
    Degraded,
    /// It takes no calls, or soon will not.
    Failing,
}

/// How the server is and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Health {
    pub(super) state: State,
    /// Sentences for people; none if all is well.
    pub(super) reasons: Vec<String>,
}

/// What health is judged by.
#[derive(Clone, Copy, Debug, Default)]
struct Signs {
    storage_failed: bool,
    is_stopping: bool,
    is_out_of_space: bool,
    logs_damaged: usize,
}

impl Health {
    pub(super) fn of(logs: &Logs, observer: &Observer) -> Self {
        Self::judge(Signs {
            storage_failed: logs.has_failed(),
            is_stopping: observer.is_stopping(),
            is_out_of_space: logs.is_out_of_space(),
            logs_damaged: logs.list().iter().filter(|log| log.has_damage()).count(),
        })
    }

    fn judge(signs: Signs) -> Self {
        let mut reasons = Vec::new();
        if signs.storage_failed {
            reasons.push("a write or sync failed: the process is about to end".to_owned());
        }
        if signs.is_stopping {
            reasons.push("the server is stopping".to_owned());
        }
        let is_failing = !reasons.is_empty();
        if signs.is_out_of_space {
            reasons.push("the disk is too full: appends are refused".to_owned());
        }
        match signs.logs_damaged {
            0 => {}
            1 => reasons.push("1 log has damaged records".to_owned()),
            logs => reasons.push(format!("{logs} logs have damaged records")),
        }
        let state = match (is_failing, reasons.is_empty()) {
            (true, _) => State::Failing,
            (false, false) => State::Degraded,
            (false, true) => State::Ok,
        };
        Self { state, reasons }
    }

    /// A line for the state, and one for each reason.
    pub(super) fn text(&self) -> String {
        let state = match self.state {
            State::Ok => "ok",
            State::Degraded => "degraded",
            State::Failing => "failing",
        };
        std::iter::once(state)
            .chain(self.reasons.iter().map(String::as_str))
            .fold(String::new(), |text, line| text + line + "\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(signs: Signs) -> String {
        Health::judge(signs).text()
    }

    #[test]
    fn a_server_that_does_its_work_is_well() {
        assert_eq!(text(Signs::default()), "ok\n");
    }

    #[test]
    fn what_a_restart_does_not_mend_only_degrades() {
        let signs = Signs { is_out_of_space: true, logs_damaged: 2, ..Signs::default() };
        assert_eq!(
            text(signs),
            "degraded\nthe disk is too full: appends are refused\n2 logs have damaged records\n"
        );
    }

    #[test]
    fn a_server_that_takes_no_calls_fails_with_all_its_reasons() {
        let signs = Signs { is_stopping: true, logs_damaged: 1, ..Signs::default() };
        assert_eq!(text(signs), "failing\nthe server is stopping\n1 log has damaged records\n");
        assert_eq!(
            Health::judge(Signs { storage_failed: true, ..Signs::default() }).state,
            State::Failing
        );
    }
}
