//! An in-memory disk that can lose power, tear what was not synced, fill up and fail.
//!
//! It holds two states: what the process sees, and what would be there after a power cut. Between
//! them stand unsynced sectors of 512 bytes and unsynced names. [`SimDisk::after_power_cut`]
//! decides which of those made it; a seed replays the decision. Every call that a power cut could
//! fall between is counted, so that a test can cut after each.

mod content;
mod names;
mod tear;

use std::collections::{BTreeMap, HashSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use self::content::Content;
use self::names::{Names, Node};
use self::tear::Coin;
pub use self::tear::Tear;
use super::{Disk, File, HeapMap, Lock, Map};
use crate::log::width::{narrow, wide};
use crate::sync::Mutex;

/// A kind of call, to make fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// Create a file or directory.
    Create,
    /// Open a file.
    Open,
    /// Write to a file.
    Write,
    /// Read from a file.
    Read,
    /// Cut or extend a file.
    SetLen,
    /// Allocate space.
    Allocate,
    /// Sync a file: on failure its dirty sectors are forgotten, as Linux does.
    Sync,
    /// Rename.
    Rename,
    /// Give a file a second name.
    Link,
    /// Make a file on the blocks of another.
    Clone,
    /// Remove.
    Remove,
    /// Sync a directory.
    SyncDirectory,
    /// Map a file.
    Map,
    /// Sync a map.
    SyncMap,
}

impl Op {
    /// Whether it leaves the disk as it is.
    fn only_looks(self) -> bool {
        matches!(self, Self::Open | Self::Read | Self::Map)
    }
}

/// The in-memory disk; clones share it.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    names: Names,
    contents: BTreeMap<u64, Content>,
    next_inode: u64,
    locked: HashSet<PathBuf>,
    steps: u64,
    power_until: Option<u64>,
    faults: Vec<Fault>,
    capacity_bytes: Option<u64>,
    trace: Vec<(Op, PathBuf)>,
}

#[derive(Debug)]
struct Fault {
    op: Op,
    calls_until: u64,
    cause: Cause,
}

#[derive(Clone, Copy, Debug)]
enum Cause {
    Kind(ErrorKind),
    /// One of the system's numbers, which an error of a mere kind does not have.
    Number(i32),
}

impl From<Cause> for io::Error {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Kind(kind) => kind.into(),
            Cause::Number(number) => Self::from_raw_os_error(number),
        }
    }
}

impl SimDisk {
    /// An empty disk with a root directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many calls have changed something so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.state.lock().steps
    }

    /// Every changing call so far, oldest first, with its path.
    #[must_use]
    pub fn trace(&self) -> Vec<(Op, PathBuf)> {
        self.state.lock().trace.clone()
    }

    /// Cuts the power after `steps` changing calls, counted from the disk's creation: the calls
    /// after that fail and change nothing.
    pub fn cut_power_after(&self, steps: u64) {
        self.state.lock().power_until = Some(steps);
    }

    /// Makes the call of this kind that comes after `calls` further ones fail, once.
    pub fn fail(&self, op: Op, calls: u64, kind: ErrorKind) {
        self.state.lock().faults.push(Fault { op, calls_until: calls, cause: Cause::Kind(kind) });
    }

    /// As `fail`, with an error number of the system's, such as 5 of a medium that is broken.
    pub fn fail_with(&self, op: Op, calls: u64, number: i32) {
        let cause = Cause::Number(number);
        self.state.lock().faults.push(Fault { op, calls_until: calls, cause });
    }

    /// No call fails any more that was to fail and has not yet, and the power stays on if it is on.
    /// How many calls were still to fail.
    pub fn clear_faults(&self) -> usize {
        let state = &mut *self.state.lock();
        if state.has_power() {
            state.power_until = None;
        }
        std::mem::take(&mut state.faults).len()
    }

    /// Whether the power is on.
    #[must_use]
    pub fn has_power(&self) -> bool {
        self.state.lock().has_power()
    }

    /// Bounds the sum of all file lengths; `None` lifts the bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state.lock().capacity_bytes = bytes;
    }

    /// The disk that a machine finds after a power cut now. This disk is left as it is.
    #[must_use]
    pub fn after_power_cut(&self, tear: Tear) -> Self {
        let state = self.state.lock();
        let mut coin = Coin::new(tear);
        let names = state.names.after_power_cut(&mut coin);
        let contents =
            state.contents.iter().map(|(id, c)| (*id, c.after_power_cut(&mut coin))).collect();
        let fresh = State { names, contents, next_inode: state.next_inode, ..State::default() };
        Self { state: Arc::new(Mutex::new(fresh)) }
    }

    /// A file's bytes as the process sees them.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file.
    pub fn bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.state.lock();
        let id = state.names.file(path)?;
        Ok(state.content(id)?.visible())
    }

    /// Replaces a file's bytes, durably: damage from outside.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file.
    pub fn damage(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock();
        let id = state.names.file(path)?;
        *state.content(id)? = Content::synced(bytes.to_vec());
        Ok(())
    }
}

