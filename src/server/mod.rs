//! The server: the services on a listener, from start to stop.
//!
//! Owns the transport's settings and the order of a stop. The set of logs is lent to it: whoever
//! opened it closes it once the server has stopped.
//!
//! Files, lowest first: `error`, `options`, `arguments` (the transport's settings), `credentials`
//! (certificates that can be replaced), `delivery` (who wakes those who wait for logs), `review`
//! (the thread that asks open streams again), `backlog` (who waits to be accepted), `hearing` (the
//! thread that notices when nobody is), `handshakes` (those that failed), `otlp` (exports spans),
//! `observer` (what is to be seen of a server), `vitals` (whether threads still come to their
//! work), `running` (the server itself), `null` (one without logs, to compare it with).

mod arguments;
mod backlog;
mod credentials;
mod delivery;
mod error;
pub(crate) mod handshakes;
mod hearing;
mod null;
mod observer;
mod options;
mod otlp;
mod review;
mod running;
mod vitals;

pub(crate) use arguments::{calls_of_subject_max, calls_per_connection_max};
pub(crate) use backlog::{is_passed, passed};
pub use error::StartError;
pub(crate) use null::NullServer;
pub use observer::Observer;
pub(crate) use options::default_poll_threads;
pub use options::{ServerOptions, Transport};
pub use running::{Server, Stopped};
pub use vitals::{Stillness, Vitals};
