//! What a server says when it refuses: a code, a message, and for programs a reason with values.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use grpcio::{RpcStatus, RpcStatusCode};
use protobuf::{Message as _, MessageFull};

use crate::cli::escape::Escaped;
use crate::proto::error_details::{ErrorInfo, RetryInfo};
use crate::proto::status::Status;

/// A server's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: RpcStatusCode,
    pub(crate) message: String,
    /// Empty if the server gave none.
    pub(crate) reason: String,
    pub(crate) values: BTreeMap<String, String>,
    /// After which time the server says that trying again makes sense.
    pub(crate) retry_after: Option<Duration>,
}

impl From<&RpcStatus> for Refusal {
    fn from(status: &RpcStatus) -> Self {
        let details = Status::parse_from_bytes(status.details()).unwrap_or_default();
        let info = find::<ErrorInfo>(&details).unwrap_or_default();
        Self {
            code: status.code(),
            message: status.message().to_owned(),
            reason: info.reason,
            values: info.metadata.into_iter().collect(),
            retry_after: find::<RetryInfo>(&details).map(|retry| delay(&retry)),
        }
    }
}

impl Refusal {
    /// One with a code and a reason and nothing else.
    #[cfg(test)]
    pub(crate) fn of(code: RpcStatusCode, reason: &str) -> Self {
        let (message, reason) = (String::new(), reason.to_owned());
        Self { code, message, reason, values: BTreeMap::new(), retry_after: None }
    }

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

fn find<D: MessageFull>(status: &Status) -> Option<D> {
    status.details.iter().find_map(|detail| detail.unpack::<D>().ok().flatten())
}

fn delay(retry: &RetryInfo) -> Duration {
    let seconds = u64::try_from(retry.retry_delay.seconds).unwrap_or_default();
    let nanos = u32::try_from(retry.retry_delay.nanos).unwrap_or_default();
    Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos.into()))
}
