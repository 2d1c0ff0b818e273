//! What a log will be after a restore: which segments it keeps, and where it ends.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Cut, RestoreError, RestoredLog};
use crate::log::checkpoint::{Census, Checkpoint, Slots};
use crate::log::disk::{Disk, ReadOnly};
use crate::log::error::IoError;
use crate::log::footer::Footer;
use crate::log::frame::FrameHeader;
use crate::log::names::{self, LogName};
use crate::log::offset::{LogId, Offset};
use crate::log::scan::{Found, Scan};
use crate::log::store::{Store, StoreFault};
use crate::log::store_header::STORE_HEADER_BYTES;
use crate::log::width::wide;
use crate::log::{readers, recovery};

/// A log of the backup and what becomes of it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) told: RestoredLog,
    pub(super) directory: PathBuf,
    pub(super) id: LogId,
    pub(super) checkpoint: Option<Checkpoint>,
    /// The base offsets of the stores that are kept, the last of them maybe in part.
    pub(super) bases: Vec<Offset>,
    /// Whether the log ends before it does in the backup.
    pub(super) is_cut: bool,
    /// Whether the last store that is kept is cut within.
    pub(super) is_last_cut: bool,
}

/// The stores of a log in the backup.
struct Stores<'a> {
    disk: &'a dyn Disk,
    directory: &'a Path,
    id: LogId,
    bases: &'a [Offset],
    start: Offset,
}

impl Planned {
    pub(super) fn of(
        disk: &Arc<dyn Disk>,
        backup: &Path,
        name: LogName,
        cut: &Cut,
    ) -> Result<Self, RestoreError> {
        let disk = &ReadOnly(&**disk);
        let directory = names::logs(backup).join(name.as_str());
        let list = disk.list(&directory).map_err(IoError::at("list", &directory))?;
        let mut bases: Vec<Offset> = list.iter().filter_map(|f| names::store_base(f)).collect();
        bases.sort_unstable();
        // Without the file a start goes by what the others say, too.
        let (meta, _) = recovery::read_meta(disk, &directory, &name, &bases)?;
        let slots = Slots::read(disk, &directory)?.and_then(|slots| slots.newest);
        let checkpoint = slots.map(|(_, newest)| newest).filter(|held| held.log_id == meta.id);
        let lowest = bases.first().copied().unwrap_or(Offset::ZERO);
        let start = checkpoint.map_or(lowest, |held| held.start);
        bases.retain(|base| *base >= start);
        let bases = without_strays(disk, &directory, meta.id, bases)?;
        let stores = Stores { disk, directory: &directory, id: meta.id, bases: &bases, start };
        let known = checkpoint.map_or(start, |held| held.mark.durable_end);
        let stores_end = stores.end()?;
        let census = Census::of(bases.iter().copied());
        let is_in_order = stores_end == known
            && checkpoint.is_some_and(|held| held.clean && held.census == census);
        let backup_end = stores_end.max(known);
        let end = match cut {
            Cut::Nowhere => backup_end,
            Cut::Time(time_us) => stores.end_before(*time_us)?.unwrap_or(backup_end),
            Cut::Offsets(offsets) => match offsets.get(&name).copied() {
                None => backup_end,
                Some(offset) if offset < start || offset > backup_end => {
                    let end = backup_end;
                    return Err(RestoreError::OutOfRange { log: name, offset, start, end });
                }
                Some(offset) if offset == backup_end => backup_end,
                Some(offset) => stores.end_below(offset)?,
            },
        };
        let is_cut = end < backup_end;
        let next = bases.iter().copied().find(|base| *base >= end);
        let kept = |base: &Offset| !is_cut || *base < end;
        let kept: Vec<Offset> = bases.iter().copied().filter(kept).collect();
        let is_last_cut = is_cut && !kept.is_empty() && next != Some(end);
        if is_last_cut && !is_in_order && !stores.are_sealed(&kept)? {
            return Err(RestoreError::NotInOrder { log: name });
        }
        let store_bytes = bytes(disk, &directory, &kept)?;
        let readers = readers::read(disk, &directory, meta.id)?.unwrap_or_default();
        let readers_moved = readers.iter().filter(|reader| reader.offset > end).count();
        let log = name;
        let told = RestoredLog { log, start, end, backup_end, store_bytes, readers_moved };
        let id = meta.id;
        let bases = kept;
        Ok(Self { told, directory, id, checkpoint, bases, is_cut, is_last_cut })
    }
}

