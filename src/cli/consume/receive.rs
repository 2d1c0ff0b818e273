//! Reads a stretch of the log over one stream.

use std::io::{BufWriter, Write};

use futures_executor::block_on;
use futures_util::{FutureExt as _, StreamExt as _};

use super::format::Format;
use crate::cli::client::connection::Connection;
use crate::cli::client::error::ClientError;
use crate::cli::error::CliError;
use crate::proto::log::{ConsumeRequest, Record};

const OUTPUT_BUFFER_BYTES: usize = 64 * 1024;

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
        ClientError::Refused(refusal) => {
            match (refusal.offset("start"), refusal.offset("end")) {
                (Some(start), Some(end)) => Ok(Bounds { start, end }),
                _ => Err(ClientError::Refused(refusal).into()),
            }
        }
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
    let mut records = connection.client.consume_stream(&request).map_err(explain)?;
    let mut left = records_max;
    loop {
        let at_hand = records.next().now_or_never();
        let next = match at_hand {
            Some(next) => next,
            None => {
                out.flush().map_err(CliError::Output)?;
                block_on(records.next())
            }
        };
        let response = next.ok_or(ClientError::EndedEarly)?.map_err(explain)?;
        let record: Record = response.record.into_option().ok_or(ClientError::NoRecord)?;
        format.write(&mut out, record.offset, &record.value).map_err(CliError::Output)?;
        left -= 1;
        if left == 0 || record.offset.saturating_add(1) >= end {
            return out.flush().map_err(CliError::Output);
        }
    }
}
