//! The messages of `varve.v1.Log`, read from a request's bytes and written as a reply's.

use std::num::NonZeroU32;

use crate::log::{Durability, Offset};
use crate::service::limits::Limits;
use crate::service::message::Reply;
use crate::service::producing::{Appended, Order};
use crate::service::records;
use crate::service::refusal::BadRequest;
use crate::service::wire::{self, Fields, Value};

/// A `ProduceRequest`, its records in their stored form.
pub(super) fn produce_request<'a>(
    message: &'a [u8],
    limits: &Limits,
) -> Result<Order<'a>, BadRequest> {
    let mut payload = Vec::with_capacity(message.len());
    let mut records = 0_u32;
    let (mut log, mut durability, mut expected) = ("", Durability::Synced, None);
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(record)) => {
                let place = records;
                let bytes = records::put(&mut payload, record)
                    .map_err(|fault| BadRequest::Record { place, fault })?;
                limits.admit_record("records", bytes)?;
                records = place.saturating_add(1);
            }
            (2, Value::Bytes(name)) => {
                log = str::from_utf8(name).map_err(|_| BadRequest::NotText { field: "log" })?;
            }
            (3, Value::Varint(level)) => durability = read_durability(level)?,
            (4, Value::Varint(offset)) => expected = Some(Offset::new(offset)),
            _ => {}
        }
    }
    let records = NonZeroU32::new(records).ok_or(BadRequest::NoRecord { field: "records" })?;
    Ok(Order { log, payload, records, durability, expected })
}

/// A `ProduceResponse`.
pub(super) fn produce_response(appended: &Appended) -> Reply {
    let fields = [
        (1, appended.base.get()),
        (2, appended.next.get()),
        (3, appended.append_time_us),
        (4, written_durability(appended.durability)),
    ];
    let set = || fields.into_iter().filter(|(_, value)| *value != 0);
    let mut message =
        Vec::with_capacity(set().map(|(_, value)| wire::varint_field_len(value)).sum());
    for (number, value) in set() {
        wire::put_varint(&mut message, number, value);
    }
    Reply::new(message)
}

fn read_durability(level: u64) -> Result<Durability, BadRequest> {
    match level {
        0 | 3 => Ok(Durability::Synced),
        1 => Ok(Durability::Buffered),
        2 => Ok(Durability::Written),
        value => Err(BadRequest::NotInEnum { field: "durability", value }),
    }
}

fn written_durability(level: Durability) -> u64 {
    match level {
        Durability::Buffered => 1,
        Durability::Written => 2,
        Durability::Synced => 3,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protobuf::{Enum as _, EnumOrUnknown, Message as _};

    use super::*;
    use crate::proto::log_service::{Durability as Level, ProduceRequest, ProduceResponse};
    use crate::proto::record::{Batch, Record};
    use crate::service::records::BadRecord;
    use crate::service::wire::Malformed;

    fn encode(request: &ProduceRequest) -> Vec<u8> {
        request.write_to_bytes().unwrap()
    }

    fn read(message: &[u8]) -> Result<Order<'_>, BadRequest> {
        produce_request(message, &Limits::default())
    }

    fn request(values: Vec<Vec<u8>>) -> ProduceRequest {
        let record = |value: Vec<u8>| Record { value: value.into(), ..Record::default() };
        let records = values.into_iter().map(record).collect();
        ProduceRequest { records, ..ProduceRequest::default() }
    }

    #[test]
    fn a_request_says_what_is_wrong_with_it() {
        assert_eq!(read(&encode(&request(vec![]))), Err(BadRequest::NoRecord { field: "records" }));
        let mut unknown = request(vec![vec![]]);
        unknown.durability = EnumOrUnknown::from_i32(4);
        let field = "durability";
        assert_eq!(read(&encode(&unknown)), Err(BadRequest::NotInEnum { field, value: 4 }));
        for (message, fault) in [
            (&[0x0a][..], BadRequest::Malformed),
            (&[0x0a, 0, 0x12, 1, 0xff], BadRequest::NotText { field: "log" }),
            (
                &[0x0a, 0, 0x0a, 1, 0x0a],
                BadRequest::Record { place: 1, fault: BadRecord::Malformed(Malformed) },
            ),
        ] {
            assert_eq!(read(message), Err(fault), "{message:x?}");
        }
    }

    #[test]
    fn a_record_over_the_limit_is_refused_with_its_key_and_headers_counted() {
        let limits = Limits { record_bytes_max: 5, ..Limits::default() };
        let record = [0x0a, 6, 0x0a, 1, b'v', 0x12, 1, b'k'];
        let (field, bytes, limit) = ("records", 6, 5);
        assert_eq!(
            produce_request(&record, &limits),
            Err(BadRequest::RecordTooLarge { field, bytes, limit })
        );
    }

    #[test]
    fn an_expected_offset_of_zero_is_one() {
        let mut first = request(vec![vec![]]);
        assert_eq!(read(&encode(&first)).unwrap().expected, None);
        first.expected_offset = Some(0);
        assert_eq!(read(&encode(&first)).unwrap().expected, Some(Offset::ZERO));
    }

    proptest! {
        #[test]
        fn requests_are_read_as_the_generated_code_writes_them(
            values in prop::collection::vec(any::<Vec<u8>>(), 1..5),
            log: String,
            level in 0_i32..4,
            expected: Option<u64>,
        ) {
            let mut sent = request(values);
            sent.log = log.clone();
            sent.durability = EnumOrUnknown::from_i32(level);
            sent.expected_offset = expected;
            let message = encode(&sent);
            let order = read(&message).unwrap();
            prop_assert_eq!(order.log, log);
            prop_assert_eq!(order.records.get(), u32::try_from(sent.records.len()).unwrap());
            let batch = Batch { records: sent.records, ..Batch::default() };
            prop_assert_eq!(order.payload, batch.write_to_bytes().unwrap());
            prop_assert_eq!(order.expected, expected.map(Offset::new));
            let wanted = match Level::from_i32(level) {
                Some(Level::DURABILITY_BUFFERED) => Durability::Buffered,
                Some(Level::DURABILITY_WRITTEN) => Durability::Written,
                _ => Durability::Synced,
            };
            prop_assert_eq!(order.durability, wanted);
        }

        #[test]
        fn replies_are_written_as_the_generated_code_does(
            base in prop_oneof![0_u64..3, any::<u64>()],
            next: u64,
            append_time_us: u64,
            level in 1_i32..4,
        ) {
            let durability = read_durability(u64::try_from(level).unwrap()).unwrap();
            let (base_offset, next_offset) = (base, next);
            let (base, next) = (Offset::new(base), Offset::new(next));
            let reply = produce_response(&Appended { base, next, append_time_us, durability });
            let durability = EnumOrUnknown::from_i32(level);
            let expected = ProduceResponse {
                base_offset,
                next_offset,
                append_time_us,
                durability,
                ..ProduceResponse::default()
            };
            prop_assert_eq!(reply.as_bytes(), expected.write_to_bytes().unwrap());
        }

        #[test]
        fn any_request_is_read_without_a_panic(message: Vec<u8>) {
            let _read = produce_request(&message, &Limits::default());
        }
    }
}
