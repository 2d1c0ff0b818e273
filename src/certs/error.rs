//! Why no certificate was made or shown, and what to know of one that was.

use std::io;
use std::path::PathBuf;

use openssl::error::ErrorStack;
use thiserror::Error;

use super::fault::Fault;
use crate::tls::{IdentityError, Moment, TlsError};

/// Why there is no result. No file was written, unless `Write` says otherwise.
#[derive(Debug, Error)]
pub enum CertsError {
    /// A request or a configuration could not be read.
    #[error("cannot read {}: check the path", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A request or a configuration is no JSON.
    #[error("{}:{line}: not JSON", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A value in a request or a configuration is wrong; it is the first such value.
    #[error("{}:{line}: {fault}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: u32,
        /// What is wrong.
        fault: Fault,
    },
    /// A file of certificates or keys is of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The CA that is to sign may have no CA below it.
    #[error(
        "the CA {} has path length 0, it may not sign another CA: use its parent",
        path.display()
    )]
    PathLength {
        /// The CA's certificate.
        path: PathBuf,
    },
    /// A name that leads elsewhere than to files in the folder.
    #[error("{name:?} is no plain file name: write one without `/`")]
    Name {
        /// The name as it was given.
        name: String,
    },
    /// A file that would be overwritten.
    #[error("{} already exists: choose another name, or force it to be replaced", path.display())]
    Exists {
        /// The file that is there.
        path: PathBuf,
    },
    /// The result could not be stored. Neither file is there, or the older ones still are, unless
    /// the key's was already replaced.
    #[error("cannot {op} {}", path.display())]
    Write {
        /// What was being done.
        op: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// OpenSSL could not do its part.
    #[error("openssl cannot {op}")]
    OpenSsl {
        /// What was being done.
        op: &'static str,
        /// What it said.
        source: ErrorStack,
    },
}

/// What the owner of a new certificate should know.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Warning {
    /// An empty host was left out.
    #[error("{}:{line}: an empty host was left out", path.display())]
    EmptyHost {
        /// The request.
        path: PathBuf,
        /// The line, counted from 1.
        line: u32,
    },
    /// A server's certificate names no host.
    #[error(
        "{}: no host and no address in \"hosts\": gRPC clients will refuse this server",
        path.display()
    )]
    NoHosts {
        /// The request.
        path: PathBuf,
    },
    /// A client's certificate gives its owner no subject.
    #[error(
        "{}: a server will not let this client in, its certificate has {reason}",
        path.display()
    )]
    NoSubject {
        /// The request.
        path: PathBuf,
        /// Why it has none.
        reason: IdentityError,
    },
    /// The CA ends before the certificate would, so the certificate ends with it.
    #[error("the certificate ends together with its CA, at {not_after}: renew the CA soon")]
    EndsWithCa {
        /// The last moment of both.
        not_after: Moment,
    },
}
