//! How a stream ends, and the farewell to its client.

use std::future::Future;
use std::time::{Duration, Instant};

use futures_util::{Sink, SinkExt as _};
use grpcio::{RpcStatus, WriteFlags};

use crate::service::backend::Backend;
use crate::service::message::Reply;
use crate::service::refusal::Refusal;
use crate::service::session::Cut;
use crate::service::wait::wait_until;

/// How long a client may take to receive its stream's end; one that reads nothing is cut off then.
const FAREWELL: Duration = Duration::from_secs(1);

/// How a stream ends.
#[derive(Debug)]
pub(super) enum Ending {
    /// The client said that it was done, and all its answers are on their way.
    Done,
    /// The client is gone: there is nobody to tell anything.
    Gone,
    /// The client is told why.
    Refused(Refusal),
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Cut> for Ending {
    fn from(cut: Cut) -> Self {
        Self::Refused(cut.into())
    }
}

/// Sends what `sink` still holds and then the status that `ending` comes to, on this thread.
///
/// `fail` is the sink's own method of that name, which no trait has.
pub(super) fn farewell<S, F>(
    backend: &Backend,
    mut sink: S,
    ending: Ending,
    fail: fn(S, RpcStatus) -> F,
) where
    S: Sink<(Reply, WriteFlags)> + Unpin,
    F: Future,
{
    let goodbye = async move {
        match ending {
            // The sink must not be asked anything after it said that the client is gone.
            Ending::Gone => {}
            Ending::Done => {
                if sink.flush().await.is_ok() {
                    let _closed = sink.close().await;
                }
            }
            Ending::Refused(refusal) => {
                if sink.flush().await.is_ok() {
                    let _failed = fail(sink, backend.status(&refusal)).await;
                }
            }
        }
    };
    // Whatever is left after that is cancelled with the sink.
    let _in_time = wait_until(goodbye, Instant::now() + FAREWELL);
}
