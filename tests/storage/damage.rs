//! Bytes that change, vanish or come back: never a wrong record, and never a lost one in silence.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::task::Poll;

use varve::log::{
    AppendError, Bounds, Disk as _, Durability, Offset, OpenError, Options, ReadError, SimDisk,
    Tear,
};

use crate::rig::{Batch, DATA, Rig, by_hand, files, poll, small_segments};

/// Where the first frame of a store begins, and the length of a frame's header.
const FIRST: usize = 128;
const HEADER: usize = 88;

type Expected = Vec<(Offset, Batch)>;

/// A log of several segments, as a kill leaves it: the last batch is named by no later frame.
fn killed_log() -> (SimDisk, Expected) {
    let rig = Rig::new();
    let all = rig.fill(24);
    assert!(rig.files(".store").len() >= 3);
    (rig.disk.after_power_cut(Tear::KeepAll), all)
}

/// The same, closed in order: the checkpoint vouches for all of it.
fn closed_log() -> (SimDisk, Expected) {
    let rig = Rig::new();
    let all = rig.fill(24);
    rig.logs.close().unwrap();
    (rig.disk.after_power_cut(Tear::KeepAll), all)
}

fn open(disk: &SimDisk) -> Rig {
    Rig::open(disk, by_hand(small_segments())).unwrap()
}

/// How the reads of a damaged log went.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    whole: usize,
    damaged: usize,
    absent: usize,
    /// The bases of those that were not whole, and what was told as damaged there.
    lost: Vec<(Offset, Option<Range>)>,
}

/// From an offset on, to where reading goes on.
type Range = (Offset, Option<Offset>);

/// Reads every batch at its offset: it is whole, reported as damaged, or, from `may_vanish` on,
/// absent.
fn look(rig: &Rig, all: &Expected, may_vanish: Offset, what: &str) -> Seen {
    let mut seen = Seen::default();
    for (base, batch) in all {
        match rig.log.read(*base, 1) {
            Ok(chunk) => {
                let first = chunk.batches().next().unwrap();
                assert_eq!(first.base_offset, *base, "{what}");
                assert_eq!(first.payload, batch.payload, "{what}: wrong bytes at {base}");
                assert_eq!(first.records, batch.records.get(), "{what}");
                seen.whole += 1;
            }
            Err(ReadError::Damaged { from, resume }) => {
                assert!(from <= *base && resume.is_none_or(|resume| resume > *base), "{what}");
                seen.damaged += 1;
                seen.lost.push((*base, Some((from, resume))));
            }
            Err(ReadError::OutOfRange { .. }) => {
                assert!(*base >= may_vanish, "{what}: {base} was acknowledged and is gone");
                seen.absent += 1;
                seen.lost.push((*base, None));
            }
            Err(error) => panic!("{what}: {error:?}"),
        }
    }
    seen
}

/// The base offset of the batch whose frame holds the byte `at` of a store; `None` for a byte of
/// the header, of the footer, and of the padding, on which nothing rests.
fn batch_at(store: &[u8], at: usize) -> Option<Offset> {
    let number = |at: usize| u32::from_le_bytes(store[at..at + 4].try_into().unwrap());
    let mut frame = FIRST;
    while store.get(frame..frame + 4) == Some(b"VFRM") {
        let end = frame + HEADER + usize::try_from(number(frame + 8)).unwrap();
        if (frame..end).contains(&at) {
            let base = store[frame + 16..frame + 24].try_into().unwrap();
            return Some(Offset::new(u64::from_le_bytes(base)));
        }
        frame = end.next_multiple_of(8);
    }
    None
}

