//! Records in the form in which they are stored: `varve.v1.Batch` with only `records` set.
//!
//! That is one length-delimited field 1 per record, holding a `varve.v1.Record`, whose field 1 is
//! the value. A stored payload has passed its checksum, but it is still read as if it had not.

use thiserror::Error;

use super::wire::{self, Fields, Malformed, Value};

/// `Batch.records` and, the same number, `Record.value`.
const FIRST_FIELD: u8 = 1;
/// `Record.key` and, the same number, `Header.value`.
const SECOND_FIELD: u8 = 2;
/// `Record.headers`.
const HEADERS_FIELD: u8 = 3;

/// Why a record cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum BadRecord {
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("header {header}'s name is not UTF-8")]
    HeaderName { header: usize },
}

/// The payload of a batch of one record that has only a value, in one allocation.
pub(crate) fn encode_one(value: &[u8]) -> Vec<u8> {
    let record_bytes = set_len(value);
    let mut payload = Vec::with_capacity(wire::bytes_len(record_bytes));
    wire::put_bytes_head(&mut payload, FIRST_FIELD, record_bytes);
    put_set(&mut payload, FIRST_FIELD, value);
    payload
}

/// Adds the record that `message` encodes to a payload, in its canonical encoding: each field once,
/// in the order of the numbers, none that has its default, none unknown. Returns its size in bytes.
pub(crate) fn put(payload: &mut Vec<u8>, message: &[u8]) -> Result<usize, BadRecord> {
    // Of a field that comes more than once the last value counts.
    let (mut value, mut key, mut headers_bytes, mut header) = (&[][..], &[][..], 0, 0);
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(bytes)) => value = bytes,
            (2, Value::Bytes(bytes)) => key = bytes,
            (3, Value::Bytes(bytes)) => {
                headers_bytes += wire::bytes_len(Header::read(bytes, header)?.len());
                header += 1;
            }
            _ => {}
        }
    }
    let bytes = set_len(value) + set_len(key) + headers_bytes;
    payload.reserve(wire::bytes_len(bytes));
    wire::put_bytes_head(payload, FIRST_FIELD, bytes);
    put_set(payload, FIRST_FIELD, value);
    put_set(payload, SECOND_FIELD, key);
    if header > 0 {
        put_headers(payload, message)?;
    }
    Ok(bytes)
}

fn put_headers(payload: &mut Vec<u8>, message: &[u8]) -> Result<(), BadRecord> {
    for field in Fields::of(message) {
        if let (3, Value::Bytes(bytes)) = field? {
            let header = Header::read(bytes, 0)?;
            wire::put_bytes_head(payload, HEADERS_FIELD, header.len());
            put_set(payload, FIRST_FIELD, header.name.as_bytes());
            put_set(payload, SECOND_FIELD, header.value);
        }
    }
    Ok(())
}

struct Header<'a> {
    name: &'a str,
    value: &'a [u8],
}

impl<'a> Header<'a> {
    /// The header that `message` encodes, the `header`-th of its record.
    fn read(message: &'a [u8], header: usize) -> Result<Self, BadRecord> {
        let mut read = Self { name: "", value: &[] };
        for field in Fields::of(message) {
            match field? {
                // Each must be text, also where only the last one counts.
                (1, Value::Bytes(name)) => {
                    read.name =
                        str::from_utf8(name).map_err(|_| BadRecord::HeaderName { header })?;
                }
                (2, Value::Bytes(value)) => read.value = value,
                _ => {}
            }
        }
        Ok(read)
    }

    fn len(&self) -> usize {
        set_len(self.name.as_bytes()) + set_len(self.value)
    }
}

/// The bytes of a field that is left out if it is empty.
fn set_len(content: &[u8]) -> usize {
    if content.is_empty() { 0 } else { wire::bytes_len(content.len()) }
}

fn put_set(payload: &mut Vec<u8>, number: u8, content: &[u8]) {
    if !content.is_empty() {
        wire::put_bytes_head(payload, number, content.len());
        payload.extend_from_slice(content);
    }
}

/// The values of a payload's records, in order; it ends at the first fault.
pub(crate) fn values(payload: &[u8]) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    Fields::of(payload).filter_map(|field| match field {
        Ok((1, Value::Bytes(record))) => {
            Some(wire::last_bytes(record, 1).map(Option::unwrap_or_default))
        }
        Ok(_) => None,
        Err(Malformed) => Some(Err(Malformed)),
    })
}

