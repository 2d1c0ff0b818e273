//! A log on the simulated disk whose flusher runs only when the test says so.

use std::future::Future;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use varve::log::{
    Bounds, DEFAULT_LOG, Durability, Log, LogSettings, Logs, Offset, OpenError, Options, Pending,
    ReadError, SimDisk,
};

/// Where the simulated data directory is.
pub const DATA: &str = "/data";

/// Three index entries and a rest that is no entry; stores of a few frames.
pub fn small_segments() -> LogSettings {
    LogSettings { segment_bytes_max: 4096, index_bytes_max: 12 * 8 + 7, ..LogSettings::default() }
}

/// Options for a log whose flusher is the test.
pub fn by_hand(defaults: LogSettings) -> Options {
    Options { flushers: 0, min_free_bytes: 0, defaults, ..Options::default() }
}

/// The log `default` of a data directory on a simulated disk.
#[derive(Debug)]
pub struct Rig {
    pub disk: SimDisk,
    pub logs: Arc<Logs>,
    pub log: Arc<Log>,
}

impl Rig {
    pub fn new() -> Self {
        Self::open(&SimDisk::new(), by_hand(small_segments())).unwrap()
    }

    pub fn open(disk: &SimDisk, options: Options) -> Result<Self, OpenError> {
        let logs = Logs::open(Path::new(DATA), Arc::new(disk.clone()), options)?;
        let log = logs.get(DEFAULT_LOG).unwrap();
        Ok(Self { disk: disk.clone(), logs, log })
    }

    /// Ends this server and opens the directory anew with the same small segments.
    pub fn reopen(self) -> Self {
        self.logs.close().unwrap();
        Self::open(&self.disk, by_hand(small_segments())).unwrap()
    }

    /// The server is killed; the kernel keeps what was written.
    pub fn killed(self) -> Self {
        let disk = self.disk.after_power_cut(varve::log::Tear::KeepAll);
        Self::open(&disk, by_hand(small_segments())).unwrap()
    }

    /// Appends one batch and flushes it; it must be acknowledged as synced.
    pub fn append(&self, batch: &Batch) -> Offset {
        let pending = self.log.append(&batch.payload, batch.records, Durability::Synced).unwrap();
        let base = pending.base_offset();
        self.logs.work();
        assert_eq!(poll(pending), Poll::Ready(Ok(Durability::Synced)));
        base
    }

    /// Appends `n` batches of different sizes, each synced.
    pub fn fill(&self, n: u64) -> Vec<(Offset, Batch)> {
        (0..n).map(Batch::of).map(|batch| (self.append(&batch), batch)).collect()
    }

    pub fn read_all(&self) -> Vec<(Offset, Batch)> {
        let Bounds { start, .. } = self.log.bounds();
        self.read_from(start).unwrap()
    }

    /// Every batch from the one at `offset` to the end.
    pub fn read_from(&self, mut offset: Offset) -> Result<Vec<(Offset, Batch)>, ReadError> {
        let mut batches = Vec::new();
        while offset < self.log.bounds().end {
            let chunk = self.log.read(offset, 1000)?;
            for stored in chunk.batches() {
                let records = NonZeroU32::new(stored.records).unwrap();
                let payload = stored.payload.to_vec();
                batches.push((stored.base_offset, Batch { payload, records }));
            }
            assert!(chunk.next_offset() > offset, "a read moves on");
            offset = chunk.next_offset();
        }
        Ok(batches)
    }

    /// Paths of the files of `default` that end so, in order.
    pub fn files(&self, ending: &str) -> Vec<PathBuf> {
        files(&self.disk, ending)
    }
}

/// Paths of the files of `default` on `disk` that end so, in order, but for those prepared ahead.
pub fn files(disk: &SimDisk, ending: &str) -> Vec<PathBuf> {
    use varve::log::Disk as _;
    let directory = Path::new(DATA).join("logs").join(DEFAULT_LOG);
    let mut names = disk.list(&directory).unwrap();
    names.retain(|name| name.ends_with(ending) && !name.starts_with("next."));
    names.sort();
    names.into_iter().map(|name| directory.join(name)).collect()
}

/// A batch as a producer hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub payload: Vec<u8>,
    pub records: NonZeroU32,
}

impl Batch {
    /// The `n`-th batch: no two are alike, and sizes and record counts differ.
    pub fn of(n: u64) -> Self {
        let len = usize::try_from(n * 37 % 300).unwrap();
        let mut payload = n.to_le_bytes().to_vec();
        payload.extend((0..len).map(|i| u8::try_from(i % 251).unwrap()));
        let records = NonZeroU32::new(u32::try_from(n % 3).unwrap() + 1).unwrap();
        Self { payload, records }
    }

    /// Which batch it is.
    pub fn number(&self) -> u64 {
        u64::from_le_bytes(self.payload[..8].try_into().unwrap())
    }
}

/// Polls once, with nobody to wake.
pub fn poll<T: Future + Unpin>(mut future: T) -> Poll<T::Output> {
    Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Blocks this thread until the append is acknowledged.
pub fn wait(pending: Pending) -> Result<Durability, varve::log::AckError> {
    block_on(pending)
}

/// Blocks this thread until the future is ready.
pub fn block_on<T: Future + Unpin>(mut future: T) -> T::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(value) = Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park();
    }
}
