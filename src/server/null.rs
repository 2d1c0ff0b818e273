//! A server without logs, over the same transport, to compare a real one with.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grpcio::{EnvBuilder, ServerBuilder, ServerCredentials};

use super::arguments;
use super::credentials::Current;
use super::error::StartError;
use super::hearing::Accepted;
use super::options::{ServerOptions, Transport};
use super::running::{QUEUED_CALLS, why_not_listening};
use crate::service::null::{Null, Prepared, service};
use crate::service::wait::wait_until;

/// How long calls may take to end when they are cancelled.
const CANCELLED: Duration = Duration::from_millis(500);

/// A server that keeps nothing. Dropping it cancels what goes on.
pub(crate) struct NullServer {
    core: grpcio::Server,
    port: u16,
}

impl NullServer {
    /// Starts to serve on the address and over the transport of `options`; consumers get
    /// `prepared`, and what producers send is written in `folder`, if there is one.
    pub(crate) fn start(
        options: &ServerOptions,
        prepared: Prepared,
        folder: Option<&Path>,
    ) -> Result<Self, StartError> {
        let listen = options.listen;
        let credentials = match &options.transport {
            Transport::MutualTls(credentials) => {
                Current::new(Arc::clone(credentials)).for_transport(Accepted::default())
            }
            Transport::Plaintext { .. } if !listen.ip().is_loopback() => {
                return Err(StartError::PublicPlaintext { listen });
            }
            Transport::Plaintext { .. } => ServerCredentials::insecure(),
        };
        let null = Arc::new(Null::start(prepared, options.read_threads, folder)?);
        let polls = EnvBuilder::new().cq_count(options.poll_threads).name_prefix("grpc");
        let environment = Arc::new(polls.build());
        let mut core = ServerBuilder::new(Arc::clone(&environment))
            .channel_args(arguments::builder(options, &environment).build_args())
            .requests_slot_per_cq(QUEUED_CALLS)
            .register_service(service(&null))
            .build()?;
        let port = core
            .add_listening_port(listen.to_string(), credentials)
            .map_err(|_| why_not_listening(listen))?;
        core.start();
        Ok(Self { core, port })
    }

    /// The port that clients connect to.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Cancels what goes on. Not to be called on a poll thread.
    pub(crate) fn stop(mut self) {
        let mut ended = self.core.shutdown();
        self.core.cancel_all_calls();
        // What is not over then is over when the transport is dropped.
        let _ended = wait_until(&mut ended, Instant::now() + CANCELLED);
    }
}
