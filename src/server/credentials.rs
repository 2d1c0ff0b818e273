//! Certificates that can be replaced while the server runs.
//!
//! The transport asks for them at the start and with every connection, on a poll thread: so what it
//! gets is read and checked long before, and here is only looked whether it is another one.

use std::error::Error;
use std::sync::Arc;

use arc_swap::ArcSwap;
use grpcio::{
    CertificateRequestType, ServerCredentials, ServerCredentialsBuilder, ServerCredentialsFetcher,
};
use parking_lot::Mutex;

use super::hearing::Accepted;
use crate::tls::Credentials;

/// Every client must show a certificate that leads to one of our roots.
const REQUEST: CertificateRequestType =
    CertificateRequestType::RequestAndRequireClientCertificateAndVerify;

/// The credentials that new connections get.
#[derive(Clone, Debug)]
pub(super) struct Current(Arc<ArcSwap<Credentials>>);

struct Fetcher {
    current: Current,
    /// What the transport has.
    served: Mutex<Option<Arc<Credentials>>>,
    accepted: Accepted,
}

impl Current {
    pub(super) fn new(credentials: Arc<Credentials>) -> Self {
        Self(Arc::new(ArcSwap::new(credentials)))
    }

    pub(super) fn get(&self) -> Arc<Credentials> {
        self.0.load_full()
    }

    pub(super) fn replace(&self, credentials: Arc<Credentials>) {
        self.0.store(credentials);
    }

    /// For the transport, which asks again with every connection; so these are counted there.
    pub(super) fn for_transport(&self, accepted: Accepted) -> ServerCredentials {
        let fetcher = Fetcher { current: self.clone(), served: Mutex::default(), accepted };
        ServerCredentials::with_fetcher(Box::new(fetcher), REQUEST)
    }
}

impl ServerCredentialsFetcher for Fetcher {
    fn fetch(&self) -> Result<Option<ServerCredentialsBuilder>, Box<dyn Error>> {
        self.accepted.count();
        let current = self.current.0.load_full();
        let mut served = self.served.lock();
        if served.as_ref().is_some_and(|served| Arc::ptr_eq(served, &current)) {
            return Ok(None);
        }
        // The bytes were encoded from what was checked, so they have no NUL, at which the binding
        // would panic.
        let builder = ServerCredentialsBuilder::new()
            .root_cert(current.ca_pem(), REQUEST)
            .add_cert(current.cert_pem().to_owned(), current.key_pem().to_owned());
        *served = Some(current);
        Ok(Some(builder))
    }
}
