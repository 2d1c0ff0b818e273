//! Sends records over one stream, many in flight, and counts what comes back.
//!
//! A thread reads the input and sends; the caller's thread takes the acknowledgements, so that a
//! refusal is reported at once, also while the input waits. How many are in flight is the server's
//! to say: beyond what it takes it stops reading, and the sending waits.

use std::fmt;
use std::io::Read;
use std::thread;

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{ClientDuplexReceiver, ClientDuplexSender, WriteFlags};
use thiserror::Error;

use super::records::{InputError, Records};
use crate::cli::client::connection::Connection;
use crate::cli::client::error::ClientError;
use crate::cli::error::CliError;
use crate::proto::log::{ProduceRequest, ProduceResponse, Record};

/// What the server said is on its disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Acknowledged {
    pub(crate) records: u64,
    /// The first one's offset; other producers' records may lie between it and the last.
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
}

/// Why the sending thread ended before the input did.
#[derive(Debug, Error)]
enum SendError {
    #[error(transparent)]
    Input(#[from] InputError),
    /// The call is over; the server's answer says why.
    #[error("the call ended")]
    CallOver,
}

impl fmt::Display for Acknowledged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.last) {
            (Some(first), Some(last)) if first == last => {
                write!(f, "1 record acknowledged, offset {first}")
            }
            (Some(first), Some(last)) => {
                write!(f, "{} records acknowledged, offsets {first} to {last}", self.records)
            }
            _ => f.write_str("no records acknowledged"),
        }
    }
}

impl Acknowledged {
    fn add(&mut self, offset: u64) {
        self.records += 1;
        self.first.get_or_insert(offset);
        self.last = Some(offset);
    }
}

/// Appends all `records` and returns once the last is acknowledged.
pub(super) fn all<R: Read + Send + 'static>(
    connection: &Connection,
    records: Records<R>,
) -> Result<Acknowledged, CliError> {
    let (sender, receiver) =
        connection.client.produce_stream().map_err(|error| connection.explain(error))?;
    let sending = thread::Builder::new()
        .name("send".to_owned())
        .spawn(move || send(sender, records))
        .map_err(CliError::Thread)?;
    let mut acknowledged = Acknowledged::default();
    if let Err(error) = receive(receiver, &mut acknowledged) {
        // The sending thread may wait for input for ever; it ends with the process.
        let why = connection.explain(error);
        return Err(CliError::Produce { acknowledged, why });
    }
    match sending.join() {
        Ok(Ok(sent)) if sent == acknowledged.records => Ok(acknowledged),
        Ok(Ok(_) | Err(SendError::CallOver)) => {
            Err(CliError::Produce { acknowledged, why: ClientError::EndedEarly })
        }
        Ok(Err(SendError::Input(why))) => Err(CliError::Input { acknowledged, why }),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Sends until the input ends, and returns how many there were.
fn send<R: Read>(
    mut sender: ClientDuplexSender<ProduceRequest>,
    mut records: Records<R>,
) -> Result<u64, SendError> {
    let mut sent = 0;
    let over = |_: grpcio::Error| SendError::CallOver;
    let outcome = loop {
        match records.next() {
            Ok(Some(value)) => {
                // The core may hold a message back only if another follows without waiting.
                let flags = WriteFlags::default().buffer_hint(records.is_next_at_hand());
                block_on(sender.feed((request(value), flags))).map_err(over)?;
                sent += 1;
            }
            Ok(None) => break Ok(sent),
            Err(error) => break Err(error.into()),
        }
    };
    // Also after bad input: what was sent is answered before the call ends.
    block_on(sender.close()).map_err(over)?;
    outcome
}

fn receive(
    mut receiver: ClientDuplexReceiver<ProduceResponse>,
    acknowledged: &mut Acknowledged,
) -> Result<(), grpcio::Error> {
    while let Some(response) = block_on(receiver.next()) {
        acknowledged.add(response?.offset);
    }
    Ok(())
}

fn request(value: Vec<u8>) -> ProduceRequest {
    let record = Record { value: value.into(), ..Record::default() };
    ProduceRequest { record: Some(record).into(), ..ProduceRequest::default() }
}
