//! A running server, from its listener to its last thread.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use grpcio::{EnvBuilder, Environment, ServerBuilder, ServerCredentials};

use super::arguments;
use super::backlog::Backlog;
use super::credentials::Current;
use super::delivery::Delivery;
use super::error::StartError;
use super::hearing::{Accepted, Hearing};
use super::observer::Observer;
use super::options::{ServerOptions, Transport};
use super::otlp::{self, Export};
use super::review::Review;
use super::vitals::Vitals;
use crate::log::Logs;
use crate::service::audit;
use crate::service::backend::{Backend, Means};
use crate::service::checker::Checker;
use crate::service::guard::Guard;
use crate::service::identity::Authentication;
use crate::service::measured::Telling;
use crate::service::spans::Spans;
use crate::service::status::Statuses;
use crate::service::wait::wait_until;
use crate::service::{Limits, Rules, admin, health, log_v1, readers_v1, reflection, varve_v1};
use crate::tls::Credentials;

/// Calls that may wait for their handler on each poll thread. Few, because a stop takes them back
/// one by one.
pub(super) const QUEUED_CALLS: usize = 128;
/// How long calls may take to end by themselves when the server stops, how often that is looked at,
/// and how long their answers may take to arrive.
const GRACE: Duration = Duration::from_millis(2000);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const ARRIVING: Duration = Duration::from_millis(200);
/// How long connections without calls may take to be closed by both sides.
const GOODBYE: Duration = Duration::from_millis(500);
/// How long calls may take after they were cancelled.
const CANCELLED: Duration = Duration::from_millis(500);
/// How long the streams' threads may take after that.
const LEAVING: Duration = Duration::from_millis(1000);

/// A server that listens. Dropping it cancels what goes on; `shutdown` is the orderly way.
#[derive(Debug)]
pub struct Server {
    // Dropped in this order: first nothing more for poll threads, then no more calls, then those
    // who work for them.
    delivery: Delivery,
    core: grpcio::Server,
    review: Review,
    /// `None` until someone wants to know.
    hearing: Option<Hearing>,
    accepted: Accepted,
    /// `None` if nobody wants spans.
    export: Option<Export>,
    logs: Arc<Logs>,
    backend: Arc<Backend>,
    /// `None` in plaintext.
    credentials: Option<Current>,
    port: u16,
}

/// How a stop went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Calls that did not end by themselves were cancelled.
    pub calls_cancelled: bool,
    /// Streams whose threads still ran when patience ended; they hold on to their log.
    pub threads_left: usize,
}

impl Server {
    /// Starts to serve `logs` as `options` say. Calls are taken when this returns.
    ///
    /// # Errors
    ///
    /// `PortTaken`, `Listen` and `PublicPlaintext` are about the address, the others about this
    /// host. Nothing of the server is left then.
    pub fn start(options: ServerOptions, logs: Arc<Logs>) -> Result<Self, StartError> {
        let listen = options.listen;
        let (authentication, credentials) = match &options.transport {
            Transport::MutualTls(credentials) => {
                (Authentication::Certificate, Some(Current::new(Arc::clone(credentials))))
            }
            Transport::Plaintext { .. } if !listen.ip().is_loopback() => {
                return Err(StartError::PublicPlaintext { listen });
            }
            Transport::Plaintext { subject } => (Authentication::Everyone(subject.clone()), None),
        };
        let environment =
            Arc::new(EnvBuilder::new().cq_count(options.poll_threads).name_prefix("grpc").build());
        let delivery = Delivery::start(Arc::clone(&logs), &environment);
        let guard = Arc::new(Guard::new(Arc::clone(&logs), options.rules.clone(), authentication));
        let (spans, export) = options.traces.as_deref().map(otlp::start).transpose()?.unzip();
        let means = means(&options, &logs, spans);
        let backend = Arc::new(Backend::start(Arc::clone(&guard), means)?);
        let mut core = core(&options, &backend, environment)?;
        let accepted = Accepted::default();
        let for_transport = credentials
            .as_ref()
            .map_or_else(ServerCredentials::insecure, |them| them.for_transport(accepted.clone()));
        let port = core
            .add_listening_port(listen.to_string(), for_transport)
            .map_err(|_| why_not_listening(listen))?;
        let review = Review::start(guard)?;
        core.start();
        Ok(Self {
            delivery,
            core,
            review,
            hearing: None,
            accepted,
            export,
            logs,
            backend,
            credentials,
            port,
        })
    }

    /// The port that clients connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// For whoever watches whether the server still moves.
    #[must_use]
    pub fn vitals(&self) -> Vitals {
        Vitals {
            logs: Arc::clone(&self.logs),
            backend: Arc::clone(&self.backend),
            poll_threads: Arc::clone(self.delivery.threads()),
        }
    }

    /// Sees what goes on in this server.
    #[must_use]
    pub fn observer(&self) -> Observer {
        Observer {
            backend: Arc::clone(&self.backend),
            accepted: self.accepted.clone(),
            credentials: self.credentials.clone(),
        }
    }

