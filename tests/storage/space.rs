//! A disk with little space: what is there is used, and nobody is refused for what one log wants.

use std::io::ErrorKind;
use std::path::Path;
use std::task::Poll;

use varve::log::{
    AckError, Append, AppendError, Disk as _, Durability, LogSettings, Op, Options, SimDisk,
};

use crate::rig::{Batch, DATA, Rig, by_hand, poll};

const BATCH_BYTES: u64 = 30 << 10;
const ONE: std::num::NonZeroU32 = std::num::NonZeroU32::MIN;

fn large_segments() -> LogSettings {
    LogSettings { segment_bytes_max: 8 << 20, ..LogSettings::default() }
}

fn batch(n: u64) -> Batch {
    let mut batch = Batch::of(n);
    batch.payload.resize(usize::try_from(BATCH_BYTES).unwrap(), 5);
    batch
}

/// So many bytes are free from now on.
fn leave_free(disk: &SimDisk, bytes: u64) {
    let much = 1 << 40;
    disk.set_capacity(Some(much));
    let used = much - disk.free_bytes(Path::new(DATA)).unwrap();
    disk.set_capacity(Some(used + bytes));
}

/// The first segment is almost full; the next was to get eight times its capacity.
fn before_a_roll(options: Options) -> Rig {
    let rig = Rig::open(&SimDisk::new(), options).unwrap();
    for n in 0..8 {
        rig.append(&batch(n));
    }
    assert_eq!(rig.files(".store").len(), 1);
    rig
}

/// The whole capacity that the next segment was to have was asked for again and again, and each
/// time all logs were refused until the next look at the disk.
#[test]
fn r11_where_there_is_no_room_for_the_next_segment_a_smaller_one_begins() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(900 << 10));
    let rig = Rig::open(&disk, by_hand(large_segments())).unwrap();
    for n in 0..16 {
        rig.append(&batch(n));
    }
    assert_eq!(rig.files(".store").len(), 2);
    assert_eq!(rig.read_all().len(), 16);
}

#[test]
fn r11_after_a_refused_write_no_more_space_is_asked_for_than_there_is() {
    let rig = before_a_roll(by_hand(large_segments()));
    rig.append(&batch(8));
    rig.disk.fail(Op::Write, 0, ErrorKind::StorageFull);
    let refused = rig.log.append(&batch(9).payload, ONE, Durability::Synced).unwrap();
    rig.logs.work();
    assert_eq!(poll(refused), Poll::Ready(Err(AckError::NoSpace)));
    leave_free(&rig.disk, 100 << 10);
    rig.logs.look_around();
    rig.append(&batch(9));
    assert_eq!(rig.read_all().len(), 10);
}

/// What was made ahead and never needed brought on the shortage that stopped all appends.
#[test]
fn r11_all_but_the_reserve_is_for_records() {
    let options = Options { min_free_bytes: 1 << 20, ..by_hand(large_segments()) };
    let rig = before_a_roll(options);
    let spare = 3 << 20;
    leave_free(&rig.disk, (1 << 20) + spare);
    let mut taken = 0;
    for n in 8.. {
        rig.logs.look_around();
        let pending = match rig.log.append(&batch(n).payload, ONE, Durability::Synced) {
            Ok(pending) => pending,
            Err(AppendError::NoSpace { .. }) => break,
            Err(error) => panic!("{error:?}"),
        };
        rig.logs.work();
        assert_eq!(poll(pending), Poll::Ready(Ok(Durability::Synced)));
        taken += BATCH_BYTES;
    }
    assert!(taken > spare - (512 << 10), "{taken} of {spare}");
}

/// The segment was neither sealed nor written to any more, and the log went on behind it.
#[test]
fn r12_a_write_that_cannot_be_undone_ends_the_log_although_space_is_what_it_lacks() {
    let rig = before_a_roll(by_hand(large_segments()));
    for _ in 0..2 {
        rig.disk.fail_with(Op::SetLen, 0, 28);
    }
    let doomed = rig.log.append(&batch(8).payload, ONE, Durability::Synced).unwrap();
    rig.logs.work();
    assert_eq!(poll(doomed), Poll::Ready(Err(AckError::Failed)));
    assert!(rig.logs.has_failed());
}

/// A stream's batch was dropped for want of space, and the next one was appended before anybody
/// had looked at what became of the first: whoever sent both again had the second twice.
#[test]
fn r11_what_comes_behind_a_dropped_batch_is_not_appended_although_there_is_space_again() {
    let rig = before_a_roll(by_hand(large_segments()));
    let append = |n, before: Option<&_>| {
        let (payload, durability) = (&*batch(n).payload, Durability::Synced);
        let (expected, producer) = (None, None);
        let batch = Append { payload, records: ONE, durability, expected, producer };
        rig.log.append_behind(before, batch)
    };
    let kept = append(8, None).unwrap();
    let first = kept.behind(None);
    rig.logs.work();
    assert_eq!(poll(kept), Poll::Ready(Ok(Durability::Synced)));

    rig.disk.fail(Op::Write, 0, ErrorKind::StorageFull);
    let dropped = append(9, Some(&first)).unwrap();
    let second = dropped.behind(Some(first.clone()));
    rig.logs.work();
    rig.logs.look_around();
    assert_eq!(append(10, Some(&second)).unwrap_err(), AppendError::PredecessorDropped);
    assert_eq!(poll(dropped), Poll::Ready(Err(AckError::NoSpace)));

    // Streams whose batches are there go on.
    for before in [None, Some(&first)] {
        let other = append(11, before).unwrap();
        rig.logs.work();
        assert_eq!(poll(other), Poll::Ready(Ok(Durability::Synced)));
    }
    // Also now that its offset was given out again.
    assert_eq!(append(10, Some(&second)).unwrap_err(), AppendError::PredecessorDropped);
    assert_eq!(rig.read_all().len(), 11);
}
