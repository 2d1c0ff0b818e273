//! Retention by bytes and by age, and the archive, with clocks that the test moves.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;
use std::{fmt, io};

use varve::log::{
    ArchivedError, ArchivedSegment, CreateError, DEFAULT_LOG, Disk, Durability, File, Lock,
    LogName, LogOverrides, LogSettings, Logs, Offset, Op, OpenError, Options, ReaderAction,
    ReaderName, ReaderOrder, SettingError, SimDisk, SimTime, Tear, TrimError, UpdateError,
};

use crate::rig::{Batch, DATA, Rig, by_hand, files, poll, small_segments};

/// In 2033.
const START: Duration = Duration::from_secs(2_000_000_000);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
const HOUR: Duration = Duration::from_secs(3600);
const ARCHIVE: &str = "/archive";

fn with(disk: &SimDisk, time: &SimTime, defaults: LogSettings) -> Rig {
    let time = Arc::new(time.clone());
    let archive = Some(PathBuf::from(ARCHIVE));
    Rig::open(disk, Options { time, archive, ..by_hand(defaults) }).unwrap()
}

/// Looks once a second for so long, as the housekeeper does.
fn pass(rig: &Rig, time: &SimTime, seconds: u64) {
    for _ in 0..seconds {
        time.pass(Duration::from_secs(1));
        rig.logs.look_around();
        rig.logs.work();
    }
}

fn by_age(age: Duration) -> LogSettings {
    LogSettings { retention_age: Some(age), ..small_segments() }
}

fn stored(rig: &Rig) -> u64 {
    files(&rig.disk, ".store")
        .iter()
        .map(|path| u64::try_from(rig.disk.bytes(path).unwrap().len()).unwrap())
        .sum()
}

#[test]
fn the_oldest_segments_go_while_there_are_too_many_bytes() {
    let time = SimTime::at(START);
    let settings = LogSettings { retention_bytes: Some(12_000), ..small_segments() };
    let rig = with(&SimDisk::new(), &time, settings);
    let all = rig.fill(100);
    assert!(stored(&rig) > 20_000);
    pass(&rig, &time, 3);
    let held = rig.log.summary().unwrap().stored_bytes;
    assert!((8000..=12_000).contains(&held), "{held}");
    let kept = rig.read_all();
    assert!(all.ends_with(&kept) && !kept.is_empty());
    let steps = rig.disk.steps();
    pass(&rig, &time, 5);
    assert_eq!(rig.disk.steps(), steps, "nothing more is to be done");
    // What a restart has to find out anew comes to the same.
    let rig = rig.reopen();
    assert_eq!(rig.read_all(), kept);
}

#[test]
fn a_restart_finds_out_what_the_segments_amount_to() {
    let (disk, time) = (SimDisk::new(), SimTime::at(START));
    let rig = with(&disk, &time, small_segments());
    rig.fill(300);
    let bytes = rig.log.summary().unwrap().stored_bytes;
    let described = rig.log.describe().unwrap();
    rig.logs.close().unwrap();
    drop(rig);
    let settings = LogSettings { retention_bytes: Some(12_000), ..small_segments() };
    let rig = with(&disk, &time, settings);
    assert!(rig.files(".store").len() > 20, "more than are looked into at once");
    let again = rig.log.describe().unwrap();
    assert_eq!(again.summary, described.summary);
    assert_eq!(again.oldest_time_us, described.oldest_time_us);
    assert_eq!(again.newest_time_us, described.newest_time_us);
    assert_eq!(rig.log.summary().unwrap().stored_bytes, bytes);
    pass(&rig, &time, 1);
    assert!(rig.log.summary().unwrap().stored_bytes <= 12_000);
}

