//! The records of the input as they are to be appended.

use std::io::Read;

use bytes::Bytes;

use super::json;
use super::records::{Framing, InputError, Records};
use crate::proto::record::{Header, Record};

/// What all records get beside what is their own.
#[derive(Clone, Debug, Default)]
pub(super) struct Common {
    /// For those that have none.
    pub(super) key: Bytes,
    /// Behind their own.
    pub(super) headers: Vec<Header>,
}

/// The records of an input, in order.
pub(super) struct Input<R> {
    records: Records<R>,
    framing: Framing,
    common: Common,
}

impl<R: Read> Input<R> {
    pub(super) fn new(input: R, framing: Framing, common: Common) -> Self {
        Self { records: Records::new(input, framing), framing, common }
    }

    /// Leaves out the next `skip` records.
    pub(super) fn skip(&mut self, skip: u64) -> Result<(), InputError> {
        for records in 0..skip {
            if self.records.next()?.is_none() {
                return Err(InputError::Short { records, skip });
            }
        }
        Ok(())
    }

    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Record>, InputError> {
        while let Some(bytes) = self.records.next()? {
            let record = match self.framing {
                Framing::Json => json::read(&bytes)
                    .map_err(|what| InputError::Json { record: self.records.taken(), what })?,
                _ => Some(Record { value: bytes.into(), ..Record::default() }),
            };
            if let Some(mut record) = record {
                if record.key.is_empty() {
                    record.key = self.common.key.clone();
                }
                record.headers.extend_from_slice(&self.common.headers);
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Whether the next record is in memory, so that taking it does not wait for the input.
    pub(super) fn is_next_at_hand(&self) -> bool {
        self.records.is_next_at_hand()
    }

    /// How much of the input was taken.
    pub(super) fn taken(&self) -> Taken {
        Taken { records: self.records.taken(), bytes: self.records.bytes_taken() }
    }
}

/// How much of an input was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// In JSON these are its lines.
    pub(super) records: u64,
    pub(super) bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_get_what_is_common_to_all() {
        let header = Header { name: "a".to_owned(), ..Header::default() };
        let common = Common { key: "k".into(), headers: vec![header] };
        let lines = b"{\"value\":\"1\"}\n{\"gap\":{}}\n{\"value\":\"2\",\"key\":\"own\",\
                      \"headers\":[{\"name\":\"b\"}]}\n";
        let mut input = Input::new(&lines[..], Framing::Json, common);
        let first = input.next().unwrap().unwrap();
        assert_eq!((&first.key[..], first.headers.len()), (&b"k"[..], 1));
        let second = input.next().unwrap().unwrap();
        assert_eq!(second.key, "own");
        let names: Vec<_> = second.headers.iter().map(|header| &header.name[..]).collect();
        assert_eq!(names, ["b", "a"]);
        assert_eq!(input.next().unwrap(), None);
        let bytes = u64::try_from(lines.len()).unwrap();
        assert_eq!(input.taken(), Taken { records: 3, bytes });
    }

    #[test]
    fn a_line_that_is_no_record_is_named() {
        let mut input =
            Input::new(&b"{\"value\":\"\"}\n{}\n"[..], Framing::Json, Common::default());
        input.next().unwrap();
        let said = input.next().unwrap_err().to_string();
        assert!(said.starts_with("line 2 of the input is no record: "), "{said}");
    }

    #[test]
    fn as_many_records_are_left_out_as_asked_for() {
        let input = || Input::new(&b"a\nb\nc\n"[..], Framing::Lines, Common::default());
        let mut two_less = input();
        two_less.skip(2).unwrap();
        assert_eq!(two_less.next().unwrap().unwrap().value, "c");
        let said = input().skip(4).unwrap_err().to_string();
        assert_eq!(said, "the input has only 3 records, and 4 are to be left out");
    }
}
