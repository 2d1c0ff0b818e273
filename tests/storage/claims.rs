//! Values that cannot be, under checksums that are right: no sector rots so, but a fault elsewhere
//! can write them, and a log is served all the same.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use varve::log::{
    Append, Bounds, Disk, Durability, LogOverrides, Meaning, Offset, Options, Producer, ProducerId,
    ReadError, SimDisk, SimTime, Tear, VerifyProgress, verify,
};

use crate::rig::{Batch, DATA, Rig, by_hand, files, poll, small_segments};

fn open(disk: &SimDisk) -> Rig {
    Rig::open(disk, by_hand(small_segments())).unwrap()
}

/// Puts `value` into a field of the newest slot of the checkpoint.
fn claim(disk: &SimDisk, at: usize, value: &[u8]) {
    let path = &files(disk, "checkpoint")[0];
    let mut bytes = disk.bytes(path).unwrap();
    let sequence = |slot: &&mut [u8]| u64::from_le_bytes(slot[16..24].try_into().unwrap());
    let newest = bytes.chunks_mut(4096).max_by_key(sequence).unwrap();
    newest[at..at + value.len()].copy_from_slice(value);
    let crc = crc32c::crc32c(&newest[12..160]).to_le_bytes();
    newest[8..12].copy_from_slice(&crc);
    disk.damage(path, &bytes).unwrap();
}

fn index_bytes(disk: &SimDisk) -> usize {
    files(disk, ".index").iter().map(|path| disk.bytes(path).unwrap().len()).sum()
}

/// What a checkpoint or a footer said of its frames was believed, and an index made for as many: of
/// 51 GB at most.
#[test]
fn no_index_is_made_for_more_frames_than_a_store_can_hold() {
    for frames in [100_000, u32::MAX - 1, u32::MAX] {
        let rig = Rig::new();
        let mut all = rig.fill(20);
        rig.logs.close().unwrap();
        claim(&rig.disk, 104, &frames.to_le_bytes());
        let sealed = &files(&rig.disk, ".store")[0];
        let mut bytes = rig.disk.bytes(sealed).unwrap();
        let seed = crc32c::crc32c(&bytes[24..56]);
        let at = bytes.len() - 72;
        let footer = &mut bytes[at..];
        footer[12..16].copy_from_slice(&frames.to_le_bytes());
        let crc = crc32c::crc32c_append(seed, &footer[8..]).to_le_bytes();
        footer[4..8].copy_from_slice(&crc);
        rig.disk.damage(sealed, &bytes).unwrap();
        let before = index_bytes(&rig.disk);
        let rig = open(&rig.disk);
        assert_eq!(rig.read_all(), all, "{frames}");
        assert!(index_bytes(&rig.disk) <= before, "{frames}");
        all.push((rig.append(&Batch::of(99)), Batch::of(99)));
        assert_eq!(rig.read_all(), all, "{frames}");
        assert_eq!(rig.killed().read_all(), all, "{frames}");
    }
}

/// A segment of no bytes was asked of the disk with each append, which no disk grants, so that each
/// ended the server.
#[test]
fn settings_that_cannot_be_are_those_of_no_log() {
    for line in [
        "segment_bytes_max = 0",
        "segment_bytes_max = 99999999999",
        "segment_age_max_ms = 1",
        "index_bytes_max = 0",
        "batch_bytes_max = 0",
        "batch_bytes_max = 99999999999",
    ] {
        let rig = Rig::new();
        rig.log.update(|own| own.record_bytes_max = Some(99_999)).unwrap();
        let mut all = rig.fill(3);
        let id = rig.log.id();
        rig.logs.close().unwrap();
        let path = &files(&rig.disk, "meta")[0];
        let whole = String::from_utf8(rig.disk.bytes(path).unwrap()).unwrap();
        let (before, _) = whole.split_once("crc32c").unwrap();
        let lines = format!("{before}{line}\nlater = 5\n");
        let meta = format!("{lines}crc32c = {:08x}\n", crc32c::crc32c(lines.as_bytes()));
        rig.disk.damage(path, meta.as_bytes()).unwrap();
        let found = verify(&rig.disk, Path::new(DATA), &[], 1, &VerifyProgress::default()).unwrap();
        let told: Vec<_> = found.faults.iter().map(|fault| &*fault.what).collect();
        assert!(matches!(told[..], [what] if what.contains("settings that cannot be")), "{told:?}");
        for _ in 0..2 {
            let rig = open(&rig.disk);
            assert_eq!(rig.log.overrides(), LogOverrides::default(), "{line}");
            assert_eq!(rig.log.id(), id);
            all.push((rig.append(&Batch::of(9)), Batch::of(9)));
            assert_eq!(rig.read_all(), all, "{line}");
            rig.logs.close().unwrap();
        }
        let written = String::from_utf8(rig.disk.bytes(path).unwrap()).unwrap();
        assert!(written.contains("later = 5\n") && !written.contains(line), "{written}");
    }
}

