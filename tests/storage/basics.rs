//! What a log does when nothing goes wrong, and how it refuses.

use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use varve::log::{
    AckError, AppendError, Bounds, CreateError, DEFAULT_LOG, Durability, LogName, LogOverrides,
    LogSettings, Offset, Op, OpenError, Options, ReadError, SimDisk, Stopped, Tear, TrimError,
};

use crate::rig::{Batch, DATA, Rig, by_hand, poll, small_segments};

const ONE: NonZeroU32 = NonZeroU32::MIN;

fn bounds(start: u64, end: u64) -> Bounds {
    Bounds { start: Offset::new(start), end: Offset::new(end) }
}

#[test]
fn r2_a_batch_is_invisible_until_it_is_synced() {
    let rig = Rig::new();
    let pending = rig.log.append(b"x", ONE, Durability::Synced).unwrap();
    assert_eq!(rig.log.bounds(), bounds(0, 0));
    assert!(matches!(rig.log.read(Offset::ZERO, 100), Err(ReadError::OutOfRange { .. })));
    rig.logs.work();
    assert_eq!(poll(pending), Poll::Ready(Ok(Durability::Synced)));
    assert_eq!(rig.log.bounds(), bounds(0, 1));
}

#[test]
fn batches_come_back_in_order_across_segments_and_reopens() {
    let mut rig = Rig::new();
    let mut expected = Vec::new();
    for round in 0..4 {
        for n in round * 20..(round + 1) * 20 {
            let batch = Batch::of(n);
            expected.push((rig.append(&batch), batch));
        }
        assert_eq!(rig.read_all(), expected);
        rig = rig.reopen();
        assert_eq!(rig.read_all(), expected);
    }
    assert!(rig.files(".store").len() > 5, "{:?}", rig.files(".store"));
    let mut next = Offset::ZERO;
    for (base, batch) in &expected {
        assert_eq!(*base, next, "offsets are dense");
        next = base.plus(u64::from(batch.records.get()));
    }
}

#[test]
fn a_read_may_start_inside_a_batch_and_says_where_that_begins() {
    let rig = Rig::new();
    let three = Batch::of(2);
    assert_eq!(three.records.get(), 3);
    rig.append(&Batch::of(0));
    let base = rig.append(&three);
    for inside in 0..3 {
        let chunk = rig.log.read(base.plus(inside), 10).unwrap();
        let first = chunk.batches().next().unwrap();
        assert_eq!((first.base_offset, first.records), (base, 3));
        assert_eq!(first.payload, three.payload);
    }
}

