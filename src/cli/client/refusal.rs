//! What a server says when it refuses: a code, a message, and for programs a reason with values.

use std::collections::BTreeMap;
use std::fmt;

use grpcio::{RpcStatus, RpcStatusCode};
use protobuf::Message as _;

use crate::cli::escape::Escaped;
use crate::proto::error_details::ErrorInfo;
use crate::proto::status::Status;

/// A server's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: RpcStatusCode,
    pub(crate) message: String,
    /// Empty if the server gave none.
    pub(crate) reason: String,
    pub(crate) values: BTreeMap<String, String>,
}

impl From<&RpcStatus> for Refusal {
    fn from(status: &RpcStatus) -> Self {
        let info = info(status.details()).unwrap_or_default();
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            reason: info.reason,
            values: info.metadata.into_iter().collect(),
        }
    }
}

impl Refusal {
    /// One of the values as an offset.
    pub(crate) fn offset(&self, name: &str) -> Option<u64> {
        self.values.get(name)?.parse().ok()
    }
}

impl fmt::Display for Refusal {
    /// What another host sent is shown with its control bytes escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", Escaped(&self.message), self.code)?;
        if !self.reason.is_empty() {
            write!(f, ", {}", Escaped(&self.reason))?;
        }
        f.write_str(")")
    }
}

fn info(details: &[u8]) -> Option<ErrorInfo> {
    let status = Status::parse_from_bytes(details).ok()?;
    status.details.iter().find_map(|detail| detail.unpack::<ErrorInfo>().ok().flatten())
}
