//! Files of a newer release: refused where a start looks, never served, never changed.

use std::path::Path;

use varve::log::{Offset, OpenError, ReadError, SimDisk, Tear};

use crate::damage::snapshot;
use crate::rig::{Batch, Rig, by_hand, files, small_segments};

/// Makes the bytes at `at` those of a newer release, in each of the places of a file that have a
/// checksum of `covered`.
fn newer(disk: &SimDisk, path: &Path, (at, bytes): (usize, &[u8])) {
    let mut file = disk.bytes(path).unwrap();
    let is_store = path.extension().is_some();
    let (places, covered, crc_at) =
        if is_store { ([0, 64], 0..60, 60) } else { ([0, 4096], 12..160, 8) };
    for place in places.map(|place| place..place + 160) {
        let place = &mut file[place];
        place[at..at + bytes.len()].copy_from_slice(bytes);
        let crc = crc32c::crc32c(&place[covered.clone()]).to_le_bytes();
        place[crc_at..crc_at + 4].copy_from_slice(&crc);
    }
    disk.damage(path, &file).unwrap();
}

const VERSION_2: (usize, &[u8]) = (8, &[2]);
const FEATURE: (usize, &[u8]) = (17, &[4]);
const CHECKPOINT_VERSION_2: (usize, &[u8]) = (12, &[2]);

/// After a kill each store is looked at. After a stop in order the last one is, and the checkpoint,
/// which vouches for the others.
#[test]
fn data_of_a_newer_format_is_refused_and_unchanged() {
    let rig = Rig::new();
    rig.fill(24);
    let killed = rig.disk.after_power_cut(Tear::KeepAll);
    rig.logs.close().unwrap();
    let closed = rig.disk.after_power_cut(Tear::KeepAll);
    let stores = files(&killed, ".store");
    let mut cases: Vec<_> = stores.iter().map(|store| (&killed, store, VERSION_2)).collect();
    cases.extend(stores.iter().map(|store| (&killed, store, FEATURE)));
    let last = stores.last().unwrap();
    let checkpoint = &files(&closed, "checkpoint")[0];
    cases.extend([(&closed, last, VERSION_2), (&closed, last, FEATURE)]);
    cases.extend([&killed, &closed].map(|disk| (disk, checkpoint, CHECKPOINT_VERSION_2)));
    for (disk, path, change) in cases {
        let copy = disk.after_power_cut(Tear::KeepAll);
        newer(&copy, path, change);
        let before = snapshot(&copy);
        let refused = Rig::open(&copy, by_hand(small_segments())).unwrap_err();
        assert!(
            matches!(&refused, OpenError::NewerFormat { path: p, .. } if p == path),
            "{refused:?}"
        );
        assert_eq!(snapshot(&copy), before, "{path:?}");
    }
}

/// No release writes that: its checkpoint would be a newer one too. What this release cannot read
/// is damaged to it until a start has to look at all stores; nothing of it is served or changed.
#[test]
fn r6_a_segment_of_a_newer_format_that_a_checkpoint_vouched_for_is_not_served_and_not_changed() {
    let rig = Rig::new();
    let all = rig.fill(24);
    rig.logs.close().unwrap();
    let second = files(&rig.disk, ".store")[1].clone();
    let behind: u64 = second.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let first = files(&rig.disk, ".store")[0].clone();
    newer(&rig.disk, &first, FEATURE);
    let bytes = rig.disk.bytes(&first).unwrap();
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    let rig = Rig::open(&disk, by_hand(small_segments())).unwrap();
    for (base, batch) in &all {
        match rig.log.read(*base, 1) {
            Ok(chunk) => {
                assert!(base.get() >= behind, "{base} was served");
                assert_eq!(chunk.batches().next().unwrap().payload, &*batch.payload);
            }
            Err(ReadError::Damaged { from, resume }) => {
                assert_eq!((from, resume), (*base, Some(Offset::new(behind))));
            }
            Err(other) => panic!("{base}: {other}"),
        }
    }
    rig.append(&Batch::of(7));
    let killed = rig.disk.after_power_cut(Tear::KeepAll);
    let before = snapshot(&killed);
    let refused = Rig::open(&killed, by_hand(small_segments())).unwrap_err();
    assert!(matches!(refused, OpenError::NewerFormat { .. }), "{refused:?}");
    assert_eq!(snapshot(&killed), before);
    assert_eq!(killed.bytes(&first).unwrap(), bytes);
}