    /// Calls `when_deaf` on another thread, once, if the listener accepts nothing any more: when
    /// connections have waited for it for 5 s and none was taken. Only a new server can help then.
    ///
    /// # Errors
    ///
    /// The kernel's table of sockets cannot be read or has no such listener, or there is no thread.
    pub fn watch_listener(&mut self, when_deaf: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let backlog = Backlog::of(self.port)?;
        self.hearing = Some(Hearing::watch(backlog, self.accepted.clone(), when_deaf)?);
        Ok(())
    }

    /// Puts other rules in force: for calls that begin now, and at once for open streams.
    pub fn replace_rules(&self, rules: Rules) {
        self.backend.guard.replace_rules(rules);
        self.review.now();
    }

    /// Puts other limits in force for what begins now; what is open beyond them may end in its own
    /// time. `queued_reads_max` and `message_bytes_max` stay as they were at the start.
    pub fn replace_limits(&self, limits: Limits) {
        self.backend.replace_limits(limits);
    }

    /// Gives connections that begin now other certificates; those that exist keep theirs until they
    /// reach their age. Without effect in plaintext.
    pub fn replace_credentials(&self, credentials: Arc<Credentials>) {
        if let Some(current) = &self.credentials {
            current.replace(credentials);
        }
    }

    /// Keeps that the files which decide about callers were read again, or `why` they were refused.
    pub fn note_reload(&self, why: Option<&str>) {
        self.backend.audit.reloaded(why);
    }

    /// Stops: refuses calls and tells open streams that the server is not available any more, lets
    /// what was taken be answered, closes the connections, cancels what does not end, and waits for
    /// the threads. Returns within 4.5 s, after which the logs can be closed. Not to be called on a
    /// poll thread.
    pub fn shutdown(mut self) -> Stopped {
        drop(self.hearing.take());
        self.backend.guard.stop();
        // Before the transport: it closes a connection with its last call, and a client that was
        // still sending then finds it broken and forgets the answers it has not read.
        let calls_cancelled = !self.calls_end_by(Instant::now() + GRACE);
        let mut ended = self.core.shutdown();
        let goodbye = if calls_cancelled { Duration::ZERO } else { GOODBYE };
        if wait_until(&mut ended, Instant::now() + goodbye).is_none() {
            self.core.cancel_all_calls();
            // What is not over then is over when the transport is dropped.
            let _ended = wait_until(&mut ended, Instant::now() + CANCELLED);
        }
        drop(self.export.take());
        self.backend.reads.close();
        self.backend.desk.close();
        self.backend.yard.close();
        let threads_left = self.backend.crew.wait_until(Instant::now() + LEAVING);
        Stopped { calls_cancelled, threads_left }
    }

    /// Waits until no call is open and the last answers have had time to arrive; `false` if some
    /// still are at the deadline.
    fn calls_end_by(&self, deadline: Instant) -> bool {
        let mut arriving = LOOK_EVERY;
        while !self.backend.occupancy.is_idle() {
            if Instant::now() >= deadline {
                return false;
            }
            arriving = ARRIVING;
            thread::sleep(LOOK_EVERY);
        }
        // Also when there was no call: one counts as over a moment before its answer is sent.
        thread::sleep(arriving);
        true
    }
}

fn means(options: &ServerOptions, logs: &Logs, spans: Option<Arc<Spans>>) -> Means {
    Means {
        limits: options.limits.clone(),
        read_threads: options.read_threads,
        statuses: Statuses { legacy_404: options.legacy_404 },
        creates_logs: options.creates_logs,
        telling: Telling::new(options.slow_call, spans),
        audit: options.audit.clone().and_then(|settings| audit::open(logs, settings)),
    }
}

fn core(
    options: &ServerOptions,
    backend: &Arc<Backend>,
    environment: Arc<Environment>,
) -> Result<grpcio::Server, StartError> {
    let arguments = arguments::builder(options, &environment).build_args();
    let [reflection, reflection_alpha] = reflection::services(backend);
    Ok(ServerBuilder::new(environment)
        .channel_args(arguments)
        .requests_slot_per_cq(QUEUED_CALLS)
        .add_checker(Checker::new(Arc::clone(&backend.guard), Arc::clone(&backend.calls)))
        .register_service(log_v1::service(backend))
        .register_service(varve_v1::service(backend))
        .register_service(readers_v1::service(backend))
        .register_service(admin::service(backend))
        .register_service(health::service(backend))
        .register_service(reflection)
        .register_service(reflection_alpha)
        .build()?)
}

/// The transport only says that it failed; trying the same by hand tells why.
pub(super) fn why_not_listening(listen: SocketAddr) -> StartError {
    match TcpListener::bind(listen) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => StartError::PortTaken { listen },
        Err(source) => StartError::Listen { listen, source },
        Ok(_) => StartError::Transport { listen },
    }
}