/// The last store is cut at every length. After a clean stop the checkpoint vouches for every
/// record; after a kill it does up to the last roll, and a tail that is gone looks torn from there.
#[test]
fn r6_a_store_cut_anywhere_loses_only_what_nobody_vouches_for() {
    let mut cases = 0;
    for (name, (disk, all)) in [("killed", killed_log()), ("closed", closed_log())] {
        let path = files(&disk, ".store").pop().unwrap();
        let base = all.iter().rev().find(|(base, _)| path.ends_with(format!("{base:020}.store")));
        let may_vanish = if name == "killed" { base.unwrap().0 } else { Offset::new(u64::MAX) };
        let bytes = disk.bytes(&path).unwrap();
        let used = bytes.iter().rposition(|b| *b != 0).unwrap() + 1;
        for len in 0..=used {
            for zeros in [0, 1, 512] {
                let copy = disk.after_power_cut(Tear::KeepAll);
                let mut cut = bytes[..len].to_vec();
                cut.resize(len + zeros, 0);
                copy.damage(&path, &cut).unwrap();
                let rig = open(&copy);
                let what = format!("{name}, cut to {len} and {zeros} zeros");
                let seen = look(&rig, &all, may_vanish, &what);
                assert_eq!(rig.log.is_damaged(), seen.damaged > 0, "{what}: {seen:?}");
                cases += 1;
            }
        }
    }
    println!("cases: {cases} cuts");
}

#[test]
fn r6_r10_a_flipped_bit_in_any_byte_is_never_served_and_never_hides_a_record() {
    let mut cases = 0;
    for (name, (disk, all)) in [("killed", killed_log()), ("closed", closed_log())] {
        let last = all.last().unwrap().0;
        // Only the newest batch of a killed log has nobody who vouches for it.
        let may_vanish = if name == "killed" { last } else { last.plus(100) };
        // What is told of a batch that was hit: its own offsets and no others.
        let told = |hit: Offset| {
            let (_, batch) = all.iter().find(|(base, _)| *base == hit).unwrap();
            (hit < may_vanish).then(|| (hit, Some(hit.plus(batch.records.get().into()))))
        };
        let kinds = [".store", ".index", "checkpoint", "meta"];
        for path in kinds.iter().flat_map(|kind| files(&disk, kind)) {
            let bytes = disk.bytes(&path).unwrap();
            let used = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
            for at in 0..used {
                let copy = disk.after_power_cut(Tear::KeepAll);
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << (at % 8);
                copy.damage(&path, &flipped).unwrap();
                let rig = open(&copy);
                let what = format!("{name}, {path:?}, byte {at}");
                let seen = look(&rig, &all, may_vanish, &what);
                let is_store = path.to_string_lossy().ends_with(".store");
                let hit = is_store.then(|| batch_at(&bytes, at)).flatten();
                let lost: Vec<_> = hit.into_iter().map(|hit| (hit, told(hit))).collect();
                assert_eq!(seen.lost, lost, "{what}");
                cases += 1;
            }
        }
    }
    assert!(cases > 10_000, "{cases}");
    println!("cases: {cases} flips");
}

#[test]
fn r9_whatever_the_index_holds_the_answers_are_the_same() {
    for (disk, all) in [killed_log(), closed_log()] {
        for path in files(&disk, ".index") {
            let bytes = disk.bytes(&path).unwrap();
            let noise: Vec<u8> =
                (0..bytes.len()).map(|i| u8::try_from(i * 7919 % 256).unwrap()).collect();
            let mut backwards = bytes.clone();
            backwards.reverse();
            let longer = [bytes.clone(), vec![0xff; 1000]].concat();
            let other = disk.bytes(&files(&disk, ".index")[0]).unwrap();
            let contents = [
                vec![],
                vec![0; bytes.len()],
                vec![0xff; bytes.len()],
                noise,
                backwards,
                longer,
                bytes[..13].to_vec(),
                other,
            ];
            for (n, content) in contents.iter().enumerate() {
                let copy = disk.after_power_cut(Tear::KeepAll);
                copy.damage(&path, content).unwrap();
                let rig = open(&copy);
                assert_eq!(rig.read_all(), all, "{path:?}, content {n}");
                let more = Batch::of(99);
                let base = rig.append(&more);
                assert_eq!(rig.killed().read_from(base).unwrap(), vec![(base, more)]);
            }
            let copy = disk.after_power_cut(Tear::KeepAll);
            copy.remove(&path).unwrap();
            assert_eq!(open(&copy).read_all(), all, "{path:?} is gone");
        }
    }
}

