//! Named readers: their rules, their file through restarts, power cuts, faults and damage.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use varve::log::{
    Disk as _, LogName, LogOverrides, Offset, Op, Options, Reader, ReaderAction, ReaderError,
    ReaderName, ReaderOrder, SimDisk, Tear,
};

use crate::rig::{DATA, Rig, by_hand, small_segments};

type Answer = Result<Reader, ReaderError>;

fn path() -> PathBuf {
    Path::new(DATA).join("logs/default/readers")
}

fn name(text: &str) -> ReaderName {
    ReaderName::parse(text).unwrap()
}

fn order(reader: &str, action: ReaderAction) -> ReaderOrder {
    let subject = "ann".to_owned();
    ReaderOrder { name: name(reader), subject, any_owner: false, action }
}

fn to(reader: &str, offset: u64) -> ReaderOrder {
    order(reader, ReaderAction::Commit { offset: Offset::new(offset), force: false })
}

fn forced(reader: &str, offset: u64) -> ReaderOrder {
    order(reader, ReaderAction::Commit { offset: Offset::new(offset), force: true })
}

fn delete(reader: &str) -> ReaderOrder {
    order(reader, ReaderAction::Delete)
}

fn run(rig: &Rig, order: ReaderOrder) -> Answer {
    let mut answers = rig.log.change_readers(&[order]);
    assert_eq!(answers.len(), 1);
    answers.pop().unwrap()
}

fn offset(answer: Answer) -> Result<u64, ReaderError> {
    answer.map(|reader| reader.offset.get())
}

/// Where all readers stand.
fn positions(rig: &Rig) -> BTreeMap<String, u64> {
    let readers = rig.log.readers().unwrap();
    readers.into_iter().map(|r| (r.name.to_string(), r.offset.get())).collect()
}

fn at(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(name, offset)| ((*name).to_owned(), *offset)).collect()
}

fn open(disk: &SimDisk) -> Rig {
    Rig::open(disk, by_hand(small_segments())).unwrap()
}

/// A log of 19 records.
fn rig() -> Rig {
    let rig = Rig::new();
    rig.fill(10);
    assert_eq!(rig.log.bounds().end, Offset::new(19));
    rig
}

#[test]
fn readers_are_there_until_they_are_deleted_also_after_a_restart_and_a_kill() {
    let rig = rig();
    assert_eq!((rig.log.readers().unwrap(), rig.log.readers_lowest()), (vec![], Ok(None)));
    for (reader, offset) in [("b", 7), ("a.b-c_d", 12), ("c", 0)] {
        let made = run(&rig, to(reader, offset)).unwrap();
        assert_eq!((made.offset, &*made.owner), (Offset::new(offset), "ann"));
        assert_eq!(rig.log.reader(&name(reader)), Ok(Some(made)));
    }
    let listed = rig.log.readers().unwrap();
    let rig = rig.reopen().killed();
    assert_eq!(rig.log.readers().unwrap(), listed, "to the microsecond");
    assert_eq!(positions(&rig), at(&[("a.b-c_d", 12), ("b", 7), ("c", 0)]));
    assert_eq!(rig.log.readers_lowest(), Ok(Some(Offset::ZERO)));
    assert_eq!(offset(run(&rig, delete("c"))), Ok(0), "as it stood");
    assert_eq!(run(&rig, delete("c")), Err(ReaderError::NotFound));
    assert_eq!(rig.log.reader(&name("c")), Ok(None));
    let rig = rig.killed();
    assert_eq!(positions(&rig), at(&[("a.b-c_d", 12), ("b", 7)]));
    assert_eq!(rig.log.readers_lowest(), Ok(Some(Offset::new(7))));
}

