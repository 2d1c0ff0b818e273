//! Why a client got no answer, or a refusal.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use grpcio::RpcStatusCode;
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
    #[error("the server's answer does not fit the request: {what}")]
    Unfitting { what: &'static str },
    /// There was no connection, and a moment later there could have been one.
    #[error("there was no connection to {server} at first; now it may work")]
    Unready { server: String },
    /// The server was there before, with the same certificates.
    #[error("the connection to {server} was lost, and the server does not answer any more")]
    Lost { server: String },
    #[error("nothing came from the server for {}s", .patience.as_secs())]
    Silent { patience: Duration },
    #[error("the connection broke")]
    Broken { source: grpcio::Error },
}

impl ClientError {
    /// Whether the same may work a little later. `was_reached` says that the server answered
    /// before; if not, what keeps the client from it is for a person to look at.
    pub(crate) fn may_pass(&self, was_reached: bool) -> bool {
        match self {
            Self::Refused(refusal) => {
                refusal.retry_after.is_some()
                    || matches!(refusal.code, RpcStatusCode::UNAVAILABLE | RpcStatusCode::CANCELLED)
            }
            Self::UnknownHost { .. }
            | Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::Handshake { .. }
            | Self::Lost { .. }
            | Self::EndedEarly
            | Self::Silent { .. }
            | Self::Broken { .. } => was_reached,
            Self::Unready { .. } => true,
            _ => false,
        }
    }

    /// The same for a client whom the server answered before: what could be the fault of wrong
    /// certificates is then the server's end.
    pub(crate) fn after_contact(self) -> Self {
        match self {
            Self::Handshake { server, .. } | Self::NoAnswer { server, .. } => Self::Lost { server },
            other => other,
        }
    }

    /// Whether, to a client that was never answered, it means that nothing has arrived.
    pub(crate) fn is_no_contact(&self) -> bool {
        matches!(self, Self::NotTrusted { .. } | Self::Handshake { .. } | Self::NoAnswer { .. })
    }

    /// Whether nobody knows what became of the request: it was neither answered nor refused.
    pub(crate) fn is_silence(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.reason.is_empty(),
            Self::UnknownHost { .. }
            | Self::Unreachable { .. }
            | Self::NoAnswer { .. }
            | Self::Lost { .. }
            | Self::Unready { .. }
            | Self::Broken { .. } => true,
            _ => false,
        }
    }

    /// Whether the time for an answer passed.
    pub(crate) fn is_late(&self) -> bool {
        let code = RpcStatusCode::DEADLINE_EXCEEDED;
        matches!(self, Self::Refused(refusal) if refusal.code == code)
    }

    /// How long the server asks to wait before another try.
    pub(crate) fn retry_after(&self) -> Duration {
        match self {
            Self::Refused(refusal) => refusal.retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}
