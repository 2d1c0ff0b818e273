//! Writes a stretch of a log to the output, over one stream or, when that breaks, over several.
//!
//! Whenever the log has nothing more at hand, everything that came is written out; a reader is
//! moved only behind what was written out.

use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use grpcio::RpcStatusCode;

use super::commit::Committer;
use super::format::{Format, Gap};
use super::receive::{Next, Stream};
use crate::cli::client::connection::Connection;
use crate::cli::client::error::ClientError;
use crate::cli::client::retry::Retry;
use crate::cli::error::CliError;
use crate::cli::human::about_bytes;
use crate::cli::interrupt::{Interrupt, Signal};
use crate::cli::output::chain;
use crate::cli::progress::Progress;
use crate::proto::log_service::consume_request::Start;
use crate::proto::log_service::{ConsumeRequest, ConsumeResponse};
use crate::proto::record::Batch;

const OUTPUT_BUFFER_BYTES: usize = 64 * 1024;

/// What is to be read.
pub(super) struct Wish {
    /// Where from, and what to do about gaps.
    pub(super) request: ConsumeRequest,
    /// Where to begin if the reader of `request` is new.
    pub(super) instead: Option<Start>,
    /// Whether to end at the end that the log has when it begins.
    pub(super) is_bounded: bool,
    /// Whether the stream may end by itself.
    pub(super) is_ending: bool,
    pub(super) records_max: u64,
    pub(super) format: Format,
}

/// What it takes to read.
pub(super) struct Copy<W: Write> {
    pub(super) wish: Wish,
    pub(super) connection: Connection,
    pub(super) retry: Retry,
    pub(super) interrupt: Interrupt,
    pub(super) progress: Progress,
    pub(super) committer: Option<Committer>,
    out: BufWriter<W>,
    at: At,
}

/// How far it is.
#[derive(Debug, Default)]
struct At {
    /// The offset to go on with, once that is known.
    position: Option<u64>,
    log_id: Bytes,
    /// Where it began, for the progress.
    first: Option<u64>,
    /// Where the stretch ends, once that is known.
    end: Option<u64>,
    records: u64,
    bytes: u64,
}

/// Why there is no more to wait for.
enum Done {
    All,
    Signal(Signal),
}

impl<W: Write> Copy<W> {
    pub(super) fn new(
        wish: Wish,
        connection: Connection,
        (retry, interrupt, progress): (Retry, Interrupt, Progress),
        committer: Option<Committer>,
        out: W,
    ) -> Self {
        let out = BufWriter::with_capacity(OUTPUT_BUFFER_BYTES, out);
        let at = At::default();
        Self { wish, connection, retry, interrupt, progress, committer, out, at }
    }

    /// Reads and writes until there is a reason to end.
    pub(super) fn run(&mut self) -> Result<(), CliError> {
        match self.streams() {
            Ok(Done::All) => self.finish(),
            Ok(Done::Signal(signal)) => {
                self.finish()?;
                Err(CliError::Stopped { signal })
            }
            Err(CliError::Client(error)) => {
                // What was written out counts all the same; why it ended is told, not this.
                let _ = self.commit();
                Err(CliError::Client(error))
            }
            Err(error) => Err(error),
        }
    }

    fn streams(&mut self) -> Result<Done, CliError> {
        loop {
            let ended = match Stream::open(&self.connection, &self.request()) {
                Ok(mut stream) => self.stream(&mut stream)?,
                Err(error) => Err(error),
            };
            match ended {
                Ok(done) => return Ok(done),
                Err(error) if self.is_new_reader(&error) => {
                    self.wish.request.start = self.wish.instead.take();
                }
                Err(error) => {
                    if let Some(signal) = self.recover(error)? {
                        return Ok(Done::Signal(signal));
                    }
                }
            }
        }
    }

    /// Reads one stream to its end, which the inner result tells.
    fn stream(&mut self, stream: &mut Stream) -> Result<Result<Done, ClientError>, CliError> {
        loop {
            let next = match stream.at_hand(&self.connection, &mut self.interrupt) {
                Some(next) => next,
                None => {
                    self.out.flush().map_err(CliError::Output)?;
                    let due = self.committer.as_ref().and_then(Committer::due);
                    stream.wait(&self.connection, &mut self.interrupt, due)
                }
            };
            match next {
                Next::Message(message) => {
                    if self.take(*message)? {
                        return Ok(Ok(Done::All));
                    }
                }
                Next::End if self.may_end() => return Ok(Ok(Done::All)),
                Next::End => return Ok(Err(ClientError::EndedEarly)),
                Next::Broken(error) => return Ok(Err(error)),
                Next::Interrupted(signal) => return Ok(Ok(Done::Signal(signal))),
                Next::Due => {}
            }
            if let Err(error) = self.commit_if_due()? {
                return Ok(Err(error));
            }
        }
    }

    /// Writes what a message brings, and says whether that was the last.
    fn take(&mut self, message: ConsumeResponse) -> Result<bool, CliError> {
        self.retry.succeeded();
        if self.wish.is_bounded && self.at.end.is_none() {
            self.at.end = Some(message.high_watermark);
        }
        let is_last = self.write(message)?;
        if let Some(position) = self.at.position {
            self.tell(position);
        }
        Ok(is_last)
    }

