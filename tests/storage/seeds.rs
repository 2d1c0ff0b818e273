//! Random runs on the simulated disk: appends of every level, numbered batches that are sent again,
//! readers, trims, failing calls, full disks, kills and power cuts, over several lives of a server.
//! After each life all that was promised is looked for.
//!
//! `VARVE_SEEDS` says how many runs there are, `VARVE_SEED` where they begin: a failure names the
//! one seed that repeats it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use varve::log::{
    AckError, Append, AppendError, Bounds, Durability, LogSettings, Offset, OpenError, Options,
    Pending, Producer, ProducerId, ReaderAction, ReaderError, ReaderName, ReaderOrder, SimDisk,
    SimTime, Tear, Trimmed,
};

use crate::rig::{Batch, Rig, by_hand, poll};
use crate::rng::Rng;
use crate::sweep::OPS;

const EIO: i32 = 5;
const PRODUCERS: u8 = 3;

/// What a producer that numbers its batches has sent and not been answered yet.
#[derive(Debug, Default)]
struct Numbered {
    answered: u64,
    /// By sequence the number of the batch.
    batches: Vec<u64>,
}

/// What the world outside knows of one log over all lives of its server.
#[derive(Debug, Default)]
struct Outside {
    next: u64,
    attempted: BTreeMap<u64, Batch>,
    acknowledged: BTreeMap<u64, Offset>,
    /// Acknowledged as written in this life: a kill leaves them, if nothing else failed.
    written: BTreeMap<u64, Offset>,
    /// Told that they are not in the log.
    refused: BTreeSet<u64>,
    numbered: BTreeMap<u8, Numbered>,
    /// Batches that a reader of the log has seen, by offset.
    seen: BTreeMap<Offset, u64>,
    seen_end: Offset,
    trim_asked: Offset,
    trim_answered: Offset,
    /// Where each reader may stand: where it was answered to, if it was, or what was asked since.
    readers: BTreeMap<u8, BTreeSet<Option<Offset>>>,
}

/// One life of a server.
struct Life<'a> {
    rig: Rig,
    rng: &'a mut Rng,
    time: &'a SimTime,
    outside: &'a mut Outside,
    waiting: Vec<(u64, Option<u8>, Pending)>,
}

impl Life<'_> {
    fn step(&mut self) {
        match self.rng.below(20) {
            0..=7 => self.append(None),
            8..=9 => {
                let n = self.producer();
                self.append(Some(n));
            }
            10..=14 => self.work(),
            15 => self.look(),
            16 => self.commit(),
            17 if self.rng.one_in(4) => self.trim(),
            18 => self.time.pass(Duration::from_millis(self.rng.below(1500))),
            19 => self.rig.logs.look_around(),
            _ => self.work(),
        }
    }

    fn producer(&mut self) -> u8 {
        u8::try_from(self.rng.below(u64::from(PRODUCERS))).unwrap()
    }

    fn append(&mut self, producer: Option<u8>) {
        let level = self.rng.pick(&[Durability::Synced, Durability::Written, Durability::Buffered]);
        let (number, producer_sequence) = self.outside.number(producer);
        let batch = self.outside.attempted.get(&number).unwrap();
        let appended = self.rig.log.append_batch(Append {
            payload: &batch.payload,
            records: batch.records,
            durability: if producer.is_some() { Durability::Synced } else { level },
            expected: None,
            producer: producer_sequence,
        });
        match appended {
            Ok(pending) => self.waiting.push((number, producer, pending)),
            // It may be there from an earlier try, if it is numbered.
            Err(AppendError::NoSpace { .. }) if producer.is_none() => {
                self.outside.refused.insert(number);
            }
            Err(AppendError::Sequence(error)) => panic!("a batch in its turn: {error}"),
            Err(_) => {}
        }
    }

    fn work(&mut self) {
        self.rig.logs.work();
        for (number, producer, pending) in std::mem::take(&mut self.waiting) {
            let (base, again) = (pending.base_offset(), pending.is_duplicate());
            match poll(pending) {
                Poll::Ready(Ok(Durability::Synced)) => {
                    self.outside.acknowledged.insert(number, base);
                    if let Some(n) = producer {
                        self.outside.answer(n, number);
                    }
                }
                Poll::Ready(Ok(Durability::Written)) => {
                    self.outside.written.insert(number, base);
                }
                Poll::Ready(Err(AckError::NoSpace)) if producer.is_none() && !again => {
                    self.outside.refused.insert(number);
                }
                _ => {}
            }
        }
        self.outside.seen_end = self.outside.seen_end.max(self.rig.log.bounds().end);
    }

    /// A consumer reads something.
    fn look(&mut self) {
        let Bounds { start, end } = self.rig.log.bounds();
        let offset = start.plus(self.rng.below(end.get() - start.get() + 1));
        // A failed read fails alone.
        let Ok(chunk) = self.rig.log.read(offset, 1000) else { return };
        for stored in chunk.batches() {
            let number = u64::from_le_bytes(stored.payload[..8].try_into().unwrap());
            assert!(stored.base_offset < end, "nothing is read above the end that is told");
            self.outside.seen.insert(stored.base_offset, number);
        }
    }

    fn commit(&mut self) {
        let Bounds { start, end } = self.rig.log.bounds();
        let offset = start.plus(self.rng.below(end.get() - start.get() + 1));
        let n = self.producer();
        let places = self.outside.readers.entry(n).or_insert_with(|| BTreeSet::from([None]));
        let done = self.rig.log.change_readers(&[ReaderOrder {
            name: reader(n),
            subject: "s".to_owned(),
            any_owner: false,
            action: ReaderAction::Commit { offset, force: true },
        }]);
        match &done[..] {
            [Ok(_)] => *places = BTreeSet::from([Some(offset)]),
            [Err(ReaderError::Unknown)] => drop(places.insert(Some(offset))),
            [Err(_)] => {}
            other => panic!("{other:?}"),
        }
    }

    fn trim(&mut self) {
        let Bounds { start, end } = self.rig.log.bounds();
        let before = start.plus(self.rng.below((end.get() - start.get()) / 2 + 1));
        self.outside.trim_asked = self.outside.trim_asked.max(before);
        if let Ok(Trimmed { start, .. }) = self.rig.log.trim(before) {
            self.outside.trim_answered = self.outside.trim_answered.max(start);
        }
    }
}

