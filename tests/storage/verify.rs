//! The check of a data directory: it says what a start and the reads after it would find, and
//! changes nothing.

use std::collections::BTreeSet;
use std::path::Path;

use varve::log::{
    Disk as _, Durability, LogName, Meaning, Offset, OpenError, ReadError, SimDisk, Tear, Verified,
    VerifyProgress, verify,
};

use crate::rig::{Batch, DATA, Rig, by_hand, files, small_segments};

type Expected = Vec<(Offset, Batch)>;

fn check(disk: &SimDisk) -> Verified {
    let before = disk.steps();
    let verified = verify(disk, Path::new(DATA), &[], 1, &VerifyProgress::default()).unwrap();
    assert_eq!(disk.steps(), before, "nothing is changed");
    verified
}

fn meanings(verified: &Verified) -> BTreeSet<Meaning> {
    verified.faults.iter().map(|fault| fault.meaning).collect()
}

fn logs() -> [(&'static str, SimDisk, Expected); 2] {
    let rig = Rig::new();
    let all = rig.fill(24);
    let killed = rig.disk.after_power_cut(Tear::KeepAll);
    rig.logs.close().unwrap();
    [("killed", killed, all.clone()), ("closed", rig.disk.after_power_cut(Tear::KeepAll), all)]
}

/// How many batches a server serves, reports as damaged, and does not know.
fn served(disk: &SimDisk, all: &Expected) -> (usize, usize, usize) {
    let rig = Rig::open(disk, by_hand(small_segments())).unwrap();
    let mut counts = (0, 0, 0);
    for (base, _) in all {
        match rig.log.read(*base, 1) {
            Ok(_) => counts.0 += 1,
            Err(ReadError::Damaged { .. }) => counts.1 += 1,
            Err(ReadError::OutOfRange { .. }) => counts.2 += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    counts
}

#[test]
fn a_log_that_is_as_it_was_written_has_no_faults() {
    for (name, disk, all) in logs() {
        let verified = check(&disk);
        assert!(!verified.is_running);
        // Files that were made ahead stay behind after a kill.
        let left = BTreeSet::from([Meaning::LeftOver]);
        assert!(meanings(&verified).is_subset(&left), "{name}: {:?}", verified.faults);
        let [log] = verified.logs.as_slice() else { panic!("{verified:?}") };
        let records: u64 = all.iter().map(|(_, batch)| u64::from(batch.records.get())).sum();
        assert_eq!((log.batches, log.records), (24, records), "{name}");
        assert_eq!((log.start, log.end), (Offset::ZERO, Offset::new(records)));
        assert_eq!(log.segments, files(&disk, ".store").len());
    }
}

/// Every byte of every file of a log: what the check says agrees with what a server then does.
#[test]
fn r10_a_flipped_bit_in_any_byte_is_told_as_what_it_means() {
    let (mut cases, mut seen) = (0, BTreeSet::new());
    for (name, disk, all) in logs() {
        for path in [".store", ".index", "checkpoint", "meta"].iter().flat_map(|k| files(&disk, k))
        {
            let bytes = disk.bytes(&path).unwrap();
            let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
            for at in 0..used {
                let copy = disk.after_power_cut(Tear::KeepAll);
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                copy.damage(&path, &flipped).unwrap();
                let found = check(&copy);
                let mut meanings = meanings(&found);
                meanings.remove(&Meaning::LeftOver);
                let (_, damaged, absent) = served(&copy, &all);
                let what = format!("{name}, {path:?}, byte {at}: {:?}", found.faults);
                let is_store = path.extension().is_some_and(|end| end == "store");
                let is_told = meanings.contains(&Meaning::Damage);
                assert!(damaged == 0 || is_told, "{what}");
                assert!(!is_store || !is_told || damaged > 0, "{what}");
                assert!(absent == 0 || meanings.contains(&Meaning::TornTail), "{what}");
                // Padding is under no checksum, and hexadecimal digits may be in either case.
                let is_free = bytes[at] == 0 || path.ends_with("meta") && at + 10 > used;
                assert!(!meanings.is_empty() || is_free, "{what}");
                seen.extend(meanings);
                cases += 1;
            }
        }
    }
    let all = [Meaning::Damage, Meaning::Derived, Meaning::TornTail];
    assert!(all.iter().all(|meaning| seen.contains(meaning)), "{seen:?}");
    assert!(cases > 10_000, "{cases}");
}

#[test]
fn r6_a_store_that_is_cut_or_missing_is_told_as_a_server_finds_it() {
    for (name, disk, all) in logs() {
        for path in files(&disk, ".store") {
            let bytes = disk.bytes(&path).unwrap();
            for len in (0..=bytes.len()).step_by(13) {
                let copy = disk.after_power_cut(Tear::KeepAll);
                copy.damage(&path, &bytes[..len]).unwrap();
                let found = check(&copy);
                let (whole, damaged, _) = served(&copy, &all);
                let what = format!("{name}, {path:?}, {len}: {whole} {:?}", found.faults);
                assert_eq!(meanings(&found).contains(&Meaning::Damage), damaged > 0, "{what}");
            }
            let copy = disk.after_power_cut(Tear::KeepAll);
            copy.remove(&path).unwrap();
            let found = check(&copy);
            let (_, damaged, _) = served(&copy, &all);
            let is_told = meanings(&found).contains(&Meaning::Damage);
            assert_eq!(is_told, damaged > 0, "{name}, {path:?} is gone: {:?}", found.faults);
        }
    }
}

#[test]
fn damage_is_told_with_its_place_and_its_offsets() {
    let [_, (_, disk, all)] = logs();
    let path = files(&disk, ".store").remove(1);
    let mut bytes = disk.bytes(&path).unwrap();
    bytes[128 + 88] ^= 1;
    disk.damage(&path, &bytes).unwrap();
    let verified = check(&disk);
    let [fault] = verified.faults.as_slice() else { panic!("{:?}", verified.faults) };
    let base: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let hit = all.iter().position(|(offset, _)| offset.get() == base).unwrap();
    assert_eq!(fault.path, path);
    assert_eq!(fault.position, Some(128));
    assert_eq!(fault.offsets, Some((all[hit].0, all[hit + 1].0)));
    assert_eq!(fault.log.as_ref().map(LogName::as_str), Some("default"));
    assert_eq!(fault.what, "a batch does not match its checksum");
}

#[test]
fn while_a_server_runs_nothing_behind_its_checkpoint_is_judged() {
    let rig = Rig::new();
    let all = rig.fill(20);
    rig.logs.look_around();
    rig.logs.work();
    // Behind the checkpoint stands a batch that was written, and half of another.
    let _pending = rig.log.append(b"written", all[0].1.records, Durability::Written).unwrap();
    rig.logs.work();
    let path = rig.files(".store").pop().unwrap();
    let bytes = rig.disk.bytes(&path).unwrap();
    let used = bytes.iter().rposition(|b| *b != 0).unwrap();
    let mut torn = bytes.clone();
    torn[used - 1] ^= 1;
    torn[used + 100] = 7;
    rig.disk.damage(&path, &torn).unwrap();
    let verified = check(&rig.disk);
    assert!(verified.is_running);
    assert_eq!(verified.faults, []);
    assert_eq!(verified.logs[0].batches, 20);

    let first = rig.files(".store").remove(0);
    let mut damaged = rig.disk.bytes(&first).unwrap();
    damaged[128 + 88] ^= 1;
    rig.disk.damage(&first, &damaged).unwrap();
    assert_eq!(meanings(&check(&rig.disk)), BTreeSet::from([Meaning::Damage]));
}

#[test]
fn a_file_that_cannot_be_read_is_told_and_the_others_are_read() {
    let [_, (_, disk, _)] = logs();
    // The checkpoint's slots, then `meta`, come first.
    for calls in 0..40 {
        let copy = disk.after_power_cut(Tear::KeepAll);
        copy.fail_with(varve::log::Op::Read, calls, 5);
        match verify(&copy, Path::new(DATA), &[], 1, &VerifyProgress::default()) {
            Ok(verified) => {
                let told = [Meaning::Unreadable, Meaning::Derived].map(|m| BTreeSet::from([m]));
                let unreadable = meanings(&verified);
                let fired = copy.clear_faults() == 0;
                assert!(!fired || told.contains(&unreadable), "{calls}: {:?}", verified.faults);
            }
            Err(error) => assert!(matches!(error, OpenError::Io(_)), "{calls}: {error:?}"),
        }
    }
}

#[test]
fn what_is_no_data_directory_is_refused() {
    let disk = SimDisk::new();
    let looked = verify(&disk, Path::new("/"), &[], 1, &VerifyProgress::default());
    assert!(matches!(looked, Err(OpenError::Invalid { .. })), "{looked:?}");
    let rig = Rig::new();
    let absent = [LogName::parse("absent").unwrap()];
    let looked = verify(&rig.disk, Path::new(DATA), &absent, 1, &VerifyProgress::default());
    assert!(matches!(looked, Err(OpenError::Absent { .. })), "{looked:?}");
}
