//! Files with the names of stores whose header is not whole, so that nobody can read them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use varve::log::{
    AppendError, Disk, Durability, Fault, Meaning, Offset, ReadError, RepairOptions, SimDisk, Tear,
    VerifyProgress, repair, verify,
};

use crate::rig::{Batch, DATA, Rig, by_hand, files, small_segments};

/// Where the first frame of a store begins.
const FIRST: usize = 128;

const NO_STORE: &[u8] = b"no store";

/// A killed log of as many stores, in the last of which is one batch that no later one vouches for.
fn killed(stores: usize) -> (SimDisk, Vec<(Offset, Batch)>) {
    let rig = Rig::new();
    let mut all = rig.fill(3);
    while rig.files(".store").len() < stores {
        let batch = Batch::of(u64::try_from(all.len()).unwrap());
        all.push((rig.append(&batch), batch));
    }
    (rig.disk.after_power_cut(Tear::KeepAll), all)
}

fn open(disk: &SimDisk) -> Rig {
    Rig::open(disk, by_hand(small_segments())).unwrap()
}

fn mend(disk: &SimDisk) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let options = RepairOptions { dry_run: false, threads: 1, now_us: 7 };
    assert_eq!(repair(&disk, Path::new(DATA), &[], options).unwrap().left, []);
}

fn faults(disk: &SimDisk) -> Vec<Fault> {
    let told = verify(disk, Path::new(DATA), &[], 1, &VerifyProgress::default()).unwrap();
    let without_checkpoint = |fault: &Fault| !fault.path.ends_with("checkpoint");
    told.faults.into_iter().filter(without_checkpoint).collect()
}

/// Puts zeros over a part of the file.
fn overwrite(disk: &SimDisk, path: &Path, from: usize, to: usize) {
    let mut bytes = disk.bytes(path).unwrap();
    bytes[from..to].fill(0);
    disk.damage(path, &bytes).unwrap();
}

fn create(disk: &SimDisk, path: &Path) {
    let file = disk.create(path).unwrap();
    file.write_at(NO_STORE, 0).unwrap();
    file.sync().unwrap();
}

fn reads(rig: &Rig, all: &[(Offset, Batch)]) {
    for (base, batch) in all {
        let chunk = rig.log.read(*base, 1).unwrap();
        assert_eq!(chunk.batches().next().unwrap().payload, &*batch.payload, "{base}");
    }
}

/// A file at an offset that a store has batches of was taken for the end of the log: the store
/// behind it was thrown away with a batch that was acknowledged. Or it stayed, and took the reads
/// of the batches that have its offsets.
#[test]
fn r1_r5_a_file_that_has_the_name_of_a_store_and_is_none_costs_no_batch() {
    for (stores, has_checkpoint, goes_on) in
        [(1, true, false), (1, false, false), (2, true, false), (2, false, false), (2, false, true)]
    {
        let (disk, mut all) = killed(stores);
        if goes_on {
            let rig = open(&disk);
            all.push((rig.append(&Batch::of(99)), Batch::of(99)));
            all.push((rig.append(&Batch::of(98)), Batch::of(98)));
        }
        let disk = disk.after_power_cut(Tear::KeepAll);
        let case = format!("{stores} {has_checkpoint} {goes_on}");
        let path = files(&disk, ".store")[0].with_file_name(format!("{:020}.store", all[1].0));
        create(&disk, &path);
        if !has_checkpoint {
            disk.remove(&files(&disk, "checkpoint")[0]).unwrap();
        }
        let told = faults(&disk);
        let is_it = |fault: &Fault| fault.meaning == Meaning::Derived && fault.path == path;
        assert!(matches!(&told[..], [fault] if is_it(fault)), "{case}: {told:?}");
        let rig = open(&disk);
        assert!(!rig.log.is_damaged(), "{case}");
        reads(&rig, &all);
        all.push((rig.append(&Batch::of(7)), Batch::of(7)));
        rig.logs.close().unwrap();
        let rig = open(&disk);
        reads(&rig, &all);
        all.push((rig.append(&Batch::of(8)), Batch::of(8)));
        let rig = rig.killed();
        reads(&rig, &all);
        let disk = rig.disk.clone();
        drop(rig);
        assert_eq!(disk.bytes(&path).unwrap(), NO_STORE, "{case}: nobody knows what it is");
        mend(&disk);
        assert!(disk.bytes(&path).is_err(), "{case}");
        let kept = Path::new(DATA).join("quarantine/default-7").join(path.file_name().unwrap());
        assert_eq!(disk.bytes(&kept).unwrap(), NO_STORE, "{case}");
        assert_eq!(faults(&disk), [], "{case}");
        reads(&open(&disk), &all);
    }
}