#[test]
fn a_reader_stands_within_the_log_and_goes_back_only_by_force() {
    let rig = rig();
    assert_eq!(offset(run(&rig, to("a", 19))), Ok(19), "the end is no record, but a position");
    let (start, end) = (Offset::ZERO, Offset::new(19));
    for order in [to("a", 20), forced("a", 20), to("new", u64::MAX)] {
        let ReaderAction::Commit { offset, .. } = order.action else { unreachable!() };
        assert_eq!(run(&rig, order), Err(ReaderError::OutOfRange { offset, start, end }));
    }
    let ahead = ReaderError::Ahead { offset: Offset::new(18), current: end };
    assert_eq!(run(&rig, to("a", 18)), Err(ahead));
    assert_eq!(offset(run(&rig, forced("a", 3))), Ok(3));
    assert_eq!(offset(run(&rig, to("a", 3))), Ok(3));
    let start = rig.log.trim(Offset::new(17)).unwrap().start;
    assert_eq!(start, Offset::new(15));
    let (offset_3, below) = (Offset::new(3), Offset::new(start.get() - 1));
    for (order, offset) in [(to("a", 3), offset_3), (forced("a", below.get()), below)] {
        assert_eq!(run(&rig, order), Err(ReaderError::OutOfRange { offset, start, end }));
    }
    assert_eq!(positions(&rig), at(&[("a", 3)]), "it is left where it was");
    assert_eq!(offset(run(&rig, to("a", start.get()))), Ok(start.get()));
}

#[test]
fn what_was_appended_and_is_not_durable_is_out_of_range() {
    let rig = rig();
    let _pending =
        rig.log.append(b"x", std::num::NonZeroU32::MIN, varve::log::Durability::Written).unwrap();
    rig.logs.work();
    assert!(matches!(run(&rig, to("a", 20)), Err(ReaderError::OutOfRange { .. })));
}

#[test]
fn a_reader_belongs_to_who_made_it() {
    let rig = rig();
    run(&rig, to("a", 5)).unwrap();
    let by_bob = |order: ReaderOrder| ReaderOrder { subject: "bob".to_owned(), ..order };
    let by_chief = |order: ReaderOrder| ReaderOrder { any_owner: true, ..by_bob(order) };
    assert_eq!(run(&rig, by_bob(to("a", 6))), Err(ReaderError::Owned));
    assert_eq!(run(&rig, by_bob(delete("a"))), Err(ReaderError::NotFound));
    let moved = run(&rig, by_chief(to("a", 7))).unwrap();
    assert_eq!((moved.offset.get(), &*moved.owner), (7, "ann"), "the owner stays");
    assert_eq!(offset(run(&rig, by_chief(delete("a")))), Ok(7));
    assert_eq!(run(&rig, by_bob(to("a", 1))).unwrap().owner, "bob", "the name is free again");
    let long = ReaderOrder { subject: "x".repeat(256), ..to("z", 1) };
    assert_eq!(run(&rig, long), Err(ReaderError::OwnerTooLong { bytes: 256 }));
    let longest = ReaderOrder { subject: "x".repeat(255), ..to(&"z".repeat(128), 1) };
    let made = run(&rig, longest).unwrap();
    assert_eq!(rig.killed().log.reader(&made.name), Ok(Some(made)));
}

#[test]
fn a_log_has_so_many_readers_and_no_more() {
    let options = Options { readers_per_log_max: 3, ..by_hand(small_segments()) };
    let rig = Rig::open(&SimDisk::new(), options).unwrap();
    let too_many = Err(ReaderError::TooMany { readers: 3, limit: 3 });
    let answers = rig.log.change_readers(&["a", "b", "c", "d"].map(|reader| to(reader, 0)));
    assert!(answers[..3].iter().all(Result::is_ok));
    assert_eq!(answers[3], too_many);
    assert_eq!(run(&rig, to("d", 0)), too_many);
    assert!(run(&rig, to("a", 0)).is_ok(), "one that there is");
    let answers = rig.log.change_readers(&[delete("b"), to("d", 0), to("e", 0)]);
    assert_eq!((answers[0].is_ok(), answers[1].is_ok(), &answers[2]), (true, true, &too_many));
}

