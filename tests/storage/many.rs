//! Many logs and many segments, with few open files.

use std::io;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use varve::log::{
    Disk, Durability, File, Lock, LogName, LogOverrides, Logs, Map, Offset, Options, SimDisk, Tear,
};

use crate::rig::{DATA, by_hand, small_segments};

const LOGS: usize = 60;
const ONE: NonZeroU32 = NonZeroU32::MIN;

/// How many files are open, and how many ever were at once.
#[derive(Debug, Default)]
struct Count {
    now: AtomicUsize,
    most: AtomicUsize,
}

/// A simulated disk that counts its open files.
#[derive(Clone, Debug)]
struct CountingDisk(SimDisk, Arc<Count>);

#[derive(Debug)]
struct CountedFile(Box<dyn File>, Arc<Count>);

impl CountingDisk {
    fn new() -> Self {
        Self(SimDisk::new(), Arc::default())
    }

    fn open_files(&self) -> usize {
        self.1.now.load(Ordering::SeqCst)
    }

    fn most_open_files(&self) -> usize {
        self.1.most.load(Ordering::SeqCst)
    }

    /// The process is killed; the kernel keeps what was written.
    fn killed(&self) -> Self {
        Self(self.0.after_power_cut(Tear::KeepAll), Arc::default())
    }

    fn counted(&self, file: Box<dyn File>) -> Box<dyn File> {
        let now = self.1.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.1.most.fetch_max(now, Ordering::SeqCst);
        Box::new(CountedFile(file, Arc::clone(&self.1)))
    }

    fn open_logs(&self, options: Options) -> Arc<Logs> {
        Logs::open(Path::new(DATA), Arc::new(self.clone()), options).unwrap()
    }
}

impl Drop for CountedFile {
    fn drop(&mut self) {
        self.1.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Disk for CountingDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(self.counted(self.0.open(path)?))
    }
    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(self.counted(self.0.open_to_read(path)?))
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(self.counted(self.0.create(path)?))
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

impl File for CountedFile {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.write_at(bytes, position)
    }
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.read_at(buffer, position)
    }
    fn file_bytes(&self) -> io::Result<u64> {
        self.0.file_bytes()
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.0.allocate(bytes)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn map(&self, bytes: u64) -> io::Result<Box<dyn Map>> {
        self.0.map(bytes)
    }
}

/// Few segments open, and few more before busy logs let go of theirs.
fn few_files() -> Options {
    Options { open_segments_max: 2, busy_segments_max: 4, ..by_hand(small_segments()) }
}

fn name(n: usize) -> LogName {
    LogName::parse(&format!("log-{n}")).unwrap()
}

/// Makes the logs and puts a record, its log's number, into each.
fn make(disk: &CountingDisk, level: Durability) -> Arc<Logs> {
    let logs = disk.open_logs(few_files());
    for n in 0..LOGS {
        let log = logs.create(&name(n), LogOverrides::default()).unwrap();
        let _pending = log.append(format!("{n}").as_bytes(), ONE, level).unwrap();
        logs.work();
        if level == Durability::Synced {
            assert_eq!(log.bounds().end.get(), 1);
        }
    }
    logs
}

#[test]
fn busy_logs_let_go_of_their_files_when_many_are_open() {
    for level in [Durability::Synced, Durability::Written] {
        let disk = CountingDisk::new();
        let logs = make(&disk, level);
        // Those allowed, the one that is written, and its checkpoint or next segment.
        assert!(disk.most_open_files() <= 7, "{}: {level:?}", disk.most_open_files());
        logs.close().unwrap();
    }
}

#[test]
fn logs_that_rest_hold_no_files_after_a_stop_or_a_kill() {
    let disk = CountingDisk::new();
    make(&disk, Durability::Synced).close().unwrap();
    let mut disk = CountingDisk(disk.0, Arc::default());
    for _ in 0..2 {
        let logs = disk.open_logs(few_files());
        assert_eq!(disk.open_files(), 0);
        assert!(disk.most_open_files() <= 4, "{}", disk.most_open_files());
        let log = logs.get("log-7").unwrap();
        assert_eq!(log.bounds().end.get(), 1);
        disk = disk.killed();
    }
}

#[test]
fn a_log_of_many_segments_is_looked_through_with_few_open_files() {
    let disk = CountingDisk::new();
    let logs = disk.open_logs(few_files());
    let log = logs.create(&name(0), LogOverrides::default()).unwrap();
    for _ in 0..LOGS {
        let _pending = log.append(&[7; 3000], ONE, Durability::Synced).unwrap();
        logs.work();
    }
    let disk = disk.killed();
    // Without it, no segment is known to be whole.
    disk.0.damage(&Path::new(DATA).join("logs/log-0/checkpoint"), &[0; 8192]).unwrap();
    let logs = disk.open_logs(few_files());
    assert!(disk.most_open_files() <= 4, "{}", disk.most_open_files());
    let end = logs.get("log-0").unwrap().bounds().end.get();
    assert_eq!(usize::try_from(end), Ok(LOGS));
}

#[test]
fn logs_that_are_opened_and_closed_at_once_keep_what_is_theirs() {
    let disk = CountingDisk::new();
    let _killed = make(&disk, Durability::Synced);
    let disk = disk.killed();
    for _ in 0..2 {
        let logs = disk.open_logs(Options { flushers: 2, ..few_files() });
        assert_eq!(logs.list().len(), LOGS + 1);
        for n in 0..LOGS {
            let log = logs.get(name(n).as_str()).unwrap();
            let chunk = log.read(Offset::ZERO, 1).unwrap();
            let batch = chunk.batches().next().unwrap();
            assert_eq!(batch.payload, format!("{n}").as_bytes());
        }
        logs.close().unwrap();
    }
}
