//! A power cut after every single call to the disk, with every way of tearing what was not synced.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use varve::log::{Bounds, Durability, Offset, Op, Options, Pending, SimDisk, SimTime, Tear};

use crate::rig::{Batch, Rig, by_hand, poll, small_segments, wait};

/// The ways of tearing that leave nothing to chance.
pub const WHOLE: [Tear; 4] = [Tear::LoseAll, Tear::KeepAll, Tear::SizesAlone, Tear::DataAlone];

/// What the world outside knows when the power goes.
#[derive(Debug, Default)]
pub struct Witness {
    /// Every batch whose append was called, by number.
    attempted: BTreeMap<u64, Batch>,
    /// Acknowledged as synced: batch number and base offset.
    acknowledged: Vec<(u64, Offset)>,
    /// The highest end that consumers were told.
    seen_end: Offset,
    /// The highest offset that a trim was asked for, and the highest start that one answered.
    trim_asked: Offset,
    trim_answered: Offset,
}

impl Witness {
    fn append(&mut self, rig: &Rig, n: u64, level: Durability) -> Option<(u64, Pending)> {
        let batch = Batch::of(n);
        self.attempted.insert(n, batch.clone());
        rig.log.append(&batch.payload, batch.records, level).ok().map(|pending| (n, pending))
    }

    fn settle(&mut self, rig: &Rig, pending: impl IntoIterator<Item = Option<(u64, Pending)>>) {
        for (n, pending) in pending.into_iter().flatten() {
            let base = pending.base_offset();
            if poll(pending) == Poll::Ready(Ok(Durability::Synced)) {
                self.acknowledged.push((n, base));
            }
        }
        self.seen_end = self.seen_end.max(rig.log.bounds().end);
    }

    fn trim(&mut self, rig: &Rig, before: Offset) {
        self.trim_asked = self.trim_asked.max(before);
        if let Ok(varve::log::Trimmed { start, .. }) = rig.log.trim(before) {
            self.trim_answered = self.trim_answered.max(start);
        }
    }

    /// R1 to R8 on what a start finds after the cut.
    fn check(&self, rig: &Rig, what: &str) {
        let Bounds { start, end } = rig.log.bounds();
        assert!(!rig.log.is_damaged(), "{what}: nothing was damaged");
        assert!(start >= self.trim_answered && start <= self.trim_asked, "{what}: start {start}");
        assert!(end >= self.seen_end, "{what}: consumers saw {}, now {end}", self.seen_end);
        let found = rig.read_all();
        let (mut next, mut numbers) = (start, BTreeSet::new());
        for (base, batch) in &found {
            assert_eq!(*base, next, "{what}: offsets are dense");
            assert_eq!(
                self.attempted.get(&batch.number()),
                Some(batch),
                "{what}: whole and unaltered"
            );
            assert!(numbers.insert(batch.number()), "{what}: each batch is there once");
            next = base.plus(u64::from(batch.records.get()));
        }
        assert_eq!(next, end, "{what}: all of it can be read");
        for (n, base) in self.acknowledged.iter().filter(|(_, base)| *base >= start) {
            let held = found.iter().any(|(b, batch)| b == base && batch.number() == *n);
            assert!(held, "{what}: batch {n} at {base} was acknowledged");
        }
    }
}

/// A run with rolls, a trim, groups of several batches, all levels, and a restart in the middle.
pub fn script(disk: &SimDisk, witness: &mut Witness) {
    let Ok(rig) = Rig::open(disk, by_hand(small_segments())) else {
        return;
    };
    for n in 0..12 {
        let one = witness.append(&rig, n, Durability::Synced);
        rig.logs.work();
        witness.settle(&rig, [one]);
    }
    let group: Vec<_> = (20..26).map(|n| witness.append(&rig, n, Durability::Synced)).collect();
    rig.logs.work();
    witness.settle(&rig, group);
    // Two groups at once: one is in the kernel when the next is appended.
    let written = witness.append(&rig, 30, Durability::Written);
    rig.logs.work();
    let synced = witness.append(&rig, 31, Durability::Synced);
    let buffered = witness.append(&rig, 32, Durability::Buffered);
    rig.logs.work();
    witness.settle(&rig, [written, synced, buffered]);
    let middle = Offset::new(rig.log.bounds().end.get() / 2);
    witness.trim(&rig, middle);
    let closed = rig.logs.close();
    drop(rig);
    if closed.is_err() {
        return;
    }
    let Ok(rig) = Rig::open(disk, by_hand(small_segments())) else {
        return;
    };
    for n in 40..46 {
        let one = witness.append(&rig, n, Durability::Synced);
        rig.logs.work();
        witness.settle(&rig, [one]);
    }
}

/// What is there after the cut must hold, go on, and hold after another cut.
pub fn check_after(disk: &SimDisk, witness: &Witness, tear: Tear, what: &str) {
    let after = disk.after_power_cut(tear);
    let rig = Rig::open(&after, by_hand(small_segments()))
        .unwrap_or_else(|e| panic!("{what}: a start fails: {e:?}"));
    witness.check(&rig, what);
    let found = rig.read_all();
    let more = Batch { payload: vec![0xee; 40], records: NonZeroU32::MIN };
    let base = rig.append(&more);
    let again = after.after_power_cut(Tear::LoseAll);
    let rig = Rig::open(&again, by_hand(small_segments())).unwrap();
    let expected: Vec<_> = found.into_iter().chain([(base, more)]).collect();
    assert_eq!(rig.read_all(), expected, "{what}: and after a second cut");
}