#[test]
fn orders_that_come_together_share_a_sync_and_see_each_other() {
    let rig = rig();
    run(&rig, to("a", 1)).unwrap();
    let before = rig.disk.trace().len();
    let orders = [to("a", 5), to("a", 4), to("b", 2), delete("b"), delete("b"), to("a", 6)];
    let answers: Vec<_> = rig.log.change_readers(&orders).into_iter().map(offset).collect();
    let ahead = ReaderError::Ahead { offset: Offset::new(4), current: Offset::new(5) };
    let gone = Err(ReaderError::NotFound);
    assert_eq!(answers, [Ok(5), Err(ahead), Ok(2), Ok(2), gone, Ok(6)]);
    let calls: Vec<_> = rig.disk.trace()[before..].iter().map(|(op, _)| *op).collect();
    assert_eq!(calls, [Op::Write, Op::Sync]);
    assert_eq!(positions(&rig.killed()), at(&[("a", 6)]));
}

#[test]
fn what_changes_nothing_writes_nothing_and_a_log_without_readers_has_no_file() {
    let rig = rig();
    let steps = rig.disk.steps();
    assert_eq!(rig.log.readers_lowest(), Ok(None));
    assert_eq!(run(&rig, delete("a")), Err(ReaderError::NotFound));
    assert!(run(&rig, to("a", 20)).is_err());
    assert_eq!(rig.disk.steps(), steps);
    assert!(rig.disk.bytes(&path()).is_err());
    let first = run(&rig, to("a", 4)).unwrap();
    let steps = rig.disk.steps();
    assert_eq!(run(&rig, to("a", 4)), Ok(first), "it did not move, so its time stays");
    assert_eq!(rig.disk.steps(), steps);
}

#[test]
fn the_file_stays_small_however_often_readers_move() {
    let rig = rig();
    let file_bytes = |rig: &Rig| rig.disk.bytes(&path()).unwrap().len();
    for n in 0..2000 {
        run(&rig, forced("a", n % 20)).unwrap();
    }
    assert_eq!(file_bytes(&rig), 16 << 10);
    let many: Vec<_> = (0..1000).map(|n| to(&format!("reader-{n}"), 1)).collect();
    assert_eq!(rig.log.change_readers(&many).iter().filter(|a| a.is_ok()).count(), 999);
    let live_bytes = 1000 * 56;
    for n in 0..50 {
        let all: Vec<_> = (0..999).map(|r| forced(&format!("reader-{r}"), n % 20)).collect();
        assert!(rig.log.change_readers(&all).iter().all(Result::is_ok));
        assert!(file_bytes(&rig) <= 2 * live_bytes + (8 << 10), "{}", file_bytes(&rig));
    }
    let gone: Vec<_> = (0..999).map(|r| delete(&format!("reader-{r}"))).collect();
    assert!(rig.log.change_readers(&gone).iter().all(Result::is_ok));
    for n in 0..2000 {
        run(&rig, forced("a", n % 20)).unwrap();
    }
    assert_eq!(file_bytes(&rig), 16 << 10);
    assert_eq!(positions(&rig.killed()), at(&[("a", 19)]));
}

#[test]
fn each_log_has_readers_of_its_own_and_a_closed_one_moves_none() {
    let rig = rig();
    let other = LogName::parse("other").unwrap();
    let other = rig.logs.create(&other, LogOverrides::default()).unwrap();
    run(&rig, to("a", 4)).unwrap();
    assert_eq!(other.readers(), Ok(vec![]));
    assert!(other.change_readers(&[to("a", 0)])[0].is_ok());
    assert_eq!(positions(&rig), at(&[("a", 4)]));
    rig.logs.close().unwrap();
    assert_eq!(run(&rig, to("a", 5)), Err(ReaderError::Closed));
    assert_eq!(offset(other.change_readers(&[forced("a", 0)])[0].clone()), {
        Err(ReaderError::Closed)
    });
}

#[test]
fn a_start_opens_no_readers_and_removes_a_file_that_was_not_finished() {
    let rig = rig();
    run(&rig, to("a", 4)).unwrap();
    let unfinished = path().with_extension("new");
    rig.disk.create(&unfinished).unwrap().write_at(b"half", 0).unwrap();
    let rig = rig.killed();
    let touched = rig.disk.trace().iter().any(|(_, file)| *file == path());
    assert!(!touched, "{:?}", rig.disk.trace());
    assert!(rig.disk.bytes(&unfinished).is_err());
    assert_eq!(positions(&rig), at(&[("a", 4)]));
}

