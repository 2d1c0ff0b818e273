//! The access control list: which subject may do what on which log.
//!
//! Owns the policy file's format and the decision. Knows nothing of certificates, connections or
//! the storage: a subject and an object are text here. `docs/ACL.md` describes the file for its
//! writers, and how it differs from Casbin's.
//!
//! Files, lowest first: `action`, `error`, `fields` (a line's fields), `rule` (a line's meaning),
//! `roles` (who inherits from whom), `policy` (the whole file, and the decision).

mod action;
mod error;
mod fields;
mod policy;
mod roles;
mod rule;
#[cfg(test)]
mod tests;

pub use action::{Action, UnknownAction};
pub use error::{AclError, Fault};
pub use policy::{Decision, Policy};
pub use rule::Rule;
