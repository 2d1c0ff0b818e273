//! Damaged requests: what is made of them here, and what the protobuf library makes of them.
//!
//! Where requests are read in place instead of by the library, the two must agree: what is stored
//! is what the library reads, and what the library refuses is refused. Two things are refused here
//! alone: groups, which proto3 does not have and the library skips, and a record or producer that
//! claims to be longer than the rest of the request, of which the library takes what there is.

use protobuf::{CodedInputStream, Enum as _, EnumOrUnknown, Message as _, MessageField};

use super::messages::produce_request;
use crate::log::Durability;
use crate::proto::log_service::{Durability as Level, ProduceRequest, ProducerSequence};
use crate::proto::record::{Batch, Header, Record};
use crate::service::limits::Limits;
use crate::service::producing::Order;
use crate::service::refusal::BadRequest;
use crate::service::wire::{Fields, Value};

const MUTANTS: u32 = 100_000;
const START_GROUP: u64 = 3;
const RECORDS_TAG: u64 = 1 << 3 | 2;
const PRODUCER_TAG: u64 = 5 << 3 | 2;

/// The same numbers each time (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % end.max(1)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

fn record(value: &[u8], key: &[u8], headers: &[(&str, &[u8])]) -> Record {
    let header = |(name, value): &(&str, &[u8])| Header {
        name: (*name).to_owned(),
        value: value.to_vec().into(),
        ..Header::default()
    };
    Record {
        value: value.to_vec().into(),
        key: key.to_vec().into(),
        headers: headers.iter().map(header).collect(),
        ..Record::default()
    }
}

/// Requests with all that a request can have, small enough that a change hits something.
fn originals() -> Vec<Vec<u8>> {
    let sequence =
        ProducerSequence { id: vec![7; 16].into(), epoch: 3, sequence: 300, ..Default::default() };
    let full = ProduceRequest {
        records: vec![
            record(b"value", b"key", &[("name", b"v"), ("n\u{e9}", b"")]),
            record(b"", b"", &[]),
            record(&[0x80; 130], b"", &[("", b"x")]),
        ],
        log: "orders".to_owned(),
        durability: EnumOrUnknown::new(Level::DURABILITY_WRITTEN),
        expected_offset: Some(1 << 40),
        producer: MessageField::some(sequence),
        ..ProduceRequest::default()
    };
    let plain = ProduceRequest { records: vec![record(b"v", b"", &[])], ..Default::default() };
    let many = ProduceRequest { records: vec![record(b"0123", b"", &[]); 9], ..Default::default() };
    [full, plain, many].iter().map(|request| request.write_to_bytes().unwrap()).collect()
}

/// Changes `message` in one place.
fn damage(message: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(message.len());
    let end = at + random.below(message.len() - at + 1).min(20);
    match random.below(8) {
        0 => message.truncate(at),
        1 => message[at] ^= 1 << random.below(8),
        2 => message[at] = random.byte(),
        3 => message.insert(at, random.byte()),
        // A varint longer than it need be, or than it may be.
        4 => drop(message.splice(at..at, vec![0x80; 1 + random.below(11)])),
        // A length far past the end.
        5 => drop(message.splice(at..end, [0xff, 0xff, 0xff, 0xff, 0x0f])),
        6 => drop(message.drain(at..end)),
        _ => {
            let part = message[at..end].to_vec();
            message.extend(part);
        }
    }
    if message.is_empty() {
        message.push(random.byte());
    }
}

/// Whether the library is lax about what the walk through `message`, and the messages nested in it,
/// ends at: a group, or a message that claims to go on behind the end of the request.
fn library_is_lax(message: &[u8]) -> bool {
    // Records, which have headers, and the producer.
    ends_at(message, &|fault| is_group(fault) || is_cut_message(fault))
        || messages(message, &[1, 5]).any(|inside| {
            ends_at(inside, &is_group)
                || messages(inside, &[3]).any(|header| ends_at(header, &is_group))
        })
}

/// Whether the walk through `message` ends at bytes that `is_lax` is about.
fn ends_at(message: &[u8], is_lax: &dyn Fn(&[u8]) -> bool) -> bool {
    let mut fields = Fields::of(message);
    loop {
        let at = message.len() - fields.rest_bytes();
        match fields.next() {
            None => return false,
            Some(Ok(_)) => {}
            Some(Err(_)) => return is_lax(&message[at..]),
        }
    }
}