#[test]
fn a_full_disk_moves_no_reader_that_needs_space_and_hides_none() {
    let rig = rig();
    rig.disk.set_capacity(Some(0));
    assert_eq!(run(&rig, to("a", 1)), Err(ReaderError::NoSpace), "there is no file yet");
    assert_eq!(positions(&rig), at(&[]));
    rig.disk.set_capacity(None);
    run(&rig, to("a", 1)).unwrap();
    rig.disk.set_capacity(Some(0));
    let mut stands = 1;
    // Within the file's own space readers go on, so that they can be trimmed behind.
    let refused = (0..1000).find_map(|n| match offset(run(&rig, forced("a", n % 20))) {
        Ok(now) => {
            stands = now;
            None
        }
        Err(error) => Some(error),
    });
    assert_eq!(refused, Some(ReaderError::NoSpace));
    assert_eq!(positions(&rig), at(&[("a", stands)]));
    let rig = rig.killed();
    rig.disk.set_capacity(Some(0));
    assert_eq!(positions(&rig), at(&[("a", stands)]), "loading needs no space");
    assert_eq!(run(&rig, forced("a", 20 - stands)), Err(ReaderError::NoSpace));
    rig.disk.set_capacity(None);
    assert_eq!(offset(run(&rig, forced("a", 5))), Ok(5));
    assert_eq!(positions(&rig.killed()), at(&[("a", 5)]));
}

#[test]
fn r12_after_a_failed_sync_the_fate_is_unknown_and_the_file_is_not_trusted_again() {
    for op in [Op::Write, Op::Sync] {
        let rig = rig();
        run(&rig, to("a", 1)).unwrap();
        rig.disk.fail(op, 0, std::io::ErrorKind::Other);
        assert_eq!(run(&rig, to("a", 2)), Err(ReaderError::Unknown));
        assert_eq!(positions(&rig), at(&[("a", 1)]), "only what is durable is told");
        assert!(!rig.logs.has_failed(), "the log goes on");
        let before = rig.disk.trace().len();
        // Also before what changes nothing: on the disk it may stand elsewhere.
        assert_eq!(offset(run(&rig, to("a", 1))), Ok(1));
        let calls: Vec<_> = rig.disk.trace()[before..].iter().map(|(op, _)| *op).collect();
        let expected = [Op::Create, Op::Allocate, Op::Write, Op::Sync, Op::Rename];
        let at_create = calls.iter().position(|op| *op == Op::Create).unwrap();
        assert_eq!(calls[at_create..], [&expected[..], &[Op::SyncDirectory]].concat());
        for tear in [Tear::LoseAll, Tear::KeepAll] {
            assert_eq!(positions(&open(&rig.disk.after_power_cut(tear))), at(&[("a", 1)]));
        }
    }
}

/// A new segment's name may have been waiting for the same sync.
#[test]
fn r12_a_directory_that_is_not_synced_for_the_readers_ends_the_server() {
    let rig = rig();
    rig.disk.fail(Op::SyncDirectory, 0, std::io::ErrorKind::Other);
    assert_eq!(run(&rig, to("a", 1)), Err(ReaderError::Unknown));
    assert!(rig.logs.has_failed());
}

/// After a failed sync the kernel shows bytes that are not on the disk, also to the next process.
#[test]
fn r7_what_a_start_finds_is_on_the_disk_before_it_is_told() {
    for mend_fails in [false, true] {
        let rig = rig();
        run(&rig, to("a", 1)).unwrap();
        let Rig { disk, logs, log } = rig;
        disk.fail(Op::Sync, 0, std::io::ErrorKind::Other);
        assert_eq!(log.change_readers(&[to("a", 2)])[0], Err(ReaderError::Unknown));
        logs.close().unwrap();
        drop((logs, log));
        let rig = open(&disk);
        if mend_fails {
            disk.fail(Op::Sync, 0, std::io::ErrorKind::Other);
            assert_eq!(rig.log.readers(), Err(ReaderError::Failed));
        }
        let before = disk.trace().len();
        let told = positions(&rig);
        let renamed = disk.trace()[before..].iter().any(|(op, _)| *op == Op::Rename);
        assert_eq!(renamed, mend_fails, "a file whose sync failed is not used again");
        assert_eq!(positions(&open(&disk.after_power_cut(Tear::LoseAll))), told);
    }
}

