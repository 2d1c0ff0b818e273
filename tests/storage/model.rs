//! Random appends, reads, rolls, trims, restarts, kills and index damage against a plain `Vec`.

use std::num::NonZeroU32;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use varve::log::{Bounds, Disk as _, Offset, ReadError};

use crate::rig::{Batch, Rig};

#[derive(Clone, Debug)]
enum Step {
    Append { size: usize, records: u32 },
    ReadAt { part: usize },
    AtTime { part: usize, later_us: u64 },
    Trim { part: usize },
    Reopen,
    Kill,
    DamageIndex { which: usize, noise: u8, gone: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..1500_usize, 1..9_u32).prop_map(|(size, records)| Step::Append { size, records }),
        4 => (0..1100_usize).prop_map(|part| Step::ReadAt { part }),
        2 => (0..1000_usize, 0..2_u64)
            .prop_map(|(part, later_us)| Step::AtTime { part, later_us }),
        1 => (0..1100_usize).prop_map(|part| Step::Trim { part }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => (0..9_usize, any::<u8>(), any::<bool>())
            .prop_map(|(which, noise, gone)| Step::DamageIndex { which, noise, gone }),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What the log should hold.
#[derive(Debug, Default)]
struct Model {
    start: Offset,
    end: Offset,
    batches: Vec<(Offset, Batch)>,
}

impl Model {
    fn held(&self) -> &[(Offset, Batch)] {
        let first = self.batches.partition_point(|(base, _)| *base < self.start);
        &self.batches[first..]
    }

    /// An offset so many thousandths into the log; beyond 1,000 it is beyond the end.
    fn at(&self, part: usize) -> Offset {
        let batch = self.batches.get(self.batches.len() * part / 1000);
        batch
            .map_or(self.end.plus(1), |(base, batch)| base.plus(u64::from(batch.records.get()) / 2))
    }

    fn read(&self, rig: &Rig, offset: Offset) {
        let holds = |(base, batch): &&(Offset, Batch)| {
            *base <= offset && offset < base.plus(u64::from(batch.records.get()))
        };
        match (rig.log.read(offset, 1), self.held().iter().find(holds)) {
            (Ok(chunk), Some((base, batch))) => {
                let first = chunk.batches().next().unwrap();
                assert_eq!((first.base_offset, first.payload), (*base, &batch.payload[..]));
                assert_eq!(first.records, batch.records.get());
            }
            (Err(ReadError::OutOfRange { start, end, .. }), None) => {
                assert_eq!((start, end), (self.start, self.end));
            }
            (read, expected) => panic!("offset {offset}: {read:?}, expected {expected:?}"),
        }
    }

    /// Looks for the time of a batch that is held, or a little later.
    fn find(&self, rig: &Rig, part: usize, later_us: u64) {
        let time = |base: Offset| {
            let time = rig.log.read(base, 1).unwrap().batches().next().unwrap().append_time_us;
            assert_eq!(rig.log.time_at_us(base).unwrap(), Some(time));
            time
        };
        let times: Vec<_> = self.held().iter().map(|(base, _)| (time(*base), *base)).collect();
        let wanted = times.get(times.len() * part / 1000).map_or(0, |(at, _)| at + later_us);
        let first = times.iter().find(|(at, _)| *at >= wanted);
        let expected = first.map_or(self.end, |(_, base)| *base);
        assert_eq!(rig.log.offset_at_time(wanted).unwrap(), expected);
    }
}

fn run(steps: Vec<Step>) {
    let mut rig = Rig::new();
    let mut model = Model::default();
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Append { size, records } => {
                let payload = (0..size).map(|i| u8::try_from((i + n) % 256).unwrap()).collect();
                let batch = Batch { payload, records: NonZeroU32::new(records).unwrap() };
                assert_eq!(rig.append(&batch), model.end);
                model.batches.push((model.end, batch));
                model.end = model.end.plus(u64::from(records));
            }
            Step::ReadAt { part } => model.read(&rig, model.at(part)),
            Step::AtTime { part, later_us } => model.find(&rig, part, later_us),
            Step::Trim { part } => {
                let before = model.at(part);
                match rig.log.trim(before) {
                    Ok(varve::log::Trimmed { start, .. }) => {
                        assert!(start >= model.start && start <= before.max(model.start));
                        model.start = start;
                    }
                    Err(_) => assert!(before > model.end),
                }
            }
            Step::Reopen => rig = rig.reopen(),
            Step::Kill => rig = rig.killed(),
            Step::DamageIndex { which, noise, gone } => {
                // Mapped files change under a running server only by its own hand.
                rig = rig.killed();
                let paths = rig.files(".index");
                if let Some(path) = paths.get(which % paths.len().max(1)) {
                    let bytes = rig.disk.bytes(path).unwrap();
                    let damaged: Vec<u8> = bytes.iter().map(|b| b ^ noise).collect();
                    rig.disk.damage(path, &damaged).unwrap();
                    if gone {
                        rig.disk.remove(path).unwrap();
                    }
                }
                rig = rig.killed();
            }
        }
        let Bounds { start, end } = rig.log.bounds();
        assert_eq!((start, end), (model.start, model.end));
    }
    assert_eq!(rig.read_all(), model.held());
    assert_eq!(rig.killed().read_all(), model.held());
}

#[test]
fn r4_r5_r9_a_log_does_what_a_vec_does() {
    let cases =
        std::env::var("VARVE_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let mut runner =
        TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    runner
        .run(&steps(), |steps| {
            run(steps);
            Ok(())
        })
        .unwrap();
    println!("cases: {cases} random runs");
}