impl Outside {
    /// The next batch to send, of this producer or of nobody; one that was not answered comes
    /// again.
    fn number(&mut self, producer: Option<u8>) -> (u64, Option<Producer>) {
        let fresh = self.next;
        let numbered = producer.map(|n| (n, self.numbered.entry(n).or_default()));
        let (number, sequence) = match numbered {
            Some((n, numbered)) => {
                let sequence = numbered.answered;
                let at = usize::try_from(sequence).unwrap();
                if numbered.batches.len() == at {
                    numbered.batches.push(fresh);
                }
                let id = ProducerId::from_bytes([n + 1; 16]).unwrap();
                (numbered.batches[at], Some(Producer { id, epoch: 0, sequence }))
            }
            None => (fresh, None),
        };
        if number == fresh {
            self.next += 1;
            self.attempted.insert(number, Batch::of(number));
        }
        (number, sequence)
    }

    fn answer(&mut self, n: u8, number: u64) {
        let numbered = self.numbered.get_mut(&n).unwrap();
        let sequence = numbered.batches.iter().position(|b| *b == number).unwrap();
        numbered.answered = numbered.answered.max(u64::try_from(sequence).unwrap() + 1);
    }

    /// R1 to R8 on what a start found.
    fn check(&mut self, rig: &Rig) {
        let Bounds { start, end } = rig.log.bounds();
        assert!(!rig.log.is_damaged(), "nothing was damaged");
        assert!(start >= self.trim_answered && start <= self.trim_asked, "start {start}");
        assert!(end >= self.seen_end, "{} was told as the end, now {end}", self.seen_end);
        let found = rig.read_all();
        let (mut next, mut places) = (start, BTreeMap::new());
        for (base, batch) in &found {
            assert_eq!(*base, next, "offsets are dense");
            let number = batch.number();
            assert_eq!(self.attempted.get(&number), Some(batch), "whole and unaltered");
            assert!(!self.refused.contains(&number), "batch {number} was refused");
            let twice = places.insert(number, *base);
            assert_eq!(twice, None, "batch {number} is there twice");
            next = base.plus(u64::from(batch.records.get()));
        }
        assert_eq!(next, end, "all of it can be read");
        let written = std::mem::take(&mut self.written);
        for (number, base) in self.acknowledged.iter().chain(&written) {
            if *base >= start {
                assert_eq!(places.get(number), Some(base), "batch {number} was acknowledged");
            }
        }
        for (base, number) in self.seen.range(start..) {
            assert_eq!(places.get(number), Some(base), "batch {number} was seen");
        }
        for (n, allowed) in &self.readers {
            let at = rig.log.reader(&reader(*n)).unwrap().map(|reader| reader.offset);
            assert!(allowed.contains(&at), "reader {n} is at {at:?}, not one of {allowed:?}");
        }
        self.seen_end = end;
        self.seen = places.into_iter().map(|(number, base)| (base, number)).collect();
    }
}