impl State {
    fn content(&mut self, id: u64) -> io::Result<&mut Content> {
        self.contents.get_mut(&id).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn has_power(&self) -> bool {
        self.power_until.is_none_or(|until| self.steps < until)
    }

    /// Counts a changing call; an error means that it must not happen.
    fn step(&mut self, op: Op, path: &Path) -> io::Result<()> {
        if !self.has_power() {
            return Err(io::Error::other("the power is cut"));
        }
        self.fault(op)?;
        if !op.only_looks() {
            self.steps += 1;
            self.trace.push((op, path.to_owned()));
        }
        Ok(())
    }

    fn fault(&mut self, op: Op) -> io::Result<()> {
        let mut due = None;
        for (i, fault) in self.faults.iter_mut().enumerate().filter(|(_, fault)| fault.op == op) {
            if fault.calls_until == 0 {
                due = Some((i, fault.cause));
                break;
            }
            fault.calls_until -= 1;
        }
        match due {
            Some((i, cause)) => {
                self.faults.remove(i);
                Err(cause.into())
            }
            None => Ok(()),
        }
    }

    fn used_bytes(&self) -> u64 {
        self.names.files().filter_map(|id| self.contents.get(&id)).map(Content::len).sum()
    }

    /// Whether the file may grow to `bytes`.
    fn room(&mut self, id: u64, bytes: u64) -> io::Result<()> {
        let used = self.used_bytes();
        let growth = bytes.saturating_sub(self.content(id)?.len());
        match self.capacity_bytes {
            Some(capacity) if growth > 0 && used.saturating_add(growth) > capacity => {
                Err(ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.state.lock();
        state.step(Op::Open, path)?;
        let id = state.names.file(path)?;
        Ok(Box::new(SimFile { disk: self.clone(), id, path: path.to_owned() }))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut state = self.state.lock();
        state.step(Op::Create, path)?;
        let id = state.next_inode;
        state.names.create(path, Node::File(id))?;
        state.next_inode += 1;
        state.contents.insert(id, Content::default());
        Ok(Box::new(SimFile { disk: self.clone(), id, path: path.to_owned() }))
    }

    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step(Op::Create, path)?;
        state.names.create(path, Node::Directory)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.state.lock().names.list(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step(Op::Rename, to)?;
        state.names.rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step(Op::Link, to)?;
        let id = state.names.file(from)?;
        state.names.create(to, Node::File(id))
    }

    fn clone_file(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step(Op::Clone, to)?;
        let id = state.names.file(from)?;
        let bytes = state.content(id)?.visible();
        let id = state.next_inode;
        state.names.create(to, Node::File(id))?;
        state.next_inode += 1;
        let mut content = Content::default();
        content.write(&bytes, 0);
        state.contents.insert(id, content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step(Op::Remove, path)?;
        let id = state.names.file(path)?;
        state.names.remove(path)?;
        // A power cut may undo the removal, so the bytes stay until no name can come back.
        if !state.names.is_known(id) {
            state.contents.remove(&id);
        }
        Ok(())
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step(Op::Remove, path)?;
        if !state.names.list(path)?.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        state.names.remove(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        state.step(Op::SyncDirectory, path)?;
        state.names.sync(path);
        Ok(())
    }

    fn free_bytes(&self, _path: &Path) -> io::Result<u64> {
        let state = self.state.lock();
        let used = state.used_bytes();
        Ok(state.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(used)))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut state = self.state.lock();
        if !state.locked.insert(path.to_owned()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned() }))
    }

    fn is_locked(&self, path: &Path) -> io::Result<bool> {
        Ok(self.state.lock().locked.contains(path))
    }
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    path: PathBuf,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.state.lock().locked.remove(&self.path);
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: u64,
    path: PathBuf,
}

impl File for SimFile {
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let had_power = state.has_power();
        if let Err(error) = state.step(Op::Write, &self.path) {
            // A write that fails may have written a part.
            let part = bytes.get(..bytes.len() / 2).unwrap_or_default();
            if had_power && state.room(self.id, position.saturating_add(wide(part.len()))).is_ok() {
                state.content(self.id)?.write(part, narrow(position));
            }
            return Err(error);
        }
        state.room(self.id, position.saturating_add(wide(bytes.len())))?;
        state.content(self.id)?.write(bytes, narrow(position));
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = self.disk.state.lock();
        state.step(Op::Read, &self.path)?;
        Ok(state.content(self.id)?.read(buffer, narrow(position)))
    }

    fn file_bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state.lock().content(self.id)?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.step(Op::SetLen, &self.path)?;
        state.content(self.id)?.set_len(narrow(bytes));
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.step(Op::Allocate, &self.path)?;
        if bytes == 0 {
            // As Linux has it.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        state.room(self.id, bytes)?;
        let content = state.content(self.id)?;
        if content.len() < bytes {
            content.set_len(narrow(bytes));
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        let allowed = state.step(Op::Sync, &self.path);
        match allowed {
            Ok(()) => state.content(self.id)?.sync(),
            Err(_) if state.has_power() => state.content(self.id)?.forget_dirty(),
            Err(_) => {}
        }
        allowed
    }

    fn map(&self, bytes: u64) -> io::Result<Box<dyn Map>> {
        let mut state = self.disk.state.lock();
        state.step(Op::Map, &self.path)?;
        let words = state.content(self.id)?.map(narrow(bytes))?;
        let (disk, id, path) = (self.disk.clone(), self.id, self.path.clone());
        Ok(Box::new(SimMap { disk, id, path, words }))
    }
}

#[derive(Debug)]
struct SimMap {
    disk: SimDisk,
    id: u64,
    path: PathBuf,
    words: Arc<HeapMap>,
}

impl Map for SimMap {
    fn words(&self) -> &[AtomicU32] {
        self.words.words()
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state.lock();
        state.step(Op::SyncMap, &self.path)?;
        state.content(self.id)?.sync_map();
        Ok(())
    }
}
