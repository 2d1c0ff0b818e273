//! What decides who gets in and how much they may: certificates, what of them is revoked, the
//! access control list and the limits, read together.

use std::sync::Arc;

use crate::acl::Policy;
use crate::cli::error::CliError;
use crate::config::{Config, Security};
use crate::server::{Server, Transport};
use crate::service::{Limits, Rules};
use crate::small_file::Source;
use crate::tls::{Credentials, Moment, Revocations};

/// A certificate that ends within so many days is warned of.
pub(crate) const DAYS_LEFT_MIN: i64 = 30;

/// One reading of the files.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) transport: Transport,
    pub(crate) rules: Rules,
    pub(crate) limits: Limits,
}

impl Access {
    /// Reads and checks all files that `config` names. The access control list may be a pipe and
    /// is waited for then.
    pub(crate) fn load(config: &Config) -> Result<Self, CliError> {
        Self::load_from(Source::Any, config)
    }

    /// As `load`; what the access control list is may be narrowed.
    pub(super) fn load_from(source: Source, config: &Config) -> Result<Self, CliError> {
        let (transport, revocations) = match &config.security {
            Security::MutualTls(files) => {
                let credentials = Credentials::load(&files.cert, &files.key, &files.client_ca)?;
                let revocations = Revocations::load(files.revocations())?;
                (Transport::MutualTls(Arc::new(credentials)), revocations)
            }
            Security::Plaintext { subject } => {
                (Transport::Plaintext { subject: subject.clone() }, Revocations::default())
            }
        };
        let policy = Arc::new(Policy::load_from(&config.acl, source)?);
        let rules = Rules { policy, revocations: Arc::new(revocations) };
        Ok(Self { transport, rules, limits: config.limits.clone() })
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
                let stale = self.rules.revocations.warnings(Moment::now());
                let doubts = self.rules.revocations.doubts();
                others.chain(ends_soon).chain(stale).chain(doubts).collect()
            }
        }
    }

    /// Puts this in force on a running server.
    pub(super) fn apply(self, server: &Server) {
        if let Transport::MutualTls(credentials) = self.transport {
            server.replace_credentials(credentials);
        }
        server.replace_limits(self.limits);
        server.replace_rules(self.rules);
    }
}
