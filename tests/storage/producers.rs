//! Retries of producers that name their batches: each batch is in the log once, whatever happens.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::task::Poll;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use varve::log::{
    AckError, Append, AppendError, Bounds, Durability, LogSettings, Offset, Op, OpenError, Options,
    Pending, Producer, ProducerId, SequenceError, SimDisk, Tear,
};

use crate::rig::{Batch, Rig, by_hand, poll, small_segments, wait};

const ONE: NonZeroU32 = NonZeroU32::MIN;

fn id(n: u8) -> ProducerId {
    ProducerId::from_bytes([n; 16]).unwrap()
}

/// The batch of producer `n` with this number; no two are alike.
fn batch(n: u8, sequence: u64) -> Batch {
    Batch::of(u64::from(n) * 100_000 + sequence)
}

fn producer(n: u8, sequence: u64) -> Producer {
    Producer { id: id(n), epoch: 0, sequence }
}

fn send_as(
    rig: &Rig,
    producer: Producer,
    batch: &Batch,
    durability: Durability,
) -> Result<Pending, AppendError> {
    let Batch { payload, records } = batch;
    let (records, producer) = (*records, Some(producer));
    rig.log.append_batch(Append { payload, records, durability, expected: None, producer })
}

fn send(rig: &Rig, n: u8, sequence: u64, level: Durability) -> Result<Pending, AppendError> {
    send_as(rig, producer(n, sequence), &batch(n, sequence), level)
}

/// Sends the batch, which must become durable, and returns where it is and whether it was there.
fn settle(rig: &Rig, n: u8, sequence: u64) -> (Offset, bool) {
    let pending = send(rig, n, sequence, Durability::Synced).unwrap();
    let told = (pending.base_offset(), pending.is_duplicate());
    assert_eq!(pending.append_time_us() == 0, pending.is_duplicate());
    let records = u64::from(batch(n, sequence).records.get());
    assert_eq!(pending.next_offset(), told.0.plus(records));
    rig.logs.work();
    assert_eq!(poll(pending), Poll::Ready(Ok(Durability::Synced)));
    told
}

