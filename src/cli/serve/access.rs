//! What decides who gets in: certificates and the access control list, read together.

use std::sync::Arc;

use crate::acl::Policy;
use crate::cli::error::CliError;
use crate::config::{Config, Security};
use crate::server::{Server, Transport};
use crate::tls::{Credentials, Moment};

/// A certificate that ends within so many days is warned of.
const DAYS_LEFT_MIN: i64 = 30;

/// Certificates and policy of one moment.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) transport: Transport,
    pub(crate) policy: Arc<Policy>,
}

impl Access {
    /// Reads and checks all files that `config` names.
    pub(crate) fn load(config: &Config) -> Result<Self, CliError> {
        let transport = match &config.security {
            Security::MutualTls(files) => {
                let credentials = Credentials::load(&files.cert, &files.key, &files.client_ca)?;
                Transport::MutualTls(Arc::new(credentials))
            }
            Security::Plaintext { subject } => Transport::Plaintext { subject: subject.clone() },
        };
        let policy = Arc::new(Policy::load(&config.acl)?);
        Ok(Self { transport, policy })
    }

    /// What an operator should know although everything works.
    pub(crate) fn warnings(&self) -> Vec<String> {
        match &self.transport {
            Transport::Plaintext { subject } => {
                vec![format!("plaintext: every program on this host is the subject {subject}")]
            }
            Transport::MutualTls(credentials) => {
                let end = credentials.not_after();
                let days = Moment::now().days_until(end);
                let ends_soon = (days < DAYS_LEFT_MIN)
                    .then(|| format!("the server certificate ends in {days} days, on {end}"));
                let others = credentials.warnings().iter().map(ToString::to_string);
                others.chain(ends_soon).collect()
            }
        }
    }

    /// Puts this in force on a running server.
    pub(super) fn apply(self, server: &Server) {
        if let Transport::MutualTls(credentials) = self.transport {
            server.replace_credentials(credentials);
        }
        server.replace_policy(self.policy);
    }
}