/// A thousand logs are watched at once, right after a start.
#[test]
fn watching_readers_reads_their_file_once_and_leaves_it_to_be_loaded() {
    let rig = rig();
    run(&rig, to("a", 1)).unwrap();
    let rig = rig.killed();
    let before = rig.disk.trace().len();
    let watched = || rig.log.watch_readers().map(|readers| readers[0].offset.get());
    assert_eq!(watched(), Ok(1));
    rig.disk.fail(Op::Open, 0, std::io::ErrorKind::Other);
    assert_eq!(watched(), Ok(1), "without a look at the file");
    assert_eq!(rig.disk.trace().len(), before, "and without a change to it");
    // Whoever goes on from there has it durable first.
    assert_eq!(rig.log.readers(), Err(ReaderError::Failed), "nor takes it from there");
    assert_eq!(positions(&rig), at(&[("a", 1)]));
    assert_eq!(rig.disk.trace()[before..], [(Op::Write, path()), (Op::Sync, path())]);
    assert_eq!(offset(run(&rig, to("a", 2))), Ok(2));
    assert_eq!(watched(), Ok(2));
}

#[test]
fn a_torn_tail_is_cut_so_that_nothing_of_it_comes_back() {
    let rig = rig();
    run(&rig, to("a", 1)).unwrap();
    let before = rig.disk.bytes(&path()).unwrap();
    let end = before.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(8);
    assert!(rig.log.change_readers(&[to("b", 2), to("c", 3)]).iter().all(Result::is_ok));
    let mut torn = rig.disk.bytes(&path()).unwrap();
    // Of two entries that were written at once the first did not reach the disk.
    let entry_bytes = 48;
    torn[end..end + entry_bytes].fill(0);
    let rig = open(&rig.disk.after_power_cut(Tear::KeepAll));
    rig.disk.damage(&path(), &torn).unwrap();
    assert_eq!(positions(&rig), at(&[("a", 1)]));
    // As long as the one that is missing: what stood behind it would follow.
    run(&rig, to("d", 4)).unwrap();
    assert_eq!(positions(&rig.killed()), at(&[("a", 1), ("d", 4)]));
}

/// Every call to the disk fails once, in every way that a call can.
#[test]
fn whatever_call_fails_the_answer_holds_after_a_power_cut() {
    let mut cases = 0;
    for op in [
        Op::Create,
        Op::Write,
        Op::Read,
        Op::Allocate,
        Op::Sync,
        Op::Rename,
        Op::Remove,
        Op::SyncDirectory,
    ] {
        let before = cases;
        for kind in [std::io::ErrorKind::Other, std::io::ErrorKind::StorageFull] {
            for (calls, had) in (0..12).flat_map(|calls| [(calls, 0), (calls, 3)]) {
                let rig = rig();
                let mut witness = Witness::default();
                witness.run(&rig, 0..had);
                // Loaded anew, so that a failed load is among them.
                let rig = rig.killed();
                rig.disk.fail(op, calls, kind);
                let what = format!("{op:?} after {calls}, {kind}, after {had} orders");
                witness.run(&rig, had..30);
                if rig.disk.clear_faults() > 0 {
                    // There were not so many calls.
                    continue;
                }
                witness.check(&rig, &what);
                for tear in [Tear::LoseAll, Tear::KeepAll, Tear::Random(calls)] {
                    witness.check(&open(&rig.disk.after_power_cut(tear)), &what);
                    cases += 1;
                }
            }
        }
        assert!(cases > before, "no {op:?} failed");
    }
    println!("cases: {cases} failed calls and power cuts");
}

