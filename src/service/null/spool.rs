//! A file that batches are appended to as they come, each answered once it is synced.
//!
//! Appends fill a buffer, as they fill a log's intake, and one of a few threads writes out and
//! syncs what has gathered while another answers. The bytes have no frames and nobody reads them:
//! the file has no name, and another one follows when it is full. All are kept until the end, as a
//! log keeps its segments: memory that the kernel gets back with a file is at hand for the next,
//! and that can be ten times as fast as memory that a virtual machine has yet to be given.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use futures_channel::oneshot;
use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, fallocate};

/// As many as a server has by default.
const THREADS: usize = 4;
/// As large as a log's segments are by default.
const FILE_BYTES: u64 = 128 << 20;

/// Resolves once the batch is synced, and to an error if it could not be.
pub(super) type Spooled = oneshot::Receiver<()>;

/// A row of files. All calls may run concurrently. The threads end with it.
pub(super) struct Spool {
    shared: Arc<Shared>,
    wake: Sender<()>,
}

// Lock order: `writer`, then `intake`. Nobody is woken under either.
struct Shared {
    intake: Mutex<Intake>,
    writer: Mutex<Writer>,
}

#[derive(Default)]
struct Intake {
    bytes: Vec<u8>,
    waiting: Vec<oneshot::Sender<()>>,
    is_queued: bool,
}

struct Writer {
    folder: PathBuf,
    file: File,
    full: Vec<File>,
    position: u64,
    file_bytes: u64,
    /// The buffer that the intake gets next.
    spare: Vec<u8>,
}

impl Spool {
    /// Makes the first file in `folder` and starts the threads.
    pub(super) fn start(folder: &Path) -> io::Result<Self> {
        let writer = Mutex::new(Writer::open(folder)?);
        let shared = Arc::new(Shared { intake: Mutex::default(), writer });
        let (wake, woken) = bounded(THREADS);
        for number in 0..THREADS {
            let (shared, woken) = (Arc::clone(&shared), woken.clone());
            thread::Builder::new()
                .name(format!("sync-{number}"))
                .spawn(move || shared.serve(&woken))?;
        }
        Ok(Self { shared, wake })
    }

    /// Puts the batch behind the others.
    pub(super) fn append(&self, payload: &[u8]) -> Spooled {
        let (synced, spooled) = oneshot::channel();
        let is_first = {
            let intake = &mut *self.shared.intake.lock();
            intake.bytes.extend_from_slice(payload);
            intake.waiting.push(synced);
            !std::mem::replace(&mut intake.is_queued, true)
        };
        if is_first {
            // A queue that is full has a thread that is yet to look at the intake.
            let _queued = self.wake.try_send(());
        }
        spooled
    }
}

impl Shared {
    fn serve(&self, woken: &Receiver<()>) {
        for () in woken {
            let (written, waiting) = {
                let writer = &mut *self.writer.lock();
                let taken = {
                    let intake = &mut *self.intake.lock();
                    intake.is_queued = false;
                    std::mem::swap(&mut intake.bytes, &mut writer.spare);
                    std::mem::take(&mut intake.waiting)
                };
                (writer.write_and_sync(), taken)
            };
            match written {
                Ok(()) => {
                    for synced in waiting {
                        // Whoever is gone does not wait.
                        let _told = synced.send(());
                    }
                }
                Err(error) => log::error!(error:err; "spool_failed"),
            }
        }
    }
}

impl Writer {
    fn open(folder: &Path) -> io::Result<Self> {
        let file = allocated(folder, FILE_BYTES)?;
        let (folder, file_bytes) = (folder.to_owned(), FILE_BYTES);
        let (full, spare) = (Vec::new(), Vec::new());
        Ok(Self { folder, file, full, position: 0, file_bytes, spare })
    }

    /// Writes out what was swapped in, and empties it.
    fn write_and_sync(&mut self) -> io::Result<()> {
        let bytes = u64::try_from(self.spare.len()).unwrap_or(u64::MAX);
        if bytes > self.file_bytes - self.position {
            self.file_bytes = bytes.max(FILE_BYTES);
            let next = allocated(&self.folder, self.file_bytes)?;
            self.full.push(std::mem::replace(&mut self.file, next));
            self.position = 0;
        }
        self.file.write_all_at(&self.spare, self.position)?;
        self.position += bytes;
        self.spare.clear();
        self.file.sync_data()
    }
}

fn allocated(folder: &Path, bytes: u64) -> io::Result<File> {
    let file = nameless(folder)?;
    fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// A new file in `folder` whose name is gone already, so that nothing is left of it.
pub(crate) fn nameless(folder: &Path) -> io::Result<File> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = folder.join(format!(".varve-bench-{}-{number}", std::process::id()));
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;

    #[test]
    fn everything_is_answered_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::start(folder.path()).unwrap();
        let appends = || (0..100).map(|_| spool.append(&[7; 1000])).collect::<Vec<_>>();
        for spooled in [appends(), appends()].into_iter().flatten() {
            block_on(spooled).unwrap();
        }
        let writer = spool.shared.writer.lock();
        assert_eq!((writer.position, writer.spare.len()), (200_000, 0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_full_file_is_followed_by_another() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(folder.path()).unwrap();
        writer.position = FILE_BYTES - 10;
        writer.spare = vec![7; 11];
        writer.write_and_sync().unwrap();
        assert_eq!(writer.position, 11);
    }
}
