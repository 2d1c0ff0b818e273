//! What a check found: a verdict, a sentence with figures, and what to do about it.

use std::collections::BTreeMap;

use serde::Serialize;

/// How good or bad it is; the last is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing has to be done.
    Note,
    /// Nobody knows, because it could not be looked at.
    NotLookedAt,
    /// It works, and something is going to fail or already costs something.
    Warning,
    /// It does not work.
    Fault,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The check's name, which stays the same.
    pub(super) check: &'static str,
    pub(super) verdict: Verdict,
    /// What was found, for people.
    pub(super) found: String,
    /// What to do, in a line; nothing if all is well.
    pub(super) remedy: Option<String>,
    /// With which code `varve serve` ends because of it, if it does.
    pub(super) serve_exit_code: Option<u8>,
    /// What was measured, by name and unit.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) figures: BTreeMap<&'static str, u64>,
}

impl Verdict {
    /// The word in front of a line.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::NotLookedAt => "unknown",
            Self::Warning => "WARNING",
            Self::Fault => "FAULT",
        }
    }
}

impl Finding {
    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, found.into(), None)
    }

    pub(super) fn note(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Verdict::Note, found.into(), None)
    }

    /// `why` says what it would take to look.
    pub(super) fn not_looked_at(check: &'static str, why: impl AsRef<str>) -> Self {
        let found = format!("not looked at: {}", why.as_ref());
        Self::new(check, Verdict::NotLookedAt, found, None)
    }

    pub(super) fn warning(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(check, Verdict::Warning, found.into(), Some(remedy.into()))
    }

    pub(super) fn fault(
        check: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(check, Verdict::Fault, found.into(), Some(remedy.into()))
    }

    /// It keeps a server from starting, which ends with this code.
    pub(super) fn ends_serve(self, exit_code: u8) -> Self {
        Self { serve_exit_code: Some(exit_code), ..self }
    }

    /// With a figure for programs.
    pub(super) fn with(mut self, name: &'static str, figure: u64) -> Self {
        self.figures.insert(name, figure);
        self
    }

    fn new(check: &'static str, verdict: Verdict, found: String, remedy: Option<String>) -> Self {
        let figures = BTreeMap::new();
        Self { check, verdict, found, remedy, serve_exit_code: None, figures }
    }
}
