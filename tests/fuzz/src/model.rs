//! A log against a plain `Vec`: appends, reads, trims, restarts, kills and power cuts, in the order
//! that the input says.

use std::num::NonZeroU32;
use std::task::Poll;

use super::opening::open;
use super::rig::{Batch, Rig, poll};
use varve::log::{
    Append, Bounds, Disk as _, Durability, Offset, Pending, Producer, ProducerId, ReadError,
    SimDisk, Tear, Trimmed,
};

/// More steps than this take longer and show nothing new.
const STEPS_MAX: usize = 60;

/// The rest of the input, a byte at a time; zeros behind its end.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> u64 {
        u64::from(self.byte()) << 8 | u64::from(self.byte())
    }
}

/// An append that was not answered yet.
struct Asked {
    pending: Pending,
    base: Offset,
    batch: Batch,
}

/// What the log should hold.
struct Model {
    rig: Rig,
    /// Everything acknowledged, also what was trimmed.
    acked: Vec<(Offset, Batch)>,
    asked: Vec<Asked>,
    /// How many appends there were; no two have the same bytes.
    appends: u64,
    producer: Producer,
    /// The newest batch of the producer, as it has to be sent again until it is acknowledged.
    unsure: Option<Batch>,
}

/// Does the steps that `input` describes.
///
/// # Panics
///
/// If anything is not as it should be.
pub fn check(input: &[u8]) {
    let mut choices = Choices(input);
    let id = ProducerId::from_bytes([9; 16]).expect("it is not zero");
    let mut model = Model {
        rig: open(&SimDisk::new()).expect("the disk is empty"),
        acked: Vec::new(),
        asked: Vec::new(),
        appends: 0,
        producer: Producer { id, epoch: 1, sequence: 0 },
        unsure: None,
    };
    for _ in 0..STEPS_MAX {
        if choices.0.is_empty() {
            break;
        }
        model = model.step(&mut choices);
    }
    model.restart(Tear::KeepAll).work().check();
}

impl Model {
    fn step(mut self, choices: &mut Choices<'_>) -> Self {
        match choices.byte() % 12 {
            0..3 => self.append(choices),
            3 => self.produce(),
            4 => return self.work(),
            5 => self.read(choices.number()),
            6 => self.trim(choices.number()),
            7 => self.rig.logs.look_around(),
            8 => return self.closed(),
            9 => return self.restart(tear(choices)),
            10 => return self.power_cut(choices),
            _ => return self.damaged_index(choices),
        }
        self
    }

    fn end(&self) -> Offset {
        self.acked.last().map_or(Offset::ZERO, |(base, batch)| after(*base, batch))
    }

    fn batch(&mut self, choices: &mut Choices<'_>) -> Batch {
        let size = usize::try_from(choices.number() % 1500).expect("it is small");
        let records = NonZeroU32::new(u32::from(choices.byte() % 8) + 1).expect("one at least");
        self.numbered(size, records)
    }

    fn numbered(&mut self, size: usize, records: NonZeroU32) -> Batch {
        self.appends += 1;
        let mut payload = self.appends.to_le_bytes().to_vec();
        payload.resize(8 + size, 7);
        Batch { payload, records }
    }

    fn append(&mut self, choices: &mut Choices<'_>) {
        let batch = self.batch(choices);
        let taken = self.rig.log.append(&batch.payload, batch.records, Durability::Synced);
        let pending = taken.expect("a log takes batches");
        self.asked.push(Asked { base: pending.base_offset(), pending, batch });
    }

    /// Appends the producer's next batch, or the one again of which it has no answer.
    fn produce(&mut self) {
        let batch = self.unsure.take().unwrap_or_else(|| self.numbered(20, NonZeroU32::MIN));
        self.unsure = Some(batch.clone());
        let log = &self.rig.log;
        let pending = log.append_batch(Append {
            payload: &batch.payload,
            records: batch.records,
            durability: Durability::Synced,
            expected: None,
            producer: Some(self.producer),
        });
        let pending = pending.expect("the producer sends what comes next");
        let base = pending.base_offset();
        let first = self.acked.iter().find(|(_, known)| *known == batch);
        let asked = self.asked.iter().find(|asked| asked.batch == batch);
        let known = first.map(|(base, _)| *base).or(asked.map(|asked| asked.base));
        assert_eq!(pending.is_duplicate(), known.is_some(), "exactly once");
        match known {
            Some(first) => assert_eq!(base, first, "the offset of the first"),
            None => self.asked.push(Asked { pending, base, batch }),
        }
    }

    /// All that was asked for becomes durable.
    fn work(mut self) -> Self {
        self.rig.logs.work();
        for Asked { pending, base, batch } in std::mem::take(&mut self.asked) {
            assert_eq!(poll(pending), Poll::Ready(Ok(Durability::Synced)));
            self.acknowledged(base, batch);
        }
        if self.unsure.as_ref().is_some_and(|batch| self.acked.iter().any(|(_, b)| b == batch)) {
            self.unsure = None;
            self.producer.sequence += 1;
        }
        self.check_bounds();
        self
    }