#[test]
fn r9_an_index_that_is_lost_on_a_full_disk_is_kept_in_memory() {
    let (disk, all) = closed_log();
    disk.remove(&files(&disk, ".index")[0]).unwrap();
    disk.set_capacity(Some(0));
    assert_eq!(open(&disk).read_all(), all);
}

/// An index in memory was made with room for no entry, and the batch that an empty segment always
/// takes could not be found again.
#[test]
fn r9_an_empty_segment_whose_index_is_lost_on_a_full_disk_still_finds_its_first_batch() {
    let rig = Rig::new();
    let mut all = rig.fill(8);
    // The footer, the header, then the frame itself: its segment is there, empty.
    rig.disk.fail(varve::log::Op::Write, 2, std::io::ErrorKind::StorageFull);
    let refused = rig.log.append(b"x", NonZeroU32::MIN, Durability::Synced).unwrap();
    rig.logs.work();
    assert!(matches!(poll(refused), Poll::Ready(Err(_))));
    let rig = rig.reopen();
    rig.disk.remove(rig.files(".index").last().unwrap()).unwrap();
    rig.disk.fail(varve::log::Op::Create, 0, std::io::ErrorKind::StorageFull);
    all.push((rig.append(&Batch::of(1)), Batch::of(1)));
    assert_eq!(rig.read_all(), all);
}

/// The last segment is sealed and its last frame damaged: no tail, so appends go on.
#[test]
fn r6_damage_at_the_end_of_a_sealed_last_segment_does_not_stop_appends() {
    let rig = Rig::new();
    let all = rig.fill(8);
    // The next segment is refused its space, so the sealed one stays the last.
    rig.disk.fail(varve::log::Op::Rename, 0, std::io::ErrorKind::StorageFull);
    let refused = rig.log.append(b"x", NonZeroU32::MIN, Durability::Synced).unwrap();
    rig.logs.work();
    assert!(matches!(poll(refused), Poll::Ready(Err(_))));
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    let path = files(&disk, ".store").pop().unwrap();
    let mut bytes = disk.bytes(&path).unwrap();
    let payload = &all[7].1.payload;
    let at = bytes.windows(payload.len()).rposition(|window| window == payload).unwrap();
    bytes[at] ^= 1;
    disk.damage(&path, &bytes).unwrap();
    let rig = open(&disk);
    assert!(!rig.log.is_damaged());
    let end = rig.log.bounds().end;
    let seen = look(&rig, &all, Offset::new(u64::MAX), "sealed last segment");
    assert_eq!((seen.whole, seen.damaged), (7, 1));
    assert_eq!(rig.append(&Batch::of(9)), end);
    assert_eq!(rig.killed().read_from(end).unwrap(), vec![(end, Batch::of(9))]);
}

#[test]
fn r6_a_missing_segment_is_damage_wherever_it_is() {
    for (name, (disk, all)) in [("killed", killed_log()), ("closed", closed_log())] {
        let stores = files(&disk, ".store");
        for (n, path) in stores.iter().enumerate() {
            let copy = disk.after_power_cut(Tear::KeepAll);
            copy.remove(path).unwrap();
            let rig = open(&copy);
            let what = format!("{name}, segment {n} of {}", stores.len());
            let last = all.last().unwrap().0;
            let may_vanish = if name == "killed" { last } else { last.plus(100) };
            let seen = look(&rig, &all, may_vanish, &what);
            assert!(seen.damaged > 0 && seen.whole > 0, "{what}: {seen:?}");
            let in_tail = n + 1 == stores.len();
            assert_eq!(rig.log.is_damaged(), in_tail, "{what}");
        }
    }
}

#[test]
fn r6_damage_in_a_sealed_segment_says_where_reading_goes_on_and_appends_go_on() {
    let (disk, mut all) = closed_log();
    let path = &files(&disk, ".store")[0];
    let mut bytes = disk.bytes(path).unwrap();
    let payload = &all[3].1.payload;
    let at = bytes.windows(payload.len()).position(|window| window == payload).unwrap();
    bytes[at + 8] ^= 1;
    disk.damage(path, &bytes).unwrap();
    let rig = open(&disk);
    let (hit, next) = (all[3].0, all[4].0);
    for _ in 0..2 {
        let read = rig.log.read(hit, 1000);
        let expected = matches!(read, Err(ReadError::Damaged { from, resume: Some(to) })
            if from == hit && to == next);
        assert!(expected, "{read:?}");
    }
    assert_eq!(rig.read_from(next).unwrap(), all[4..]);
    let more = Batch::of(50);
    all.push((rig.append(&more), more));
    assert_eq!(rig.read_from(next).unwrap(), all[4..]);
}

