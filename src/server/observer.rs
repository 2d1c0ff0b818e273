//! What is to be seen of a running server, for whoever watches it. Looking changes nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use super::credentials::Current;
use super::hearing::Accepted;
use crate::service::backend::Backend;
use crate::service::calls::CallsSeen;
use crate::service::session::Access;
use crate::tls::Moment;

/// Sees a running server, and after its stop what is left of it. All calls may run concurrently.
#[derive(Clone)]
pub struct Observer {
    pub(super) backend: Arc<Backend>,
    pub(super) accepted: Accepted,
    /// `None` in plaintext.
    pub(super) credentials: Option<Current>,
}

/// What goes on at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    pub(crate) streams: usize,
    pub(crate) calls: usize,
    /// What waits for threads, by the role of these.
    pub(crate) queued: [(&'static str, usize); 3],
}

/// When certificates end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CertificateEnds {
    pub(crate) server: Moment,
    /// Of the clients' CAs, that which ends first.
    pub(crate) client_ca: Moment,
}

impl Observer {
    pub(crate) fn calls(&self) -> CallsSeen {
        self.backend.calls.seen()
    }

    pub(crate) fn open(&self) -> Open {
        let Backend { occupancy, reads, desk, yard, .. } = &*self.backend;
        let (streams, calls) = occupancy.open();
        let queued = [("read", reads.queued()), ("admin", desk.queued()), ("trim", yard.queued())];
        Open { streams, calls, queued }
    }

    /// Connections that were accepted; `None` in plaintext, where nobody counts them. The transport
    /// also asks for certificates once at its start, which is none.
    pub(crate) fn accepted(&self) -> Option<u64> {
        self.credentials.as_ref().map(|_| self.accepted.get().saturating_sub(1))
    }

    /// `None` in plaintext.
    pub(crate) fn certificate_ends(&self) -> Option<CertificateEnds> {
        let credentials = self.credentials.as_ref()?.get();
        let (server, client_ca) = (credentials.not_after(), credentials.authorities_not_after());
        Some(CertificateEnds { server, client_ca })
    }

    /// The open streams, by who does what.
    pub(crate) fn streams(&self) -> BTreeMap<Access, usize> {
        self.backend.guard.streams()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.backend.guard.is_stopping()
    }

    pub(crate) fn started_at(&self) -> SystemTime {
        self.backend.started_at
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observer").finish_non_exhaustive()
    }
}