/// Only batches that stay tell that a file is no store of the log: what a start cuts may be as
/// wrong.
#[test]
fn r6_a_file_at_offsets_of_batches_that_are_cut_is_one_that_nobody_can_read() {
    let rig = Rig::new();
    let mut all = rig.fill(2);
    let torn: Vec<_> = (2..5)
        .map(|n| {
            let batch = Batch::of(n);
            rig.log.append(&batch.payload, batch.records, Durability::Synced).unwrap()
        })
        .collect();
    rig.logs.work();
    let bases: Vec<_> = torn.iter().map(|pending| pending.base_offset()).collect();
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    disk.remove(&files(&disk, "checkpoint")[0]).unwrap();
    let store = &files(&disk, ".store")[0];
    let bytes = disk.bytes(store).unwrap();
    let frames = bytes.windows(4).enumerate().filter(|(_, word)| word == b"VFRM");
    let third = frames.map(|(at, _)| at).nth(2).unwrap();
    overwrite(&disk, store, third, third + 8);
    let path = store.with_file_name(format!("{:020}.store", bases[1].plus(1)));
    create(&disk, &path);
    let mut bounds = None;
    for _ in 0..3 {
        let rig = open(&disk);
        assert!(rig.log.is_damaged());
        let now = rig.log.bounds();
        assert_eq!(*bounds.get_or_insert(now), now);
        reads(&rig, &all);
        rig.logs.close().unwrap();
    }
    disk.remove(&path).unwrap();
    let rig = open(&disk);
    assert!(!rig.log.is_damaged(), "it is torn");
    all.push((rig.append(&Batch::of(7)), Batch::of(7)));
    assert_eq!(all[2].0, bases[0]);
    assert_eq!(rig.killed().read_all(), all);
}

/// A log without a checkpoint of whose stores none could be read was thrown away as one that never
/// acknowledged anything, and began anew at offset 0.
#[test]
fn r6_stores_that_nobody_can_read_stay_and_stop_appends() {
    type Broken = fn(&[PathBuf]) -> &[PathBuf];
    let which: [(&str, Broken); 3] =
        [("all", |all| all), ("the last two", |all| &all[1..]), ("the last", |all| &all[2..])];
    for (which, broken) in which {
        for has_checkpoint in [true, false] {
            let (disk, all) = killed(3);
            let disk = disk.after_power_cut(Tear::KeepAll);
            let stores = files(&disk, ".store");
            broken(&stores).iter().for_each(|path| overwrite(&disk, path, 0, FIRST));
            if !has_checkpoint {
                disk.remove(&files(&disk, "checkpoint")[0]).unwrap();
            }
            let before: Vec<_> = stores.iter().map(|path| disk.bytes(path).unwrap()).collect();
            let case = format!("{which}, {has_checkpoint}");
            let told = faults(&disk);
            for path in broken(&stores) {
                let is_it =
                    |fault: &&Fault| fault.meaning == Meaning::Damage && fault.path == *path;
                assert!(told.iter().any(|fault| is_it(&fault)), "{case}: {told:?}");
            }
            assert!(told.iter().all(|fault| fault.meaning == Meaning::Damage), "{case}: {told:?}");
            let mut bounds = None;
            for _ in 0..2 {
                let rig = open(&disk);
                assert!(rig.log.is_damaged(), "{case}");
                let now = rig.log.bounds();
                assert_eq!(*bounds.get_or_insert(now), now, "{case}");
                let refused = rig.log.append(b"x", Batch::of(0).records, Durability::Synced);
                assert!(matches!(refused, Err(AppendError::Damaged)), "{case}: {refused:?}");
                let kept: Vec<_> = stores.iter().map(|path| disk.bytes(path).unwrap()).collect();
                assert_eq!(kept, before, "{case}");
            }
            mend(&disk);
            let rig = open(&disk);
            let (last, batch) = all.last().unwrap();
            let end = last.plus(u64::from(batch.records.get()));
            assert!(rig.append(&Batch::of(9)) >= end, "{case}: offsets are not given out again");
        }
    }
}

/// The same with a store behind it that can be read, but has no batch yet: its name tells that all
/// before it was durable.
#[test]
fn r6_a_store_that_nobody_can_read_before_an_empty_one_is_a_gap_that_is_told() {
    let (disk, all) = killed(2);
    let stores = files(&disk, ".store");
    overwrite(&disk, &stores[0], 0, FIRST);
    let end = disk.bytes(&stores[1]).unwrap().len();
    overwrite(&disk, &stores[1], FIRST, end);
    disk.remove(&files(&disk, "checkpoint")[0]).unwrap();
    let next = all.last().unwrap().0;
    let told = faults(&disk);
    let offsets = Some((Offset::ZERO, next));
    let is_gap = |fault: &Fault| fault.meaning == Meaning::Damage && fault.offsets == offsets;
    assert!(matches!(&told[..], [fault] if is_gap(fault)), "{told:?}");
    let rig = open(&disk);
    assert!(!rig.log.is_damaged(), "appends go on behind it");
    assert_eq!(files(&disk, ".store"), stores);
    let lost = rig.log.read(Offset::ZERO, 1).unwrap_err();
    let resume = Some(next);
    assert!(matches!(lost, ReadError::Damaged { resume: r, .. } if r == resume), "{lost:?}");
    assert_eq!(rig.append(&Batch::of(1)), next);
}
