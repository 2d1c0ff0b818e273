//! What can be done about an error where its message does not say.

use std::io;

use super::client::error::ClientError;
use super::client::refusal::Refusal;
use super::error::CliError;
use super::escape::Escaped;
use crate::log::OpenError;
use crate::server::StartError;

impl CliError {
    /// What to do next; `None` where the message says it.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Open(error) => open(error).map(str::to_owned),
            Self::Start(StartError::PortTaken { .. }) => {
                Some("stop the other program, or name another address with --listen".to_owned())
            }
            Self::Client(error) => client(error),
            Self::Produce { why, .. } => client(why),
            _ => None,
        }
    }
}

fn open(error: &OpenError) -> Option<&'static str> {
    match error {
        OpenError::Owned { .. } => Some("stop the other server, or name another --data-dir"),
        OpenError::NewerFormat { .. } => {
            Some("run the release that wrote the data, or a newer one")
        }
        OpenError::Damaged { .. } => {
            Some("docs/OPERATIONS.md, damaged data; without storage.strict the rest is served")
        }
        OpenError::Io(error) if error.source.kind() == io::ErrorKind::PermissionDenied => {
            Some("run varve as the user that owns the data directory")
        }
        OpenError::Invalid { .. } | OpenError::Io(_) => None,
    }
}

fn client(error: &ClientError) -> Option<String> {
    let hint = match error {
        ClientError::UnknownHost { .. } | ClientError::Unreachable { .. } => {
            "is the server running there? --server HOST:PORT names another"
        }
        ClientError::NotTrusted { .. } => {
            "check that --ca has the root of the server's certificate, and that the certificate \
             names the host; --tls-name says which name to expect instead"
        }
        ClientError::Handshake { .. } => {
            "check that --cert is a client's certificate and comes from a root in the server's \
             tls.client_ca; a server that runs with --plaintext needs a client with --plaintext"
        }
        ClientError::NoAnswer { .. } => {
            "a server that uses TLS needs a client with --cert, --key and --ca"
        }
        ClientError::Expired { .. } => "ask for a new certificate, as from `varve certs issue`",
        ClientError::Refused(refusal) => return refused(refusal),
        _ => return None,
    };
    Some(hint.to_owned())
}

fn refused(refusal: &Refusal) -> Option<String> {
    let value = |name: &str| refusal.values.get(name).map_or("?", String::as_str);
    match refusal.reason.as_str() {
        "NOT_PERMITTED" => Some(format!(
            "a line `p, {}, {}, {}` in the server's access control list would allow it",
            Escaped(value("subject")),
            Escaped(value("object")),
            Escaped(value("action"))
        )),
        "OFFSET_OUT_OF_RANGE" => {
            Some("--offset start begins with the oldest record that is held".to_owned())
        }
        "LOG_DAMAGED" => {
            let resume = refusal.offset("resume")?;
            Some(format!("--offset {resume} goes on behind the damage"))
        }
        "RECORD_TOO_LARGE" => {
            Some("smaller records, or a higher limits.record_bytes_max on the server".to_owned())
        }
        _ => None,
    }
}
