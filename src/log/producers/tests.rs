//! The rules, by example and against a model that keeps everything.

use proptest::prelude::*;

use super::*;

const PRODUCERS_MAX: usize = 3;

fn id(n: u8) -> ProducerId {
    ProducerId::from_bytes([n; 16]).unwrap()
}

fn batch(n: u8, epoch: u32, sequence: u64) -> Producer {
    Producer { id: id(n), epoch, sequence }
}

/// Producers with a log's end, as the intake has them.
#[derive(Default)]
struct Log {
    producers: Producers,
    end: Offset,
}

impl Log {
    fn new() -> Self {
        Self { producers: Producers::new(PRODUCERS_MAX), end: Offset::ZERO }
    }

    /// Sends a batch of two records; `Ok` is the original's base offset if it is a duplicate.
    fn send(&mut self, producer: Producer, crc: u32) -> Result<Option<u64>, SequenceError> {
        let original = self.producers.find(&producer, 2, crc)?;
        if original.is_none() {
            let batch = Remembered { base: self.end, records: 2, payload_crc: crc };
            self.producers.take(&producer, batch, Arc::default());
            self.end = self.end.plus(2);
        }
        Ok(original.map(|original| original.base.get()))
    }

    fn sync(&mut self) {
        self.producers.made_durable(self.end, 0);
    }

    fn drop_to(&mut self, written: Offset) {
        self.producers.drop_unwritten(written);
        self.end = written;
    }
}

#[test]
fn r3_the_first_batch_of_a_producer_and_of_an_epoch_is_number_zero() {
    let mut log = Log::new();
    let gap = |actual| Err(SequenceError::Gap { expected: 0, actual });
    assert_eq!(log.send(batch(1, 7, 1), 0), gap(1));
    assert_eq!(log.send(batch(1, 7, 0), 0), Ok(None));
    assert_eq!(log.send(batch(1, 9, 1), 0), gap(1));
    assert_eq!(log.send(batch(1, 9, 0), 0), Ok(None));
    let fenced = Err(SequenceError::Fenced { epoch: 7, current: 9 });
    assert_eq!([0, 1, 2].map(|sequence| log.send(batch(1, 7, sequence), 0)), [fenced; 3]);
}

#[test]
fn r3_a_retry_is_found_in_flight_and_durable_and_only_with_the_same_records() {
    let mut log = Log::new();
    for durable in [false, true] {
        for sequence in 0..3 {
            let offset = durable.then_some(sequence * 2);
            assert_eq!(log.send(batch(1, 0, sequence), 50), Ok(offset));
        }
        let reused = SequenceError::Reused { sequence: 1 };
        assert_eq!(log.send(batch(1, 0, 1), 51), Err(reused));
        assert_eq!(log.producers.find(&batch(1, 0, 1), 3, 50).unwrap_err(), reused);
        assert_eq!(log.send(batch(1, 0, 4), 50), {
            Err(SequenceError::Gap { expected: 3, actual: 4 })
        });
        log.sync();
    }
}

#[test]
fn r3_what_is_older_than_the_window_is_never_taken_for_new() {
    let mut log = Log::new();
    for sequence in 0..3000 {
        assert_eq!(log.send(batch(1, 0, sequence), 0), Ok(None));
        if sequence % 10 == 0 {
            log.sync();
        }
    }
    let too_old = |sequence| Err(SequenceError::TooOld { sequence, oldest: 3000 - 1024 });
    assert_eq!(log.send(batch(1, 0, 3000 - 1024), 0), Ok(Some((3000 - 1024) * 2)));
    for sequence in [3000 - 1025, 1000, 0] {
        assert_eq!(log.send(batch(1, 0, sequence), 0), too_old(sequence));
    }
}

#[test]
fn r13_a_producer_has_no_more_in_flight_than_are_remembered() {
    let mut log = Log::new();
    for sequence in 0..1024 {
        assert_eq!(log.send(batch(1, 0, sequence), 0), Ok(None));
    }
    for next in [batch(1, 0, 1024), batch(1, 1, 0)] {
        assert_eq!(log.send(next, 0), Err(SequenceError::Busy { batches: 1024 }));
    }
    assert_eq!(log.send(batch(1, 0, 0), 0), Ok(Some(0)), "a retry is recognised all the same");
    log.producers.made_durable(Offset::new(2), 0);
    assert_eq!(log.send(batch(1, 0, 1024), 0), Ok(None));
    let too_old = SequenceError::TooOld { sequence: 0, oldest: 1 };
    assert_eq!(log.send(batch(1, 0, 0), 0), Err(too_old));
}