#[test]
fn r1_to_r8_hold_after_a_cut_behind_every_call() {
    let whole = SimDisk::new();
    let mut witness = Witness::default();
    script(&whole, &mut witness);
    assert!(witness.acknowledged.len() >= 26 && witness.trim_answered > Offset::ZERO);
    let steps = whole.steps();
    let mut cases = 0;
    for step in 0..=steps {
        let disk = SimDisk::new();
        disk.cut_power_after(step);
        let mut witness = Witness::default();
        script(&disk, &mut witness);
        let random = (0..40).map(|seed| Tear::Random(step * 40 + seed));
        let pages = (0..8).map(|seed| Tear::RandomPages(step * 8 + seed));
        for tear in WHOLE.into_iter().chain(random).chain(pages) {
            check_after(&disk, &witness, tear, &format!("cut after call {step}, {tear:?}"));
            cases += 1;
        }
    }
    println!("cases: {cases} power cuts over {steps} calls");
}

/// A log is built in the trash and renamed out of it. If its making ends between the syncs of the
/// two directories, the next start has to make up for the second.
#[test]
fn r8_a_log_whose_making_was_cut_short_keeps_what_is_appended_after_the_next_start() {
    let whole = SimDisk::new();
    let made = Rig::open(&whole, by_hand(small_segments())).unwrap();
    let syncs = whole.trace().into_iter().filter(|(op, _)| *op == Op::SyncDirectory).count();
    drop(made);
    for failing in 0..u64::try_from(syncs).unwrap() {
        let disk = SimDisk::new();
        disk.fail_with(Op::SyncDirectory, failing, 5);
        assert!(Rig::open(&disk, by_hand(small_segments())).is_err(), "sync {failing} failed");
        let rig = Rig::open(&disk, by_hand(small_segments())).unwrap();
        let filled = rig.fill(3);
        for tear in WHOLE {
            let after = disk.after_power_cut(tear);
            let rig = Rig::open(&after, by_hand(small_segments())).unwrap();
            assert_eq!(rig.read_all(), filled, "sync {failing} failed, {tear:?}");
        }
    }
}

/// The last segment may be one in which nothing is yet.
#[test]
fn r15_append_times_never_go_back_after_a_cut_behind_every_call() {
    let script = |disk: &SimDisk, newest_us: &mut u64| {
        let time = SimTime::at(Duration::from_secs(2_000_000_000));
        let at = Options { time: Arc::new(time.clone()), ..by_hand(small_segments()) };
        let rig = Rig::open(disk, at).ok()?;
        for n in 0..12 {
            time.pass(Duration::from_secs(1));
            let batch = Batch::of(n);
            let pending = rig.log.append(&batch.payload, batch.records, Durability::Synced).ok()?;
            let time_us = pending.append_time_us();
            rig.logs.work();
            if poll(pending) == Poll::Ready(Ok(Durability::Synced)) {
                *newest_us = time_us;
            }
        }
        rig.log.trim(rig.log.bounds().end).ok()
    };
    let whole = SimDisk::new();
    assert!(script(&whole, &mut 0).is_some_and(|trimmed| trimmed.segments > 1));
    for step in 0..=whole.steps() {
        let (disk, mut newest_us) = (SimDisk::new(), 0);
        disk.cut_power_after(step);
        script(&disk, &mut newest_us);
        // An hour before.
        let time = Arc::new(SimTime::at(Duration::from_secs(1_999_996_400)));
        let disk = disk.after_power_cut(Tear::KeepAll);
        let rig = Rig::open(&disk, Options { time, ..by_hand(small_segments()) }).unwrap();
        let told = rig.log.describe().unwrap();
        assert!(told.newest_time_us.is_none_or(|time_us| time_us >= newest_us), "call {step}");
        let pending = rig.log.append(b"x", NonZeroU32::MIN, Durability::Synced).unwrap();
        assert!(pending.append_time_us() >= newest_us, "call {step}");
    }
}

#[test]
fn r1_to_r8_hold_when_several_threads_append_while_the_power_goes() {
    let mut cases = 0;
    for step in (20..400).step_by(7) {
        let disk = SimDisk::new();
        let options = Options { flushers: 2, ..by_hand(small_segments()) };
        let rig = Rig::open(&disk, options).unwrap();
        disk.cut_power_after(disk.steps() + step);
        let witness = append_from_threads(&rig);
        drop(rig);
        for tear in [Tear::LoseAll, Tear::KeepAll, Tear::Random(step)] {
            check_after(&disk, &witness, tear, &format!("threads, cut {step} calls on, {tear:?}"));
            cases += 1;
        }
    }
    println!("cases: {cases} power cuts under 3 threads");
}

/// Three threads append until the power is gone.
fn append_from_threads(rig: &Rig) -> Witness {
    let results: Vec<_> = std::thread::scope(|scope| {
        let spawn = |first: u64| {
            let log = &rig.log;
            scope.spawn(move || {
                let mut mine = Witness::default();
                for n in first..first + 200 {
                    let batch = Batch::of(n);
                    mine.attempted.insert(n, batch.clone());
                    let Ok(pending) = log.append(&batch.payload, batch.records, Durability::Synced)
                    else {
                        break;
                    };
                    let base = pending.base_offset();
                    if wait(pending).is_err() {
                        break;
                    }
                    mine.acknowledged.push((n, base));
                    mine.seen_end = mine.seen_end.max(log.bounds().end);
                }
                mine
            })
        };
        [0, 1000, 2000].map(spawn).into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut all = Witness::default();
    for mut one in results {
        all.attempted.append(&mut one.attempted);
        all.acknowledged.append(&mut one.acknowledged);
        all.seen_end = all.seen_end.max(one.seen_end);
    }
    all
}
