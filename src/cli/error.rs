//! Why a command failed. `exit` has the exit codes, `hint` what can be done.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use openssl::error::ErrorStack;
use thiserror::Error;

use super::bench::BenchError;
use super::client::error::ClientError;
use super::escape::Escaped;
use super::interrupt::Signal;
use super::output::chain;
use super::produce::{InputError, Unfinished};
use crate::acl::AclError;
use crate::certs::CertsError;
use crate::config::ConfigError;
use crate::log::{ArchivedError, BackUpError, CloseError, NameError, OpenError, RestoreError};
use crate::server::StartError;
use crate::tls::TlsError;

/// Why a command failed.
#[derive(Debug, Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Acl(#[from] AclError),
    #[error(transparent)]
    Certs(#[from] CertsError),
    #[error("cannot open the logs")]
    Open(#[from] OpenError),
    #[error("cannot start the server")]
    Start(#[from] StartError),
    #[error("{address} accepted no connection for 5 s although some waited")]
    Deaf { address: SocketAddr },
    #[error(
        "systemd passed {sockets} sockets, and none is for {listen}: set `listen` to the address \
         in the socket unit, which has to be of IPv6, as in ListenStream=[::]:8400"
    )]
    NotPassed { listen: SocketAddr, sockets: usize },
    #[error(
        "the server runs {}, and the configuration is {}: a restart changes that, no reload",
        transport(!is_plaintext),
        transport(*is_plaintext)
    )]
    TransportChanged { is_plaintext: bool },
    #[error("cannot look at the open files")]
    Descriptors(#[source] io::Error),
    #[error("the logs did not close in order")]
    Close(#[from] CloseError),
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server was asked, and nobody waits for its answer any more.
    #[error("{}; {outcome}", chain(why))]
    Unanswered { why: Box<ClientError>, outcome: &'static str, look: String },
    /// Some records may be in the log.
    #[error("{}{}; {done}", chain(why), place(done))]
    Produce { done: Box<Unfinished>, why: Box<ClientError> },
    #[error("{}; {done}", chain(why))]
    Input { done: Box<Unfinished>, why: InputError },
    #[error("interrupted; {done}")]
    Interrupted { done: Box<Unfinished>, signal: Signal },
    /// A consumer wrote out and committed what it had, and has nothing to say.
    #[error("interrupted")]
    Stopped { signal: Signal },
    #[error(transparent)]
    Bench(#[from] BenchError),
    #[error("cannot read {}", path.display())]
    Dump { path: PathBuf, source: ArchivedError },
    /// What is damaged was told before, place by place.
    #[error("{} is damaged; damaged places: {places}", path.display())]
    Damaged { path: PathBuf, places: usize },
    #[error("cannot open the input {}", path.display())]
    OpenInput { path: PathBuf, source: io::Error },
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
    #[error("there is no manual page about {}", Escaped(about))]
    NoPage { about: String },
    #[error("cannot write the manual page {}", path.display())]
    WritePage { path: PathBuf, source: io::Error },
    #[error("SOURCE_DATE_EPOCH is {}: it has to be seconds since 1970", Escaped(found))]
    Epoch { found: String },
    #[error("cannot get random bytes")]
    Random(#[source] ErrorStack),
    #[error("cannot ask on the terminal")]
    Ask(#[source] io::Error),
    #[error("to delete the log {} takes a confirmation", Escaped(log))]
    Unconfirmed { log: String },
    #[error("{} was typed, and the log is {}; nothing was deleted", typed, Escaped(log))]
    OtherName { typed: String, log: String },
    #[error("cannot back up {}", folder.display())]
    BackUp { folder: PathBuf, source: BackUpError },
    #[error("cannot restore {}", backup.display())]
    Restore { backup: PathBuf, source: RestoreError },
    /// What is wrong was told before, place by place.
    #[error("{} is not as it should be: faults: {faults}; {outcome}", path.display())]
    Unsound { path: PathBuf, faults: usize, outcome: &'static str, code: u8 },
    #[error("{} is no name of a log", Escaped(name))]
    LogName { name: String, source: NameError },
    #[error("no setting was named")]
    NothingToChange,
    #[error("this host has no user {}", Escaped(name))]
    NoUser { name: String },
}

fn transport(is_plaintext: bool) -> &'static str {
    if is_plaintext { "in plaintext" } else { "with TLS" }
}

/// Where the records stand in the input that were refused.
fn place(done: &Unfinished) -> String {
    done.refused().map_or_else(String::new, |records| format!(", in {records}"))
}