    fn write(&mut self, message: ConsumeResponse) -> Result<bool, CliError> {
        self.at.log_id = message.log_id;
        for batch in &message.batches {
            if self.write_batch(batch)? {
                return Ok(true);
            }
        }
        if let Some(gap) = message.gap.into_option() {
            let gap = Gap::new(gap.from_offset, gap.to_offset, gap.cause.enum_value_or_default());
            self.progress.note(format_args!("varve: warning: {gap}"));
            self.wish.format.write_gap(&mut self.out, gap).map_err(CliError::Output)?;
        }
        self.at.position = Some(message.next_offset);
        Ok(self.is_at_end())
    }

    /// Writes the records of a batch, and says whether the last one was among them.
    fn write_batch(&mut self, batch: &Batch) -> Result<bool, CliError> {
        for (offset, record) in (batch.base_offset..).zip(&batch.records) {
            if self.at.end.is_some_and(|end| offset >= end) {
                return Ok(true);
            }
            let written =
                self.wish.format.write(&mut self.out, offset, batch.append_time_us, record);
            written.map_err(CliError::Output)?;
            self.at.records += 1;
            self.at.bytes += u64::try_from(record.value.len()).unwrap_or(u64::MAX);
            self.at.position = Some(offset.saturating_add(1));
            if self.at.records >= self.wish.records_max {
                return Ok(true);
            }
        }
        Ok(self.is_at_end())
    }

    /// Says how far it is, to the terminal and to the committer.
    fn tell(&mut self, position: u64) {
        let first = *self.at.first.get_or_insert(position.saturating_sub(self.at.records));
        if let Some(end) = self.at.end {
            self.progress.set_total(end.saturating_sub(first));
        }
        let bytes = self.at.bytes;
        self.progress.set(position.saturating_sub(first), || about_bytes(bytes));
        if let Some(committer) = &mut self.committer {
            committer.moved(position, Instant::now());
        }
    }

    fn is_at_end(&self) -> bool {
        matches!((self.at.position, self.at.end), (Some(position), Some(end)) if position >= end)
    }

    /// Whether the server may end the stream now.
    fn may_end(&self) -> bool {
        match self.at.end {
            Some(_) => self.is_at_end(),
            None => self.wish.is_ending,
        }
    }

    /// What to ask for: at first what was wished for, later what is left of it.
    fn request(&self) -> ConsumeRequest {
        let mut request = self.wish.request.clone();
        if let Some(position) = self.at.position {
            request.start = Some(Start::Offset(position));
            request.log_id = self.at.log_id.clone();
        }
        if self.wish.records_max != u64::MAX {
            request.max_records = self.wish.records_max.saturating_sub(self.at.records);
        }
        request
    }

    fn is_new_reader(&self, error: &ClientError) -> bool {
        let ClientError::Refused(refusal) = error else { return false };
        refusal.code == RpcStatusCode::NOT_FOUND
            && refusal.reason != "LOG_NOT_FOUND"
            && self.wish.instead.is_some()
    }

    /// Waits and connects anew, if that may help; a signal while it waits.
    fn recover(&mut self, error: ClientError) -> Result<Option<Signal>, CliError> {
        self.out.flush().map_err(CliError::Output)?;
        let was_reached = self.at.position.is_some() || self.connection.is_connected();
        let error = if was_reached { error.after_contact() } else { error };
        let is_first = !self.retry.is_trying();
        let pause = match self.retry.after(Instant::now(), error.retry_after()) {
            Some(pause) if error.may_pass(was_reached) => pause,
            _ => return Err(error.into()),
        };
        if is_first {
            let limit = self.retry.limit().as_secs();
            let why = chain(&error);
            self.progress.note(format_args!("varve: {why}; it is tried again for {limit}s"));
        }
        if let Err(signal) = self.interrupt.sleep(pause) {
            return Ok(Some(signal));
        }
        self.connection = self.connection.reopen()?;
        Ok(None)
    }

    fn commit_if_due(&mut self) -> Result<Result<(), ClientError>, CliError> {
        let due = self.committer.as_ref().and_then(Committer::due);
        if due.is_none_or(|due| Instant::now() < due) {
            return Ok(Ok(()));
        }
        self.commit()
    }

    /// Writes out what there is and commits it. The inner result is the commit's.
    fn commit(&mut self) -> Result<Result<(), ClientError>, CliError> {
        self.out.flush().map_err(CliError::Output)?;
        match (&mut self.committer, self.at.position) {
            (Some(committer), Some(position)) => {
                Ok(committer.commit(&self.connection, &self.at.log_id, position))
            }
            _ => Ok(Ok(())),
        }
    }

    /// Writes out and commits the last, also over a connection that breaks.
    fn finish(&mut self) -> Result<(), CliError> {
        while let Err(error) = self.commit()? {
            if self.recover(error)?.is_some() {
                // A second wish to go: what was not committed is read again.
                return Ok(());
            }
        }
        Ok(())
    }
}

/// How long to wait at the end of a log, as a request says it.
pub(super) fn wait_ms(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX)
}