#[test]
fn segments_go_when_their_newest_record_is_old_enough() {
    let time = SimTime::at(START);
    let rig = with(&SimDisk::new(), &time, by_age(HOUR * 8));
    let early = rig.fill(30);
    pass(&rig, &time, 1);
    time.pass(HOUR * 4);
    let late: Vec<_> = (30..60).map(Batch::of).map(|batch| (rig.append(&batch), batch)).collect();
    // 60 s are believed at once; what is more takes a while.
    pass(&rig, &time, 900);
    assert_eq!(rig.read_all().len(), 60);
    pass(&rig, &time, 3600 * 4 - 1000);
    assert_eq!(rig.read_all().len(), 60, "not yet");
    pass(&rig, &time, 200);
    let kept = rig.read_all();
    assert!(kept.len() >= late.len() && kept.len() < late.len() + 8, "{}", kept.len());
    assert!(!kept.contains(&early[0]));
    // The last segment is sealed for its age, so that in the end nothing is left.
    pass(&rig, &time, 3600 * 6);
    assert_eq!(rig.read_all(), []);
    assert_eq!(rig.log.bounds().start, rig.log.bounds().end);
    let next = rig.append(&Batch::of(99));
    let rig = rig.reopen();
    assert_eq!(rig.log.bounds().start, next);
}

#[test]
fn what_the_slowest_reader_has_yet_to_read_stays_up_to_its_bytes() {
    let time = SimTime::at(START);
    let settings = LogSettings {
        retention_bytes: Some(3000),
        retain_for_readers_bytes: Some(15_000),
        ..small_segments()
    };
    let rig = with(&SimDisk::new(), &time, settings);
    let commit = |offset: Offset| {
        let order = ReaderOrder {
            name: ReaderName::parse("slow").unwrap(),
            subject: "root".to_owned(),
            any_owner: false,
            action: ReaderAction::Commit { offset, force: false },
        };
        rig.log.change_readers(&[order]).pop().unwrap().unwrap();
    };
    commit(Offset::ZERO);
    let all = rig.fill(50);
    pass(&rig, &time, 3);
    assert_eq!(rig.read_all(), all, "{} bytes", stored(&rig));
    commit(all[20].0);
    pass(&rig, &time, 3);
    let start = rig.log.bounds().start;
    assert!(start > all[10].0 && start <= all[20].0, "{start}");
    // A reader that lags too far behind holds nothing back.
    for n in 50..150 {
        rig.append(&Batch::of(n));
    }
    pass(&rig, &time, 5);
    let held = rig.log.summary().unwrap().stored_bytes;
    assert!((10_000..=15_000).contains(&held), "{held}");
}

/// A simulated disk on which something happens before the first file of the archive is made.
#[derive(Debug)]
struct HookedDisk(SimDisk, Arc<Hook>);

#[derive(Default)]
struct Hook(Mutex<Option<Box<dyn FnOnce() + Send>>>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

impl Disk for HookedDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.0.open(path)
    }
    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.0.open_to_read(path)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let hook = path.starts_with(ARCHIVE).then(|| self.1.0.lock().unwrap().take());
        hook.flatten().into_iter().for_each(|hook| hook());
        self.0.create(path)
    }
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        self.0.create_directory(path)
    }
    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.0.list(directory)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.link(from, to)
    }
    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.clone_file(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        self.0.remove_directory(path)
    }
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.0.sync_directory(path)
    }
    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        self.0.free_bytes(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.0.lock(path)
    }
    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        self.0.is_locked(path)
    }
}

/// Where readers stand was looked at before the copies for the archive were made, which may take
/// minutes. So the records of a reader that came meanwhile were dropped.
#[test]
fn a_reader_that_comes_while_segments_are_archived_keeps_its_records() {
    let settings = LogSettings { retain_for_readers_bytes: Some(1 << 20), ..archived() };
    let (rig, all, hook) = before_archiving(settings);
    let (log, reader) = (Arc::clone(&rig.log), all[12].0);
    *hook.0.lock().unwrap() = Some(Box::new(move || {
        let order = ReaderOrder {
            name: ReaderName::parse("late").unwrap(),
            subject: "root".to_owned(),
            any_owner: false,
            action: ReaderAction::Commit { offset: reader, force: false },
        };
        log.change_readers(&[order]).pop().unwrap().unwrap();
    }));
    rig.logs.look_around();
    rig.logs.work();
    let start = rig.log.bounds().start;
    assert!(start > Offset::ZERO && start <= reader, "{start} of {reader}");
}