/// The checkpoint said that frames tell of producers from an offset on that no frame has yet, so
/// that none was asked, and what was sent again was appended again.
#[test]
fn r3_producers_are_in_frames_that_are_there() {
    let rig = Rig::new();
    let send = |rig: &Rig, sequence| {
        let Batch { payload, records } = Batch::of(sequence);
        let id = ProducerId::from_bytes([7; 16]).unwrap();
        let producer = Some(Producer { id, epoch: 0, sequence });
        let durability = Durability::Synced;
        let append = Append { payload: &payload, records, durability, expected: None, producer };
        let sent = rig.log.append_batch(append).unwrap();
        let told = (sent.base_offset(), sent.is_duplicate());
        rig.logs.work();
        assert!(poll(sent).is_ready());
        told
    };
    let first: Vec<_> = (0..20).map(|sequence| send(&rig, sequence)).collect();
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    claim(&disk, 128, &1_u32.to_le_bytes());
    claim(&disk, 136, &u64::MAX.to_le_bytes());
    let rig = open(&disk);
    for (sequence, (offset, _)) in (0..).zip(first) {
        assert_eq!(send(&rig, sequence), (offset, true), "{sequence}");
    }
}

/// The checkpoint named an incarnation below that of the frame which it named as the last. The
/// frames that were appended then looked as if a recovery had cut them away.
#[test]
fn r6_frames_behind_a_checkpoint_that_lags_behind_its_last_frame_are_the_logs() {
    let rig = Rig::new();
    rig.fill(2);
    let rig = rig.reopen();
    rig.fill(1);
    let mut all = rig.read_all();
    rig.logs.close().unwrap();
    claim(&rig.disk, 56, &0_u64.to_le_bytes());
    let rig = open(&rig.disk);
    all.extend(rig.fill(20));
    rig.logs.scrub();
    assert_eq!(rig.logs.scrubbed().damaged_ranges, 0);
    assert_eq!(rig.read_all(), all);
    let rig = rig.killed();
    assert!(!rig.log.is_damaged());
    assert_eq!(rig.read_all(), all);
}

/// The same of the append time: with the clock set back, the next record was older than the last.
#[test]
fn r15_append_times_do_not_go_back_because_a_checkpoint_lags_behind() {
    let time = SimTime::at(Duration::from_secs(2_000_000_000));
    let with_time = |disk: &SimDisk| {
        let options = Options { time: Arc::new(time.clone()), ..by_hand(small_segments()) };
        Rig::open(disk, options).unwrap()
    };
    let appended = |rig: &Rig| {
        let base = rig.append(&Batch::of(1));
        rig.log.read(base, 1).unwrap().batches().next().unwrap().append_time_us
    };
    let rig = with_time(&SimDisk::new());
    let before = appended(&rig);
    rig.logs.close().unwrap();
    claim(&rig.disk, 64, &0_u64.to_le_bytes());
    time.set_wall(Duration::from_secs(1_000_000_000));
    assert_eq!(appended(&with_time(&rig.disk)), before);
}

/// A checkpoint said that the log starts inside of a segment. The segment's store was removed, as
/// one below the start, with the records that it had above.
#[test]
fn r8_no_store_goes_that_may_have_records_above_the_start() {
    let rig = Rig::new();
    let all = rig.fill(24);
    rig.logs.close().unwrap();
    claim(&rig.disk, 40, &all[1].0.get().to_le_bytes());
    let stores = files(&rig.disk, ".store");
    let rig = open(&rig.disk);
    assert_eq!(rig.log.bounds().start, all[1].0);
    assert_eq!(files(&rig.disk, ".store"), stores);
}