#[test]
fn r6_damage_in_the_unsealed_tail_stops_appends_and_changes_nothing() {
    let (disk, all) = killed_log();
    let path = files(&disk, ".store").pop().unwrap();
    let mut bytes = disk.bytes(&path).unwrap();
    bytes[FIRST + HEADER] ^= 1;
    disk.damage(&path, &bytes).unwrap();
    let before = snapshot(&disk);
    let rig = open(&disk);
    assert!(rig.log.is_damaged());
    let refused = rig.log.append(b"x", NonZeroU32::MIN, Durability::Synced);
    assert_eq!(refused.unwrap_err(), AppendError::Damaged);
    let seen = look(&rig, &all, Offset::new(u64::MAX), "tail");
    assert_eq!((seen.damaged, seen.absent), (1, 0), "all others are served: {seen:?}");
    rig.logs.close().unwrap();
    assert_eq!(snapshot(&disk), before);
}

#[test]
fn r6_strict_refuses_to_open_a_damaged_log_and_changes_nothing() {
    let (disk, _) = killed_log();
    let path = files(&disk, ".store").pop().unwrap();
    let mut bytes = disk.bytes(&path).unwrap();
    bytes[FIRST + HEADER] ^= 1;
    disk.damage(&path, &bytes).unwrap();
    let before = snapshot(&disk);
    let options = Options { strict: true, ..by_hand(small_segments()) };
    let refused = Rig::open(&disk, options).unwrap_err();
    assert!(matches!(&refused, OpenError::Damaged { path: p, .. } if *p == path), "{refused:?}");
    assert_eq!(snapshot(&disk), before);
}

/// The slot that says that appends went on is damaged, and the older one says that the log was
/// closed. It was believed, and what had been appended since was overwritten.
#[test]
fn r6_a_rotten_checkpoint_slot_hides_no_records() {
    let rig = Rig::new();
    let mut all = rig.fill(3);
    let rig = rig.reopen();
    let closed = rig.disk.bytes(&rig.files("checkpoint")[0]).unwrap();
    let more = Batch::of(7);
    all.push((rig.append(&more), more));
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    let path = files(&disk, "checkpoint")[0].clone();
    let mut rotten = disk.bytes(&path).unwrap();
    for slot in [0..160, 4096..4256] {
        if rotten[slot.clone()] != closed[slot.clone()] {
            rotten[slot.start + 50] ^= 1;
        }
    }
    disk.damage(&path, &rotten).unwrap();
    assert_eq!(open(&disk).read_all(), all);
    // The same if that slot was never written at all.
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    disk.damage(&path, &closed).unwrap();
    assert_eq!(open(&disk).read_all(), all);
}

#[test]
fn r6_a_log_is_rebuilt_from_its_stores_alone() {
    for (disk, all) in [killed_log(), closed_log()] {
        for gone in ["checkpoint", "meta"] {
            disk.remove(&files(&disk, gone)[0]).unwrap();
        }
        for path in files(&disk, ".index") {
            disk.remove(&path).unwrap();
        }
        let rig = open(&disk);
        assert_eq!(rig.read_all(), all);
        let rig = rig.killed();
        assert_eq!(rig.read_all(), all);
    }
}

