//! Certificates for tests, trials and small installations: a CA, and what it issues.
//!
//! Requests and signing profiles are files in the JSON of CloudFlare's `cfssl`, so that the files
//! serve both tools. Nothing is printed here: results and warnings are returned.
//!
//! Files, lowest first: `fault` and `error` (what can be wrong), `json` (a document with the lines
//! of its values), `duration`, `host`, `key`, `usage` and `subject` (the values of requests and
//! profiles), `request` and `config` (the two kinds of file), `signing` (a certificate from its
//! parts), `issuer` (a CA from its files), `output` (files that strangers cannot read),
//! `inspect`, `issue` (the two ways to make a certificate).

mod config;
mod duration;
mod error;
mod fault;
#[cfg(feature = "floors")]
#[doc(hidden)]
pub mod floors;
mod host;
mod inspect;
mod issue;
mod issuer;
mod json;
mod key;
mod output;
mod request;
mod signing;
mod subject;
#[cfg(test)]
mod tests;
mod usage;

pub use error::{CertsError, Warning};
pub use fault::Fault;
pub use inspect::{Inspection, Summary, inspect};
pub use issue::{CaOrder, LeafOrder, Written, issue, make_ca};
