//! The whole policy: read once, resolved per subject, then asked on every call.
//!
//! Roles are resolved when the file is read, so that a decision is one look-up and a scan of that
//! subject's own rules, without an allocation or a lock.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use super::action::Action;
use super::error::{AclError, Fault};
use super::roles::Roles;
use super::rule::{Effect, Row, Rule};
use crate::own::AUDIT_LOG;
use crate::small_file::{self, Source};

/// The largest list that is read: hundreds of thousands of rules.
const BYTES_MAX: u64 = 64 << 20;

/// An immutable access control list. Share it in an `Arc`; every thread may ask it at once.
#[derive(Debug)]
pub struct Policy {
    /// Each subject's rules, its roles' included: deny before allow, then by line.
    rules_of: HashMap<String, Box<[Arc<Rule>]>>,
}

/// The answer to one question, with the line that gave it.
#[derive(Debug, Clone, Copy)]
pub struct Decision<'a> {
    /// Whether the subject may.
    pub allowed: bool,
    /// The rule that decided: of those that apply the first that denies, else the first that
    /// allows. `None` if none applies, which denies.
    pub rule: Option<&'a Rule>,
}

impl Policy {
    /// Reads the policy file at `path`, which may be a pipe and is waited for then.
    ///
    /// # Errors
    ///
    /// `Read` if the file cannot be read, `Line` for its first line that is wrong.
    pub fn load(path: &Path) -> Result<Self, AclError> {
        Self::load_from(path, Source::Any)
    }

    /// As `load`; where the list comes from may be narrowed.
    pub(crate) fn load_from(path: &Path, source: Source) -> Result<Self, AclError> {
        let (bytes, _) = small_file::read(path, source, BYTES_MAX)
            .map_err(|unread| AclError::Read { path: path.into(), source: unread.into() })?;
        match str::from_utf8(&bytes) {
            Ok(text) => Self::parse(text, path),
            Err(error) => {
                let newlines =
                    bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count();
                let line = u32::try_from(newlines + 1).unwrap_or(u32::MAX);
                Err(AclError::Line { path: path.into(), line, fault: Fault::NotUtf8 })
            }
        }
    }

    /// Reads a policy from `text`; `path` only names it in errors. A text without rules is a
    /// policy that denies everything.
    ///
    /// # Errors
    ///
    /// `Line` for the first line that is wrong.
    pub fn parse(text: &str, path: &Path) -> Result<Self, AclError> {
        let mut own: HashMap<String, Vec<Arc<Rule>>> = HashMap::new();
        let mut roles = Roles::default();
        for (line, row) in (1..).zip(text.lines()) {
            let added = match Row::parse(line, row) {
                Ok(None) => Ok(()),
                Ok(Some(Row::Rule { subject, rule })) => {
                    own.entry(subject).or_default().push(Arc::new(rule));
                    Ok(())
                }
                Ok(Some(Row::Membership { member, role })) => roles.add(member, role),
                Err(fault) => Err(fault),
            };
            added.map_err(|fault| AclError::Line { path: path.into(), line, fault })?;
        }
        let rules_of = own
            .keys()
            .map(String::as_str)
            .chain(roles.members())
            .map(|subject| (subject.to_owned(), resolve(subject, &own, &roles)))
            .collect();
        Ok(Self { rules_of })
    }

    /// Whether `subject` may do `action` to `object`, and which rule says so.
    ///
    /// A rule that denies wins over any that allows, and what no rule allows is denied. Names are
    /// compared byte by byte; no rule is about a subject that is empty, longer than 255 bytes or
    /// not printable ASCII.
    ///
    /// The log `_audit` is the server's own: nobody appends to it, and to read it takes the right
    /// to administer it, which a rule that denies reading takes away as well.
    #[must_use]
    pub fn decide(&self, subject: &str, action: Action, object: &str) -> Decision<'_> {
        if action == Action::Produce && object == AUDIT_LOG {
            return Decision { allowed: false, rule: None };
        }
        let counts = |rule: &Rule| match action {
            Action::Consume if object == AUDIT_LOG => {
                let denies_reading =
                    rule.effect() == Effect::Deny && rule.applies(Action::Consume, object);
                denies_reading || rule.applies(Action::Admin, object)
            }
            action => rule.applies(action, object),
        };
        let rules = self.rules_of.get(subject).map_or(&[][..], |rules| rules);
        let rule = rules.iter().map(Arc::as_ref).find(|rule| counts(rule));
        Decision { allowed: rule.is_some_and(|rule| rule.effect() == Effect::Allow), rule }
    }

    /// How many subjects and roles may do `action` to something.
    #[must_use]
    pub fn permitted(&self, action: Action) -> usize {
        let may = |rules: &&[Arc<Rule>]| rules.iter().any(|rule| rule.allows(action));
        self.rules_of.values().map(|rules| &**rules).filter(may).count()
    }

    /// Whether `subject` may do `action` to `object`: `decide` without the reason.
    #[must_use]
    pub fn permits(&self, subject: &str, action: Action, object: &str) -> bool {
        self.decide(subject, action, object).allowed
    }
}

impl fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.allowed { "allowed" } else { "denied" };
        match self.rule {
            Some(rule) => write!(f, "{verdict} by line {}: {rule}", rule.line()),
            None => write!(f, "{verdict}: no rule applies"),
        }
    }
}

/// The rules of `subject` and its roles, in the order in which a decision tries them.
fn resolve(
    subject: &str,
    own: &HashMap<String, Vec<Arc<Rule>>>,
    roles: &Roles,
) -> Box<[Arc<Rule>]> {
    let held = roles.held_by(subject);
    let mut rules: Vec<Arc<Rule>> =
        held.into_iter().filter_map(|name| own.get(name)).flatten().cloned().collect();
    rules.sort_by_key(|rule| (rule.effect(), rule.line()));
    rules.into()
}