/// The messages in the fields `numbers` of `message`.
fn messages<'a>(message: &'a [u8], numbers: &[u64]) -> impl Iterator<Item = &'a [u8]> {
    Fields::of(message).filter_map(|field| match field {
        Ok((number, Value::Bytes(inside))) if numbers.contains(&number) => Some(inside),
        _ => None,
    })
}

/// A varint, and what follows it.
fn varint(bytes: &[u8]) -> (u64, &[u8]) {
    let mut stream = CodedInputStream::from_bytes(bytes);
    let value = stream.read_raw_varint64().unwrap_or_default();
    (value, &bytes[usize::try_from(stream.pos()).unwrap()..])
}

fn is_group(fault: &[u8]) -> bool {
    varint(fault).0 & 7 == START_GROUP
}

fn is_cut_message(fault: &[u8]) -> bool {
    let (tag, rest) = varint(fault);
    let (bytes, inside) = varint(rest);
    [RECORDS_TAG, PRODUCER_TAG].contains(&tag) && bytes > u64::try_from(inside.len()).unwrap()
}

/// That `order` is what the library read.
fn assert_same(order: &Order<'_>, sent: ProduceRequest, message: &[u8]) {
    let level = match Level::from_i32(sent.durability.value()) {
        Some(Level::DURABILITY_BUFFERED) => Durability::Buffered,
        Some(Level::DURABILITY_WRITTEN) => Durability::Written,
        _ => Durability::Synced,
    };
    assert_eq!(order.durability, level, "{message:02x?}");
    assert_eq!(order.log, sent.log, "{message:02x?}");
    assert_eq!(order.expected.map(|offset| offset.get()), sent.expected_offset, "{message:02x?}");
    let claim = order.producer.map(|claim| (claim.id.to_vec(), claim.epoch, claim.sequence));
    let given = sent.producer.as_ref();
    let given = given.map(|given| (given.id.to_vec(), given.epoch, given.sequence));
    assert_eq!(claim, given, "{message:02x?}");
    let count = u32::try_from(sent.records.len()).unwrap();
    assert_eq!(order.records.get(), count, "{message:02x?}");
    // What is unknown is not stored.
    let records = sent.records.into_iter().map(|record| {
        let headers: Vec<_> =
            record.headers.iter().map(|header| (header.name.as_str(), &header.value[..])).collect();
        self::record(&record.value, &record.key, &headers)
    });
    let batch = Batch { records: records.collect(), ..Batch::default() };
    assert_eq!(order.payload, batch.write_to_bytes().unwrap(), "{message:02x?}");
}

/// Whether a request that the library reads is refused for what it says and not for its form.
fn means_nothing(why: &BadRequest, sent: &ProduceRequest) -> bool {
    let id = sent.producer.as_ref().map(|producer| &producer.id[..]);
    match why {
        BadRequest::NoRecord { .. } => sent.records.is_empty(),
        BadRequest::NotInEnum { .. } => sent.durability.enum_value().is_err(),
        BadRequest::NotAnId { .. } => id.is_some_and(|id| id.len() != 16),
        BadRequest::ZeroId { .. } => id == Some(&[0; 16]),
        _ => false,
    }
}

#[test]
fn damaged_requests_are_read_and_refused_as_the_library_does() {
    let (originals, limits) = (originals(), Limits::default());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut stored, mut refused, mut laxities) = (0, 0, 0);
    for number in 0..MUTANTS {
        let mut message = originals[random.below(originals.len())].clone();
        for _ in 0..1 + random.below(3) {
            damage(&mut message, &mut random);
        }
        match (produce_request(&message, &limits), ProduceRequest::parse_from_bytes(&message)) {
            (Ok(order), Ok(sent)) => {
                assert_same(&order, sent, &message);
                stored += 1;
            }
            (Err(_), Err(_)) => refused += 1,
            (Err(why), Ok(sent)) if means_nothing(&why, &sent) => refused += 1,
            (Err(_), Ok(_)) if library_is_lax(&message) => laxities += 1,
            (here, library) => {
                panic!("mutant {number} {message:02x?}: {here:?}, but the library {library:?}")
            }
        }
    }
    println!(
        "cases: {MUTANTS} mutants, {stored} stored, {refused} refused, {laxities} by us alone"
    );
    // Else it would not say much.
    assert!(stored > MUTANTS / 20 && refused > MUTANTS / 10 && laxities < MUTANTS / 10);
}
