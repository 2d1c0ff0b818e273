//! Records in the form in which they are stored: `varve.v1.Batch` with only `records` set.
//!
//! That is one length-delimited field 1 per record, holding a `varve.v1.Record`, whose field 1 is
//! the value. A stored payload has passed its checksum, but it is still read as if it had not.

use super::wire::{self, Fields, Malformed, Value};

/// `Batch.records` and, the same number, `Record.value`.
const FIRST_FIELD: u8 = 1;

/// The payload of a batch of one record that has only a value, in one allocation.
pub(crate) fn encode_one(value: &[u8]) -> Vec<u8> {
    // Proto3 leaves out a field that has its default.
    let record_bytes = if value.is_empty() { 0 } else { wire::bytes_len(value.len()) };
    let mut payload = Vec::with_capacity(wire::bytes_len(record_bytes));
    wire::put_bytes_head(&mut payload, FIRST_FIELD, record_bytes);
    if !value.is_empty() {
        wire::put_bytes_head(&mut payload, FIRST_FIELD, value.len());
        payload.extend_from_slice(value);
    }
    payload
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protobuf::Message as _;

    use super::*;
    use crate::proto::record::{Batch, Header, Record};

    fn record(value: Vec<u8>, key: Vec<u8>, header: Option<String>) -> Record {
        let mut record = Record { value: value.into(), key: key.into(), ..Record::default() };
        record.headers.extend(header.map(|name| Header { name, ..Header::default() }));
        record
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
        fn any_payload_is_walked_without_a_panic(payload: Vec<u8>) {
            values(&payload).for_each(drop);
        }
    }
}