/// Has the second batch of the first store claim what `change` makes of its header, under right
/// checksums, and the index gone. The header of the third is handed over too.
fn second_claims(disk: &SimDisk, change: impl FnOnce(&mut [u8], &[u8])) {
    let path = &files(disk, ".store")[0];
    let mut bytes = disk.bytes(path).unwrap();
    let seed = crc32c::crc32c(&bytes[24..56]);
    let second = behind(&bytes, 128);
    let third = behind(&bytes, second);
    assert!(bytes[behind(&bytes, third)..].starts_with(b"VFRM"), "a fourth in the same store");
    let (before, after) = bytes.split_at_mut(third);
    let header = &mut before[second..second + 88];
    change(header, after);
    let crc = crc32c::crc32c_append(seed, &header[8..]).to_le_bytes();
    header[4..8].copy_from_slice(&crc);
    disk.damage(path, &bytes).unwrap();
    disk.remove(&files(disk, ".index")[0]).unwrap();
}

/// Where the frame stands behind that at `at`.
fn behind(bytes: &[u8], at: usize) -> usize {
    let payload = usize::try_from(number(&bytes[at + 8..])).unwrap();
    (at + 88 + payload).next_multiple_of(8)
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().unwrap())
}

/// All is there but the second batch, of which all is told as damaged, and nothing else.
fn only_the_second_is_lost(rig: &Rig, all: &[(Offset, Batch)]) {
    for (n, (base, batch)) in all.iter().enumerate() {
        match rig.log.read(*base, 1) {
            Ok(chunk) => {
                let found = chunk.batches().next().unwrap();
                assert_eq!(
                    (n != 1, found.base_offset, found.payload),
                    (true, *base, &*batch.payload)
                );
            }
            Err(ReadError::Damaged { from, resume }) => {
                assert_eq!((n, from, resume), (1, *base, Some(all[2].0)));
            }
            Err(other) => panic!("{base}: {other}"),
        }
    }
}

/// Who reads as much as there is comes to all batches but the second.
fn reading_on_leaves_out_the_second_alone(rig: &Rig, all: &[(Offset, Batch)]) {
    let mut seen = Vec::new();
    let Bounds { start: mut offset, end } = rig.log.bounds();
    while offset < end {
        offset = match rig.log.read(offset, 1 << 20) {
            Ok(chunk) => {
                seen.extend(chunk.batches().map(|found| found.base_offset));
                chunk.next_offset()
            }
            Err(ReadError::Damaged { resume: Some(resume), .. }) => resume,
            Err(other) => panic!("{offset}: {other}"),
        };
    }
    assert!(!seen.contains(&all[1].0));
    for (base, _) in all.iter().filter(|(base, _)| *base != all[1].0) {
        assert!(seen.contains(base), "{base}");
    }
}

/// A batch claimed the offsets of the next one too, under an incarnation that was over, and the
/// index was made anew by it: the next batch could not be reached any more, and its offsets were
/// answered with the other's records. Recovery never counted such a frame.
#[test]
fn r9_an_index_that_is_made_anew_leads_to_the_batches_that_recovery_accepts() {
    let rig = Rig::new();
    let all = rig.fill(20);
    rig.logs.close().unwrap();
    second_claims(&rig.disk, |header, next| {
        let claimed = number(&header[12..]) + number(&next[12..]);
        header[12..16].copy_from_slice(&claimed.to_le_bytes());
        header[32] -= 1;
    });
    only_the_second_is_lost(&open(&rig.disk), &all);
}

/// A batch whose payload was broken claimed the offset of the fourth, and an index that was made
/// anew by the headers led to it: the third and the fourth could not be reached any more.
#[test]
fn r9_a_broken_batch_that_claims_the_offset_of_a_later_one_hides_none_that_is_whole() {
    let rig = Rig::new();
    let all = rig.fill(20);
    rig.logs.close().unwrap();
    second_claims(&rig.disk, |header, _| {
        header[16..24].copy_from_slice(&all[3].0.get().to_le_bytes());
    });
    let path = &files(&rig.disk, ".store")[0];
    let mut bytes = rig.disk.bytes(path).unwrap();
    let second = behind(&bytes, 128);
    bytes[second + 88] ^= 1;
    rig.disk.damage(path, &bytes).unwrap();
    let rig = open(&rig.disk);
    only_the_second_is_lost(&rig, &all);
    reading_on_leaves_out_the_second_alone(&rig, &all);
}