#[test]
fn an_append_while_the_index_is_full_rolls() {
    let settings = LogSettings { index_bytes_max: 12 * 3 + 7, ..LogSettings::default() };
    let rig = Rig::open(&SimDisk::new(), by_hand(settings)).unwrap();
    let expected = rig.fill(10);
    assert_eq!(rig.files(".store").len(), 4, "three frames a segment");
    assert_eq!(rig.read_all(), expected);
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_of_its_own() {
    let rig = Rig::new();
    let large = Batch { payload: vec![7; 20_000], records: ONE };
    let expected: Vec<_> = [Batch::of(1), large, Batch::of(2)]
        .into_iter()
        .map(|batch| (rig.append(&batch), batch))
        .collect();
    assert_eq!(rig.files(".store").len(), 3);
    assert_eq!(rig.read_all(), expected);
    assert_eq!(rig.killed().read_all(), expected);
}

#[test]
fn r1_each_level_is_acknowledged_at_its_own_step() {
    let rig = Rig::new();
    let [buffered, written, synced] =
        [Durability::Buffered, Durability::Written, Durability::Synced]
            .map(|level| rig.log.append(b"x", ONE, level).unwrap());
    assert_eq!(poll(buffered), Poll::Ready(Ok(Durability::Buffered)));
    let (mut written, mut synced) = (written, synced);
    assert_eq!((poll(&mut written), poll(&mut synced)), (Poll::Pending, Poll::Pending));
    rig.logs.work();
    assert_eq!(poll(synced), Poll::Ready(Ok(Durability::Synced)));
    assert_eq!(poll(written), Poll::Ready(Ok(Durability::Synced)), "the group was synced");
}

#[test]
fn r1_a_written_batch_is_acknowledged_before_its_sync() {
    let rig = Rig::new();
    rig.append(&Batch::of(0));
    let syncs = |rig: &Rig| rig.disk.trace().iter().filter(|(op, _)| *op == Op::Sync).count();
    let before = syncs(&rig);
    let pending = rig.log.append(b"x", ONE, Durability::Written).unwrap();
    rig.logs.work();
    assert_eq!(poll(pending), Poll::Ready(Ok(Durability::Written)));
    assert_eq!(syncs(&rig), before, "nothing was synced yet");
    assert_eq!(rig.log.bounds(), bounds(0, 1), "consumers do not see it yet");
    let read = rig.log.read(Offset::new(1), 100);
    assert!(matches!(read, Err(ReadError::OutOfRange { .. })), "{read:?}");
}

#[test]
fn one_sync_acknowledges_all_that_wait() {
    let rig = Rig::new();
    rig.append(&Batch::of(0));
    let syncs = |rig: &Rig| rig.disk.trace().iter().filter(|(op, _)| *op == Op::Sync).count();
    let before = syncs(&rig);
    let pending: Vec<_> =
        (0..5).map(|_| rig.log.append(b"x", ONE, Durability::Synced).unwrap()).collect();
    rig.logs.work();
    assert!(pending.into_iter().all(|p| poll(p) == Poll::Ready(Ok(Durability::Synced))));
    assert_eq!(syncs(&rig), before + 1);
}

#[test]
fn r13_a_batch_beyond_the_pending_bytes_is_refused_at_once() {
    let options = Options { pending_bytes_max: 1000, ..by_hand(small_segments()) };
    let rig = Rig::open(&SimDisk::new(), options).unwrap();
    let append = || rig.log.append(&[0; 300], ONE, Durability::Synced);
    let pending = [append().unwrap(), append().unwrap()];
    assert!(matches!(append(), Err(AppendError::Busy { limit: 1000, .. })));
    rig.logs.work();
    assert!(pending.into_iter().all(|p| poll(p).is_ready()));
    assert!(append().is_ok());
}

#[test]
fn a_batch_over_the_limit_is_refused_with_both_sizes() {
    let settings = LogSettings { batch_bytes_max: 10, ..small_segments() };
    let rig = Rig::open(&SimDisk::new(), by_hand(settings)).unwrap();
    let refused = rig.log.append(&[0; 11], ONE, Durability::Synced).unwrap_err();
    assert_eq!(refused, AppendError::TooLarge { bytes: 11, limit: 10 });
    assert!(rig.log.append(&[0; 10], ONE, Durability::Synced).is_ok());
}

#[test]
fn a_consumer_parked_at_the_tail_is_woken_past_its_offset() {
    let rig = Rig::new();
    let mut past = rig.log.past(Offset::ZERO);
    assert_eq!(poll(&mut past), Poll::Pending);
    rig.append(&Batch::of(0));
    assert_eq!(poll(past), Poll::Ready(Ok(Offset::new(1))));
    let mut later = rig.log.past(Offset::new(1));
    assert_eq!(poll(&mut later), Poll::Pending);
    rig.logs.close().unwrap();
    assert_eq!(poll(later), Poll::Ready(Err(Stopped::Closed)));
}

#[test]
fn reads_outside_the_log_name_its_bounds() {
    let rig = Rig::new();
    rig.append(&Batch::of(0));
    for offset in [1, 2, u64::MAX].map(Offset::new) {
        let read = rig.log.read(offset, 100);
        let Err(ReadError::OutOfRange { start, end, .. }) = read else { panic!("{read:?}") };
        assert_eq!((start.get(), end.get()), (0, 1));
    }
}

#[test]
fn a_trim_drops_whole_segments_and_is_kept() {
    let rig = Rig::new();
    let all = rig.fill(40);
    let before = all[20].0;
    let stores = rig.files(".store").len();
    let start = rig.log.trim(before).unwrap().start;
    assert!(start > Offset::ZERO && start <= before);
    assert!(rig.files(".store").len() < stores);
    let kept: Vec<_> = all.into_iter().filter(|(base, _)| *base >= start).collect();
    assert_eq!(rig.read_all(), kept);
    let below = rig.log.read(Offset::ZERO, 100);
    assert!(matches!(below, Err(ReadError::OutOfRange { start: s, .. }) if s == start));
    let rig = rig.killed();
    assert_eq!(rig.log.bounds().start, start);
    assert_eq!(rig.reopen().read_all(), kept);
}

#[test]
fn r8_a_log_that_was_trimmed_whole_goes_on_at_its_old_end() {
    let rig = Rig::new();
    rig.fill(10);
    let end = rig.log.bounds().end;
    assert_eq!(rig.log.trim(end).unwrap().start, end);
    assert_eq!(rig.files(".store").len(), 0);
    let rig = rig.killed().reopen();
    assert_eq!(rig.log.bounds(), Bounds { start: end, end });
    assert_eq!(rig.append(&Batch::of(1)), end);
    let rig = rig.killed();
    assert_eq!(rig.read_all(), vec![(end, Batch::of(1))]);
}

/// A segment that has no record yet ends where it begins, below any trim. It was dropped under the
/// writer's feet, and what was appended next went into a file without a name.
#[test]
fn a_trim_leaves_the_empty_active_segment() {
    let rig = Rig::new();
    rig.fill(8);
    // The footer, both headers, then the frame itself.
    rig.disk.fail(Op::Write, 2, ErrorKind::StorageFull);
    let refused = rig.log.append(b"x", ONE, Durability::Synced).unwrap();
    rig.logs.work();
    assert_eq!(poll(refused), Poll::Ready(Err(AckError::NoSpace)), "its segment is there, empty");
    let end = rig.log.bounds().end;
    let rig = rig.reopen();
    assert_eq!(rig.log.trim(end).unwrap().start, end);
    let base = rig.append(&Batch::of(1));
    assert_eq!(rig.killed().read_all(), vec![(base, Batch::of(1))]);
}

#[test]
fn a_trim_beyond_the_end_changes_nothing() {
    let rig = Rig::new();
    let all = rig.fill(10);
    let beyond = rig.log.bounds().end.plus(1);
    assert!(matches!(rig.log.trim(beyond), Err(TrimError::BeyondEnd { .. })));
    assert_eq!(rig.read_all(), all);
}

#[test]
fn a_closed_log_takes_nothing_and_is_closed_once() {
    let rig = Rig::new();
    rig.append(&Batch::of(0));
    let late = rig.log.append(b"x", ONE, Durability::Synced).unwrap();
    rig.logs.close().unwrap();
    assert_eq!(poll(late), Poll::Ready(Ok(Durability::Synced)), "what was taken is kept");
    assert_eq!(rig.log.append(b"x", ONE, Durability::Synced).unwrap_err(), AppendError::Closed);
    rig.logs.close().unwrap();
}

#[test]
fn r17_a_start_after_a_clean_stop_changes_nothing() {
    let rig = Rig::new();
    let all = rig.fill(20);
    rig.logs.close().unwrap();
    let steps = rig.disk.steps();
    let rig = Rig::open(&rig.disk, by_hand(small_segments())).unwrap();
    let touched: Vec<_> =
        rig.disk.trace().into_iter().skip(usize::try_from(steps).unwrap()).collect();
    let harmless = |op: Op| matches!(op, Op::Create | Op::SyncDirectory);
    assert!(touched.iter().all(|(op, _)| harmless(*op)), "{touched:?}");
    assert_eq!(rig.read_all(), all);
}

#[test]
fn a_log_without_records_owns_a_directory_and_a_meta_file() {
    let rig = Rig::new();
    let names: Vec<_> = rig.files("").iter().map(|p| p.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["meta"]);
}

#[test]
fn named_logs_are_apart_and_survive() {
    let rig = Rig::new();
    let name = LogName::parse("orders.eu").unwrap();
    let orders = rig.logs.create(&name, LogOverrides::default()).unwrap();
    let again = rig.logs.create(&name, LogOverrides::default());
    assert!(matches!(again, Err(CreateError::Exists { .. })));
    let pending = orders.append(b"order", ONE, Durability::Synced).unwrap();
    rig.logs.work();
    assert_eq!(poll(pending), Poll::Ready(Ok(Durability::Synced)));
    assert_ne!(orders.id(), rig.log.id());
    let (id, rig) = (orders.id(), rig.killed());
    let orders = rig.logs.get("orders.eu").unwrap();
    assert_eq!((orders.id(), orders.bounds()), (id, bounds(0, 1)));
    assert_eq!(rig.log.bounds(), bounds(0, 0));
}

#[test]
fn more_logs_than_the_limit_are_refused() {
    let options = Options { logs_max: 2, ..by_hand(small_segments()) };
    let rig = Rig::open(&SimDisk::new(), options).unwrap();
    let create = |name| rig.logs.create(&LogName::parse(name).unwrap(), LogOverrides::default());
    create("a").unwrap();
    assert!(matches!(create("b"), Err(CreateError::TooMany { logs: 2 })));
}

#[test]
fn r14_a_second_owner_is_refused() {
    let rig = Rig::new();
    let second = Rig::open(&rig.disk, by_hand(small_segments()));
    assert!(matches!(second.unwrap_err(), OpenError::Owned { .. }));
    rig.logs.close().unwrap();
    Rig::open(&rig.disk, by_hand(small_segments())).unwrap();
}

#[test]
fn r11_a_full_disk_refuses_appends_and_space_brings_them_back() {
    let rig = Rig::new();
    let mut all = rig.fill(3);
    rig.disk.set_capacity(Some(0));
    let mut refused = Vec::new();
    for n in 100..130 {
        let batch = Batch::of(n);
        match rig.log.append(&batch.payload, batch.records, Durability::Synced) {
            Ok(pending) => {
                let base = pending.base_offset();
                rig.logs.work();
                match poll(pending) {
                    Poll::Ready(Ok(_)) => all.push((base, batch)),
                    Poll::Ready(Err(error)) => refused.push(error),
                    Poll::Pending => panic!("everyone is answered"),
                }
            }
            Err(error) => {
                assert!(matches!(error, AppendError::NoSpace { .. }), "{error:?}");
                break;
            }
        }
    }
    assert_eq!(refused, [AckError::NoSpace], "the first that needs space is told");
    assert_eq!(rig.read_all(), all, "reads go on, and nothing refused is there");
    assert!(!rig.logs.has_failed());
    rig.disk.set_capacity(None);
    let rig = rig.reopen();
    let more = Batch::of(200);
    all.push((rig.append(&more), more));
    assert_eq!(rig.killed().read_all(), all);
}

/// On a file system that copies on write, overwriting a slot in place can find no space. That was
/// fatal, though nothing rests on a checkpoint before a trim.
#[test]
fn r11_a_checkpoint_without_space_ends_nothing() {
    let rig = Rig::new();
    let all = rig.fill(30);
    let before = all[10].0;
    rig.disk.fail(Op::Write, 0, ErrorKind::StorageFull);
    assert!(matches!(rig.log.trim(before), Err(TrimError::Io(_))));
    assert_eq!(rig.read_all(), all, "the start is where it was");
    rig.disk.fail(Op::Write, 0, ErrorKind::StorageFull);
    rig.logs.close().unwrap();
    let rig = Rig::open(&rig.disk, by_hand(small_segments())).unwrap();
    assert_eq!(rig.read_all(), all);
}

#[test]
fn r11_a_refused_write_leaves_no_trace_that_recovery_could_find() {
    let rig = Rig::new();
    let mut all = rig.fill(2);
    rig.disk.fail(Op::Write, 0, ErrorKind::StorageFull);
    let lost = rig.log.append(&[9; 50], ONE, Durability::Synced).unwrap();
    rig.logs.work();
    assert_eq!(poll(lost), Poll::Ready(Err(AckError::NoSpace)));
    let rig = rig.killed();
    assert_eq!(rig.read_all(), all);
    all.push((rig.append(&Batch::of(5)), Batch::of(5)));
    assert_eq!(rig.read_all(), all);
}

/// A write that found no space took the space for the footer with it, and sealing was fatal.
#[test]
fn r11_a_segment_that_cannot_be_sealed_for_lack_of_space_stays_active() {
    let rig = Rig::new();
    let mut all = rig.fill(7);
    let refused = |rig: &Rig| {
        let pending = rig.log.append(&[9; 500], ONE, Durability::Synced).unwrap();
        rig.logs.work();
        assert_eq!(poll(pending), Poll::Ready(Err(AckError::NoSpace)));
        assert!(!rig.logs.has_failed());
    };
    rig.disk.fail(Op::Write, 0, ErrorKind::StorageFull);
    refused(&rig);
    let rig = rig.reopen();
    all.push((rig.append(&Batch::of(8)), Batch::of(8)));
    // The segment is full now; its footer finds no space, then it does.
    rig.disk.fail(Op::Write, 0, ErrorKind::StorageFull);
    refused(&rig);
    assert_eq!(rig.read_all(), all);
    let rig = rig.reopen();
    all.push((rig.append(&Batch::of(9)), Batch::of(9)));
    assert_eq!(rig.files(".store").len(), 2);
    assert_eq!(rig.killed().read_all(), all);
}

fn fatal_counter() -> (Arc<AtomicUsize>, Options) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let on_fatal = Arc::new(move |_: &_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    (calls, Options { on_fatal, ..by_hand(small_segments()) })
}

#[test]
fn r12_after_a_failed_sync_nothing_is_acknowledged_any_more() {
    let (fatal, options) = fatal_counter();
    let rig = Rig::open(&SimDisk::new(), options).unwrap();
    let all = rig.fill(3);
    let mut parked = rig.log.past(rig.log.bounds().end);
    assert_eq!(poll(&mut parked), Poll::Pending);
    rig.disk.fail(Op::Sync, 0, ErrorKind::Other);
    let doomed = rig.log.append(b"x", ONE, Durability::Synced).unwrap();
    rig.logs.work();
    assert_eq!(poll(doomed), Poll::Ready(Err(AckError::Failed)));
    assert_eq!(poll(parked), Poll::Ready(Err(Stopped::Failed)));
    assert_eq!(rig.log.append(b"x", ONE, Durability::Synced).unwrap_err(), AppendError::Failed);
    assert_eq!(fatal.load(Ordering::SeqCst), 1);
    assert!(rig.logs.has_failed());
    rig.logs.work();
    assert_eq!(rig.read_all(), all, "what failed never becomes visible");
    let steps = rig.disk.steps();
    rig.logs.close().unwrap_err();
    assert_eq!(rig.disk.steps(), steps, "no checkpoint of a failed log, and no second sync");
    let after = rig.disk.after_power_cut(varve::log::Tear::LoseAll);
    let rig = Rig::open(&after, by_hand(small_segments())).unwrap();
    assert_eq!(rig.read_all(), all);
}

/// A sync that failed for lack of space was taken for a write that could be undone: it was tried
/// again, succeeded, and batches that the first one had lost were acknowledged.
#[test]
fn r12_a_sync_that_fails_for_lack_of_space_is_fatal_too() {
    let rig = Rig::new();
    let all = rig.fill(1);
    let group: Vec<_> =
        (0..11).map(|_| rig.log.append(b"x", ONE, Durability::Synced).unwrap()).collect();
    rig.disk.fail(Op::Sync, 0, ErrorKind::StorageFull);
    rig.logs.work();
    for pending in group {
        assert_eq!(poll(pending), Poll::Ready(Err(AckError::Failed)));
    }
    assert!(rig.logs.has_failed());
    let after = rig.disk.after_power_cut(varve::log::Tear::LoseAll);
    assert_eq!(Rig::open(&after, by_hand(small_segments())).unwrap().read_all(), all);
}

/// The queues were sized by the limit alone, and appends to the logs beyond it were never flushed.
#[test]
fn more_logs_on_disk_than_the_limit_are_all_served() {
    let rig = Rig::new();
    for n in 0..80 {
        let name = LogName::parse(&format!("log-{n}")).unwrap();
        rig.logs.create(&name, LogOverrides::default()).unwrap();
    }
    let options = Options { logs_max: 1, ..by_hand(small_segments()) };
    rig.logs.close().unwrap();
    let rig = Rig::open(&rig.disk, options).unwrap();
    let appends: Vec<_> = rig
        .logs
        .list()
        .iter()
        .map(|log| log.append(b"x", ONE, Durability::Synced).unwrap())
        .collect();
    rig.logs.work();
    assert_eq!(appends.len(), 81);
    assert!(appends.into_iter().all(|p| poll(p) == Poll::Ready(Ok(Durability::Synced))));
}

#[test]
fn r12_a_failed_directory_sync_is_fatal_too() {
    let (fatal, options) = fatal_counter();
    let rig = Rig::open(&SimDisk::new(), options).unwrap();
    rig.disk.fail(Op::SyncDirectory, 0, ErrorKind::Other);
    let doomed = rig.log.append(b"x", ONE, Durability::Synced).unwrap();
    rig.logs.work();
    assert_eq!(poll(doomed), Poll::Ready(Err(AckError::Failed)));
    assert_eq!(fatal.load(Ordering::SeqCst), 1);
}

/// A roll before it may have been waiting for the same sync.
#[test]
fn r12_a_directory_sync_that_fails_in_a_trim_is_fatal_too() {
    let (fatal, options) = fatal_counter();
    let rig = Rig::open(&SimDisk::new(), options).unwrap();
    let all = rig.fill(30);
    rig.disk.fail(Op::SyncDirectory, 0, ErrorKind::Other);
    assert!(matches!(rig.log.trim(all[20].0), Err(TrimError::Unavailable)));
    assert_eq!(fatal.load(Ordering::SeqCst), 1);
    assert!(rig.log.append(b"x", ONE, Durability::Synced).is_err());
    let rig =
        Rig::open(&rig.disk.after_power_cut(Tear::LoseAll), by_hand(small_segments())).unwrap();
    assert!(all.ends_with(&rig.read_all()) && rig.log.bounds().start <= all[20].0);
}

#[test]
fn r12_a_failed_read_fails_that_read_alone() {
    let rig = Rig::new();
    let all = rig.fill(3);
    rig.disk.fail(Op::Read, 0, ErrorKind::Other);
    assert!(matches!(rig.log.read(Offset::ZERO, 100), Err(ReadError::Io(_))));
    assert_eq!(rig.read_all(), all);
}

#[test]
fn r12_a_failed_index_sync_costs_nothing() {
    let rig = Rig::new();
    rig.disk.fail(Op::SyncMap, 0, ErrorKind::Other);
    let all = rig.fill(30);
    assert_eq!(rig.read_all(), all);
    assert!(!rig.logs.has_failed());
}

#[test]
fn r7_bytes_that_a_failed_sync_left_in_the_cache_are_written_anew_before_they_are_served() {
    let rig = Rig::new();
    let mut all = rig.fill(2);
    rig.disk.fail(Op::Sync, 0, ErrorKind::Other);
    let batch = Batch::of(7);
    let lost = rig.log.append(&batch.payload, batch.records, Durability::Synced).unwrap();
    all.push((lost.base_offset(), batch));
    rig.logs.work();
    assert_eq!(poll(lost), Poll::Ready(Err(AckError::Failed)));
    drop(rig.logs);
    // The process starts again on the same kernel: the cache shows the batch as clean bytes.
    let disk = rig.disk;
    drop(rig.log);
    let rig = Rig::open(&disk, by_hand(small_segments())).unwrap();
    assert_eq!(rig.read_all(), all, "unknown turned out as there");
    let after = disk.after_power_cut(varve::log::Tear::LoseAll);
    assert_eq!(Rig::open(&after, by_hand(small_segments())).unwrap().read_all(), all);
}

#[test]
fn r15_append_times_never_go_back_and_a_reopened_log_goes_on_from_the_last() {
    let mut rig = Rig::new();
    let mut last = 0;
    for _ in 0..3 {
        let times: Vec<u64> = (0..5)
            .map(|_| {
                let pending = rig.log.append(b"x", ONE, Durability::Synced).unwrap();
                rig.logs.work();
                pending.append_time_us()
            })
            .collect();
        assert!(times.iter().all(|time| *time >= last) && times.is_sorted(), "{times:?}");
        last = *times.last().unwrap();
        rig = rig.reopen();
    }
}

#[test]
fn a_segment_rolls_by_age() {
    let settings = LogSettings { segment_age_max: Some(Duration::ZERO), ..LogSettings::default() };
    let options = Options { flushers: 1, ..by_hand(settings) };
    let disk = SimDisk::new();
    let logs = varve::log::Logs::open(Path::new(DATA), Arc::new(disk.clone()), options).unwrap();
    let log = logs.get(DEFAULT_LOG).unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while crate::rig::files(&disk, ".store").len() < 2 {
        assert!(std::time::Instant::now() < deadline, "the housekeeper rolls about once a second");
        crate::rig::wait(log.append(b"x", ONE, Durability::Synced).unwrap()).unwrap();
        std::thread::yield_now();
    }
    logs.close().unwrap();
}
