//! What a server is started with.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use crate::log::LogOverrides;
use crate::service::{Limits, Rules};
use crate::tls::{Credentials, Subject};

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How clients connect.
    pub transport: Transport,
    /// Who may do what, and whose certificate counts no more.
    pub rules: Rules,
    /// How much may go on at once.
    pub limits: Limits,
    /// Whether a read outside the log answers the numeric status 404 instead of `OUT_OF_RANGE`.
    pub legacy_404: bool,
    /// Whether a batch for a log that is not there makes it, if its producer may append to it.
    pub creates_logs: bool,
    /// A call that takes longer has a line in the server's own log; `None` is none.
    pub slow_call: Option<Duration>,
    /// Where calls are told of as spans, by OTLP over HTTP; `None` is nowhere.
    pub traces: Option<String>,
    /// How the log `_audit` is kept, in which stands who changed what; `None` if there is to be
    /// none.
    pub audit: Option<LogOverrides>,
    /// Threads that own connections. Half as many as processors, 1 to 16, so that what the
    /// connections bring in is worked on beside them; with two processors a second such thread
    /// costs each call a change of threads and brings nothing.
    pub poll_threads: usize,
    /// Threads that read records for unary calls.
    pub read_threads: usize,
    /// How long a connection may be silent before it is asked whether it is still there; it is
    /// closed if it does not answer within 20 s.
    pub keepalive: Duration,
    /// A connection without calls is closed after this time.
    pub connection_idle_max: Duration,
    /// A connection is asked to reconnect after about this time, so that no certificate outlives
    /// its replacement for longer; a tenth more or less spreads them.
    pub connection_age_max: Duration,
    /// How long its calls may then go on.
    pub connection_age_grace: Duration,
}

/// How clients connect, and so who they are.
#[derive(Clone, Debug)]
pub enum Transport {
    /// With certificates, in both directions.
    MutualTls(Arc<Credentials>),
    /// In the clear, on a loopback address only: everyone on this host is the one subject.
    Plaintext {
        /// Who everyone is.
        subject: Subject,
    },
}

/// What [`ServerOptions::poll_threads`] is unless it is set.
pub(crate) fn default_poll_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    (processors / 2).clamp(1, 16)
}

impl ServerOptions {
    /// The defaults of everything that has one.
    #[must_use]
    pub fn new(listen: SocketAddr, transport: Transport, rules: Rules) -> Self {
        Self {
            listen,
            transport,
            rules,
            limits: Limits::default(),
            legacy_404: false,
            creates_logs: false,
            slow_call: None,
            traces: None,
            audit: None,
            poll_threads: default_poll_threads(),
            read_threads: 2,
            keepalive: Duration::from_secs(30),
            connection_idle_max: Duration::from_secs(10 * 60),
            connection_age_max: Duration::from_secs(60 * 60),
            connection_age_grace: Duration::from_secs(60),
        }
    }
}
