//! Filling the next segment with zeros before it is needed: for whom it is done, and that it costs
//! nobody a record.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::task::Poll;

use varve::log::{Disk as _, Durability, LogSettings, Op, SimDisk, Tear};

use crate::rig::{Batch, DATA, Rig, by_hand, poll};

/// As a log's first segment; the second has eight times as much.
const FIRST_BYTES: usize = 256 << 10;
const PART_BYTES: usize = 1 << 20;

fn open(disk: &SimDisk) -> Rig {
    let settings = LogSettings { segment_bytes_max: 4 << 20, ..LogSettings::default() };
    Rig::open(disk, by_hand(settings)).unwrap()
}

/// The `n`-th batch, of about so many bytes.
fn batch(n: u64, bytes: usize) -> Batch {
    let mut batch = Batch::of(n);
    batch.payload.resize(bytes, 7);
    batch
}

/// Appends batches until the first segment must be full and the second has begun.
fn append_into_the_second(rig: &Rig, bytes: usize) -> Vec<Batch> {
    let count = FIRST_BYTES / bytes + 2;
    let batches: Vec<_> = (0..).take(count).map(|n| batch(n, bytes)).collect();
    for batch in &batches {
        rig.append(batch);
    }
    assert!(rig.files(".store").len() > 1, "the second segment has begun");
    batches
}

/// Whether it was made ahead; on the simulated disk a file keeps the name that it was made with.
fn was_ahead(path: &Path) -> bool {
    path.ends_with("next.store")
}

/// How many parts were filled: what was written beside batches, headers, and footers.
fn parts_filled(rig: &Rig, batches: usize) -> usize {
    let trace = rig.disk.trace();
    let writes = trace.iter().filter(|(op, path)| *op == Op::Write && was_ahead(path)).count();
    let stores = rig.files(".store").len();
    writes - batches - stores - (stores - 1)
}

/// The place in `trace` of the first `op` that fills the second segment.
fn first_that_fills(trace: &[(Op, PathBuf)], op: Op) -> usize {
    let of_stores = |wanted| {
        let trace = trace.iter().enumerate();
        trace.filter(move |(_, (op, path))| *op == wanted && was_ahead(path)).map(|(at, _)| at)
    };
    let allocated = of_stores(Op::Allocate).nth(1).unwrap();
    of_stores(op).find(|at| *at > allocated).unwrap()
}

fn held(rig: &Rig) -> Vec<Batch> {
    rig.read_all().into_iter().map(|(_, batch)| batch).collect()
}

#[test]
fn the_next_segment_of_small_writes_is_filled_part_by_part_and_durably() {
    let rig = open(&SimDisk::new());
    let batches = append_into_the_second(&rig, 10_000);
    assert_eq!(parts_filled(&rig, batches.len()), FIRST_BYTES * 8 / PART_BYTES);
    let trace = rig.disk.trace();
    let (written, synced) =
        (first_that_fills(&trace, Op::Write), first_that_fills(&trace, Op::Sync));
    assert_eq!(written + 1, synced);
    assert_eq!(held(&rig), batches);
}

#[test]
fn a_log_of_large_writes_leaves_the_next_segment_as_it_is() {
    let rig = open(&SimDisk::new());
    let batches = append_into_the_second(&rig, 66_000);
    assert_eq!(parts_filled(&rig, batches.len()), 0);
    assert_eq!(held(&rig), batches);
}

#[test]
fn a_fault_while_filling_costs_nobody_a_record() {
    let whole = open(&SimDisk::new());
    append_into_the_second(&whole, 10_000);
    let trace = whole.disk.trace();
    for op in [Op::Write, Op::Sync] {
        let before = trace[..first_that_fills(&trace, op)].iter().filter(|(done, _)| *done == op);
        let disk = SimDisk::new();
        disk.fail(op, u64::try_from(before.count()).unwrap(), ErrorKind::Other);
        let rig = open(&disk);
        let batches = append_into_the_second(&rig, 10_000);
        assert_eq!(held(&rig), batches, "{op:?}");
        assert!(!rig.logs.has_failed(), "{op:?}");
        // Nobody tries again: the roll made the files that it needed.
        let parts = parts_filled(&rig, batches.len());
        assert!(parts <= 1, "{op:?}: {parts} parts were filled");
    }
}

#[test]
fn a_power_cut_while_filling_leaves_what_was_acknowledged() {
    let whole = open(&SimDisk::new());
    append_into_the_second(&whole, 10_000);
    let trace = whole.disk.trace();
    for step in first_that_fills(&trace, Op::Write)..trace.len() {
        let disk = SimDisk::new();
        disk.cut_power_after(u64::try_from(step).unwrap());
        let rig = open(&disk);
        let mut acknowledged = 0;
        for n in 0.. {
            let sent = batch(n, 10_000);
            let taken = rig.log.append(&sent.payload, sent.records, Durability::Synced);
            rig.logs.work();
            match taken.map(poll) {
                Ok(Poll::Ready(Ok(_))) => acknowledged = n + 1,
                _ => break,
            }
        }
        for tear in [Tear::LoseAll, Tear::KeepAll, Tear::Random(u64::try_from(step).unwrap())] {
            let after = open(&disk.after_power_cut(tear));
            let found = held(&after);
            let expected: Vec<_> = (0..acknowledged).map(|n| batch(n, 10_000)).collect();
            assert!(found.starts_with(&expected), "step {step}, {tear:?}");
        }
    }
}

/// When somebody had removed the index that was made ahead, the log stopped as if its disk had
/// failed.
#[test]
fn r9_the_index_of_the_next_segment_may_be_gone_before_it_begins() {
    let rig = open(&SimDisk::new());
    let batches: Vec<_> = (0..60).map(|n| batch(n, 10_000)).collect();
    let mut removed = 0;
    for batch in &batches {
        rig.append(batch);
        if rig.disk.remove(&PathBuf::from(DATA).join("logs/default/next.index")).is_ok() {
            removed += 1;
        }
    }
    assert!(removed > 0 && rig.files(".store").len() > 1, "{removed} were removed");
    assert_eq!(held(&rig), batches);
    let again = open(&rig.disk.after_power_cut(Tear::LoseAll));
    assert_eq!(held(&again), batches);
}
