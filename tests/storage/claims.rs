//! Values that cannot be, under checksums that are right: no sector rots so, but a fault elsewhere
//! can write them, and a log is served all the same.

use varve::log::SimDisk;

use crate::rig::{Batch, Rig, by_hand, files, small_segments};

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
