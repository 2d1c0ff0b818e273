//! Appends that are taken only at an expected end.

use std::num::NonZeroU32;
use std::task::Poll;

use varve::log::{AckError, Append, AppendError, Durability, Offset, Pending};

use crate::rig::{Batch, Rig, poll};

const ONE: NonZeroU32 = NonZeroU32::MIN;

fn append_at(
    rig: &Rig,
    expected: Offset,
    payload: &[u8],
    durability: Durability,
) -> Result<Pending, AppendError> {
    let expected = Some(expected);
    rig.log.append_batch(Append { payload, records: ONE, durability, expected, producer: None })
}

/// Tries to append at `expected`, and returns the end that was met instead.
fn end_met(rig: &Rig, expected: u64) -> Offset {
    let expected = Offset::new(expected);
    match append_at(rig, expected, b"x", Durability::Synced) {
        Err(AppendError::NotAtEnd { expected: told, end }) => {
            assert_eq!(told, expected);
            end
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_batch_is_taken_at_the_end_alone() {
    let rig = Rig::new();
    for n in 0..5 {
        let batch = Batch::of(n);
        let end = rig.log.bounds().end;
        let Batch { payload, records } = &batch;
        let (records, durability, expected) = (*records, Durability::Synced, Some(end));
        let batch = Append { payload, records, durability, expected, producer: None };
        let pending = rig.log.append_batch(batch).unwrap();
        assert_eq!(pending.base_offset(), end);
        rig.logs.work();
        assert_eq!(poll(pending), Poll::Ready(Ok(Durability::Synced)));
        let end = rig.log.bounds().end.get();
        for other in [0, end - 1, end + 1, u64::MAX] {
            assert_eq!(end_met(&rig, other).get(), end);
        }
    }
    let rig = rig.reopen();
    let end = rig.log.bounds().end;
    assert_eq!(end_met(&rig, 0), end);
    assert_eq!(poll(rig.log.settled(end)), Poll::Ready(Ok(Durability::Synced)));
}

/// Two appends at the same end: one is taken, whether or not it is durable yet.
#[test]
fn of_two_at_the_same_end_one_is_taken() {
    let rig = Rig::new();
    let end = Offset::ZERO;
    let _first = append_at(&rig, end, b"x", Durability::Buffered).unwrap();
    assert_eq!(end_met(&rig, 0).get(), 1);
}

#[test]
fn r2_r3_the_end_that_was_met_is_told_once_it_is_durable() {
    for level in [Durability::Buffered, Durability::Written, Durability::Synced] {
        let rig = Rig::new();
        let _other = rig.log.append(b"x", ONE, level).unwrap();
        let end = end_met(&rig, 0);
        let mut settled = rig.log.settled(end);
        assert_eq!(poll(&mut settled), Poll::Pending, "{level:?}");
        assert_eq!(rig.log.bounds().end, Offset::ZERO);
        // No delay of a sync passes here: to ask for the end is to ask for a sync.
        rig.logs.work();
        assert_eq!(poll(&mut settled), Poll::Ready(Ok(Durability::Synced)), "{level:?}");
        assert_eq!(rig.log.bounds().end, end);
    }
}

#[test]
fn r3_r11_an_end_that_is_lost_on_a_full_disk_is_not_told() {
    let rig = Rig::new();
    let kept = rig.fill(2);
    rig.disk.set_capacity(Some(0));
    let before = rig.log.bounds().end;
    let large = vec![7; 8192];
    let _lost = rig.log.append(&large, ONE, Durability::Synced).unwrap();
    let end = end_met(&rig, 0);
    let mut settled = rig.log.settled(end);
    rig.logs.work();
    assert_eq!(poll(&mut settled), Poll::Ready(Err(AckError::NoSpace)));
    assert_eq!(rig.log.bounds().end, before);
    assert_eq!(rig.read_all(), kept);
    assert_eq!(poll(rig.log.settled(before)), Poll::Ready(Ok(Durability::Synced)));
}