fn refused(rig: &Rig, producer: Producer, batch: &Batch) -> SequenceError {
    match send_as(rig, producer, batch, Durability::Synced) {
        Err(AppendError::Sequence(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn producers_file(rig: &Rig) -> Option<PathBuf> {
    rig.files("producers").pop()
}

/// What producers know of their batches: all they have sent, and of those acknowledged the offset.
#[derive(Clone, Debug, Default)]
struct Clients {
    sent: BTreeMap<u8, u64>,
    acknowledged: BTreeMap<(u8, u64), Offset>,
}

impl Clients {
    /// Sends the producer's next batch.
    fn send(&mut self, rig: &Rig, n: u8, level: Durability) -> Option<(u8, u64, Pending)> {
        let sequence = self.sent.get(&n).copied().unwrap_or(0);
        // A producer whose batch is refused does not go on to the next.
        let pending = send(rig, n, sequence, level).ok()?;
        self.sent.insert(n, sequence + 1);
        Some((n, sequence, pending))
    }

    fn settle(&mut self, sent: impl IntoIterator<Item = Option<(u8, u64, Pending)>>) {
        for (n, sequence, pending) in sent.into_iter().flatten() {
            let base = pending.base_offset();
            if poll(pending) == Poll::Ready(Ok(Durability::Synced)) {
                self.acknowledged.insert((n, sequence), base);
            }
        }
    }

    /// Every producer sends all its batches again, from the first to the one after the last.
    fn retry_all(&mut self, rig: &Rig, what: &str) {
        for (n, sent) in self.sent.clone() {
            for sequence in 0..=sent {
                let (base, was_there) = settle(rig, n, sequence);
                if let Some(first) = self.acknowledged.insert((n, sequence), base) {
                    assert!(was_there, "{what}: batch {sequence} of {n} was acknowledged");
                    assert_eq!(base, first, "{what}: batch {sequence} of {n}");
                }
            }
            self.sent.insert(n, sent + 1);
        }
        self.check(rig, what);
    }

    /// Each acknowledged batch that was not trimmed is there once, where it was said to be.
    fn check(&self, rig: &Rig, what: &str) {
        let Bounds { start, .. } = rig.log.bounds();
        let mut found = rig.read_all();
        found.retain(|(_, batch)| batch.number() >= 100_000);
        let mut expected: Vec<_> = self
            .acknowledged
            .iter()
            .map(|((n, sequence), base)| (*base, batch(*n, *sequence)))
            .filter(|(base, _)| *base >= start)
            .collect();
        expected.sort_by_key(|(base, _)| *base);
        let places = |batches: &[(Offset, Batch)]| {
            batches.iter().map(|(base, batch)| (base.get(), batch.number())).collect::<Vec<_>>()
        };
        assert_eq!(places(&found), places(&expected), "{what}: each batch once, and no other");
        assert!(found == expected, "{what}: unaltered");
    }
}

/// Two producers, others without a name, rolls, trims, all levels, a full disk, and restarts.
fn script(disk: &SimDisk, clients: &mut Clients) {
    let open = || Rig::open(disk, by_hand(small_segments()));
    let Ok(rig) = open() else {
        return;
    };
    for n in 0..7 {
        let one = clients.send(&rig, 1, Durability::Synced);
        let nobody = Batch::of(n);
        let _pending = rig.log.append(&nobody.payload, nobody.records, Durability::Buffered);
        let two = (n % 2 == 0).then(|| clients.send(&rig, 2, Durability::Written)).flatten();
        rig.logs.work();
        clients.settle([one, two]);
    }
    let group: Vec<_> = (0..6).map(|_| clients.send(&rig, 1, Durability::Synced)).collect();
    rig.logs.work();
    clients.settle(group);
    let _middle = rig.log.trim(Offset::new(rig.log.bounds().end.get() / 2));
    let after = clients.send(&rig, 2, Durability::Synced);
    rig.logs.work();
    clients.settle([after]);
    let closed = rig.logs.close();
    drop(rig);
    if closed.is_err() {
        return;
    }
    let Ok(rig) = open() else {
        return;
    };
    let one = clients.send(&rig, 1, Durability::Synced);
    rig.logs.work();
    clients.settle([one]);
    let _all = rig.log.trim(rig.log.bounds().end);
    let both = [1, 2].map(|n| clients.send(&rig, n, Durability::Synced));
    rig.logs.work();
    clients.settle(both);
}

fn retry_after(disk: &SimDisk, clients: &Clients, tear: Tear, what: &str) {
    let mut clients = clients.clone();
    let after = disk.after_power_cut(tear);
    let open = |disk: &SimDisk| {
        Rig::open(disk, by_hand(small_segments())).unwrap_or_else(|e| panic!("{what}: {e:?}"))
    };
    let rig = open(&after);
    clients.retry_all(&rig, what);
    let again = after.after_power_cut(Tear::LoseAll);
    let rig = open(&again);
    clients.retry_all(&rig, &format!("{what}, after a second cut"));
    let end = rig.log.bounds().end;
    rig.log.trim(end).unwrap();
    let rig = rig.killed();
    clients.retry_all(&rig, &format!("{what}, trimmed and killed"));
    clients.retry_all(&rig.reopen(), &format!("{what}, and closed"));
}

#[test]
fn r3_a_retry_is_exactly_once_after_a_cut_behind_every_call() {
    let whole = SimDisk::new();
    let mut clients = Clients::default();
    script(&whole, &mut clients);
    assert_eq!(clients.sent, BTreeMap::from([(1, 15), (2, 6)]));
    let steps = whole.steps();
    let mut cases = 0;
    for step in 0..=steps {
        let disk = SimDisk::new();
        disk.cut_power_after(step);
        let mut clients = Clients::default();
        script(&disk, &mut clients);
        let random = (0..6).map(|seed| Tear::Random(step * 6 + seed));
        for tear in [Tear::LoseAll, Tear::KeepAll].into_iter().chain(random) {
            retry_after(&disk, &clients, tear, &format!("cut after call {step}, {tear:?}"));
            cases += 1;
        }
    }
    println!("cases: {cases} power cuts over {steps} calls, all batches sent again (R3)");
}

/// Each call to the disk fails once, for lack of space or for good.
#[test]
fn r3_a_retry_is_exactly_once_after_any_call_that_failed() {
    let whole = SimDisk::new();
    script(&whole, &mut Clients::default());
    let mut calls: BTreeMap<Op, u64> = BTreeMap::new();
    whole.trace().iter().for_each(|(op, _)| *calls.entry(*op).or_default() += 1);
    let mut cases = 0;
    for (op, count) in calls {
        for call in 0..count {
            for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
                let disk = SimDisk::new();
                disk.fail(op, call, kind);
                let mut clients = Clients::default();
                script(&disk, &mut clients);
                let what = format!("{op:?} {call} fails with {kind:?}");
                // Killed, so that the files are as the failure left them.
                let unsent = clients.sent.values().sum::<u64>() == 0;
                assert!(!unsent || call < 40, "{what}: a script that does nothing proves nothing");
                for tear in [Tear::KeepAll, Tear::LoseAll] {
                    retry_after(&disk, &clients, tear, &what);
                    cases += 1;
                }
            }
        }
    }
    println!("cases: {cases} failed calls, all batches sent again (R3)");
}

#[test]
fn r3_producers_are_told_what_they_sent_wrong_and_nothing_is_appended() {
    let rig = Rig::new();
    for sequence in 0..3 {
        assert!(!settle(&rig, 1, sequence).1);
    }
    let second = Producer { epoch: 2, ..producer(1, 0) };
    for (sent, records, error) in [
        (producer(1, 4), 4, SequenceError::Gap { expected: 3, actual: 4 }),
        (producer(2, 1), 1, SequenceError::Gap { expected: 0, actual: 1 }),
        (producer(1, 1), 2, SequenceError::Reused { sequence: 1 }),
        (Producer { sequence: 1, ..second }, 1, SequenceError::Gap { expected: 0, actual: 1 }),
    ] {
        assert_eq!(refused(&rig, sent, &batch(1, records)), error);
    }
    assert_eq!(rig.read_all().len(), 3);
    let rig = rig.killed();
    let _taken = send_as(&rig, second, &batch(1, 9), Durability::Synced).unwrap();
    rig.logs.work();
    let rig = rig.killed().reopen();
    let fenced = SequenceError::Fenced { epoch: 0, current: 2 };
    assert_eq!(refused(&rig, producer(1, 0), &batch(1, 0)), fenced);
    assert_eq!(rig.read_all().len(), 4);
}

#[test]
fn r3_a_duplicate_is_recognised_before_the_expected_offset_and_the_end() {
    let rig = Rig::new();
    settle(&rig, 1, 0);
    settle(&rig, 1, 1);
    let Batch { payload, records } = &batch(1, 0);
    let (records, durability, expected) = (*records, Durability::Synced, Some(Offset::ZERO));
    let retry = |sequence| {
        let producer = Some(producer(1, sequence));
        rig.log.append_batch(Append { payload, records, durability, expected, producer })
    };
    let pending = retry(0).unwrap();
    assert!(pending.is_duplicate() && pending.base_offset() == Offset::ZERO);
    let end = rig.log.bounds().end;
    let not_at_end = AppendError::NotAtEnd { expected: Offset::ZERO, end };
    assert_eq!(retry(2).unwrap_err(), not_at_end);
    let (base, was_there) = settle(&rig, 1, 2);
    assert_eq!((base, was_there), (end, false), "a refused batch leaves the sequence as it was");
}

#[test]
fn r3_a_duplicate_of_an_unsynced_original_waits_for_its_sync() {
    let rig = Rig::new();
    let mut first = send(&rig, 1, 0, Durability::Buffered).unwrap();
    assert_eq!(poll(&mut first), Poll::Ready(Ok(Durability::Buffered)));
    let mut retries =
        [Durability::Buffered, Durability::Written, Durability::Synced].map(|level| {
            let retry = send(&rig, 1, 0, level).unwrap();
            assert!(retry.is_duplicate());
            (level, retry)
        });
    let (_, buffered) = &mut retries[0];
    assert_eq!(poll(buffered), Poll::Ready(Ok(Durability::Buffered)));
    for (level, retry) in &mut retries[1..] {
        assert_eq!(poll(retry), Poll::Pending, "{level:?}");
    }
    // No delay of a sync passes here: to ask again is to ask for a sync.
    rig.logs.work();
    for (_, retry) in retries {
        assert_eq!(poll(retry), Poll::Ready(Ok(Durability::Synced)));
    }
    assert_eq!(rig.read_all().len(), 1);
}

#[test]
fn r3_r11_a_batch_that_a_full_disk_drops_is_appended_when_it_is_sent_again() {
    let rig = Rig::new();
    let kept = settle(&rig, 1, 0).0;
    rig.disk.fail(Op::Write, 0, ErrorKind::StorageFull);
    let lost = send(&rig, 1, 1, Durability::Synced).unwrap();
    let duplicate = send(&rig, 1, 1, Durability::Synced).unwrap();
    let next = send(&rig, 1, 2, Durability::Synced).unwrap();
    let next_epoch = Producer { epoch: 1, ..producer(1, 0) };
    let next_epoch = send_as(&rig, next_epoch, &batch(1, 9), Durability::Synced).unwrap();
    let other = send(&rig, 2, 0, Durability::Synced).unwrap();
    assert!(duplicate.is_duplicate());
    rig.logs.work();
    for pending in [lost, duplicate, next, next_epoch, other] {
        assert_eq!(poll(pending), Poll::Ready(Err(AckError::NoSpace)));
    }
    let no_space = send(&rig, 1, 1, Durability::Synced).unwrap_err();
    assert!(matches!(no_space, AppendError::NoSpace { .. }), "{no_space:?}");
    assert_eq!(poll(send(&rig, 1, 0, Durability::Synced).unwrap()), {
        Poll::Ready(Ok(Durability::Synced))
    });
    let rig = rig.reopen();
    assert_eq!(settle(&rig, 1, 0), (kept, true));
    for (n, sequence) in [(1, 1), (2, 0), (1, 2)] {
        assert!(!settle(&rig, n, sequence).1);
        assert!(settle(&rig, n, sequence).1);
    }
    assert_eq!(rig.killed().read_all().len(), 4);
}

#[test]
fn r3_r12_a_batch_of_unknown_fate_is_settled_by_a_retry_after_the_restart() {
    for tear in [Tear::KeepAll, Tear::LoseAll] {
        let rig = Rig::new();
        settle(&rig, 1, 0);
        rig.disk.fail(Op::Sync, 0, ErrorKind::Other);
        let unknown = send(&rig, 1, 1, Durability::Synced).unwrap();
        let duplicate = send(&rig, 1, 1, Durability::Synced).unwrap();
        rig.logs.work();
        for pending in [unknown, duplicate] {
            assert_eq!(poll(pending), Poll::Ready(Err(AckError::Failed)));
        }
        assert_eq!(send(&rig, 1, 0, Durability::Synced).unwrap_err(), AppendError::Failed);
        let disk = rig.disk.after_power_cut(tear);
        let rig = Rig::open(&disk, by_hand(small_segments())).unwrap();
        settle(&rig, 1, 1);
        let numbers: Vec<_> = rig.read_all().iter().map(|(_, batch)| batch.number()).collect();
        assert_eq!(numbers, [100_000, 100_001], "{tear:?}");
    }
}

#[test]
fn r13_a_producer_with_too_many_in_flight_is_busy_until_some_are_durable() {
    let rig = Rig::new();
    for sequence in 0..1024 {
        let _pending = send(&rig, 1, sequence, Durability::Buffered).unwrap();
    }
    let busy = SequenceError::Busy { batches: 1024 };
    assert_eq!(refused(&rig, producer(1, 1024), &batch(1, 1024)), busy);
    assert!(!send(&rig, 2, 0, Durability::Synced).unwrap().is_duplicate());
    rig.logs.work();
    assert!(!settle(&rig, 1, 1024).1);
    let oldest = SequenceError::TooOld { sequence: 0, oldest: 1 };
    assert_eq!(refused(&rig, producer(1, 0), &batch(1, 0)), oldest);
    let rig = rig.killed().reopen();
    assert_eq!(refused(&rig, producer(1, 0), &batch(1, 0)), oldest);
    assert!(settle(&rig, 1, 1).1);
}

#[test]
fn a_producer_beyond_the_limit_is_refused_also_after_a_restart() {
    let options = || Options { producers_max: 2, ..by_hand(small_segments()) };
    let rig = Rig::open(&SimDisk::new(), options()).unwrap();
    settle(&rig, 1, 0);
    settle(&rig, 2, 0);
    let refusal = SequenceError::TooManyProducers { limit: 2 };
    assert_eq!(refused(&rig, producer(3, 0), &batch(3, 0)), refusal);
    rig.logs.close().unwrap();
    let rig = Rig::open(&rig.disk, options()).unwrap();
    assert_eq!(refused(&rig, producer(3, 0), &batch(3, 0)), refusal);
    assert!(settle(&rig, 2, 0).1);
    assert!(!settle(&rig, 2, 1).1);
    rig.logs.close().unwrap();
    let fewer = Options { producers_max: 1, ..options() };
    let rig = Rig::open(&rig.disk, fewer).unwrap();
    assert_eq!([settle(&rig, 1, 0).1, settle(&rig, 2, 1).1], [true; 2], "none is forgotten");
}

#[test]
fn a_log_without_producers_has_no_file_of_them() {
    let rig = Rig::new();
    rig.fill(30);
    rig.log.trim(rig.log.bounds().end).unwrap();
    let rig = rig.reopen();
    assert_eq!(producers_file(&rig), None);
    settle(&rig, 1, 0);
    assert_eq!(producers_file(&rig), None, "frames tell of it");
    let rig = rig.reopen();
    assert!(producers_file(&rig).is_some(), "an orderly stop spares the next start the frames");
}

#[test]
fn r17_a_start_after_a_clean_stop_changes_nothing_of_producers() {
    let rig = Rig::new();
    for sequence in 0..20 {
        settle(&rig, 1, sequence);
    }
    let rig = rig.reopen();
    let steps = rig.disk.steps();
    let rig = rig.reopen();
    let touched: Vec<_> =
        rig.disk.trace().into_iter().skip(usize::try_from(steps).unwrap()).collect();
    let harmless = |op: Op| matches!(op, Op::Create | Op::SyncDirectory);
    assert!(touched.iter().all(|(op, _)| harmless(*op)), "{touched:?}");
    assert!(settle(&rig, 1, 19).1);
}

/// Without trims or stops too, so that a start after a kill need not look at all frames.
#[test]
fn producers_are_stored_now_and_then() {
    let defaults = LogSettings { segment_bytes_max: 3 << 20, ..LogSettings::default() };
    let open = |disk: &SimDisk| Rig::open(disk, by_hand(defaults.clone())).unwrap();
    let rig = open(&SimDisk::new());
    let large = |sequence: u64| {
        let byte = u8::try_from(sequence).unwrap();
        Batch { payload: vec![byte; 1 << 20], records: ONE }
    };
    let send = |rig: &Rig, sequence| {
        let sent = send_as(rig, producer(1, sequence), &large(sequence), Durability::Synced);
        let sent = sent.unwrap();
        rig.logs.work();
        sent.is_duplicate()
    };
    assert_eq!((0..7).map(|sequence| send(&rig, sequence)).collect::<Vec<_>>(), [false; 7]);
    assert_eq!(producers_file(&rig), None);
    assert_eq!((7..13).map(|sequence| send(&rig, sequence)).collect::<Vec<_>>(), [false; 6]);
    assert!(producers_file(&rig).is_some());
    // What is below the stored offset is not looked at: its damage does not matter to producers.
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    let first = rig.files(".store")[0].clone();
    let mut bytes = disk.bytes(&first).unwrap();
    bytes[128..256].fill(0xff);
    disk.damage(&first, &bytes).unwrap();
    let rig = open(&disk);
    assert_eq!((0..14).map(|sequence| send(&rig, sequence)).collect::<Vec<_>>(), {
        [vec![true; 13], vec![false]].concat()
    });
}

#[test]
fn r11_a_trim_on_a_full_disk_goes_as_far_as_producers_are_stored() {
    let rig = Rig::new();
    for sequence in 0..20 {
        settle(&rig, 1, sequence);
    }
    let stored = rig.log.trim(Offset::new(20)).unwrap().start;
    assert!(stored > Offset::ZERO);
    let end_then = rig.log.bounds().end;
    for sequence in 20..60 {
        settle(&rig, 1, sequence);
    }
    rig.disk.set_capacity(Some(0));
    let start = rig.log.trim(rig.log.bounds().end).unwrap().start;
    assert!(start > stored && start <= end_then, "{start}");
    let refused = rig.log.trim(rig.log.bounds().end).unwrap_err();
    assert!(matches!(refused, varve::log::TrimError::Io(_)), "{refused:?}");
    assert!(!rig.logs.has_failed());
    assert!(rig.files("producers.new").is_empty());
    rig.disk.set_capacity(None);
    let end = rig.log.bounds().end;
    assert_eq!(rig.log.trim(end).unwrap().start, end);
    let rig = rig.killed();
    assert!((0..60).all(|sequence| settle(&rig, 1, sequence).1));
}

#[test]
fn r6_a_damaged_file_of_producers_costs_the_trimmed_batches_alone_and_strict_refuses() {
    let rig = Rig::new();
    for sequence in 0..40 {
        settle(&rig, 1, sequence);
    }
    let start = rig.log.trim(Offset::new(40)).unwrap().start;
    let held = rig.read_all();
    assert!(start > Offset::ZERO && held.len() < 40);
    rig.logs.close().unwrap();
    let path = producers_file(&rig).unwrap();
    let mut bytes = rig.disk.bytes(&path).unwrap();
    bytes[60] ^= 1;
    rig.disk.damage(&path, &bytes).unwrap();
    let strict = Options { strict: true, ..by_hand(small_segments()) };
    let refused = Rig::open(&rig.disk, strict).unwrap_err();
    assert!(matches!(&refused, OpenError::Damaged { path: p, .. } if *p == path), "{refused:?}");
    let rig = Rig::open(&rig.disk, by_hand(small_segments())).unwrap();
    let first_held = 40 - u64::try_from(held.len()).unwrap();
    for sequence in first_held..40 {
        assert!(settle(&rig, 1, sequence).1);
    }
    let too_old = SequenceError::TooOld { sequence: 0, oldest: first_held };
    assert_eq!(refused_as(&rig, 0), too_old);
    assert!(!settle(&rig, 1, 40).1);
    let rig = rig.reopen();
    assert!(settle(&rig, 1, 40).1, "it is stored anew");
}

fn refused_as(rig: &Rig, sequence: u64) -> SequenceError {
    refused(rig, producer(1, sequence), &batch(1, sequence))
}

/// The offset that the file stands for was durable: what is missing below it is no torn tail.
#[test]
fn r6_the_file_of_producers_vouches_for_the_frames_below_its_offset() {
    let rig = Rig::new();
    for sequence in 0..3 {
        settle(&rig, 1, sequence);
    }
    let checkpoint = rig.files("checkpoint").pop().unwrap();
    let older = rig.disk.bytes(&checkpoint).unwrap();
    rig.logs.close().unwrap();
    // A kill between the two: the file is there, and the checkpoint is yet to be written.
    rig.disk.damage(&checkpoint, &older).unwrap();
    let store = rig.files(".store").pop().unwrap();
    let mut bytes = rig.disk.bytes(&store).unwrap();
    let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[last] ^= 1;
    rig.disk.damage(&store, &bytes).unwrap();
    let rig = Rig::open(&rig.disk, by_hand(small_segments())).unwrap();
    assert!(rig.log.is_damaged());
    let refused = send(&rig, 1, 2, Durability::Synced).unwrap_err();
    assert_eq!(refused, AppendError::Damaged, "its retry is not told that all is well");
}

#[test]
fn r3_threads_that_send_the_same_batches_append_each_once() {
    let disk = SimDisk::new();
    let options = Options { flushers: 2, ..by_hand(small_segments()) };
    let rig = Rig::open(&disk, options).unwrap();
    let told: Vec<Vec<Offset>> = std::thread::scope(|scope| {
        let one = |_| {
            scope.spawn(|| {
                let send_one = |sequence| {
                    let pending = send(&rig, 1, sequence, Durability::Synced).unwrap();
                    let base = pending.base_offset();
                    wait(pending).unwrap();
                    base
                };
                (0..300).map(send_one).collect()
            })
        };
        [(); 4].map(one).into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "all were told the same offsets");
    let found: Vec<_> = rig.read_all();
    assert_eq!(found.iter().map(|(base, _)| *base).collect::<Vec<_>>(), told[0]);
    let numbers: Vec<_> = found.iter().map(|(_, batch)| batch.number() - 100_000).collect();
    assert_eq!(numbers, (0..300).collect::<Vec<_>>());
}

#[test]
fn r3_a_retry_is_exactly_once_when_producers_send_while_the_power_goes() {
    let mut cases = 0;
    for step in (20..400).step_by(7) {
        let disk = SimDisk::new();
        let options = Options { flushers: 2, ..by_hand(small_segments()) };
        let rig = Rig::open(&disk, options).unwrap();
        disk.cut_power_after(disk.steps() + step);
        let clients = send_from_threads(&rig);
        drop(rig);
        for tear in [Tear::LoseAll, Tear::KeepAll, Tear::Random(step)] {
            retry_after(&disk, &clients, tear, &format!("threads, cut {step} calls on, {tear:?}"));
            cases += 1;
        }
    }
    println!("cases: {cases} power cuts under 3 producers, all batches sent again (R3)");
}

/// Three producers send until the power is gone, and one of them trims.
fn send_from_threads(rig: &Rig) -> Clients {
    let each: Vec<Clients> = std::thread::scope(|scope| {
        let one = |n: u8| {
            scope.spawn(move || {
                let mut mine = Clients::default();
                while let Some((_, sequence, pending)) = mine.send(rig, n, Durability::Synced) {
                    let base = pending.base_offset();
                    if wait(pending).is_err() {
                        break;
                    }
                    mine.acknowledged.insert((n, sequence), base);
                    if n == 1 && sequence % 9 == 8 {
                        let _start = rig.log.trim(Offset::new(base.get() / 2));
                    }
                }
                mine
            })
        };
        [1, 2, 3].map(one).into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut all = Clients::default();
    for mut mine in each {
        all.sent.append(&mut mine.sent);
        all.acknowledged.append(&mut mine.acknowledged);
    }
    all
}

#[derive(Clone, Debug)]
enum Step {
    Send { n: u8, batches: u8, level: Durability },
    Nobody,
    Trim { part: u64 },
    FullDisk { n: u8, batches: u8, call: u64 },
    Retry,
    Reopen,
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let level = prop_oneof![
        Just(Durability::Buffered),
        Just(Durability::Written),
        Just(Durability::Synced)
    ];
    let step = prop_oneof![
        6 => (1..4_u8, 1..9_u8, level)
            .prop_map(|(n, batches, level)| Step::Send { n, batches, level }),
        2 => Just(Step::Nobody),
        2 => (0..101_u64).prop_map(|part| Step::Trim { part }),
        1 => (1..4_u8, 1..9_u8, 0..4_u64)
            .prop_map(|(n, batches, call)| Step::FullDisk { n, batches, call }),
        1 => Just(Step::Retry),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ];
    proptest::collection::vec(step, 1..40)
}

/// Sends some batches at once; what the disk had no room for the producer has still to send.
fn send_some(rig: &Rig, clients: &mut Clients, n: u8, batches: u8, level: Durability) {
    let sent: Vec<_> = (0..batches).map_while(|_| clients.send(rig, n, level)).collect();
    rig.logs.work();
    for (n, sequence, pending) in sent {
        let base = pending.base_offset();
        match poll(pending) {
            Poll::Ready(Ok(_)) => drop(clients.acknowledged.insert((n, sequence), base)),
            Poll::Ready(Err(AckError::NoSpace)) => {
                let left = clients.sent.get_mut(&n).unwrap();
                *left = (*left).min(sequence);
            }
            other => panic!("{other:?}"),
        }
    }
    // What is acknowledged at a lower level is lost in a kill.
    let mut settled = rig.log.settled(Offset::ZERO);
    rig.logs.work();
    assert_eq!(poll(&mut settled), Poll::Ready(Ok(Durability::Synced)));
}

fn run(steps: Vec<Step>) {
    let mut rig = Rig::new();
    let mut clients = Clients::default();
    for step in steps {
        match step {
            Step::Send { n, batches, level } => send_some(&rig, &mut clients, n, batches, level),
            Step::Nobody => drop(rig.append(&Batch::of(7))),
            Step::Trim { part } => {
                let before = rig.log.bounds().end.get() * part / 100;
                rig.log.trim(Offset::new(before)).unwrap();
            }
            Step::FullDisk { n, batches, call } => {
                rig.disk.fail(Op::Write, call, ErrorKind::StorageFull);
                send_some(&rig, &mut clients, n, batches, Durability::Synced);
                // Only the next look at the disk, or a start, ends the lack of space; the fault may
                // be yet to come.
                rig = rig.killed();
            }
            Step::Retry => {}
            Step::Reopen => rig = rig.reopen(),
            Step::Kill => rig = rig.killed(),
        }
        for (n, sent) in clients.sent.clone() {
            for sequence in 0..sent {
                let base = clients.acknowledged[&(n, sequence)];
                assert_eq!(settle(&rig, n, sequence), (base, true));
            }
        }
        clients.check(&rig, "");
    }
}

#[test]
fn r3_producers_do_what_a_list_of_their_batches_does() {
    let cases = std::env::var("VARVE_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(300);
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&steps(), |steps| {
            run(steps);
            Ok(())
        })
        .unwrap();
    println!("cases: {cases} random runs of producers that send again (R3)");
}
