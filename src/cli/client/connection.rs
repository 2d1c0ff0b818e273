//! A channel to a server, and the reason when it fails.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use grpcio::{ChannelBuilder, ChannelCredentialsBuilder, Environment, RpcStatus, RpcStatusCode};
use thiserror::Error;

use super::args::ClientArgs;
use super::diagnosis::diagnose;
use super::error::ClientError;
use super::identity::Identity;
use super::refusal::Refusal;
use crate::proto::log_grpc::LogClient;

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

/// What was typed is no address.
#[derive(Debug, Error)]
#[error("a server is a host and a port, such as 127.0.0.1:8400, [::1]:8400 or log.example:8400")]
pub(crate) struct NoAddress;

/// A channel that connects with its first call.
pub(crate) struct Connection {
    pub(crate) client: LogClient,
    pub(super) address: Address,
    /// The name that the server's certificate must have.
    pub(super) name: String,
    /// `None` is plaintext.
    pub(super) identity: Option<Identity>,
}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(NoAddress)?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let is_host = |host: &str| {
            let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            !host.is_empty() && host.bytes().all(is_fine)
        };
        let is_fine = match bracketed {
            Some(ip) => matches!(ip.parse(), Ok(IpAddr::V6(_))),
            None => is_host(host),
        };
        match port.parse() {
            Ok(port) if is_fine => Ok(Self { host: bracketed.unwrap_or(host).to_owned(), port }),
            Ok(_) | Err(_) => Err(NoAddress),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Connection {
    /// Reads the client's files and makes the channel; the first call connects.
    pub(crate) fn open(args: &ClientArgs) -> Result<Self, ClientError> {
        let identity = Identity::load(args)?;
        let address = args.server.clone();
        let mut builder = ChannelBuilder::new(Arc::new(Environment::new(1)))
            // A variable of the environment must not lead the records elsewhere.
            .enable_http_proxy(false)
            .enable_retry(false)
            .max_receive_message_len(-1)
            .max_send_message_len(-1);
        if let (Some(identity), Some(cert)) = (&identity, &args.cert) {
            let pem = identity
                .pem()
                .map_err(|source| ClientError::Unusable { cert: cert.clone(), source })?;
            let credentials =
                ChannelCredentialsBuilder::new().root_cert(pem.roots).cert(pem.chain, pem.key);
            builder = builder.set_credentials(credentials.build());
            if let Some(name) = &args.tls_name {
                builder = builder.override_ssl_target(name.as_str());
            }
        }
        let name = args.tls_name.clone().unwrap_or_else(|| address.host.clone());
        let client = LogClient::new(builder.connect(&address.to_string()));
        Ok(Self { client, address, name, identity })
    }

    /// Says what a failed call means; where the C core says only that there is no connection, it
    /// is found out why.
    pub(crate) fn explain(&self, error: grpcio::Error) -> ClientError {
        match error {
            grpcio::Error::RpcFailure(status) | grpcio::Error::RpcFinished(Some(status)) => {
                self.explain_status(&status)
            }
            source => ClientError::Broken { source },
        }
    }

    fn explain_status(&self, status: &RpcStatus) -> ClientError {
        let refusal = Refusal::from(status);
        if refusal.code != RpcStatusCode::UNAVAILABLE || !refusal.reason.is_empty() {
            return ClientError::Refused(refusal.into());
        }
        diagnose(self).unwrap_or_else(|| ClientError::Refused(refusal.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_it_is_shown() {
        for text in ["127.0.0.1:8400", "[::1]:1", "log.example:65535", "localhost:0"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "localhost", ":1", "::1:8400", "[127.0.0.1]:1", "a/b:1", "a:65536", "dns:///a:1"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