#[test]
fn r6_damage_is_told_and_neither_empties_the_readers_nor_stops_the_log() {
    let rig = rig();
    for n in 0..5 {
        run(&rig, to("a", n)).unwrap();
        run(&rig, to("b", n)).unwrap();
    }
    let whole = rig.disk.bytes(&path()).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
    // The last entry has nothing behind it that vouches for it.
    let last = whole.windows(4).rposition(|bytes| bytes == b"VRDR").unwrap();
    for at_byte in 0..=used {
        let mut flipped = whole.clone();
        flipped[at_byte] ^= 0x40;
        let rig = open(&rig.disk.after_power_cut(Tear::KeepAll));
        rig.disk.damage(&path(), &flipped).unwrap();
        if at_byte >= last {
            assert_eq!(positions(&rig), at(&[("a", 4), ("b", 3)]), "byte {at_byte}");
            continue;
        }
        for _again in 0..2 {
            assert_eq!(rig.log.readers(), Err(ReaderError::Damaged), "byte {at_byte}");
            assert_eq!(rig.log.readers_lowest(), Err(ReaderError::Damaged));
            assert_eq!(run(&rig, to("c", 1)), Err(ReaderError::Damaged));
        }
        assert_eq!(rig.disk.bytes(&path()).unwrap(), flipped, "nothing was changed");
        assert_eq!(rig.read_all().len(), 10);
        rig.fill(1);
    }
    for bytes in [vec![], whole[..whole.len() - 1].to_vec(), vec![0; whole.len()]] {
        let rig = open(&rig.disk.after_power_cut(Tear::KeepAll));
        rig.disk.damage(&path(), &bytes).unwrap();
        assert_eq!(rig.log.readers(), Err(ReaderError::Damaged));
    }
}

#[test]
fn lag_counts_from_the_record_that_can_be_read_next() {
    let rig = rig();
    let time = |offset| rig.log.time_at_us(Offset::new(offset)).unwrap().unwrap();
    let (first, last) = (time(0), time(18));
    let (lag_first, lag_last) = (rig.log.lag_us(Offset::ZERO), rig.log.lag_us(Offset::new(18)));
    // The clock went on between both, by less than the second lag.
    assert!(lag_first.unwrap() <= last - first + lag_last.unwrap());
    assert_eq!(rig.log.lag_us(Offset::new(19)).unwrap(), 0);
    let lag: Vec<_> = [0, 5, 19, 30].map(|at| rig.log.lag_records(Offset::new(at))).into();
    assert_eq!(lag, [19, 14, 0, 0]);
    rig.logs.close().unwrap();
    let disk = rig.disk.after_power_cut(Tear::KeepAll);
    let store = &rig.files(".store")[0];
    let mut bytes = disk.bytes(store).unwrap();
    bytes[130] ^= 1;
    disk.damage(store, &bytes).unwrap();
    let rig = open(&disk);
    assert!(rig.log.time_at_us(Offset::ZERO).is_err(), "the first record is damaged");
    let (damaged, next) = (rig.log.lag_us(Offset::ZERO), rig.log.lag_us(Offset::new(1)));
    assert!(damaged.unwrap().abs_diff(next.unwrap()) < 1_000_000);
    rig.disk.fail(Op::Read, 0, std::io::ErrorKind::Other);
    assert!(rig.log.lag_us(Offset::new(1)).is_err(), "not told as 0");
}

/// What the world outside knows of readers when the power goes.
#[derive(Debug, Default)]
struct Witness {
    /// By reader: where it may stand. One place if the last order was answered.
    may_stand: BTreeMap<String, Vec<Option<u64>>>,
}