#[test]
fn an_idle_producer_keeps_nothing_of_a_burst() {
    let mut log = Log::new();
    for burst in 0..3 {
        for sequence in 0..1000 {
            assert_eq!(log.send(batch(1, burst, sequence), 0), Ok(None));
        }
        log.sync();
        let known = log.producers.known.values().next().unwrap();
        assert!(known.in_flight.capacity() <= known::IN_FLIGHT_KEPT);
        assert_eq!(known.durable.batches.len(), 1000);
    }
}

#[test]
fn r3_a_producer_beyond_the_limit_is_refused_and_none_is_forgotten() {
    let mut log = Log::new();
    for n in 1..=3 {
        assert_eq!(log.send(batch(n, 0, 0), 0), Ok(None));
    }
    assert_eq!(log.send(batch(4, 0, 0), 0), Err(SequenceError::TooManyProducers { limit: 3 }));
    log.sync();
    for n in 1..=3 {
        assert_eq!(log.send(batch(n, 0, 0), 0), Ok(Some(u64::from(n - 1) * 2)));
    }
}

#[test]
fn r11_what_a_full_disk_drops_was_never_there() {
    let mut log = Log::new();
    assert_eq!(log.send(batch(1, 4, 0), 0), Ok(None));
    log.sync();
    let kept = log.end;
    for dropped in [batch(1, 4, 1), batch(1, 5, 0), batch(2, 0, 0), batch(3, 0, 0)] {
        assert_eq!(log.send(dropped, 0), Ok(None));
    }
    log.drop_to(kept);
    assert_eq!(log.producers.known.len(), 1, "new producers are gone");
    assert_eq!(log.send(batch(1, 4, 1), 9), Ok(None), "the old epoch goes on, with other records");
    assert_eq!(log.send(batch(2, 0, 0), 0), Ok(None));
}

/// What a frame says of a batch.
fn header(producer: Producer, base: u64) -> FrameHeader {
    let (records, payload_crc) = (2, 7);
    let (base, producer) = (Offset::new(base), Some(producer));
    FrameHeader { records, payload_crc, base, producer, ..FrameHeader::default() }
}

#[test]
fn r3_frames_amount_to_the_same_however_often_they_are_replayed() {
    let mut once = Log::new();
    let frames: Vec<_> = (0..40)
        .map(|n| {
            header(batch(1 + n % 2, u32::from(n / 20), u64::from(n % 20 / 2)), u64::from(n) * 2)
        })
        .collect();
    frames.iter().for_each(|frame| once.producers.replay(frame));
    for from in 0..40 {
        let mut twice = Log::new();
        frames.iter().chain(&frames[from..]).for_each(|frame| twice.producers.replay(frame));
        assert_eq!(twice.producers.part(None), once.producers.part(None));
    }
}

/// Frames that damage took leave a gap; a retry of one of them must not be appended.
#[test]
fn r6_a_batch_that_damage_took_is_too_old() {
    let mut log = Log::new();
    for (sequence, base) in [(0, 0), (1, 2), (4, 8)] {
        log.producers.replay(&header(batch(1, 0, sequence), base));
    }
    for sequence in 0..4 {
        let too_old = SequenceError::TooOld { sequence, oldest: 4 };
        assert_eq!(log.send(batch(1, 0, sequence), 7), Err(too_old));
    }
    assert_eq!(log.send(batch(1, 0, 4), 7), Ok(Some(8)));
    log.end = Offset::new(10);
    assert_eq!(log.send(batch(1, 0, 5), 7), Ok(None));
}

#[test]
fn parts_bring_every_durable_producer_once() {
    let mut log = Log { producers: Producers::new(1000), ..Log::default() };
    let of = |n: u16| {
        let mut bytes = [1; 16];
        bytes[..2].copy_from_slice(&n.to_be_bytes());
        Producer { id: ProducerId::from_bytes(bytes).unwrap(), epoch: 0, sequence: 0 }
    };
    for n in 0..300 {
        assert_eq!(log.send(of(n), 0), Ok(None));
    }
    log.sync();
    assert_eq!(log.send(of(300), 0), Ok(None), "one is in flight");
    let (mut brought, mut after) = (Vec::new(), None);
    loop {
        let part = log.producers.part(after);
        let Some((last, _)) = part.last() else {
            break;
        };
        after = Some(*last);
        brought.extend(part.into_iter().map(|(id, _)| id));
    }
    assert_eq!(brought, (0..300).map(|n| of(n).id).collect::<Vec<_>>());
}

/// A model that keeps all batches: of each its producer, base offset and CRC.
#[derive(Default)]
struct Model {
    batches: Vec<(Producer, u64, u32)>,
    durable: usize,
}

