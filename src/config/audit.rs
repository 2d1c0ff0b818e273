//! `[audit]`: the log of who changed what, and who was denied.

use std::time::Duration;

use super::error::ConfigError;
use super::typed::Typed;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long the log of who changed what is kept; whichever bound is met first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// For so long; `None` is for ever.
    pub retention_age: Option<Duration>,
    /// So many bytes of it.
    pub retention_bytes: u64,
}

/// Reads the section; `None` if there is to be no such log.
pub(super) fn read(typed: &mut Typed<'_>) -> Result<Option<Audit>, ConfigError> {
    let is_kept = typed.switch("audit.log", true)?;
    let ages = Duration::from_secs(1)..=3650 * DAY;
    let retention_age = typed.duration_or_never("audit.retention_age", None, ages)?;
    let retention_bytes = typed.bytes("audit.retention_bytes", 256 * MIB, MIB..=1024 * GIB)?;
    Ok(is_kept.then_some(Audit { retention_age, retention_bytes }))
}
