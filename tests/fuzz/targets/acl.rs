//! The access control list: any text is read or refused, and what it allows follows its rules.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use varve::acl::{Action, Policy};
use varve_fuzz::counted::compared;
use varve_fuzz::is_one_line;

const ACTIONS: [Action; 3] = [Action::Produce, Action::Consume, Action::Admin];
const OBJECTS: [&str; 5] = ["orders", "orders.eu", "default", "a", "_internal"];
/// Nobody can be called so, neither a subject nor a role.
const NOBODY: &str = "nobody*";

fn parse(text: &str) -> Option<Policy> {
    match Policy::parse(text, Path::new("acl.csv")) {
        Ok(policy) => Some(policy),
        Err(error) => {
            assert!(is_one_line(&error), "{error:?}");
            None
        }
    }
}

/// The names that a text has anywhere, as its writers usually write them.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(['\n', ',']).map(|name| name.trim_matches([' ', '\t', '"', '\r']))
}

fuzz_target!(|text: &str| {
    let Some(policy) = parse(text) else { return };
    compared();
    let backwards: String = text.lines().rev().flat_map(|line| [line, "\n"]).collect();
    let backwards = parse(&backwards).expect("the order of lines makes no fault");
    for subject in names(text).take(4).chain([NOBODY, ""]) {
        for (action, object) in ACTIONS.iter().flat_map(|a| OBJECTS.map(|object| (*a, object))) {
            let decision = policy.decide(subject, action, object);
            let question = (subject, action, object);
            assert_eq!(decision.allowed, policy.permits(subject, action, object), "{question:?}");
            assert_eq!(
                decision.allowed,
                backwards.permits(subject, action, object),
                "{question:?}"
            );
            assert!(!decision.allowed || decision.rule.is_some(), "{question:?} by no rule");
            assert!(decision.rule.is_none_or(|rule| text.contains(rule.text())), "{question:?}");
            assert!(subject != NOBODY || !decision.allowed, "{question:?}");
        }
    }
    deny_wins(text, names(text).nth(1).unwrap_or_default());
});

/// With a line that denies a subject everything, it may do nothing.
fn deny_wins(text: &str, subject: &str) {
    let Some(policy) = parse(&format!("{text}\np, \"{subject}\", *, *, deny\n")) else { return };
    let permitted = ACTIONS.iter().any(|action| policy.permits(subject, *action, "orders"));
    assert!(!permitted, "{subject:?} is denied everything");
}