/// Sixty batches, of which some are to be archived and dropped; the hook is called before the first
/// of them is.
fn before_archiving(settings: LogSettings) -> (Rig, Vec<(Offset, Batch)>, Arc<Hook>) {
    let (disk, hook) = (SimDisk::new(), Arc::<Hook>::default());
    let hooked = Arc::new(HookedDisk(disk.clone(), Arc::clone(&hook)));
    let options = Options { archive: Some(PathBuf::from(ARCHIVE)), ..by_hand(settings) };
    let logs = Logs::open(Path::new(DATA), hooked, options).unwrap();
    let log = logs.get(DEFAULT_LOG).unwrap();
    let rig = Rig { disk, logs, log };
    let all = rig.fill(60);
    (rig, all, hook)
}

/// It was answered, and then records were dropped by the settings that it had replaced.
#[test]
fn an_update_that_comes_while_segments_are_archived_counts_at_once() {
    let (rig, all, hook) = before_archiving(archived());
    let log = Arc::clone(&rig.log);
    *hook.0.lock().unwrap() = Some(Box::new(move || {
        log.update(|overrides| overrides.retention_bytes = Some(0)).unwrap();
    }));
    rig.logs.look_around();
    rig.logs.work();
    assert!(hook.0.lock().unwrap().is_none(), "nothing was archived");
    assert_eq!(rig.read_all(), all);
}

#[test]
fn r15_a_wall_clock_that_jumps_while_the_server_runs_removes_nothing() {
    let time = SimTime::at(START);
    let rig = with(&SimDisk::new(), &time, by_age(HOUR));
    let all = rig.fill(50);
    pass(&rig, &time, 10);
    for (jump, seconds) in [(START + YEAR * 10, 600), (Duration::ZERO, 100), (START * 2, 600)] {
        time.set_wall(jump);
        pass(&rig, &time, seconds);
        assert_eq!(rig.read_all(), all, "the wall clock shows {jump:?}");
        time.set_wall(START + Duration::from_secs(700));
        pass(&rig, &time, 1);
    }
    time.set_wall(START + HOUR - Duration::from_secs(30));
    pass(&rig, &time, 10);
    assert_eq!(rig.read_all(), all);
}

#[test]
fn r15_a_host_that_starts_with_a_clock_years_ahead_removes_nothing() {
    let (disk, time) = (SimDisk::new(), SimTime::at(START));
    let rig = with(&disk, &time, by_age(HOUR * 24));
    let all = rig.fill(50);
    pass(&rig, &time, 100);
    rig.logs.close().unwrap();
    drop(rig);
    time.set_wall(START + YEAR * 10);
    let rig = with(&disk, &time, by_age(HOUR * 24));
    pass(&rig, &time, 600);
    assert_eq!(rig.read_all(), all, "for ten minutes");
    // Appended under the wrong clock, and that is no proof that it is right.
    let late = rig.append(&Batch::of(70));
    rig.logs.close().unwrap();
    drop(rig);
    let rig = with(&disk, &time, by_age(HOUR * 24));
    pass(&rig, &time, 600);
    assert_eq!(rig.read_all().len(), 51, "nor after another start");
    // The clock is put right.
    time.set_wall(START + HOUR * 12);
    pass(&rig, &time, 3600);
    assert_eq!(rig.read_all().len(), 51);
    assert_eq!(rig.log.bounds().end, late.plus(u64::from(Batch::of(70).records.get())));
}

#[test]
fn r15_records_are_not_old_because_the_clock_was_behind_when_the_server_started() {
    let month = HOUR * 24 * 30;
    let (disk, time) = (SimDisk::new(), SimTime::at(START - month));
    let rig = with(&disk, &time, by_age(HOUR * 24));
    pass(&rig, &time, 60);
    time.set_wall(START);
    // It takes a while until the clock is believed.
    pass(&rig, &time, 14 * 3600);
    let batch = Batch::of(1);
    rig.append(&batch);
    pass(&rig, &time, 20 * 3600);
    assert_eq!(rig.read_all().len(), 1, "it is not a day old");
    pass(&rig, &time, 8 * 3600);
    assert_eq!(rig.read_all(), []);
}

#[test]
fn r15_what_is_too_old_goes_some_time_after_a_long_pause() {
    let (disk, time) = (SimDisk::new(), SimTime::at(START));
    let rig = with(&disk, &time, by_age(HOUR * 24));
    rig.fill(50);
    rig.logs.close().unwrap();
    drop(rig);
    time.pass(HOUR * 24 * 7);
    let rig = with(&disk, &time, by_age(HOUR * 24));
    pass(&rig, &time, 601);
    assert_eq!(rig.read_all().len(), 50);
    // A day at a minute a second.
    pass(&rig, &time, 24 * 60 + 60);
    assert_eq!(rig.read_all(), []);
}

