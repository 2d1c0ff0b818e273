//! Cuts records into batches.
//!
//! A batch is full by its records or its bytes. Where the input may make one wait, as a pipe does,
//! a batch also ends when no further record is at hand, so that each goes out as it comes. Batches
//! that are to be the same when the same input is sent again are cut by their size alone.

use std::io::Read;

use clap::Args;
use protobuf::Message as _;

use super::input::{Input, Taken};
use super::records::InputError;
use crate::cli::human;
use crate::proto::record::Record;

/// At most what the tag and the length of a record take in a batch.
const RECORD_OVERHEAD_BYTES: u64 = 6;

/// When a batch is full.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Batches")]
pub(super) struct Limits {
    /// A batch has at most so many records; it is appended whole or not at all
    #[arg(long, value_name = "N", default_value = "1000")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    batch_records: u32,
    /// A batch has at most so many bytes, unless a single record has more
    #[arg(long, value_name = "SIZE", default_value = "256KiB", value_parser = human::size)]
    batch_bytes: u64,
}

/// Records that are appended together; at least one.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    pub(super) bytes: u64,
    /// What was taken of the input before it and with it.
    pub(super) before: Taken,
    pub(super) after: Taken,
}

/// The batches of an input, in order.
pub(super) struct Batches<R> {
    input: Input<R>,
    limits: Limits,
    /// Whether to wait for the input until a batch is full.
    is_patient: bool,
    /// A record that did not fit the batch before, with what was taken before it.
    held: Option<(Record, Taken)>,
    /// Told once what was read before it is out.
    failed: Option<InputError>,
}

impl<R: Read> Batches<R> {
    pub(super) fn new(input: Input<R>, limits: Limits, is_patient: bool) -> Self {
        Self { input, limits, is_patient, held: None, failed: None }
    }

    /// The next batch; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Batch>, InputError> {
        let Some((first, before)) = self.take()? else { return Ok(None) };
        let bytes = bytes(&first);
        let mut batch = Batch { records: vec![first], bytes, before, after: self.input.taken() };
        while self.has_room(&batch) && (self.is_patient || self.input.is_next_at_hand()) {
            match self.take() {
                Ok(None) => break,
                Ok(Some((record, before))) => {
                    if let Err(record) = self.add(&mut batch, record) {
                        self.held = Some((record, before));
                        break;
                    }
                }
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Ok(Some(batch))
    }

    fn take(&mut self) -> Result<Option<(Record, Taken)>, InputError> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        if let Some(failed) = self.failed.take() {
            return Err(failed);
        }
        let before = self.input.taken();
        Ok(self.input.next()?.map(|record| (record, before)))
    }

    fn has_room(&self, batch: &Batch) -> bool {
        let records = u32::try_from(batch.records.len()).unwrap_or(u32::MAX);
        records < self.limits.batch_records && batch.bytes < self.limits.batch_bytes
    }

    /// Gives the record back if it is too large for what the batch has left.
    fn add(&self, batch: &mut Batch, record: Record) -> Result<(), Record> {
        let bytes = batch.bytes.saturating_add(bytes(&record));
        if bytes > self.limits.batch_bytes {
            return Err(record);
        }
        batch.records.push(record);
        batch.bytes = bytes;
        batch.after = self.input.taken();
        Ok(())
    }
}

/// What a record takes in a batch.
fn bytes(record: &Record) -> u64 {
    record.compute_size().saturating_add(RECORD_OVERHEAD_BYTES)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::input::Common;
    use super::super::records::Framing;
    use super::*;

    /// Gives its pieces one read at a time, as a pipe does.
    struct Pipe<'a>(&'a [&'a [u8]]);

    impl Read for Pipe<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
            self.0 = rest;
            buffer[..first.len()].copy_from_slice(first);
            Ok(first.len())
        }
    }

    fn cut(pieces: &[&[u8]], batch_records: u32, batch_bytes: u64, patient: bool) -> Vec<String> {
        let input = Input::new(Pipe(pieces), Framing::Lines, Common::default());
        let mut batches = Batches::new(input, Limits { batch_records, batch_bytes }, patient);
        let (mut cut, mut before) = (Vec::new(), Taken::default());
        while let Some(batch) = batches.next().unwrap() {
            assert_eq!(batch.before, before);
            before = batch.after;
            let values = batch.records.iter().map(|record| str::from_utf8(&record.value).unwrap());
            cut.push(values.collect());
        }
        let bytes: usize = pieces.iter().map(|piece| piece.len()).sum();
        assert_eq!(before.bytes, u64::try_from(bytes).unwrap());
        cut
    }

    #[test]
    fn batches_are_full_by_records_or_bytes() {
        assert_eq!(cut(&[b"a\nb\nc\nd\ne"], 2, 1000, true), ["ab", "cd", "e"]);
        // A record of one byte counts as 9.
        assert_eq!(cut(&[b"a\nb\nc\n"], 9, 18, true), ["ab", "c"]);
        assert_eq!(cut(&[b"a\nlarge\nb\n"], 9, 1, true), ["a", "large", "b"]);
        assert!(cut(&[], 9, 9, true).is_empty());
    }

    #[test]
    fn what_a_pipe_has_at_hand_goes_out_unless_batches_are_to_be_the_same_again() {
        let pieces = [&b"a\nb\n"[..], b"c\n", b"d", b"\n"];
        assert_eq!(cut(&pieces, 9, 1000, false), ["ab", "c", "d"]);
        assert_eq!(cut(&pieces, 9, 1000, true), ["abcd"]);
    }

    #[test]
    fn what_was_read_before_a_fault_comes_before_it() {
        let input = Input::new(&[1, b'a', 1, b'b', 9][..], Framing::Delimited, Common::default());
        let limits = Limits { batch_records: 9, batch_bytes: 1000 };
        let mut batches = Batches::new(input, limits, true);
        assert_eq!(batches.next().unwrap().unwrap().records.len(), 2);
        assert!(matches!(batches.next(), Err(InputError::Cut { record: 3, .. })));
    }
}