fn reader(n: u8) -> ReaderName {
    ReaderName::parse(&format!("reader-{n}")).unwrap()
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The process is gone; the kernel lives on, with what it holds unwritten.
    Kill,
    Cut(Tear),
}

/// How many appends were acknowledged as synced, and how many that were so as written were looked
/// for after a kill.
fn run(seed: u64) -> (usize, usize) {
    let rng = &mut Rng::new(seed);
    let time = SimTime::at(Duration::from_secs(2_000_000_000));
    let defaults = LogSettings {
        segment_bytes_max: rng.pick(&[4096, 4096, 8192, 40_000]),
        index_bytes_max: rng.pick(&[12 * 8 + 7, 12 * 64]),
        ..LogSettings::default()
    };
    let options = Options { time: Arc::new(time.clone()), ..by_hand(defaults) };
    let (mut disk, mut outside, mut written) = (SimDisk::new(), Outside::default(), 0);
    for _ in 0..=rng.below(4) {
        if rng.one_in(3) {
            disk.cut_power_after(disk.steps() + rng.below(200));
        }
        for _ in 0..rng.below(3) {
            let (op, calls) = (rng.pick(&OPS), rng.below(60));
            if rng.one_in(2) {
                disk.fail(op, calls, ErrorKind::StorageFull);
            } else {
                disk.fail_with(op, calls, EIO);
            }
        }
        live(&disk, &options, rng, &time, &mut outside);
        let end = if rng.one_in(2) { End::Kill } else { End::Cut(tear(rng)) };
        if matches!(end, End::Cut(_)) || !disk.has_power() {
            outside.written.clear();
        }
        written += outside.written.len();
        disk = next_disk(disk, end, rng);
        look_after(&disk, &options, &mut outside);
    }
    (outside.acknowledged.len(), written)
}

/// A server's life until it has failed or has done enough.
fn live(disk: &SimDisk, options: &Options, rng: &mut Rng, time: &SimTime, outside: &mut Outside) {
    let Ok(rig) = Rig::open(disk, options.clone()) else { return };
    let mut life = Life { rig, rng, time, outside, waiting: Vec::new() };
    for _ in 0..life.rng.below(150) {
        if life.rig.logs.has_failed() {
            break;
        }
        if life.rng.one_in(60) {
            let full = life.rng.one_in(2).then_some(0);
            disk.set_capacity(full);
        }
        life.step();
    }
    disk.set_capacity(None);
    life.work();
    if life.rng.one_in(2) {
        // It may well fail; then it is as if it had been killed.
        let _closed = life.rig.logs.close();
    }
    if life.rig.logs.has_failed() {
        life.outside.written.clear();
    }
}

fn tear(rng: &mut Rng) -> Tear {
    let seed = rng.next();
    rng.pick(&[
        Tear::LoseAll,
        Tear::KeepAll,
        Tear::Random(seed),
        Tear::RandomPages(seed),
        Tear::SizesAlone,
        Tear::DataAlone,
    ])
}

/// What the next life finds: the same kernel if it has power, or what was on the disk.
fn next_disk(disk: SimDisk, end: End, rng: &mut Rng) -> SimDisk {
    disk.clear_faults();
    match end {
        End::Cut(tear) => disk.after_power_cut(tear),
        End::Kill if disk.has_power() => disk,
        End::Kill => disk.after_power_cut(tear(rng)),
    }
}

/// Opens the log, where nothing fails any more, and looks at all of it.
fn look_after(disk: &SimDisk, options: &Options, outside: &mut Outside) {
    let rig: Result<Rig, OpenError> = Rig::open(disk, options.clone());
    let rig = rig.unwrap_or_else(|error| panic!("a start fails: {error:?}"));
    outside.check(&rig);
}

#[test]
fn r1_to_r8_hold_for_random_scripts_faults_and_cuts() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let (first, seeds) = (number("VARVE_SEED").unwrap_or(0), number("VARVE_SEEDS").unwrap_or(2000));
    let (mut acknowledged, mut written) = (0, 0);
    for seed in first..first + seeds {
        let outcome = std::panic::catch_unwind(|| run(seed));
        let done = outcome.unwrap_or_else(|_| panic!("again: VARVE_SEED={seed} VARVE_SEEDS=1"));
        (acknowledged, written) = (acknowledged + done.0, written + done.1);
    }
    println!(
        "cases: {seeds} random runs of up to four lives, {acknowledged} batches acknowledged and \
         {written} only written before a kill (R1 R2 R3 R4 R5 R6 R7 R8 R11 R12)"
    );
}
