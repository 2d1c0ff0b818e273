//! The server's configuration: a TOML file, over which a few flags win.
//!
//! Two stages. What was typed (`typed`) is keys, values and their lines, with every unknown key an
//! error. What it means ([`Config`]) is values that need no further check: the floors below take
//! them as they are. Every key with its unit, default and range stands in `docs/OPERATIONS.md` and
//! in `scripts/varve.toml`, and a test holds both against what is read here.
//!
//! Files, lowest first: `units` (sizes and durations as text), `nearest` (which key was meant),
//! `error`, `value` (types and ranges), `typed`, `metrics`, `logging`, `audit` (sections), `keys`
//! (every key), `meaning`.

mod audit;
mod error;
#[cfg(feature = "floors")]
#[doc(hidden)]
pub mod floors;
mod keys;
mod logging;
mod meaning;
mod metrics;
mod nearest;
#[cfg(test)]
mod tests;
mod typed;
pub(crate) mod units;
mod value;

pub use audit::Audit;
pub use error::{ConfigError, Fault};
pub use keys::Overrides;
pub use logging::{LogForm, Logging};
pub use meaning::{Config, Security, TlsFiles};
pub use metrics::Metrics;
pub use typed::{Effective, Origin};
