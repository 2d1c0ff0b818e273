//! Does what was planned. Each file is replaced by a new one under another name, synced, renamed,
//! and its directory synced.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::plan::{Plan, Tail};
use super::{RepairKind, RepairStep};
use crate::log::disk::{Disk, File};
use crate::log::error::{IoError, OpenError, SYNC};
use crate::log::fill::Frames;
use crate::log::footer::Footer;
use crate::log::index::Index;
use crate::log::names::{self, LogName};
use crate::log::offset::{LogId, Offset};
use crate::log::reached::Reached;
use crate::log::seed::salt;
use crate::log::store::Store;
use crate::log::store_header::{STORE_HEADER_BYTES, StoreHeader};
use crate::log::width::{narrow, wide};
use crate::log::{copies, prefix};

/// Written at once, in bytes.
const PIECE_BYTES: usize = 1 << 20;

/// Where it is done.
pub(super) struct Work<'a> {
    pub(super) disk: &'a dyn Disk,
    pub(super) data: &'a Path,
    pub(super) directory: &'a Path,
    pub(super) quarantine: PathBuf,
}

impl Work<'_> {
    /// The steps of the plan, for people.
    pub(super) fn steps(&self, plan: &Plan, log: &LogName) -> Result<Vec<RepairStep>, OpenError> {
        let step = |path: PathBuf, kind| RepairStep { log: log.clone(), path, kind };
        let kept = plan.kept.iter().map(|path| {
            let quarantine = self.quarantine.join(path.file_name().unwrap_or_default());
            step(path.clone(), RepairKind::Kept { quarantine })
        });
        let tail = plan.tail.map(|tail| match tail {
            Tail::Cut { base, position } => (base, RepairKind::TailCut { position }),
            Tail::Seal { base, end, .. } => (base, RepairKind::Sealed { end }),
            Tail::Fill { base, end, .. } => (base, RepairKind::Filled { from: base, end }),
        });
        let tail = tail.map(|(base, kind)| step(names::store(self.directory, base), kind));
        let taken = plan.taken_away.iter().cloned().map(|path| step(path, RepairKind::TakenAway));
        let mut steps: Vec<RepairStep> = kept.chain(tail).chain(taken).collect();
        for &(base, bound) in &plan.indexes {
            let Some(id) = plan.id else { continue };
            let store = self.open(id, base)?;
            let entries = frames(&store, base, bound)?.count();
            let kind = RepairKind::IndexRebuilt { entries };
            steps.push(step(names::index(self.directory, base), kind));
        }
        Ok(steps)
    }

    pub(super) fn run(&self, plan: &Plan) -> Result<(), OpenError> {
        self.keep(&plan.kept)?;
        if let (Some(tail), Some(id)) = (plan.tail, plan.id) {
            match tail {
                Tail::Cut { base, position } => self.cut(id, base, position)?,
                Tail::Seal { .. } | Tail::Fill { .. } => self.seal(id, tail)?,
            }
        }
        for path in &plan.taken_away {
            self.disk.remove(path).map_err(IoError::at("remove", path))?;
        }
        self.sync(self.directory)?;
        for &(base, bound) in &plan.indexes {
            if let Some(id) = plan.id {
                self.rebuild_index(id, base, bound)?;
            }
        }
        Ok(())
    }

    /// Puts the files into the quarantine too, durably.
    fn keep(&self, files: &[PathBuf]) -> Result<(), OpenError> {
        if files.is_empty() {
            return Ok(());
        }
        let above = names::quarantine(self.data);
        for directory in [&above, &self.quarantine] {
            match self.disk.create_directory(directory) {
                Err(e) if e.kind() != ErrorKind::AlreadyExists => {
                    return Err(IoError::at("create", directory)(e).into());
                }
                Ok(()) | Err(_) => {}
            }
        }
        for path in files {
            let target = self.quarantine.join(path.file_name().unwrap_or_default());
            copies::keep(self.disk, path, &target, &|_| true)?;
        }
        self.sync(&self.quarantine)?;
        self.sync(&above)?;
        self.sync(self.data)
    }

    /// A copy of the store up to `position`, with as much space as it had.
    fn cut(&self, id: LogId, base: Offset, position: u64) -> Result<(), OpenError> {
        let old = self.open(id, base)?;
        let file_bytes = old.file_bytes()?;
        let (file, path) = self.create()?;
        let mut at = 0;
        while at < position {
            let bytes = old.read(at, PIECE_BYTES.min(narrow(position - at)))?;
            if bytes.is_empty() {
                break;
            }
            file.write_at(&bytes, at).map_err(IoError::at("write", &path))?;
            at += wide(bytes.len());
        }
        match file.allocate(file_bytes).map_err(IoError::at("allocate space for", &path)) {
            // The next append allocates, or is refused.
            Err(error) if !error.is_no_space() => return Err(error.into()),
            Ok(()) | Err(_) => {}
        }
        self.put(&*file, &path, &names::store(self.directory, base))
    }

    /// A sealed store in the place of the one that cannot be gone on with, and its index.
    fn seal(&self, id: LogId, tail: Tail) -> Result<(), OpenError> {
        let (file, path) = self.create()?;
        let (base, bound) = match tail {
            Tail::Seal { base, readable, end, incarnation } => {
                let old = self.open(id, base)?;
                let footer = Footer { end, incarnation, ..Footer::default() };
                prefix::copy(&old, (&*file, &path), readable, footer)?;
                (base, Some(end))
            }
            Tail::Fill { base, end, incarnation, time_us } => {
                let header = StoreHeader { log_id: id, base, salt: salt()? };
                let write = |bytes: &[u8], at| file.write_at(bytes, at);
                write(&header.encode(), 0).map_err(IoError::at("write", &path))?;
                let (first_time_us, last_time_us) = (time_us, time_us);
                let times = Footer { first_time_us, last_time_us, ..Footer::default() };
                let position = wide(STORE_HEADER_BYTES);
                let footer = Footer { end, incarnation, position, ..times };
                let bytes = footer.encode(header.seed());
                write(&bytes, position).map_err(IoError::at("write", &path))?;
                (base, Some(end))
            }
            Tail::Cut { base, .. } => (base, None),
        };
        self.put(&*file, &path, &names::store(self.directory, base))?;
        self.rebuild_index(id, base, bound)
    }

    fn rebuild_index(
        &self,
        id: LogId,
        base: Offset,
        bound: Option<Offset>,
    ) -> Result<(), OpenError> {
        let store = self.open(id, base)?;
        let frames = frames(&store, base, bound)?;
        let path = names::repair_index(self.directory);
        // Left over from an attempt that was cut short; absent in most cases.
        let _absent = self.disk.remove(&path);
        let index = Index::create(self.disk, &path, frames.count())?;
        frames.fill(&index, frames.count())?;
        index.sync().map_err(IoError::at(SYNC, &path))?;
        let file = self.disk.open(&path).map_err(IoError::at("open", &path))?;
        self.put(&*file, &path, &names::index(self.directory, base))
    }

    fn open(&self, id: LogId, base: Offset) -> Result<Store, IoError> {
        let path = names::store(self.directory, base);
        Store::open(self.disk, &path, id, base).map_err(|fault| fault.at(&path))
    }

    fn create(&self) -> Result<(Box<dyn File>, PathBuf), IoError> {
        let path = names::repair_store(self.directory);
        // Left over from an attempt that was cut short; absent in most cases.
        let _absent = self.disk.remove(&path);
        let file = self.disk.create(&path).map_err(IoError::at("create", &path))?;
        Ok((file, path))
    }

    /// Gives a file its name, durably.
    fn put(&self, file: &dyn File, path: &Path, name: &Path) -> Result<(), OpenError> {
        file.sync().map_err(IoError::at(SYNC, path))?;
        self.disk.rename(path, name).map_err(IoError::at("rename", path))?;
        self.sync(self.directory)
    }

    fn sync(&self, directory: &Path) -> Result<(), OpenError> {
        Ok(self.disk.sync_directory(directory).map_err(IoError::at(SYNC, directory))?)
    }
}

/// The frames of a segment that begins at `base`, none of which reaches beyond `bound`.
fn frames(store: &Store, base: Offset, bound: Option<Offset>) -> Result<Frames<'_>, IoError> {
    Frames::of(store, Reached::nothing(base).before(bound), u32::MAX)
}
