//! Cuts the input into records.
//!
//! A line is the bytes up to a newline, without it; the last line may lack one. A delimited record
//! stands behind its length, as in a length-delimited stream of protobuf. What a record's bytes
//! mean is no matter here.

use std::io::{self, BufRead as _, BufReader, Read};

use thiserror::Error;

use crate::cli::varint;

/// Larger records are refused before they fill the memory; the server's own limit is lower.
const RECORD_BYTES_MAX: u64 = 64 << 20;
/// The same for a record in JSON, whose bytes may each be written as several.
const JSON_BYTES_MAX: u64 = 4 * RECORD_BYTES_MAX;

/// How records stand in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One a line.
    Lines,
    /// All of the input is one.
    Whole,
    /// Each behind its length.
    Delimited,
    /// A line of JSON each.
    Json,
}

/// What is wrong with the input. Records are counted from 1.
#[derive(Debug, Error)]
pub(crate) enum InputError {
    #[error("cannot read record {record} of the input")]
    Read { record: u64, source: io::Error },
    #[error("record {record} of the input is larger than {limit} bytes")]
    TooLarge { record: u64, limit: u64 },
    #[error("the input ends within record {record}: {missing} of its {bytes} bytes are missing")]
    Cut { record: u64, bytes: u64, missing: u64 },
    #[error("record {record} of the input does not begin with a length")]
    NoLength { record: u64 },
    #[error("line {record} of the input is no record: {what}")]
    Json { record: u64, what: String },
    #[error("the input has only {records} records, and {skip} are to be left out")]
    Short { records: u64, skip: u64 },
}

/// The records of an input, in order.
pub(crate) struct Records<R> {
    input: BufReader<R>,
    framing: Framing,
    taken: u64,
    bytes: u64,
}

impl<R: Read> Records<R> {
    pub(crate) fn new(input: R, framing: Framing) -> Self {
        Self { input: BufReader::with_capacity(64 * 1024, input), framing, taken: 0, bytes: 0 }
    }

    /// How many records were taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// How many bytes of the input they were.
    pub(crate) fn bytes_taken(&self) -> u64 {
        self.bytes
    }

