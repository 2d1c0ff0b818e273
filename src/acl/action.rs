//! The three things a subject can ask to do, and their names.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// What a subject wants to do with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Append records.
    Produce,
    /// Read records and their positions.
    Consume,
    /// Create, change, trim and delete.
    Admin,
}

impl Action {
    /// Every action, in the order in which messages list them.
    pub const ALL: [Self; 3] = [Self::Produce, Self::Consume, Self::Admin];

    /// The name in policy files, messages and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Produce => "produce",
            Self::Consume => "consume",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Action {
    type Err = UnknownAction;

    fn from_str(given: &str) -> Result<Self, UnknownAction> {
        Self::ALL
            .into_iter()
            .find(|action| action.as_str() == given)
            .ok_or_else(|| UnknownAction { given: given.to_owned(), nearest: nearest(given) })
    }
}

/// A word that names no action.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("unknown action {given:?}{}: actions are produce, consume and admin", hint(*nearest))]
pub struct UnknownAction {
    /// The word as it was written.
    pub given: String,
    /// The action it resembles, if it resembles one.
    pub nearest: Option<Action>,
}

fn hint(nearest: Option<Action>) -> String {
    nearest.map_or_else(String::new, |action| format!(" (did you mean {action}?)"))
}

/// The action that `given` is a likely slip of: one that keeps more than half of its letters.
fn nearest(given: &str) -> Option<Action> {
    let given = given.to_ascii_lowercase();
    Action::ALL
        .into_iter()
        .map(|action| (edits(&given, action.as_str()), action))
        .filter(|(edits, action)| *edits * 2 < action.as_str().len())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, action)| action)
}

/// The Levenshtein distance: insertions, deletions and replacements from `from` to `to`.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (deleted, from_char) in from.chars().enumerate() {
        let mut left = deleted + 1;
        let mut next = vec![left];
        for ((to_char, diagonal), above) in to.chars().zip(&row).zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(from_char != to_char)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_action_are_one() {
        for action in Action::ALL {
            assert_eq!(action.as_str().parse(), Ok(action));
            assert_eq!(format!("{action}"), action.as_str());
        }
    }

    #[test]
    fn names_are_exact() {
        for given in ["", "*", "Produce", "CONSUME", " admin", "admin ", "producer", "prod"] {
            assert!(given.parse::<Action>().is_err(), "{given:?}");
        }
    }

    #[test]
    fn edits_are_counted_as_levenshtein_did() {
        for (from, to, count) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("saturday", "sunday", 3),
            ("ab", "ba", 2),
        ] {
            assert_eq!(edits(from, to), count, "{from:?} to {to:?}");
            assert_eq!(edits(to, from), count, "{to:?} to {from:?}");
        }
    }

    #[test]
    fn the_nearest_action_is_the_one_with_the_fewest_wrong_letters() {
        for (given, action) in [
            ("produse", Some(Action::Produce)),
            ("prod", Some(Action::Produce)),
            ("pro", None),
            ("conduce", Some(Action::Consume)),
            ("CONSUME", Some(Action::Consume)),
            ("adm", Some(Action::Admin)),
            ("ad", None),
            ("read", None),
            ("", None),
        ] {
            assert_eq!(nearest(given), action, "{given:?}");
        }
        assert_eq!(nearest(&"x".repeat(1 << 16)), None);
    }

    #[test]
    fn an_unknown_action_names_all_and_the_nearest() {
        let message = |given: &str| given.parse::<Action>().expect_err(given).to_string();
        assert_eq!(
            message("produse"),
            "unknown action \"produse\" (did you mean produce?): actions are produce, consume and \
             admin"
        );
        assert_eq!(
            message("read"),
            "unknown action \"read\": actions are produce, consume and admin"
        );
    }
}
