//! The messages of `varve.v1.Log`, read from a request's bytes and written as a reply's.

use std::num::NonZeroU32;

use crate::log::{Durability, Offset};
use crate::service::message::Reply;
use crate::service::producing::{Appended, Claim, Order};
use crate::service::records;
use crate::service::refusal::BadRequest;
use crate::service::wire::{self, Fields, Value};

/// A `ProduceRequest`, its records in their stored form.
pub(super) fn produce_request(message: &[u8]) -> Result<Order<'_>, BadRequest> {
    let mut payload = Vec::with_capacity(message.len());
    let (mut records, mut largest) = (0_u32, 0);
    let (mut log, mut level, mut expected) = ("", 0, None);
    let mut sequence: Option<ProducerSequence<'_>> = None;
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(record)) => {
                let place = records;
                let bytes = records::put(&mut payload, record)
                    .map_err(|fault| BadRequest::Record { place, fault })?;
                largest = largest.max(bytes);
                records = place.saturating_add(1);
            }
            (2, Value::Bytes(name)) => {
                log = str::from_utf8(name).map_err(|_| BadRequest::NotText { field: "log" })?;
            }
            (3, Value::Varint(number)) => level = enum_number(number)?,
            (4, Value::Varint(offset)) => expected = Some(Offset::new(offset)),
            (5, Value::Bytes(more)) => sequence.get_or_insert_default().merge(more)?,
            _ => {}
        }
    }
    let records = NonZeroU32::new(records).ok_or(BadRequest::NoRecord { field: "records" })?;
    let producer = sequence.map(ProducerSequence::claim).transpose()?;
    let durability = read_durability(level)?;
    let largest_record = ("records", largest);
    Ok(Order { log, payload, records, durability, expected, producer, largest_record })
}

/// A `ProducerSequence` as it was sent.
#[derive(Default)]
struct ProducerSequence<'a> {
    id: &'a [u8],
    epoch: u32,
    sequence: u64,
}

impl<'a> ProducerSequence<'a> {
    /// Takes in the fields of `message`; of a field that comes more than once the last counts.
    fn merge(&mut self, message: &'a [u8]) -> Result<(), BadRequest> {
        for field in Fields::of(message) {
            match field? {
                (1, Value::Bytes(id)) => self.id = id,
                (2, Value::Varint(epoch)) => self.epoch = read_epoch(epoch)?,
                (3, Value::Varint(sequence)) => self.sequence = sequence,
                _ => {}
            }
        }
        Ok(())
    }

    fn claim(self) -> Result<Claim, BadRequest> {
        let Self { id, epoch, sequence } = self;
        let field = "producer.id";
        let id = id.try_into().map_err(|_| BadRequest::NotAnId { field, bytes: id.len() })?;
        if id == [0; 16] {
            return Err(BadRequest::ZeroId { field });
        }
        Ok(Claim { id, epoch, sequence })
    }
}

/// A `ProduceResponse`.
pub(super) fn produce_response(appended: &Appended) -> Reply {
    let fields = [
        (1, appended.base.get()),
        (2, appended.next.get()),
        (3, appended.append_time_us),
        (4, written_durability(appended.durability)),
        (5, u64::from(appended.deduplicated)),
    ];
    let set = || fields.into_iter().filter(|(_, value)| *value != 0);
    let mut message =
        Vec::with_capacity(set().map(|(_, value)| wire::varint_field_len(value)).sum());
    for (number, value) in set() {
        wire::put_varint(&mut message, number, value);
    }
    Reply::new(message)
}

fn read_epoch(value: u64) -> Result<u32, BadRequest> {
    let (field, max) = ("producer.epoch", u64::from(u32::MAX));
    u32::try_from(value).map_err(|_| BadRequest::OutOfBounds { field, value, min: 0, max })
}