    /// The next record; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<u8>>, InputError> {
        let record = match self.framing {
            Framing::Lines | Framing::Json => self.line()?,
            Framing::Whole if self.taken > 0 => None,
            Framing::Whole => Some(self.read(RECORD_BYTES_MAX + 1)?),
            Framing::Delimited => self.delimited()?,
        };
        if let Some(record) = &record {
            self.check_limit(length(record))?;
            self.taken += 1;
        }
        Ok(record)
    }

    /// Whether the next record is in memory, so that taking it does not wait for the input.
    pub(crate) fn is_next_at_hand(&self) -> bool {
        let buffered = self.input.buffer();
        match self.framing {
            Framing::Lines | Framing::Json => buffered.contains(&b'\n'),
            Framing::Whole => false,
            Framing::Delimited => match varint::decode(buffered) {
                Ok(Some((bytes, prefix))) => {
                    length(buffered.get(prefix..).unwrap_or_default()) >= bytes
                }
                Ok(None) | Err(varint::TooLong) => false,
            },
        }
    }

    fn line(&mut self) -> Result<Option<Vec<u8>>, InputError> {
        let mut line = Vec::new();
        let record = self.number();
        // The newline, and one byte more than the limit.
        let bytes_max = self.bytes_max().saturating_add(2);
        let mut input = self.input.by_ref().take(bytes_max);
        input.read_until(b'\n', &mut line).map_err(|source| InputError::Read { record, source })?;
        self.bytes += length(&line);
        match line.pop() {
            None => return Ok(None),
            Some(b'\n') => {}
            Some(last) => line.push(last),
        }
        Ok(Some(line))
    }

    fn delimited(&mut self) -> Result<Option<Vec<u8>>, InputError> {
        let Some(bytes) = self.length()? else { return Ok(None) };
        self.check_limit(bytes)?;
        let value = self.read(bytes)?;
        match bytes.saturating_sub(length(&value)) {
            0 => Ok(Some(value)),
            missing => Err(InputError::Cut { record: self.number(), bytes, missing }),
        }
    }

    /// Reads a record's length; `None` if the input ends before it.
    fn length(&mut self) -> Result<Option<u64>, InputError> {
        let record = self.number();
        let mut prefix = Vec::new();
        loop {
            match varint::decode(&prefix) {
                Ok(Some((length, _))) => return Ok(Some(length)),
                Ok(None) => match self.read(1)?.pop() {
                    Some(byte) => prefix.push(byte),
                    None if prefix.is_empty() => return Ok(None),
                    None => return Err(InputError::NoLength { record }),
                },
                Err(varint::TooLong) => return Err(InputError::NoLength { record }),
            }
        }
    }

    /// Up to `bytes_max` bytes; fewer only at the end of the input.
    fn read(&mut self, bytes_max: u64) -> Result<Vec<u8>, InputError> {
        let mut bytes = Vec::new();
        let record = self.number();
        let mut input = self.input.by_ref().take(bytes_max);
        input.read_to_end(&mut bytes).map_err(|source| InputError::Read { record, source })?;
        self.bytes += length(&bytes);
        Ok(bytes)
    }

    fn check_limit(&self, bytes: u64) -> Result<(), InputError> {
        match self.bytes_max() {
            limit if bytes > limit => Err(InputError::TooLarge { record: self.number(), limit }),
            _ => Ok(()),
        }
    }

    fn bytes_max(&self) -> u64 {
        if self.framing == Framing::Json { JSON_BYTES_MAX } else { RECORD_BYTES_MAX }
    }

    /// The number of the record that is being read.
    fn number(&self) -> u64 {
        self.taken + 1
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(input: &[u8], framing: Framing) -> Vec<Vec<u8>> {
        let mut records = Records::new(input, framing);
        let mut all = Vec::new();
        while let Some(record) = records.next().unwrap() {
            all.push(record);
        }
        all
    }

    #[test]
    fn lines_keep_all_but_their_newline() {
        assert_eq!(cut(b"a\n\n b\r\n\xff\0", Framing::Lines), [&b"a"[..], b"", b" b\r", b"\xff\0"]);
        assert_eq!(cut(b"a\n", Framing::Lines), [b"a"]);
        assert_eq!(cut(b"\n", Framing::Lines), [b""]);
        assert!(cut(b"", Framing::Lines).is_empty());
    }

    #[test]
    fn a_whole_input_is_one_record_also_if_empty() {
        assert_eq!(cut(b"a\nb\n", Framing::Whole), [b"a\nb\n"]);
        assert_eq!(cut(b"", Framing::Whole), [b""]);
    }

    #[test]
    fn delimited_records_may_hold_anything() {
        let long = vec![b'\n'; 300];
        let mut input = vec![0, 2, b'\n', 7];
        input.extend(varint::encode(300));
        input.extend(&long);
        assert_eq!(cut(&input, Framing::Delimited), [&b""[..], b"\n\x07", &long]);
    }

    #[test]
    fn a_delimited_input_that_ends_early_names_the_record() {
        let refusal = |input: &[u8]| {
            let mut records = Records::new(input, Framing::Delimited);
            records.next().unwrap();
            records.next().unwrap_err().to_string()
        };
        assert_eq!(
            refusal(&[0, 5, 1, 1]),
            "the input ends within record 2: 3 of its 5 bytes are missing"
        );
        assert_eq!(refusal(&[0, 0x80]), "record 2 of the input does not begin with a length");
        assert_eq!(
            refusal(&[0, 0xff, 0xff, 0xff, 0xff, 1]),
            "record 2 of the input is larger than 67108864 bytes"
        );
    }

    #[test]
    fn a_line_over_the_limit_is_refused_before_it_is_read_to_its_end() {
        let mut records = Records::new(io::repeat(b'x'), Framing::Lines);
        assert!(matches!(records.next(), Err(InputError::TooLarge { record: 1, .. })));
    }

    #[test]
    fn the_next_record_is_at_hand_only_if_it_is_complete() {
        let at_hand = |input: &'static [u8], framing| {
            let mut records = Records::new(input, framing);
            records.next().unwrap().unwrap();
            records.is_next_at_hand()
        };
        assert!(at_hand(b"a\nb\n", Framing::Lines));
        assert!(!at_hand(b"a\nb", Framing::Lines));
        assert!(at_hand(&[0, 2, 1, 1], Framing::Delimited));
        assert!(!at_hand(&[0, 2, 1], Framing::Delimited));
        assert!(!at_hand(&[0, 0x80], Framing::Delimited));
    }
}
