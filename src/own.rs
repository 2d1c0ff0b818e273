//! What the server keeps for itself.

/// The log of who changed what. No client can make a log with such a name.
pub(crate) const AUDIT_LOG: &str = "_audit";