    fn acknowledged(&mut self, base: Offset, batch: Batch) {
        assert_eq!(base, self.end(), "offsets are dense");
        self.acked.push((base, batch));
    }

    fn check_bounds(&self) {
        assert_eq!(self.rig.log.bounds().end, self.end());
    }

    fn held(&self) -> &[(Offset, Batch)] {
        let start = self.rig.log.bounds().start;
        let first = self.acked.partition_point(|(base, _)| *base < start);
        &self.acked[first..]
    }

    fn check(&self) {
        assert_eq!(self.rig.read_all(), self.held());
    }

    fn read(&self, number: u64) {
        let Bounds { start, end } = self.rig.log.bounds();
        let offset = Offset::new(number % (end.get() + 2));
        match self.rig.log.read(offset, 1) {
            Ok(chunk) => {
                let first = chunk.batches().next().expect("a chunk has a batch");
                let at = self.acked.partition_point(|(base, _)| *base <= offset);
                let (base, batch) = &self.acked[at - 1];
                assert_eq!((first.base_offset, first.payload), (*base, &batch.payload[..]));
            }
            Err(ReadError::OutOfRange { .. }) => assert!(offset < start || offset >= end),
            Err(error) => panic!("{offset}: {error:?}"),
        }
    }

    fn trim(&self, number: u64) {
        let Bounds { start, end } = self.rig.log.bounds();
        let before = Offset::new(number % (end.get() + 1));
        let Trimmed { start: now, .. } = self.rig.log.trim(before).expect("it is not beyond");
        assert!(now >= start && now <= before.max(start));
    }

    /// Ends the server in order: what it took is kept.
    fn closed(self) -> Self {
        self.rig.logs.close().expect("nothing failed");
        let mut model = self.work();
        let disk = model.rig.disk.clone();
        model.rig = open(&disk).expect("it opens again");
        model.check();
        model
    }

    /// Ends the server at once and starts it on what `tear` leaves of its disk.
    fn restart(mut self, tear: Tear) -> Self {
        let Bounds { start, end } = self.rig.log.bounds();
        let disk = self.rig.disk.after_power_cut(tear);
        self.rig = open(&disk).expect("it opens again");
        let now = self.rig.log.bounds();
        // A trim was answered before the next step.
        assert!(now.start == start && now.end >= end, "{now:?} after {start} to {end}");
        assert!(!self.rig.log.is_damaged(), "a crash damages nothing");
        // Of what was not answered any beginning may be there, and each batch whole.
        for Asked { base, batch, .. } in std::mem::take(&mut self.asked) {
            if base >= now.end {
                break;
            }
            self.acknowledged(base, batch);
        }
        self.check_bounds();
        self.check();
        self
    }

    /// Cuts the power so many calls into the work on what was asked for.
    fn power_cut(mut self, choices: &mut Choices<'_>) -> Self {
        let disk = self.rig.disk.clone();
        disk.cut_power_after(disk.steps() + u64::from(choices.byte() % 40));
        self.rig.logs.work();
        if choices.byte() & 1 == 1 {
            self.rig.logs.look_around();
        }
        for n in 0..self.asked.len() {
            let Asked { pending, base, batch } = &mut self.asked[n];
            if poll(pending) != Poll::Ready(Ok(Durability::Synced)) {
                self.asked.drain(..n);
                return self.restart(tear(choices));
            }
            let (base, batch) = (*base, batch.clone());
            self.acknowledged(base, batch);
        }
        self.asked.clear();
        self.restart(tear(choices))
    }

    /// A kill, and the bytes of an index become others, or there is none any more (R9).
    fn damaged_index(self, choices: &mut Choices<'_>) -> Self {
        let model = self.restart(Tear::KeepAll);
        let paths = model.rig.files(".index");
        let disk = model.rig.disk.after_power_cut(Tear::KeepAll);
        let Some(path) = paths.get(usize::from(choices.byte()) % paths.len().max(1)) else {
            return model;
        };
        let noise = choices.byte();
        let bytes = disk.bytes(path).expect("the file is there");
        let damaged: Vec<u8> = bytes.iter().map(|byte| byte ^ noise).collect();
        disk.damage(path, &damaged).expect("the file is there");
        if noise == 255 {
            disk.remove(path).expect("the file is there");
        }
        let rig = open(&disk).expect("an index stops no start");
        let model = Self { rig, ..model };
        model.check_bounds();
        model.check();
        model
    }
}

fn after(base: Offset, batch: &Batch) -> Offset {
    base.plus(u64::from(batch.records.get()))
}

fn tear(choices: &mut Choices<'_>) -> Tear {
    match choices.byte() {
        0 => Tear::LoseAll,
        1 => Tear::KeepAll,
        seed => Tear::Random(seed.into()),
    }
}
