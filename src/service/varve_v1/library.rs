//! What is made of a produce request here, and what the protobuf library makes of it.
//!
//! Where requests are read in place instead of by the library, the two must agree: what is stored
//! is what the library reads, and what the library refuses is refused. Two things are refused here
//! alone: groups, which proto3 does not have and the library skips, and a record or producer that
//! claims to be longer than the rest of the request, of which the library takes what there is. And
//! one thing the library reads otherwise than the encoding demands: of a producer that comes in
//! pieces it takes the last, where they are one. A tag or length in more bytes than its 32 bits
//! need the library refuses or takes, by how much follows it; here it is taken.
//!
//! Only tests and fuzzing ask.

use protobuf::{CodedInputStream, Enum as _, Message as _, MessageField};

use super::messages::produce_request;
use crate::log::Durability;
use crate::proto::log_service::{Durability as Level, ProduceRequest, ProducerSequence};
use crate::proto::record::{Batch, Header, Record};
use crate::service::producing::Order;
use crate::service::refusal::BadRequest;
use crate::service::wire::{Fields, Value};

const START_GROUP: u64 = 3;
const RECORDS_TAG: u64 = 1 << 3 | 2;
const PRODUCER_TAG: u64 = 5 << 3 | 2;

/// What both make of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The same batch.
    Stored,
    /// Nothing, or nothing that means anything.
    Refused,
    /// One of the two things in which the library is lax.
    RefusedHereAlone,
    /// A number in more bytes than it needs, which the library refused.
    ReadHereAlone,
}

/// Reads `message` in both ways.
///
/// # Panics
///
/// If they do not agree.
pub(crate) fn compare(message: &[u8]) -> Outcome {
    let here = produce_request(message);
    match (here, by_library(message)) {
        (Ok(order), Ok(sent)) => {
            assert_same(&order, sent, message);
            Outcome::Stored
        }
        (Err(_), Err(_)) => Outcome::Refused,
        (Err(why), Ok(sent)) if means_nothing(&why, &sent) => Outcome::Refused,
        (Err(_), Ok(_)) if library_is_lax(message) => Outcome::RefusedHereAlone,
        (Ok(_), Err(_)) if has_long_number(message) => Outcome::ReadHereAlone,
        (here, library) => panic!("{message:02x?}: {here:?}, but the library {library:?}"),
    }
}

/// What the library reads, with the pieces of a producer put together.
fn by_library(message: &[u8]) -> protobuf::Result<ProduceRequest> {
    let mut sent = ProduceRequest::parse_from_bytes(message)?;
    if sent.producer.is_some() {
        let pieces: Vec<u8> = messages(message, &[5]).flatten().copied().collect();
        sent.producer = MessageField::some(ProducerSequence::parse_from_bytes(&pieces)?);
    }
    Ok(sent)
}

pub(super) fn record(value: &[u8], key: &[u8], headers: &[(&str, &[u8])]) -> Record {
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

/// Whether there may be a varint of more than five bytes.
fn has_long_number(message: &[u8]) -> bool {
    message.windows(5).any(|bytes| bytes.iter().all(|byte| byte & 0x80 != 0))
}

/// Whether the walk through `message` ends at bytes that `is_lax` is about.
fn ends_at(message: &[u8], is_lax: &dyn Fn(&[u8]) -> bool) -> bool {
    let mut fields = Fields::of(message);
    loop {
        let at = message.len() - fields.rest_bytes();
        match fields.next() {
            None => return false,
            Some(Ok(_)) => {}
            Some(Err(_)) => return is_lax(message.get(at..).unwrap_or_default()),
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
    let read = usize::try_from(stream.pos()).unwrap_or(usize::MAX);
    (value, bytes.get(read..).unwrap_or_default())
}

fn is_group(fault: &[u8]) -> bool {
    varint(fault).0 & 7 == START_GROUP
}

fn is_cut_message(fault: &[u8]) -> bool {
    let (tag, rest) = varint(fault);
    let (bytes, inside) = varint(rest);
    [RECORDS_TAG, PRODUCER_TAG].contains(&tag) && bytes > wide(inside.len())
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
    assert_eq!(u64::from(order.records.get()), wide(sent.records.len()), "{message:02x?}");
    // What is unknown is not stored.
    let records = sent.records.into_iter().map(|record| {
        let headers: Vec<_> =
            record.headers.iter().map(|header| (header.name.as_str(), &header.value[..])).collect();
        self::record(&record.value, &record.key, &headers)
    });
    let batch = Batch { records: records.collect(), ..Batch::default() };
    let stored = batch.write_to_bytes().expect("a batch can be encoded");
    assert_eq!(order.payload, stored, "{message:02x?}");
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

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
