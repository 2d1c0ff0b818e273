//! What can be wrong with a policy file: where it is, what it is, and what would be right.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::action::UnknownAction;

/// Why there is no policy. The one in force, if any, is untouched.
#[derive(Debug, Error)]
pub enum AclError {
    /// The file could not be read.
    #[error("cannot read the access control list {}", path.display())]
    Read {
        /// The policy file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was read and a line of it is wrong; it is the first such line.
    #[error("{}:{line}: {fault}", path.display())]
    Line {
        /// The policy file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u32,
        /// What is wrong with it.
        fault: Fault,
    },
}

/// What is wrong with one line. What was written is shown with its control bytes escaped.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Fault {
    /// Bytes of another encoding; comments may be any UTF-8, rules are ASCII.
    #[error("not UTF-8: save the file as UTF-8")]
    NotUtf8,
    /// A quoted field goes on to the end of the line.
    #[error("a quote is opened and never closed: close it on the same line")]
    QuoteOpen,
    /// A quote stands inside a field that is not quoted, or text follows a closing quote.
    #[error(
        "a quote in the middle of a field: put the whole field in quotes and each quote in it twice"
    )]
    QuoteInside,
    /// The first field is neither `p` nor `g`.
    #[error("unknown first field {given:?}: a rule starts with `p`, a membership with `g`")]
    UnknownKind {
        /// The first field.
        given: String,
    },
    /// Too few or too many fields.
    #[error("{found} fields: write `{form}`")]
    FieldCount {
        /// How many there are, the first included.
        found: usize,
        /// The form they should have.
        form: &'static str,
    },
    /// A subject, member or role is empty or too long.
    #[error("a {what} of {bytes} bytes: write 1 to {bytes_max}")]
    NameLength {
        /// `subject`, `member` or `role`.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The longest that is accepted.
        bytes_max: usize,
    },
    /// A subject, member or role has a byte that no certificate's subject may have.
    #[error("{what} {given:?} is not printable ASCII: it could never match, write it as ASCII")]
    NameBytes {
        /// `subject`, `member` or `role`.
        what: &'static str,
        /// The name as it was written.
        given: String,
    },
    /// A subject, member or role has a star, which is a pattern only in objects.
    #[error("{what} {given:?} has a star, but names are exact: list the subjects under a role")]
    NameStar {
        /// `subject`, `member` or `role`.
        what: &'static str,
        /// The name as it was written.
        given: String,
    },
    /// A star stands elsewhere than at the end of an object.
    #[error(
        "object {given:?} has a star before its end: write a log's name, `*`, or a prefix as in \
         `orders.*`"
    )]
    ObjectStar {
        /// The object as it was written.
        given: String,
    },
    /// The object can be no log's name, so the rule would never apply.
    #[error(
        "object {given:?} can match no log: a log's name has 1 to {bytes_max} of a-z, 0-9, `.`, \
         `_` and `-`, starts with none of `.` and `-`, and has no `..`"
    )]
    ObjectName {
        /// The object as it was written.
        given: String,
        /// The longest that is accepted.
        bytes_max: usize,
    },
    /// The action is none of ours.
    #[error("{0}, and `*` is all of them")]
    Action(UnknownAction),
    /// The last field is neither `allow` nor `deny`.
    #[error("unknown effect {given:?}: write allow, deny, or only four fields, which is allow")]
    Effect {
        /// The effect as it was written.
        given: String,
    },
    /// The membership makes a role inherit from itself.
    #[error("roles go in a circle ({}): remove one of these memberships", chain.join(" -> "))]
    Cycle {
        /// From the member over its role back to the member.
        chain: Vec<String>,
    },
    /// The membership makes a chain of roles too long.
    #[error("a chain of {links} memberships goes through this one: at most {links_max}")]
    TooDeep {
        /// The length of the longest chain through this line.
        links: usize,
        /// The longest that is accepted.
        links_max: usize,
    },
}
