//! A channel to a server, and the reason when it fails.

use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use grpcio::{
    CallOption, Channel, ChannelBuilder, ChannelCredentialsBuilder, ConnectivityState, Environment,
    RpcStatus, RpcStatusCode,
};
use thiserror::Error;

use super::args::ClientArgs;
use super::diagnosis::diagnose;
use super::error::ClientError;
use super::identity::Identity;
use super::refusal::Refusal;
use crate::proto::admin_service_grpc::AdminClient;
use crate::proto::log_service_grpc::LogClient;
use crate::proto::readers_service_grpc::ReadersClient;

/// A server allows pings every 10 seconds.
const KEEPALIVE: Duration = Duration::from_secs(20);
/// How long connecting may take, the handshake included.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(20);
/// How long a call may take that answers once.
const CALL_TIME_MAX: Duration = Duration::from_secs(60);
/// The same of what the server may be at work on for long. Connections end a little later.
const LONG_CALL_TIME_MAX: Duration = Duration::from_secs(50 * 60);

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
    args: ClientArgs,
    environment: Arc<Environment>,
    channel: Channel,
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
        Self::open_in(Arc::new(Environment::new(1)), args)
    }

    /// Another connection to the same server. The files are read again, because a client that goes
    /// on for long may get a new certificate.
    pub(crate) fn reopen(&self) -> Result<Self, ClientError> {
        Self::open_in(Arc::clone(&self.environment), &self.args)
    }

    /// A connection of its own beside others that share `environment`.
    pub(crate) fn open_in(
        environment: Arc<Environment>,
        args: &ClientArgs,
    ) -> Result<Self, ClientError> {
        let identity = Identity::load(args)?;
        let address = args.server.clone();
        let mut builder = ChannelBuilder::new(Arc::clone(&environment))
            // Else a connection that broke would be shared with the one that is to replace it.
            .use_local_subchannel_pool(true)
            // A variable of the environment must not lead the records elsewhere.
            .enable_http_proxy(false)
            .enable_retry(false)
            // A host that vanished is noticed also while there is nothing to send.
            .keepalive_time(KEEPALIVE)
            .keepalive_timeout(KEEPALIVE)
            .http2_max_pings_without_data(0)
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
        let channel = builder.connect(&address.to_string());
        Ok(Self { args: args.clone(), environment, channel, address, name, identity })
    }

    /// Connects, so that a failure comes before anything was sent.
    pub(crate) async fn connect(&self) -> Result<(), ClientError> {
        loop {
            match self.channel.check_connectivity_state(true) {
                ConnectivityState::GRPC_CHANNEL_READY => return Ok(()),
                ConnectivityState::GRPC_CHANNEL_TRANSIENT_FAILURE
                | ConnectivityState::GRPC_CHANNEL_SHUTDOWN => return Err(self.not_connected()),
                state => {
                    if !self.channel.wait_for_state_change(state, CONNECT_TIME_MAX).await {
                        return Err(self.not_connected());
                    }
                }
            }
        }
    }

    fn not_connected(&self) -> ClientError {
        let server = self.address.to_string();
        diagnose(self).unwrap_or(ClientError::Unready { server })
    }

    /// Whether there is a connection right now.
    pub(crate) fn is_connected(&self) -> bool {
        let state = self.channel.check_connectivity_state(false);
        state == ConnectivityState::GRPC_CHANNEL_READY
    }

    /// Calls whose messages the caller encodes and decodes.
    pub(crate) fn raw(&self) -> grpcio::Client {
        grpcio::Client::new(self.channel.clone())
    }

    /// The server's port, if it is on this host.
    pub(crate) fn local_port(&self) -> Option<u16> {
        let host = self.address.host.as_str();
        let is_loopback = host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        (is_loopback || host == "localhost").then_some(self.address.port)
    }

    /// Appending and reading.
    pub(crate) fn log(&self) -> LogClient {
        LogClient::new(self.channel.clone())
    }

    /// Named positions.
    pub(crate) fn readers(&self) -> ReadersClient {
        ReadersClient::new(self.channel.clone())
    }

    /// Logs and the server.
    pub(crate) fn admin(&self) -> AdminClient {
        AdminClient::new(self.channel.clone())
    }

    /// Makes a call that answers once, and says what a failure means.
    pub(crate) fn call<T>(
        &self,
        call: impl FnOnce(CallOption) -> grpcio::Result<T>,
    ) -> Result<T, ClientError> {
        call(CallOption::default().timeout(CALL_TIME_MAX)).map_err(|error| self.explain(error))
    }

    /// As `call`, for what may take the server long, such as copying what goes into an archive.
    pub(crate) fn call_long<T>(
        &self,
        call: impl FnOnce(CallOption) -> grpcio::Result<T>,
    ) -> Result<T, ClientError> {
        call(CallOption::default().timeout(LONG_CALL_TIME_MAX)).map_err(|error| self.explain(error))
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
