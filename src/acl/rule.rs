//! What one line of the policy file means.
//!
//! `p, subject, object, action[, allow|deny]` is a rule, `g, member, role` a membership. Whatever
//! could never match is refused here, because a deny that never matches would let through what
//! its writer wanted kept out.

use std::fmt;

use super::action::Action;
use super::error::Fault;
use super::fields::{split, trim};

const RULE_FORM: &str = "p, subject, object, action[, allow|deny]";
const MEMBERSHIP_FORM: &str = "g, member, role";
const NAME_BYTES_MAX: usize = 255;
const OBJECT_BYTES_MAX: usize = 128;

/// One `p` line: an effect on some actions on some logs, for whoever holds it.
///
/// It displays as its line's text.
#[derive(Debug)]
pub struct Rule {
    line: u32,
    text: Box<str>,
    pattern: Pattern,
    /// `None` is every action.
    action: Option<Action>,
    effect: Effect,
}

/// What a rule says; ordered as it is asked, deny first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    Deny,
    Allow,
}

/// Which logs a rule is about.
#[derive(Debug, PartialEq, Eq)]
enum Pattern {
    Exact(Box<str>),
    Prefix(Box<str>),
}

/// A line that says something.
#[derive(Debug)]
pub(super) enum Row {
    Rule { subject: String, rule: Rule },
    Membership { member: String, role: String },
}

impl Rule {
    /// The rule's line in its file, counted from 1.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The line as it was written, without the blanks around it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn effect(&self) -> Effect {
        self.effect
    }

    /// Whether it allows `action` to something.
    pub(super) fn allows(&self, action: Action) -> bool {
        self.effect == Effect::Allow && self.is_about(action)
    }

    pub(super) fn applies(&self, action: Action, object: &str) -> bool {
        self.is_about(action) && self.pattern.matches(object)
    }

    fn is_about(&self, action: Action) -> bool {
        self.action.is_none_or(|own| own == action)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Pattern {
    fn parse(given: &str) -> Result<Self, Fault> {
        let (stem, is_prefix) = match given.strip_suffix('*') {
            Some(stem) => (stem, true),
            None => (given, false),
        };
        if stem.contains('*') {
            return Err(Fault::ObjectStar { given: given.to_owned() });
        }
        if !is_log_name_start(stem) || (stem.is_empty() && !is_prefix) {
            let given = given.to_owned();
            return Err(Fault::ObjectName { given, bytes_max: OBJECT_BYTES_MAX });
        }
        Ok(if is_prefix { Self::Prefix(stem.into()) } else { Self::Exact(stem.into()) })
    }

    fn matches(&self, object: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *object,
            Self::Prefix(stem) => object.starts_with(&**stem),
        }
    }
}

impl Row {
    /// Reads line number `line`; `None` is a blank line or a comment.
    pub(super) fn parse(line: u32, text: &str) -> Result<Option<Self>, Fault> {
        let text = trim(text);
        if text.is_empty() || text.starts_with('#') {
            return Ok(None);
        }
        let fields = split(text)?;
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let row = match fields.as_slice() {
            ["p", rest @ ..] => rule(line, text, rest)?,
            ["g", rest @ ..] => membership(rest)?,
            other => {
                let given = other.first().copied().unwrap_or_default().to_owned();
                return Err(Fault::UnknownKind { given });
            }
        };
        Ok(Some(row))
    }
}

fn rule(line: u32, text: &str, fields: &[&str]) -> Result<Row, Fault> {
    let (subject, object, action, effect) = match *fields {
        [subject, object, action] => (subject, object, action, "allow"),
        [subject, object, action, effect] => (subject, object, action, effect),
        _ => {
            return Err(Fault::FieldCount { found: fields.len() + 1, form: RULE_FORM });
        }
    };
    let subject = name("subject", subject)?;
    let rule = Rule {
        line,
        text: text.into(),
        pattern: Pattern::parse(object)?,
        action: match action {
            "*" => None,
            one => Some(one.parse().map_err(Fault::Action)?),
        },
        effect: match effect {
            "allow" => Effect::Allow,
            "deny" => Effect::Deny,
            other => {
                return Err(Fault::Effect { given: other.to_owned() });
            }
        },
    };
    Ok(Row::Rule { subject, rule })
}

fn membership(fields: &[&str]) -> Result<Row, Fault> {
    match *fields {
        [member, role] => {
            Ok(Row::Membership { member: name("member", member)?, role: name("role", role)? })
        }
        _ => Err(Fault::FieldCount { found: fields.len() + 1, form: MEMBERSHIP_FORM }),
    }
}

/// Accepts what a certificate's subject can be, without stars.
fn name(what: &'static str, given: &str) -> Result<String, Fault> {
    if !(1..=NAME_BYTES_MAX).contains(&given.len()) {
        return Err(Fault::NameLength { what, bytes: given.len(), bytes_max: NAME_BYTES_MAX });
    }
    let given = given.to_owned();
    if !given.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(Fault::NameBytes { what, given });
    }
    if given.contains('*') {
        return Err(Fault::NameStar { what, given });
    }
    Ok(given)
}

/// Whether a log's name can start with `stem`, or be it. Internal logs start with `_`.
fn is_log_name_start(stem: &str) -> bool {
    stem.len() <= OBJECT_BYTES_MAX
        && stem.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
        && !stem.starts_with(['.', '-'])
        && !stem.contains("..")
}