#[test]
fn a_start_without_the_kept_time_counts_from_the_newest_record() {
    let (disk, time) = (SimDisk::new(), SimTime::at(START));
    let rig = with(&disk, &time, small_segments());
    let all = rig.fill(50);
    rig.logs.close().unwrap();
    drop(rig);
    assert!(disk.bytes(&Path::new(DATA).join("clock")).is_err(), "nobody counts ages");
    time.set_wall(START + YEAR);
    let rig = with(&disk, &time, by_age(HOUR));
    pass(&rig, &time, 600);
    assert_eq!(rig.read_all(), all);
    assert!(disk.bytes(&Path::new(DATA).join("clock")).is_ok());
}

fn archived() -> LogSettings {
    LogSettings { archive: true, retention_bytes: Some(6000), ..small_segments() }
}

/// The batches that the archive has of `default`, in order.
fn in_archive(disk: &SimDisk) -> Vec<(Offset, Vec<u8>)> {
    let Ok(logs) = disk.list(Path::new(ARCHIVE)) else {
        return Vec::new();
    };
    let mut copies: Vec<PathBuf> = logs
        .iter()
        .map(|log| Path::new(ARCHIVE).join(log))
        .flat_map(|log| disk.list(&log).unwrap().into_iter().map(move |file| log.join(file)))
        .filter(|path| path.extension().is_some_and(|ending| ending == "store"))
        .collect();
    copies.sort();
    let read = |path: &PathBuf| {
        let segment = ArchivedSegment::open(disk, path).unwrap();
        let mut batches = segment.batches().unwrap();
        let found: Vec<_> = batches.by_ref().map(Result::unwrap).collect();
        assert!(batches.is_sealed(), "{path:?}");
        found.into_iter().map(|batch| (batch.base_offset, batch.payload))
    };
    copies.iter().flat_map(read).collect()
}

#[test]
fn what_is_dropped_is_in_the_archive_to_the_byte() {
    let time = SimTime::at(START);
    let rig = with(&SimDisk::new(), &time, archived());
    let all = rig.fill(60);
    let before: Vec<_> = rig.files(".store").iter().map(|p| rig.disk.bytes(p).unwrap()).collect();
    pass(&rig, &time, 3);
    let place = format!("{ARCHIVE}/default-{}", rig.log.id());
    let mut copies = rig.disk.list(Path::new(&place)).unwrap();
    copies.sort();
    assert!(copies.len() > 2 && copies[0] == "00000000000000000000.store", "{copies:?}");
    for (copy, expected) in copies.iter().zip(&before) {
        assert_eq!(&rig.disk.bytes(&Path::new(&place).join(copy)).unwrap(), expected);
    }
    let end = rig.log.bounds().end;
    let trimmed = rig.log.trim(end).unwrap();
    assert_eq!((trimmed.start, rig.read_all()), (end, vec![]));
    let expected: Vec<_> = all.into_iter().map(|(base, batch)| (base, batch.payload)).collect();
    assert_eq!(in_archive(&rig.disk), expected, "a trim archives as well");
}

#[test]
fn a_segment_that_cannot_be_archived_is_kept_and_tried_again_later() {
    let time = SimTime::at(START);
    let rig = with(&SimDisk::new(), &time, archived());
    let all = rig.fill(60);
    let used = || {
        let trace: std::collections::BTreeSet<_> =
            rig.disk.trace().into_iter().map(|(_, path)| path).collect();
        trace.iter().filter_map(|path| rig.disk.bytes(path).ok()).map(|b| b.len() as u64).sum()
    };
    let used: u64 = used();
    // Room for one copy and a half.
    rig.disk.set_capacity(Some(used + 6000));
    pass(&rig, &time, 30);
    let kept = rig.read_all();
    assert!(kept.len() > 40 && all.ends_with(&kept), "{}", kept.len());
    let trim = rig.log.trim(rig.log.bounds().end);
    assert!(matches!(trim, Err(TrimError::Archive(_))), "{trim:?}");
    let kept = rig.read_all();
    assert!(!kept.is_empty());
    rig.disk.set_capacity(None);
    pass(&rig, &time, 30);
    assert_eq!(rig.read_all(), kept, "not at once");
    pass(&rig, &time, 60);
    let kept = rig.read_all();
    let archived = in_archive(&rig.disk);
    assert!(rig.log.summary().unwrap().stored_bytes <= 6000);
    assert_eq!(archived.len() + kept.len(), all.len());
}

