//! Random policies against the plainest reading of the rules, and random text against the parser.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{AclError, Action, parse, policy};

/// A rule or a membership from a small world, so that they meet often.
#[derive(Debug, Clone)]
enum Line {
    Rule { subject: usize, object: usize, action: usize, deny: bool },
    Link { member: usize, role: usize },
}

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const OBJECTS: [&str; 5] = ["*", "x*", "x.y*", "x", "x.y.z"];
const ACTIONS: [&str; 4] = ["*", "produce", "consume", "admin"];

fn line() -> impl Strategy<Value = Line> {
    prop_oneof![
        (0..5_usize, 0..5_usize, 0..4_usize, prop::bool::weighted(0.3)).prop_map(
            |(subject, object, action, deny)| Line::Rule { subject, object, action, deny }
        ),
        // Upwards only, so that there are no circles.
        (0..4_usize, 1..5_usize)
            .prop_map(|(low, up)| Line::Link { member: low, role: (low + up).min(4) }),
    ]
}

fn text(lines: &[Line]) -> String {
    lines
        .iter()
        .map(|line| match line {
            Line::Rule { subject, object, action, deny } => format!(
                "p, {}, {}, {}{}\n",
                NAMES[*subject],
                OBJECTS[*object],
                ACTIONS[*action],
                if *deny { ", deny" } else { "" }
            ),
            Line::Link { member, role } => format!("g, {}, {}\n", NAMES[*member], NAMES[*role]),
        })
        .collect()
}

/// The rules of matching said once more, as plainly as possible.
fn expected(lines: &[Line], subject: usize, action: Action, object: &str) -> bool {
    let mut held = BTreeSet::from([subject]);
    for _ in lines {
        for line in lines {
            if let Line::Link { member, role } = line
                && held.contains(member)
            {
                held.insert(*role);
            }
        }
    }
    let effects: Vec<bool> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Rule { subject, object: pattern, action: named, deny } => {
                let pattern = OBJECTS[*pattern];
                let object_matches = match pattern.split_once('*') {
                    Some((stem, _)) => object.get(..stem.len()) == Some(stem),
                    None => object == pattern,
                };
                let action_matches = [ACTIONS[0], action.as_str()].contains(&ACTIONS[*named]);
                (held.contains(subject) && object_matches && action_matches).then_some(!*deny)
            }
            Line::Link { .. } => None,
        })
        .collect();
    !effects.is_empty() && effects.into_iter().all(|allows| allows)
}

proptest! {
    #[test]
    fn decisions_equal_the_plain_reading(lines in prop::collection::vec(line(), 0..12)) {
        let text = text(&lines);
        let policy = policy(&text);
        for (subject, name) in NAMES.into_iter().enumerate() {
            for action in Action::ALL {
                for object in ["", "x", "x.y", "x.y.z", "xx", "q"] {
                    prop_assert_eq!(
                        policy.permits(name, action, object),
                        expected(&lines, subject, action, object),
                        "{} {} {:?} in\n{}", name, action, object, text
                    );
                }
            }
        }
    }

    #[test]
    fn no_text_panics_and_each_refusal_names_a_line_of_it(
        text in "([pg], ?)?[pg ,#\"*a.\r\n\tä]{0,60}"
    ) {
        if let Err(error) = parse(&text) {
            let AclError::Line { line, .. } = error else { panic!("nothing was read") };
            prop_assert!((1..=text.lines().count()).contains(&usize::try_from(line).unwrap()));
        }
    }
}
