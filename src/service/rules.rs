//! What decides about callers: who may do what, and whose certificate counts no more.
//!
//! They are read together and put in force together, so that every decision is made by files of one
//! moment.

use std::sync::Arc;

use crate::acl::Policy;
use crate::tls::Revocations;

/// One reading of the files. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Who may do what.
    pub policy: Arc<Policy>,
    /// Whose certificate counts no more, whatever else holds.
    pub revocations: Arc<Revocations>,
}

impl Rules {
    /// With no certificate revoked.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        Self { policy, revocations: Arc::default() }
    }
}
