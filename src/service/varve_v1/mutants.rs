//! Damaged requests, as [`compare`] judges them.

use protobuf::{EnumOrUnknown, Message as _, MessageField};

use super::library::{Outcome, compare, record};
use crate::proto::log_service::{Durability as Level, ProduceRequest, ProducerSequence};

const MUTANTS: u32 = 100_000;

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

#[test]
fn damaged_requests_are_read_and_refused_as_the_library_does() {
    let originals = originals();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut stored, mut refused, mut laxities) = (0, 0, 0);
    for _ in 0..MUTANTS {
        let mut message = originals[random.below(originals.len())].clone();
        for _ in 0..1 + random.below(3) {
            damage(&mut message, &mut random);
        }
        match compare(&message) {
            Outcome::Stored => stored += 1,
            Outcome::Refused => refused += 1,
            Outcome::RefusedHereAlone | Outcome::ReadHereAlone => laxities += 1,
        }
    }
    println!(
        "cases: {MUTANTS} mutants, {stored} stored, {refused} refused, {laxities} by us alone"
    );
    // Else it would not say much.
    assert!(stored > MUTANTS / 20 && refused > MUTANTS / 10 && laxities < MUTANTS / 10);
}

/// The library takes the last piece of a producer for all of it, which this comparison took for a
/// fault of ours.
#[test]
fn a_producer_in_pieces_is_read_as_the_encoding_demands() {
    let odd = include_bytes!("../../../tests/fuzz/seeds/batch/odd");
    assert_eq!(compare(odd), Outcome::Stored);
}