/// A batch claimed offsets far behind its segment, and the index was made anew by it, the scrubber
/// and the search for a time went by it: the rest of the segment was lost.
#[test]
fn r9_r10_a_batch_that_claims_offsets_of_other_segments_hides_none_of_its_own() {
    let looks: [fn(&Rig, u64); 3] = [
        |_, _| {},
        |rig, _| rig.logs.scrub(),
        |rig, time_us| {
            let _damage_or_not = rig.log.offset_at_time(time_us);
        },
    ];
    for look in looks {
        let rig = Rig::new();
        let all = rig.fill(20);
        let time_us = rig.log.time_at_us(all[2].0).unwrap().unwrap();
        rig.logs.close().unwrap();
        second_claims(&rig.disk, |header, _| {
            header[16..24].copy_from_slice(&1_000_000_u64.to_le_bytes());
        });
        let rig = open(&rig.disk);
        look(&rig, time_us);
        only_the_second_is_lost(&rig, &all);
    }
}

/// Frames and a footer of the first segment claimed offsets far behind the log. A start that looks
/// at all stores took them for where the log had been durable to, or for its end: it took no more
/// appends, hid the segments behind, or threw them away as never acknowledged.
#[test]
fn r5_r6_claims_of_offsets_of_other_segments_cost_no_other_batch_and_no_append() {
    const FAR: [u8; 4] = 1_000_000_u32.to_le_bytes();
    let offset = |header: &mut [u8], _: &[u8]| header[16..20].copy_from_slice(&FAR);
    let records = |header: &mut [u8], _: &[u8]| header[12..16].copy_from_slice(&FAR);
    let durable_end = |header: &mut [u8], _: &[u8]| header[40..44].copy_from_slice(&FAR);
    type Claim<'a> = &'a dyn Fn(&SimDisk);
    let claims: [(&str, bool, Claim<'_>); 4] = [
        ("offset", true, &|disk| second_claims(disk, offset)),
        ("records", true, &|disk| second_claims(disk, records)),
        ("durable end", false, &|disk| second_claims(disk, durable_end)),
        ("footer", false, &|disk| first_footer_claims(disk, &FAR)),
    ];
    for (what, is_lost, claim) in claims {
        let rig = Rig::new();
        let all = rig.fill(20);
        rig.logs.close().unwrap();
        claim(&rig.disk);
        // A start that believes a checkpoint does not look at the first segment.
        rig.disk.remove(&files(&rig.disk, "checkpoint")[0]).unwrap();
        let told = verify(&rig.disk, Path::new(DATA), &[], 1, &VerifyProgress::default()).unwrap();
        let damage = told.faults.iter().filter(|fault| fault.meaning == Meaning::Damage);
        let damaged: BTreeSet<_> = damage.map(|fault| fault.path.clone()).collect();
        assert_eq!(damaged, [files(&rig.disk, ".store")[0].clone()].into(), "{what}");

        let rig = open(&rig.disk);
        assert!(!rig.log.is_damaged(), "{what}: appends go on");
        let (last, batch) = all.last().unwrap();
        let end = last.get() + u64::from(batch.records.get());
        assert_eq!(rig.append(&Batch::of(3)).get(), end, "{what}");
        if is_lost {
            reading_on_leaves_out_the_second_alone(&rig, &all);
            only_the_second_is_lost(&rig, &all);
        } else {
            for (base, batch) in &all {
                let chunk = rig.log.read(*base, 1).unwrap();
                assert_eq!(chunk.batches().next().unwrap().payload, &*batch.payload, "{what}");
            }
        }
    }
}

fn first_footer_claims(disk: &SimDisk, end: &[u8]) {
    let path = &files(disk, ".store")[0];
    let mut bytes = disk.bytes(path).unwrap();
    let seed = crc32c::crc32c(&bytes[24..56]);
    let at = bytes.len() - 72;
    let footer = &mut bytes[at..];
    assert!(footer.starts_with(b"VFTR"));
    footer[16..16 + end.len()].copy_from_slice(end);
    let crc = crc32c::crc32c_append(seed, &footer[8..]).to_le_bytes();
    footer[4..8].copy_from_slice(&crc);
    disk.damage(path, &bytes).unwrap();
}