/// An enum's number: 32 bits with a sign, whichever values have names.
fn enum_number(value: u64) -> Result<u64, BadRequest> {
    match i32::try_from(value.cast_signed()) {
        Ok(_) => Ok(value),
        Err(_) => Err(BadRequest::NotInEnum { field: "durability", value }),
    }
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
    use crate::proto::log_service::ProducerSequence as Sequence;
    use crate::proto::log_service::{Durability as Level, ProduceRequest, ProduceResponse};
    use crate::proto::record::{Batch, Record};
    use crate::service::limits::Limits;
    use crate::service::records::BadRecord;
    use crate::service::wire::Malformed;

    fn encode(request: &ProduceRequest) -> Vec<u8> {
        request.write_to_bytes().unwrap()
    }

    fn read(message: &[u8]) -> Result<Order<'_>, BadRequest> {
        produce_request(message)
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
    fn a_records_size_counts_its_key_and_headers_and_the_largest_is_known() {
        let records = [0x0a, 3, 0x0a, 1, b'v', 0x0a, 6, 0x0a, 1, b'v', 0x12, 1, b'k', 0x0a, 0];
        let (largest, limits) = (read(&records).unwrap().largest_record, Limits::default());
        assert_eq!(largest, ("records", 6));
        let limits = Limits { record_bytes_max: 5, ..limits };
        let (field, bytes) = largest;
        for (of_log, limit) in [(None, 5), (Some(6), 5), (Some(4), 4)] {
            let too_large = Err(BadRequest::RecordTooLarge { field, bytes: 6, limit });
            assert_eq!(limits.admit_record((field, bytes), of_log), too_large);
        }
        let limits = Limits { record_bytes_max: 6, ..limits };
        assert_eq!(limits.admit_record((field, bytes), None), Ok(()));
    }

    #[test]
    fn an_expected_offset_of_zero_is_one() {
        let mut first = request(vec![vec![]]);
        assert_eq!(read(&encode(&first)).unwrap().expected, None);
        first.expected_offset = Some(0);
        assert_eq!(read(&encode(&first)).unwrap().expected, Some(Offset::ZERO));
    }

    #[test]
    fn a_producer_has_an_id_and_an_epoch_that_fits() {
        let read_with = |id: &[u8], rest: &[u8]| {
            let mut sequence = vec![0x0a, u8::try_from(id.len()).unwrap()];
            sequence.extend([id, rest].concat());
            let mut message = vec![0x0a, 0, 0x2a, u8::try_from(sequence.len()).unwrap()];
            message.extend(sequence);
            read(&message).map(|order| order.producer.unwrap())
        };
        let (field, id) = ("producer.id", [7; 16]);
        for bytes in [0, 15, 17] {
            assert_eq!(read_with(&vec![7; bytes], b""), Err(BadRequest::NotAnId { field, bytes }));
        }
        assert_eq!(read_with(&[0; 16], b""), Err(BadRequest::ZeroId { field }));
        let taken = Claim { id, epoch: u32::MAX, sequence: 0 };
        assert_eq!(read_with(&id, &[0x10, 0xff, 0xff, 0xff, 0xff, 0x0f]), Ok(taken));
        let (field, value) = ("producer.epoch", 1 << 32);
        let (min, max) = (0, u64::from(u32::MAX));
        assert_eq!(read_with(&id, &[0x10, 0x80, 0x80, 0x80, 0x80, 0x10]), {
            Err(BadRequest::OutOfBounds { field, value, min, max })
        });
        assert_eq!(read_with(&id, &[0x10]), Err(BadRequest::Malformed));
    }

    /// A message field that comes twice is one, put together.
    #[test]
    fn a_producer_in_two_pieces_is_one() {
        let mut message = vec![0x0a, 0, 0x2a, 4, 0x10, 3, 0x18, 1, 0x2a, 20, 0x0a, 16];
        message.extend([9; 16]);
        message.extend([0x18, 5]);
        let claim = Claim { id: [9; 16], epoch: 3, sequence: 5 };
        assert_eq!(read(&message).unwrap().producer, Some(claim));
    }

    proptest! {
        #[test]
        fn requests_are_read_as_the_generated_code_writes_them(
            values in prop::collection::vec(any::<Vec<u8>>(), 1..5),
            log: String,
            level in 0_i32..4,
            expected: Option<u64>,
            producer: Option<(u128, u32, u64)>,
        ) {
            let mut sent = request(values);
            sent.log = log.clone();
            sent.durability = EnumOrUnknown::from_i32(level);
            sent.expected_offset = expected;
            let claim = producer.map(|(id, epoch, sequence)| {
                Claim { id: (id | 1).to_le_bytes(), epoch, sequence }
            });
            if let Some(Claim { id, epoch, sequence }) = claim {
                let id = id.to_vec().into();
                let given = Sequence { id, epoch, sequence, ..Sequence::default() };
                sent.producer = protobuf::MessageField::some(given);
            }
            let message = encode(&sent);
            let order = read(&message).unwrap();
            prop_assert_eq!(order.log, log);
            prop_assert_eq!(order.records.get(), u32::try_from(sent.records.len()).unwrap());
            let batch = Batch { records: sent.records, ..Batch::default() };
            prop_assert_eq!(order.payload, batch.write_to_bytes().unwrap());
            prop_assert_eq!(order.expected, expected.map(Offset::new));
            prop_assert_eq!(order.producer, claim);
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
            deduplicated: bool,
        ) {
            let durability = read_durability(u64::try_from(level).unwrap()).unwrap();
            let (base_offset, next_offset) = (base, next);
            let (base, next) = (Offset::new(base), Offset::new(next));
            let appended = Appended { base, next, append_time_us, durability, deduplicated };
            let reply = produce_response(&appended);
            let durability = EnumOrUnknown::from_i32(level);
            let expected = ProduceResponse {
                base_offset,
                next_offset,
                append_time_us,
                durability,
                deduplicated,
                ..ProduceResponse::default()
            };
            prop_assert_eq!(reply.as_bytes(), expected.write_to_bytes().unwrap());
        }

        #[test]
        fn any_request_is_read_without_a_panic(message: Vec<u8>) {
            let _read = produce_request(&message);
        }
    }
}
