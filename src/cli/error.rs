//! Why a command failed. `exit` has the exit codes, `hint` what can be done.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::client::error::ClientError;
use super::output::chain;
use super::produce::{Acknowledged, InputError};
use crate::acl::AclError;
use crate::certs::CertsError;
use crate::config::ConfigError;
use crate::log::{CloseError, OpenError};
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
    #[error("the logs did not close in order")]
    Close(#[from] CloseError),
    #[error("cannot receive signals")]
    Signals(#[source] io::Error),
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The records that were sent and not acknowledged may or may not be in the log.
    #[error("{}; {acknowledged}", chain(why))]
    Produce { acknowledged: Acknowledged, why: Box<ClientError> },
    #[error("{}; {acknowledged}", chain(why))]
    Input { acknowledged: Acknowledged, why: InputError },
    #[error("cannot open the input {}", path.display())]
    OpenInput { path: PathBuf, source: io::Error },
    #[error("cannot write to standard output")]
    Output(#[source] io::Error),
}