#[test]
fn a_copy_whose_last_sync_failed_is_made_durable_before_its_segment_goes() {
    for synced in 0..3 {
        let time = SimTime::at(START);
        let settings = LogSettings { archive: true, ..small_segments() };
        let rig = with(&SimDisk::new(), &time, settings);
        let all = rig.fill(20);
        rig.disk.fail(Op::SyncDirectory, synced, std::io::ErrorKind::Other);
        let second = rig.files(".store").remove(1);
        let before = Offset::new(second.file_stem().unwrap().to_str().unwrap().parse().unwrap());
        let first = rig.log.trim(before);
        if matches!(first, Err(TrimError::Archive(_))) {
            rig.log.trim(before).unwrap();
        }
        let after = rig.disk.after_power_cut(Tear::LoseAll);
        let gone = all.iter().filter(|(base, _)| *base < before).count();
        assert_eq!(in_archive(&after).len(), gone, "{synced}: {first:?}");
    }
}

#[test]
fn a_log_that_gets_little_takes_little_however_often_it_rolls() {
    let time = SimTime::at(START);
    let settings = LogSettings { segment_age_max: Some(HOUR), ..LogSettings::default() };
    let rig = with(&SimDisk::new(), &time, settings);
    for n in 0..8 {
        rig.append(&Batch::of(n));
        pass(&rig, &time, 3700);
    }
    rig.append(&Batch::of(8));
    assert_eq!(rig.files(".store").len(), 9);
    let longest = rig.files(".store").iter().map(|path| rig.disk.bytes(path).unwrap().len()).max();
    assert!(longest.unwrap() <= 256 << 10, "{longest:?}");
}

#[test]
fn a_store_that_cannot_be_read_stops_neither_retention_nor_a_description() {
    let (disk, time) = (SimDisk::new(), SimTime::at(START));
    let rig = with(&disk, &time, small_segments());
    rig.fill(100);
    rig.logs.close().unwrap();
    drop(rig);
    let settings = LogSettings { retention_bytes: Some(12_000), ..small_segments() };
    let rig = with(&disk, &time, settings);
    rig.disk.fail_with(Op::Read, 0, 5);
    assert!(rig.log.describe().unwrap().summary.stored_bytes > 12_000);
    pass(&rig, &time, 20);
    assert!(rig.log.summary().unwrap().stored_bytes <= 12_000);
}

#[test]
fn archive_without_a_directory_is_refused() {
    let rig = Rig::new();
    let archive = LogOverrides { archive: Some(true), ..LogOverrides::default() };
    let name = LogName::parse("orders").unwrap();
    let created = rig.logs.create(&name, archive);
    assert!(matches!(created, Err(CreateError::Setting(SettingError::NoArchive))));
    let updated = rig.log.update(|overrides| overrides.archive = Some(true));
    assert!(matches!(updated, Err(UpdateError::Setting(SettingError::NoArchive))));
}

#[test]
fn a_log_whose_archive_is_not_there_any_more_drops_nothing() {
    let (disk, time) = (SimDisk::new(), SimTime::at(START));
    let rig = with(&disk, &time, small_segments());
    rig.log.update(|overrides| overrides.archive = Some(true)).unwrap();
    let all = rig.fill(60);
    rig.logs.close().unwrap();
    drop(rig);
    let settings = LogSettings { retention_bytes: Some(6000), ..small_segments() };
    let rig = Rig::open(&disk, by_hand(settings)).unwrap();
    rig.logs.look_around();
    rig.logs.work();
    assert!(matches!(rig.log.trim(rig.log.bounds().end), Err(TrimError::Archive(_))));
    assert_eq!(rig.read_all(), all);
}

