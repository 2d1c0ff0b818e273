//! Why a client got no answer, or a refusal.

use std::io;
use std::path::PathBuf;

use openssl::error::ErrorStack;
use openssl::ssl;
use thiserror::Error;

use super::refusal::Refusal;

/// What is wrong between a client and its server.
#[derive(Debug, Error)]
pub(crate) enum ClientError {
    #[error("cannot read the {what} {}", path.display())]
    Read { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the {what} {} is not valid PEM", path.display())]
    NotPem { what: &'static str, path: PathBuf, source: ErrorStack },
    #[error("the {what} {} holds no certificate", path.display())]
    Empty { what: &'static str, path: PathBuf },
    #[error("the key {} does not belong to the certificate {}", key.display(), cert.display())]
    Mismatch { key: PathBuf, cert: PathBuf },
    #[error("the certificate {} was valid until {not_after}", cert.display())]
    Expired { cert: PathBuf, not_after: String },
    #[error("cannot use the certificate {}", cert.display())]
    Unusable { cert: PathBuf, source: ErrorStack },

    #[error("cannot find the host of {server}")]
    UnknownHost { server: String, source: io::Error },
    #[error("cannot connect to {server}")]
    Unreachable { server: String, source: io::Error },
    #[error("{server} is not who it should be: {why}")]
    NotTrusted { server: String, why: String },
    #[error("the TLS handshake with {server} failed: {why}")]
    Handshake { server: String, why: String, source: Option<ssl::Error> },
    #[error("{server} accepted the connection and then gave no answer")]
    NoAnswer { server: String, plaintext: bool },

    #[error("{0}")]
    Refused(Box<Refusal>),
    #[error("the server ended the stream before it answered everything")]
    EndedEarly,
    #[error("the server's answer has no record")]
    NoRecord,
    #[error("the connection broke")]
    Broken { source: grpcio::Error },
}