impl Witness {
    const READERS: [&'static str; 3] = ["a", "b", "c"];

    /// The `n`-th orders: commits alone and in groups, deletions.
    fn orders(n: u64) -> Vec<ReaderOrder> {
        let reader = Self::READERS[usize::try_from(n % 3).unwrap()];
        match n % 5 {
            0 => vec![forced("a", n % 20), forced("b", (n + 1) % 20), forced("a", (n + 7) % 20)],
            4 => vec![delete(reader)],
            _ => vec![forced(reader, n * 7 % 20)],
        }
    }

    fn run(&mut self, rig: &Rig, numbers: std::ops::Range<u64>) {
        for n in numbers {
            let orders = Self::orders(n);
            let answers = rig.log.change_readers(&orders);
            for (order, answer) in orders.iter().zip(answers) {
                self.note(order, &answer);
            }
        }
    }

    fn note(&mut self, order: &ReaderOrder, answer: &Answer) {
        let held = self.may_stand.entry(order.name.to_string()).or_insert_with(|| vec![None]);
        let then = match order.action {
            ReaderAction::Commit { offset, .. } => Some(offset.get()),
            ReaderAction::Delete => None,
        };
        match answer {
            Ok(_) => *held = vec![then],
            // Whatever it was, it is gone now.
            Err(ReaderError::NotFound) => *held = vec![None],
            Err(ReaderError::Unknown) => held.push(then),
            Err(ReaderError::NoSpace | ReaderError::Failed) => {}
            Err(other) => panic!("{other:?}"),
        }
    }

    fn check(&self, rig: &Rig, what: &str) {
        let found = rig.log.readers().unwrap_or_else(|e| panic!("{what}: {e:?}"));
        for (reader, places) in &self.may_stand {
            let stands = found.iter().find(|r| r.name.as_str() == reader).map(|r| r.offset.get());
            assert!(places.contains(&stands), "{what}: {reader} at {stands:?}, not {places:?}");
        }
        let known = |reader: &Reader| self.may_stand.contains_key(reader.name.as_str());
        assert!(found.iter().all(known), "{what}: {found:?}");
    }
}

/// Groups, deletions, and enough to have the file replaced.
fn script(rig: &Rig, witness: &mut Witness) {
    witness.run(rig, 0..20);
    for n in 0..100 {
        let order = forced(&"long".repeat(32), n % 20);
        let answer = run(rig, order.clone());
        witness.note(&order, &answer);
    }
    witness.run(rig, 20..30);
}

#[test]
fn r5_answered_commits_hold_after_a_cut_behind_every_call() {
    let filled = rig().disk;
    let copy = filled.after_power_cut(Tear::KeepAll);
    script(&open(&copy), &mut Witness::default());
    let replaced = |(op, to): &(Op, PathBuf)| *op == Op::Rename && *to == path();
    assert!(copy.trace().into_iter().filter(replaced).count() >= 2, "made once and replaced");
    let (mut cases, steps) = (0, copy.steps());
    for step in 0..=steps {
        let disk = filled.after_power_cut(Tear::KeepAll);
        let rig = open(&disk);
        disk.cut_power_after(step);
        let mut witness = Witness::default();
        script(&rig, &mut witness);
        let tears = [Tear::LoseAll, Tear::KeepAll, Tear::Random(step), Tear::Random(step + 9999)];
        for tear in tears {
            let after = disk.after_power_cut(tear);
            check_twice(&after, &witness, cases, &format!("cut after call {step}, {tear:?}"));
            cases += 1;
        }
    }
    println!("cases: {cases} power cuts over {steps} calls");
}

/// What is found holds, and holds again after another cut, also in the middle of the first look.
fn check_twice(disk: &SimDisk, witness: &Witness, n: u64, what: &str) {
    let rig = open(&disk.after_power_cut(Tear::KeepAll));
    rig.disk.cut_power_after(rig.disk.steps() + n % 3);
    let _may_be_cut = rig.log.readers();
    let again = open(&rig.disk.after_power_cut(Tear::Random(n)));
    witness.check(&again, &format!("{what}, and again after {} calls", n % 3));
    let rig = open(disk);
    witness.check(&rig, what);
    let told = positions(&rig);
    assert_eq!(positions(&open(&rig.disk.after_power_cut(Tear::LoseAll))), told, "{what}: told");
    assert_eq!(offset(run(&rig, forced("z", 3))), Ok(3), "{what}: and it goes on");
    let then = positions(&open(&rig.disk.after_power_cut(Tear::LoseAll)));
    let expected: BTreeMap<_, _> = told.into_iter().chain(at(&[("z", 3)])).collect();
    assert_eq!(then, expected, "{what}: after the commit");
}

#[test]
fn threads_that_commit_while_the_power_goes_lose_nothing_that_was_answered() {
    let filled = rig().disk;
    for step in (3..120).step_by(3) {
        let disk = filled.after_power_cut(Tear::KeepAll);
        let rig = open(&disk);
        disk.cut_power_after(disk.steps() + step);
        let answered: BTreeMap<String, Vec<Option<u64>>> = std::thread::scope(|scope| {
            let spawn = |reader: &'static str| {
                let rig = &rig;
                scope.spawn(move || {
                    let mut witness = Witness::default();
                    for n in 0..20 {
                        let order = to(reader, n);
                        let answer = run(rig, order.clone());
                        witness.note(&order, &answer);
                    }
                    witness.may_stand
                })
            };
            let threads = ["a", "b", "c"].map(spawn);
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let witness = Witness { may_stand: answered };
        for tear in [Tear::LoseAll, Tear::KeepAll, Tear::Random(step)] {
            witness.check(&open(&disk.after_power_cut(tear)), &format!("cut after {step}"));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Commit { reader: usize, offset: u64, force: bool },
    Delete { reader: usize },
    Group { orders: Vec<(usize, u64)> },
    Reopen,
    Kill,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let reader = 0..6_usize;
    let step = prop_oneof![
        8 => (reader.clone(), 0..21_u64, any::<bool>())
            .prop_map(|(reader, offset, force)| Step::Commit { reader, offset, force }),
        2 => reader.clone().prop_map(|reader| Step::Delete { reader }),
        2 => proptest::collection::vec((reader, 0..20_u64), 1..40)
            .prop_map(|orders| Step::Group { orders }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
    ];
    proptest::collection::vec(step, 1..50)
}

fn follow(filled: &SimDisk, steps: Vec<Step>) {
    let mut rig = open(&filled.after_power_cut(Tear::KeepAll));
    let mut model: BTreeMap<String, u64> = BTreeMap::new();
    let called = |reader: usize| format!("reader-{reader}");
    for step in steps {
        match step {
            Step::Commit { reader, offset: wanted, force } => {
                let reader = called(reader);
                let order = if force { forced(&reader, wanted) } else { to(&reader, wanted) };
                let stands = model.get(&reader).copied();
                match offset(run(&rig, order)) {
                    Ok(now) => {
                        assert!(now == wanted && now < 20);
                        assert!(force || stands.is_none_or(|stands| stands <= now));
                        model.insert(reader, now);
                    }
                    Err(ReaderError::OutOfRange { .. }) => assert_eq!(wanted, 20),
                    Err(ReaderError::Ahead { current, .. }) => {
                        assert!(!force && stands == Some(current.get()));
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
            Step::Delete { reader } => {
                let gone = model.remove(&called(reader)).ok_or(ReaderError::NotFound);
                assert_eq!(offset(run(&rig, delete(&called(reader)))), gone);
            }
            Step::Group { orders } => {
                let orders: Vec<_> =
                    orders.into_iter().map(|(reader, at)| (called(reader), at)).collect();
                let asked: Vec<_> = orders.iter().map(|(reader, at)| forced(reader, *at)).collect();
                let answers = rig.log.change_readers(&asked);
                assert!(answers.into_iter().map(offset).eq(orders.iter().map(|(_, at)| Ok(*at))));
                model.extend(orders);
            }
            Step::Reopen => rig = rig.reopen(),
            Step::Kill => rig = rig.killed(),
        }
        assert_eq!(positions(&rig), model);
        assert_eq!(
            rig.log.readers_lowest().unwrap().map(Offset::get),
            model.values().min().copied()
        );
    }
    assert_eq!(positions(&rig.killed()), model);
}

#[test]
fn r5_readers_do_what_a_map_does() {
    let filled = rig().disk;
    let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&steps(), |steps| {
            follow(&filled, steps);
            Ok(())
        })
        .unwrap();
}