/// The stores but for those that cannot be read and are at offsets that the one before has, as a
/// start leaves them out.
fn without_strays(
    disk: &dyn Disk,
    directory: &Path,
    id: LogId,
    bases: Vec<Offset>,
) -> Result<Vec<Offset>, IoError> {
    let (mut reached, mut previous, mut kept) = (Offset::ZERO, None, Vec::new());
    for base in bases {
        let path = names::store(directory, base);
        match Store::open(disk, &path, id, base) {
            Ok(store) => previous = Some((base, store)),
            Err(StoreFault::Header) => {
                if let Some((base, store)) = previous.take() {
                    reached = match store.footer()? {
                        Some(footer) => footer.end,
                        None => whole_end(&store, base)?,
                    };
                }
                if base < reached {
                    continue;
                }
            }
            Err(fault) => return Err(fault.at(&path)),
        }
        kept.push(base);
    }
    Ok(kept)
}

/// The end of the whole frames of a store, up to the first that is not or does not follow.
fn whole_end(store: &Store, base: Offset) -> Result<Offset, IoError> {
    let (mut end, mut scan) = (base, Scan::verified(store, wide(STORE_HEADER_BYTES))?);
    while let Found::Frame { header, intact: true, .. } = scan.next()?
        && header.base == end
    {
        end = header.next_offset();
    }
    Ok(end)
}

fn bytes(disk: &dyn Disk, directory: &Path, bases: &[Offset]) -> Result<u64, IoError> {
    let sizes = bases.iter().map(|base| {
        let path = names::store(directory, *base);
        let file = disk.open_to_read(&path).map_err(IoError::at("open", &path))?;
        file.file_bytes().map_err(IoError::at("stat", &path))
    });
    sizes.sum()
}

impl Stores<'_> {
    /// The end of the last store's frames, or what its footer says.
    fn end(&self) -> Result<Offset, IoError> {
        let Some(&last) = self.bases.last() else {
            return Ok(self.start);
        };
        let path = names::store(self.directory, last);
        let store = match Store::open(self.disk, &path, self.id, last) {
            // It has its name only once all below it is sealed.
            Err(StoreFault::Header) => return Ok(last),
            store => store.map_err(|fault| fault.at(&path))?,
        };
        if let Some(footer) = store.footer()? {
            return Ok(footer.end);
        }
        Ok(last_kept(&store, last, &|_| true)?.0)
    }

    /// Whether the last of the stores has a footer: what stands before it was kept then.
    fn are_sealed(&self, bases: &[Offset]) -> Result<bool, IoError> {
        let last = bases.last().map(|last| self.open(*last)).transpose()?;
        Ok(last.map(|store| store.footer()).transpose()?.flatten().is_some())
    }

    /// The end of the last batch that ends at `offset` or below it.
    fn end_below(&self, offset: Offset) -> Result<Offset, IoError> {
        let keeps = |header: &FrameHeader| header.next_offset() <= offset;
        let after = self.bases.partition_point(|base| *base <= offset);
        match after.checked_sub(1).and_then(|at| self.bases.get(at)) {
            Some(&base) if base < offset => Ok(last_kept(&self.open(base)?, base, &keeps)?.0),
            _ => Ok(offset),
        }
    }

    /// The base of the first batch that was appended at the time or later; `None` without one.
    fn end_before(&self, time_us: u64) -> Result<Option<Offset>, IoError> {
        let keeps = |header: &FrameHeader| header.append_time_us < time_us;
        for &base in self.bases {
            let store = self.open(base)?;
            let is_older = |footer: Footer| footer.last_time_us < time_us;
            if store.footer()?.is_some_and(is_older) {
                continue;
            }
            if let (end, false) = last_kept(&store, base, &keeps)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }

    fn open(&self, base: Offset) -> Result<Store, IoError> {
        let path = names::store(self.directory, base);
        Store::open(self.disk, &path, self.id, base).map_err(|fault| fault.at(&path))
    }
}

/// The end of the frames of a store that are kept, up to the first that is not, and whether all
/// are.
fn last_kept(
    store: &Store,
    base: Offset,
    keeps: &dyn Fn(&FrameHeader) -> bool,
) -> Result<(Offset, bool), IoError> {
    let mut end = base;
    let mut scan = Scan::headers(store, wide(STORE_HEADER_BYTES))?;
    loop {
        match scan.next()? {
            // Left over from before a cut.
            Found::Frame { header, .. } if header.base < end => {}
            Found::Frame { header, .. } if !keeps(&header) => return Ok((end, false)),
            Found::Frame { header, .. } => end = header.next_offset(),
            Found::Footer { .. } => return Ok((end, true)),
            Found::Nothing { .. } => {
                if !scan.resync()? {
                    return Ok((end, true));
                }
            }
        }
    }
}