/// How many records, and how many bytes, are the shortest beginning of a payload that has
/// `records_max` records or reaches `bytes_max` bytes; all of it if it has neither.
pub(crate) fn beginning(
    payload: &[u8],
    records_max: u64,
    bytes_max: usize,
) -> Result<(u32, usize), Malformed> {
    let mut fields = Fields::of(payload);
    let (mut records, mut bytes) = (0, 0);
    while u64::from(records) < records_max
        && bytes < bytes_max
        && let Some(field) = fields.next()
    {
        field?;
        records += 1;
        bytes = payload.len() - fields.rest_bytes();
    }
    Ok((records, bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protobuf::{Message as _, SpecialFields};

    use super::*;
    use crate::proto::record::{Batch, Header, Record};

    fn record(value: Vec<u8>, key: Vec<u8>, header: Option<String>) -> Record {
        let mut record = Record { value: value.into(), key: key.into(), ..Record::default() };
        record.headers.extend(header.map(|name| Header { name, ..Header::default() }));
        record
    }

    /// Fields out of order, twice, unknown, with their default, and longer than they need be.
    #[test]
    fn a_record_is_stored_in_its_canonical_encoding() {
        let header = [0x12, 1, b'v', 0x0a, 1, b'n', 0x38, 5];
        let mut message = vec![0x1a, 8];
        message.extend(header);
        message.extend([0x12, 1, b'x', 0x0a, 0x81, 0x00, b'o', 0x12, 0, 0x20, 9, 0x0a, 1, b'v']);
        let mut payload = vec![0xff];
        assert_eq!(put(&mut payload, &message), Ok(11));
        let canonical = [0x0a, 1, b'v', 0x1a, 6, 0x0a, 1, b'n', 0x12, 1, b'v'];
        assert_eq!(payload, [&[0xff, 0x0a, 11][..], &canonical].concat());
        let stored = Record::parse_from_bytes(&canonical).unwrap();
        let mut sent = Record::parse_from_bytes(&message).unwrap();
        sent.special_fields = SpecialFields::default();
        sent.headers[0].special_fields = SpecialFields::default();
        assert_eq!(stored, sent);
    }

    #[test]
    fn a_header_whose_name_is_no_text_is_told() {
        let message = [0x1a, 3, 0x0a, 1, b'n', 0x1a, 3, 0x0a, 1, 0xff];
        assert_eq!(put(&mut Vec::new(), &message), Err(BadRecord::HeaderName { header: 1 }));
        let cut = [0x1a, 3, 0x0a, 2, b'n'];
        assert_eq!(put(&mut Vec::new(), &cut), Err(BadRecord::Malformed(Malformed)));
    }

    #[test]
    fn a_payload_without_records_has_no_values() {
        assert_eq!(values(&[]).count(), 0);
    }

    #[test]
    fn a_damaged_record_is_told() {
        let found: Vec<_> = values(&[0x0a, 2, 0x0a, 9, 0x0a, 0]).collect();
        assert_eq!(found, [Err(Malformed), Ok(&[][..])]);
    }

    proptest! {
        #[test]
        fn one_record_is_encoded_as_the_generated_code_does(value: Vec<u8>) {
            let batch = Batch {
                records: vec![record(value.clone(), Vec::new(), None)],
                ..Batch::default()
            };
            let payload = encode_one(&value);
            prop_assert_eq!(&payload, &batch.write_to_bytes().unwrap());
            prop_assert_eq!(payload.len(), payload.capacity());
        }

        #[test]
        fn values_are_found_among_keys_and_headers(
            records: Vec<(Vec<u8>, Vec<u8>, Option<String>)>,
        ) {
            let batch = Batch {
                records: records.iter().cloned().map(|(v, k, h)| record(v, k, h)).collect(),
                ..Batch::default()
            };
            let payload = batch.write_to_bytes().unwrap();
            let found: Result<Vec<_>, _> = values(&payload).collect();
            let expected: Vec<_> = records.iter().map(|(value, _, _)| &value[..]).collect();
            prop_assert_eq!(found, Ok(expected));
        }

        #[test]
        fn records_are_stored_as_the_generated_code_writes_them(
            records: Vec<(Vec<u8>, Vec<u8>, Option<String>)>,
        ) {
            let records: Vec<_> = records.into_iter().map(|(v, k, h)| record(v, k, h)).collect();
            let mut payload = Vec::new();
            for record in &records {
                let message = record.write_to_bytes().unwrap();
                prop_assert_eq!(put(&mut payload, &message), Ok(message.len()));
            }
            let batch = Batch { records, ..Batch::default() };
            prop_assert_eq!(payload, batch.write_to_bytes().unwrap());
        }

        #[test]
        fn any_record_is_stored_or_refused_without_a_panic(message: Vec<u8>) {
            let mut payload = Vec::new();
            if let Ok(bytes) = put(&mut payload, &message) {
                prop_assert!(payload.len() > bytes);
                prop_assert_eq!(values(&payload).count(), 1);
                let mut again = Vec::new();
                let stored = wire::last_bytes(&payload, 1).unwrap().unwrap();
                prop_assert_eq!(put(&mut again, stored), Ok(bytes));
                prop_assert_eq!(again, payload);
            }
        }

        #[test]
        fn any_payload_is_walked_without_a_panic(payload: Vec<u8>) {
            values(&payload).for_each(drop);
            let _cut = beginning(&payload, u64::MAX, usize::MAX);
        }

        #[test]
        fn a_beginning_is_the_shortest_that_reaches_a_limit(
            sizes in prop::collection::vec(0_usize..300, 1..20),
            records_max in 0_u64..25,
            bytes_max in 0_usize..2000,
        ) {
            let mut payload = Vec::new();
            let mut ends = vec![0];
            for size in sizes {
                payload.extend(encode_one(&vec![7; size]));
                ends.push(payload.len());
            }
            let wanted = (0..ends.len())
                .find(|n| u64::try_from(*n) == Ok(records_max) || ends[*n] >= bytes_max)
                .unwrap_or(ends.len() - 1);
            let cut = beginning(&payload, records_max, bytes_max).unwrap();
            prop_assert_eq!(cut, (u32::try_from(wanted).unwrap(), ends[wanted]));
        }
    }
}