#[test]
fn an_archive_among_the_servers_own_files_is_refused() {
    for archive in ["/data/trash", "/data/logs/x", "/data/trash/a/b"] {
        let options = Options { archive: Some(archive.into()), ..by_hand(small_segments()) };
        let opened = Rig::open(&SimDisk::new(), options);
        assert!(matches!(opened, Err(OpenError::Invalid { .. })), "{archive}");
    }
}

#[test]
fn a_power_cut_loses_no_record_between_the_log_and_the_archive() {
    // Which batches were acknowledged.
    let script = |disk: &SimDisk| {
        let mut acknowledged = Vec::new();
        let time = Arc::new(SimTime::at(START));
        let archive = Some(PathBuf::from(ARCHIVE));
        let Ok(rig) = Rig::open(disk, Options { time, archive, ..by_hand(archived()) }) else {
            return acknowledged;
        };
        for n in 0..32 {
            let batch = Batch::of(n);
            let pending = rig.log.append(&batch.payload, batch.records, Durability::Synced);
            rig.logs.work();
            let Ok(pending) = pending else { continue };
            let base = pending.base_offset();
            if poll(pending) == Poll::Ready(Ok(Durability::Synced)) {
                acknowledged.push((base, batch.payload));
            }
        }
        rig.logs.look_around();
        rig.logs.work();
        acknowledged
    };
    let whole = SimDisk::new();
    assert_eq!(script(&whole).len(), 32);
    assert!(in_archive(&whole).len() > 3);
    let (steps, mut cases) = (whole.steps(), 0);
    for step in 0..=steps {
        let disk = SimDisk::new();
        disk.cut_power_after(step);
        let acknowledged = script(&disk);
        let random = (0..5).map(|seed| Tear::Random(step * 5 + seed));
        for tear in [Tear::LoseAll, Tear::KeepAll].into_iter().chain(random) {
            let after = disk.after_power_cut(tear);
            let rig = with(&after, &SimTime::at(START), archived());
            let mut found: Vec<_> = in_archive(&after);
            found.extend(rig.read_all().into_iter().map(|(base, batch)| (base, batch.payload)));
            for batch in &acknowledged {
                assert!(found.contains(batch), "cut after call {step}, {tear:?}: {:?}", batch.0);
            }
            // What was left half done is done again.
            rig.logs.look_around();
            rig.logs.work();
            cases += 1;
        }
    }
    println!("cases: {cases} power cuts over {steps} calls");
}

#[test]
fn a_store_alone_shows_every_flipped_byte() {
    let time = SimTime::at(START);
    let rig = with(&SimDisk::new(), &time, small_segments());
    rig.fill(12);
    let stores = rig.files(".store");
    let (sealed, active) = (&stores[0], stores.last().unwrap());
    let read = |path: &Path| -> Result<usize, ArchivedError> {
        let segment = ArchivedSegment::open(&rig.disk, path)?;
        assert_eq!(segment.log_id(), rig.log.id());
        let mut batches = segment.batches()?;
        let found: Result<Vec<_>, _> = batches.by_ref().collect();
        Ok(found?.len())
    };
    assert!(read(sealed).unwrap() > 2 && read(active).unwrap() > 0);
    let bytes = rig.disk.bytes(sealed).unwrap();
    for at in 128..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        rig.disk.damage(sealed, &damaged).unwrap();
        if let Ok(found) = read(sealed) {
            assert_eq!(bytes[at], 0, "byte {at} is not padding, and {found} batches were read");
        }
    }
    rig.disk.damage(sealed, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(read(sealed), Err(ArchivedError::Damaged { .. })));
    rig.disk.damage(sealed, b"no store").unwrap();
    assert!(matches!(read(sealed), Err(ArchivedError::NoStore)));
}

#[test]
fn reading_a_store_alone_goes_on_behind_damage() {
    let rig = Rig::new();
    let all = rig.fill(6);
    let path = rig.files(".store")[0].clone();
    let mut bytes = rig.disk.bytes(&path).unwrap();
    bytes[128 + 100] ^= 1;
    rig.disk.damage(&path, &bytes).unwrap();
    let segment = ArchivedSegment::open(&rig.disk, &path).unwrap();
    let found: Vec<_> = segment.batches().unwrap().collect();
    let damage = found.iter().filter(|found| found.is_err()).count();
    assert_eq!((damage, found.len() - damage), (1, all.len() - 1), "{found:?}");
}
