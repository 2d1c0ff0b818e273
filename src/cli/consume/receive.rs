//! Reads a stretch of the log over one stream.
//!
//! Receiving runs on the thread that owns the connection, so that a message costs no change of
//! threads; a short queue leads from there to the writing.

use std::future::poll_fn;
use std::io::{self, BufWriter, Write};

use futures_channel::mpsc::{self, Receiver, Sender};
use futures_executor::block_on;
use futures_util::{FutureExt as _, StreamExt as _};
use grpcio::ClientSStreamReceiver;

use super::format::Format;
use crate::cli::client::connection::Connection;
use crate::cli::client::error::ClientError;
use crate::cli::error::CliError;
use crate::proto::log::{ConsumeRequest, ConsumeResponse};

const OUTPUT_BUFFER_BYTES: usize = 64 * 1024;
/// Records that were received and not yet written. Each may be large.
const QUEUED_RECORDS_MAX: usize = 128;

/// What the stream brings.
type Received = Result<ConsumeResponse, grpcio::Error>;

/// What a log holds: from `start` up to but not including `end`.
pub(super) struct Bounds {
    pub(super) start: u64,
    pub(super) end: u64,
}

/// What is to be read: from `from` up to but not including `end`, and no more than `records_max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) from: u64,
    pub(super) end: u64,
    pub(super) records_max: u64,
}

/// Asks for the log's bounds.
///
/// The service has no call for it, but its refusal of an offset that no log reaches names them.
pub(super) fn bounds(connection: &Connection) -> Result<Bounds, CliError> {
    let beyond = ConsumeRequest { offset: u64::MAX, ..ConsumeRequest::default() };
    let Err(error) = connection.client.consume(&beyond) else {
        return Ok(Bounds { start: 0, end: u64::MAX });
    };
    match connection.explain(error) {
        ClientError::Refused(refusal) => match (refusal.offset("start"), refusal.offset("end")) {
            (Some(start), Some(end)) => Ok(Bounds { start, end }),
            _ => Err(ClientError::Refused(refusal).into()),
        },
        other => Err(other.into()),
    }
}

/// Writes the records of `stretch` to `out`. Whenever the log has nothing more at hand, everything
/// that came is written out.
pub(super) fn copy(
    connection: &Connection,
    stretch: Stretch,
    format: Format,
    out: impl Write,
) -> Result<(), CliError> {
    let Stretch { from, end, records_max } = stretch;
    if from == end {
        return Ok(());
    }
    let mut out = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, out);
    let request = ConsumeRequest { offset: from, ..ConsumeRequest::default() };
    let explain = |error| CliError::from(connection.explain(error));
    let stream = connection.client.consume_stream(&request).map_err(explain)?;
    let (queue, mut queued) = mpsc::channel(QUEUED_RECORDS_MAX);
    connection.client.spawn(receive(stream, queue));
    let mut left = records_max;
    loop {
        let response = next(&mut queued, &mut out).map_err(CliError::Output)?;
        let response = response.ok_or(ClientError::EndedEarly)?.map_err(explain)?;
        let record = response.record.into_option().ok_or(ClientError::NoRecord)?;
        format.write(&mut out, record.offset, &record.value).map_err(CliError::Output)?;
        left -= 1;
        if left == 0 || record.offset.saturating_add(1) >= end {
            return out.flush().map_err(CliError::Output);
        }
    }
}

/// Queues what the stream brings until it ends or nobody wants it any more.
async fn receive(mut stream: ClientSStreamReceiver<ConsumeResponse>, mut queue: Sender<Received>) {
    while let Some(response) = stream.next().await {
        let is_last = response.is_err();
        let queued = poll_fn(|context| queue.poll_ready(context)).await;
        if queued.and_then(|()| queue.start_send(response)).is_err() || is_last {
            return;
        }
    }
}

/// The next of the queue; writes out what came before if it has to wait.
fn next(queued: &mut Receiver<Received>, out: &mut impl Write) -> io::Result<Option<Received>> {
    match queued.next().now_or_never() {
        Some(next) => Ok(next),
        None => {
            out.flush()?;
            Ok(block_on(queued.next()))
        }
    }
}