/// Two batches in one group, of which the first is torn: both are cut. Then another batch of the
/// same size takes the first one's place, and the second must not come back behind it.
#[test]
fn r6_a_stale_frame_behind_a_cut_never_fits_again() {
    let batch = |fill: u8| Batch { payload: vec![fill; 40], records: NonZeroU32::MIN };
    let rig = Rig::new();
    let first = rig.append(&batch(1));
    let group: Vec<_> = [2, 3]
        .map(|n| rig.log.append(&batch(n).payload, NonZeroU32::MIN, Durability::Synced).unwrap())
        .into();
    rig.logs.work();
    assert!(group.into_iter().all(|pending| poll(pending).is_ready()));
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    let path = files(&disk, ".store").pop().unwrap();
    let whole = disk.bytes(&path).unwrap();
    let torn_at = FIRST + 128 + HEADER;
    let mut torn = whole.clone();
    torn[torn_at] ^= 1;
    disk.damage(&path, &torn).unwrap();

    let rig = open(&disk);
    assert_eq!(rig.read_all(), vec![(first, batch(1))], "the torn group is cut");
    let stale = FIRST + 2 * 128..FIRST + 3 * 128;
    assert_eq!(disk.bytes(&path).unwrap()[stale.clone()], [0; 128], "and wiped");
    let second = rig.append(&batch(4));
    let expected = vec![(first, batch(1)), (second, batch(4))];

    // Even if the old bytes come back behind it, their incarnation gives them away.
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    let mut haunted = disk.bytes(&path).unwrap();
    haunted[stale.clone()].copy_from_slice(&whole[stale]);
    disk.damage(&path, &haunted).unwrap();
    assert_eq!(open(&disk).read_all(), expected);
}

#[test]
fn r8_a_start_finishes_an_interrupted_trim() {
    let rig = Rig::new();
    let all = rig.fill(24);
    let before = all[16].0;
    rig.disk.fail(varve::log::Op::Rename, 0, std::io::ErrorKind::Other);
    rig.log.trim(before).unwrap_err();
    let stores = rig.files(".store").len();
    let rig = rig.killed();
    assert!(rig.files(".store").len() < stores);
    let Bounds { start, .. } = rig.log.bounds();
    let kept: Vec<_> = all.into_iter().filter(|(base, _)| *base >= start).collect();
    assert!(start > Offset::ZERO && rig.read_all() == kept);
    assert!(rig.disk.list(&Path::new(DATA).join("trash")).unwrap().is_empty());
}

/// A trim's checkpoint failed to reach the disk, and the process started again on the same kernel,
/// which still showed it. The stores below the new start were removed before that start was
/// durable, and a power cut brought the old start back without them.
#[test]
fn r8_nothing_below_a_start_is_removed_before_the_start_is_durable() {
    for calls in 0..40 {
        let rig = Rig::new();
        let all = rig.fill(24);
        let before = all[16].0;
        rig.disk.fail(varve::log::Op::Sync, 0, std::io::ErrorKind::Other);
        rig.log.trim(before).unwrap_err();
        let disk = rig.disk.clone();
        drop((rig.logs, rig.log));
        disk.cut_power_after(disk.steps() + calls);
        // May fail: the power goes in the middle.
        let _restarted = Rig::open(&disk, by_hand(small_segments()));
        let rig = open(&disk.after_power_cut(Tear::LoseAll));
        assert!(!rig.log.is_damaged(), "cut after {calls} calls");
        let Bounds { start, .. } = rig.log.bounds();
        let kept: Vec<_> = all.into_iter().filter(|(base, _)| *base >= start).collect();
        assert_eq!(rig.read_all(), kept, "cut after {calls} calls");
    }
}

#[test]
fn r6_noise_for_a_store_is_damage_and_not_a_crash() {
    let (disk, all) = closed_log();
    for path in files(&disk, ".store") {
        let copy = disk.after_power_cut(Tear::KeepAll);
        let noise: Vec<u8> =
            (0..5000_u64).map(|i| i.wrapping_mul(0x9e37_79b9).to_le_bytes()[1]).collect();
        copy.damage(&path, &noise).unwrap();
        let rig = open(&copy);
        let seen = look(&rig, &all, Offset::new(u64::MAX), "noise");
        assert!(seen.damaged > 0 && seen.absent == 0, "{path:?}: {seen:?}");
        assert_eq!(poll(rig.log.past(Offset::new(u64::MAX - 1))), Poll::Pending);
    }
}

/// Every file below the data directory with its bytes.
pub(crate) fn snapshot(disk: &SimDisk) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all: Vec<_> = files(disk, "")
        .into_iter()
        .map(|path| (path.clone(), disk.bytes(&path).unwrap()))
        .collect();
    all.sort();
    all
}
