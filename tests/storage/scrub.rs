//! The scrubber finds rot that nobody has read, marks it as a read does, and disturbs nothing.

use std::time::{Duration, Instant};

use varve::log::{Options, ReadError, Scrubbed};

use crate::rig::{Batch, Rig, by_hand, small_segments};

#[test]
fn r10_rot_in_a_sealed_segment_is_found_without_a_reader_and_told_once() {
    let rig = Rig::new();
    let all = rig.fill(24);
    rig.logs.scrub();
    let whole = rig.logs.scrubbed();
    let sealed = u64::try_from(rig.files(".store").len()).unwrap() - 1;
    assert_eq!((whole.segments, whole.damaged_ranges, whole.passes), (sealed, 0, 1));
    assert!(whole.bytes > 128 * sealed && whole.last_pass_us.is_some());

    let path = rig.files(".store").remove(1);
    let mut bytes = rig.disk.bytes(&path).unwrap();
    bytes[128 + 88] ^= 1;
    rig.disk.damage(&path, &bytes).unwrap();
    rig.logs.scrub();
    assert_eq!(rig.logs.scrubbed().damaged_ranges, 1);
    rig.logs.scrub();
    let told = rig.logs.scrubbed();
    assert_eq!((told.damaged_ranges, told.passes), (1, 3), "known damage is no news");

    // Also once the bytes are back: what was damaged is answered so until the next start.
    bytes[128 + 88] ^= 1;
    rig.disk.damage(&path, &bytes).unwrap();
    let base: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let hit = all.iter().find(|(offset, _)| offset.get() == base).unwrap().0;
    assert!(matches!(rig.log.read(hit, 1), Err(ReadError::Damaged { .. })));
    rig.append(&Batch::of(3));
}

#[test]
fn r10_a_header_that_is_gone_and_a_footer_behind_a_gap_are_found() {
    let rig = Rig::new();
    rig.fill(24);
    let stores = rig.files(".store");
    let mut bytes = rig.disk.bytes(&stores[0]).unwrap();
    (bytes[0], bytes[64]) = (0, 0);
    rig.disk.damage(&stores[0], &bytes).unwrap();
    let mut bytes = rig.disk.bytes(&stores[1]).unwrap();
    let last = bytes.windows(4).rposition(|four| four == b"VFRM").unwrap();
    bytes[last + 90] ^= 1;
    rig.disk.damage(&stores[1], &bytes).unwrap();
    let rig = rig.killed();
    rig.logs.scrub();
    assert_eq!(rig.logs.scrubbed().damaged_ranges, 1, "the first was found at the start");
}

#[test]
fn a_segment_that_cannot_be_read_is_counted_and_tried_again() {
    let rig = Rig::new();
    let all = rig.fill(24);
    rig.disk.fail_with(varve::log::Op::Read, 2, 5);
    rig.logs.scrub();
    let first = rig.logs.scrubbed();
    assert_eq!((first.unreadable, first.damaged_ranges), (1, 0));
    rig.logs.scrub();
    let Scrubbed { unreadable, segments, .. } = rig.logs.scrubbed();
    assert_eq!((unreadable, segments), (1, 2 * first.segments + 1));
    assert_eq!(rig.read_all(), all);
}

#[test]
fn the_thread_scrubs_by_itself_and_ends_with_the_set() {
    let rig = Rig::new();
    let all = rig.fill(24);
    rig.logs.close().unwrap();
    let options = Options { flushers: 1, ..by_hand(small_segments()) };
    let rig = Rig::open(&rig.disk, options).unwrap();
    let began = Instant::now();
    while rig.logs.scrubbed().passes == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", rig.logs.scrubbed());
        std::thread::yield_now();
    }
    assert_eq!(rig.read_all(), all);
    rig.logs.close().unwrap();
}