impl Model {
    fn send(&mut self, producer: Producer, crc: u32) -> Result<Option<u64>, SequenceError> {
        let mine = || self.batches.iter().filter(|(other, ..)| other.id == producer.id);
        let epoch = mine().map(|(other, ..)| other.epoch).max().unwrap_or(producer.epoch);
        if producer.epoch < epoch {
            return Err(SequenceError::Fenced { epoch: producer.epoch, current: epoch });
        }
        let of_epoch: Vec<_> = mine().filter(|(other, ..)| other.epoch == producer.epoch).collect();
        let (expected, actual) = (u64::try_from(of_epoch.len()).unwrap(), producer.sequence);
        if actual > expected {
            return Err(SequenceError::Gap { expected, actual });
        }
        if actual < expected {
            let oldest = expected.saturating_sub(1024);
            if actual < oldest {
                return Err(SequenceError::TooOld { sequence: actual, oldest });
            }
            let (_, base, held) = of_epoch[usize::try_from(actual).unwrap()];
            let same = (*held == crc).then_some(Some(*base));
            return same.ok_or(SequenceError::Reused { sequence: actual });
        }
        let others: std::collections::BTreeSet<_> =
            self.batches.iter().map(|(other, ..)| other.id).collect();
        if !others.contains(&producer.id) && others.len() >= PRODUCERS_MAX {
            return Err(SequenceError::TooManyProducers { limit: PRODUCERS_MAX });
        }
        let flying =
            self.batches[self.durable..].iter().filter(|(other, ..)| other.id == producer.id);
        let batches = flying.count();
        if batches >= 1024 {
            return Err(SequenceError::Busy { batches });
        }
        self.batches.push((producer, self.end(), crc));
        Ok(None)
    }

    fn end(&self) -> u64 {
        u64::try_from(self.batches.len()).unwrap() * 2
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// The producer, how far its epoch is from its last one, and its sequence from the next one.
    Send { n: u8, epoch: i64, sequence: i64, crc: u32 },
    /// So many batches in a row that are next.
    Run { n: u8, batches: u16 },
    /// So many thousandths of what is in flight are durable.
    Sync { part: usize },
    /// So many thousandths of what is in flight are dropped.
    Drop { part: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let near = prop_oneof![6 => Just(0_i64), 4 => -3..3_i64, 1 => -1100..-1000_i64];
    let epoch = prop_oneof![8 => Just(0_i64), 1 => -1..2_i64];
    let step = prop_oneof![
        8 => (1..6_u8, epoch, near, 0..2_u32)
            .prop_map(|(n, epoch, sequence, crc)| Step::Send { n, epoch, sequence, crc }),
        2 => (1..3_u8, 0..700_u16).prop_map(|(n, batches)| Step::Run { n, batches }),
        2 => (0..1001_usize).prop_map(|part| Step::Sync { part }),
        1 => (0..1001_usize).prop_map(|part| Step::Drop { part }),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a producer would send next: its highest epoch and the number after its last batch there.
fn next_of(model: &Model, n: u8) -> (i64, i64) {
    let mine = model.batches.iter().filter(|(other, ..)| other.id == id(n));
    let last = mine.map(|(other, ..)| (other.epoch, other.sequence)).max();
    last.map_or((0, 0), |(epoch, sequence)| {
        (i64::from(epoch), i64::try_from(sequence).unwrap() + 1)
    })
}

fn next_batch(model: &Model, n: u8) -> Producer {
    let (epoch, sequence) = next_of(model, n);
    batch(n, u32::try_from(epoch).unwrap(), u64::try_from(sequence).unwrap())
}

/// The model looks at every batch for each.
fn few_cases() -> ProptestConfig {
    ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(few_cases())]

    #[test]
    fn r3_producers_do_what_a_list_of_all_batches_does(steps in steps()) {
        let (mut log, mut model) = (Log::new(), Model::default());
        for step in steps {
            match step {
                Step::Send { n, epoch, sequence, crc } => {
                    let (last, next) = next_of(&model, n);
                    let epoch = u32::try_from((last + epoch).max(0)).unwrap();
                    let sequence = u64::try_from((next + sequence).max(0)).unwrap();
                    let sent = batch(n, epoch, sequence);
                    prop_assert_eq!(log.send(sent, crc), model.send(sent, crc), "{:?}", sent);
                }
                Step::Run { n, batches } => for _ in 0..batches {
                    let sent = next_batch(&model, n);
                    prop_assert_eq!(log.send(sent, 1), model.send(sent, 1));
                },
                Step::Sync { part } => {
                    model.durable += (model.batches.len() - model.durable) * part / 1000;
                    let end = u64::try_from(model.durable).unwrap() * 2;
                    log.producers.made_durable(Offset::new(end), 1);
                }
                Step::Drop { part } => {
                    let flying = model.batches.len() - model.durable;
                    model.batches.truncate(model.batches.len() - flying * part / 1000);
                    log.drop_to(Offset::new(model.end()));
                }
            }
            prop_assert_eq!(log.end.get(), model.end());
        }
    }
}
