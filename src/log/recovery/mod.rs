//! Opens a log: trusts a clean checkpoint, else looks at the stores and decides what is torn and
//! what is damaged.
//!
//! The rule, with H the highest durable end that any valid frame, footer or checkpoint names, and
//! that a frame or a footer can know of, or the name of a store whose header is whole: from the
//! recorded start to H a log must be contiguous, and whatever breaks that is damage, which is
//! reported and never cut. The first break at or above H is where writing stopped: what follows was
//! never acknowledged and is cut away. A newer format is found before anything is changed.

mod clean;
mod judge;
mod offline;
mod producers;
mod repair;
mod survey;

use std::path::Path;
use std::sync::Arc;

pub use self::offline::{RepairKind, RepairOptions, RepairStep, Repaired, repair};
use super::active::Resting;
use super::checkpoint::{Census, Checkpoint, CheckpointFile, Mark, ProducersAt};
use super::disk::Disk;
use super::engine::Engine;
use super::error::{IoError, OpenError, SYNC};
use super::meta::Meta;
use super::names::{self, LogName};
use super::offset::{LogId, Offset};
use super::producers::{Producers, Stored, read as read_producers};
use super::segment::Segment;
use super::settings::{LogOverrides, Options};
use super::store_header::{HeaderFault, STORE_HEADER_BYTES, StoreHeader};
use crate::fail_points::fail_point;

/// A log as it was found, ready to serve.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub(crate) segments: Vec<Arc<Segment>>,
    /// The unsealed segment, if there is one.
    pub(crate) resting: Option<Resting>,
    pub(crate) start: Offset,
    /// Where the log ends and how it got there.
    pub(crate) mark: Mark,
    /// Whether acknowledged records of the unsealed tail are gone, so that appends must stop.
    pub(crate) damaged: bool,
    pub(crate) producers: Producers,
    pub(crate) producers_at: ProducersAt,
    pub(crate) file: Option<CheckpointFile>,
    pub(crate) checkpoint: Option<Checkpoint>,
}

/// What a recovery works with.
#[derive(Debug)]
struct Site<'a> {
    engine: &'a Arc<Engine>,
    directory: &'a Path,
    meta: &'a Meta,
    /// The base offsets of the stores at or above the start, in order.
    bases: Vec<Offset>,
    start: Offset,
    /// The offset that the file of producers stands for: all below it was durable.
    producers_from: Offset,
}

impl Site<'_> {
    fn segment(&self, base: Offset, end: Offset) -> Segment {
        let opener = (&self.engine.disk, &self.engine.cache);
        Segment::known(opener, self.directory, self.meta.id, (base, end))
    }
}

/// What stands in a log's directory, before anything is judged or changed.
#[derive(Debug)]
struct Found {
    list: Vec<String>,
    meta: Meta,
    /// Whether `meta` was made of what other files say.
    is_rebuilt: bool,
    file: Option<CheckpointFile>,
    checkpoint: Option<Checkpoint>,
    start: Offset,
    /// The base offsets of the stores at or above the start, in order.
    bases: Vec<Offset>,
    stored: Option<Stored>,
}

/// Looks at the log in `directory`, which is called `name`.
fn look(engine: &Arc<Engine>, directory: &Path, name: &LogName) -> Result<Found, OpenError> {
    let disk = &*engine.disk;
    let list = disk.list(directory).map_err(IoError::at("list", directory))?;
    let mut all_bases: Vec<Offset> = list.iter().filter_map(|f| names::store_base(f)).collect();
    all_bases.sort_unstable();
    let (meta, is_rebuilt) = read_meta(disk, directory, name, &all_bases)?;
    let (file, checkpoint) = CheckpointFile::open(disk, directory)?;
    let checkpoint = checkpoint.filter(|held| held.log_id == meta.id);
    let start = checkpoint
        .map(|held| held.start)
        .or_else(|| all_bases.first().copied())
        .unwrap_or(Offset::ZERO);
    let bases: Vec<Offset> = all_bases.iter().copied().filter(|base| *base >= start).collect();
    let producers_max = engine.options.producers_max;
    let stored = read_producers(disk, directory, meta.id, producers_max)?;
    Ok(Found { list, meta, is_rebuilt, file, checkpoint, start, bases, stored })
}

/// Opens the log in `directory`, which is called `name`.
pub(crate) fn open(
    engine: &Arc<Engine>,
    directory: &Path,
    name: &LogName,
) -> Result<(Meta, Recovered), OpenError> {
    let disk = &*engine.disk;
    let Found { list, meta, is_rebuilt, file, checkpoint, start, bases, stored } =
        look(engine, directory, name)?;
    let producers_from = stored.as_ref().map_or(Offset::ZERO, |stored| stored.offset);
    let site = Site { engine, directory, meta: &meta, bases, start, producers_from };

    let is_lost = producers::are_lost(&site, stored.as_ref(), checkpoint.as_ref())?;
    let census = Census::of(site.bases.iter().copied());
    let closed = checkpoint.filter(|held| {
        held.clean
            && held.census == census
            && held.mark.durable_end >= producers_from
            && held.mark.incarnation < u64::MAX
            && !held.mark.durable_end.is_out_of_reach()
    });
    let found = match closed {
        Some(checkpoint) => clean::open(&site, &checkpoint)?,
        None => None,
    };
    let (mut found, was_clean) = match found {
        Some(found) => (found, true),
        None => (repair::open(&site, checkpoint.as_ref())?, false),
    };
    producers::restore(&site, (stored, is_lost), checkpoint.as_ref(), &mut found)?;
    found.file = file;
    found.checkpoint = checkpoint.filter(|_| was_clean);
    if !found.damaged {
        // What was read of the start may be in the page cache alone; so it is made durable before
        // anything below it goes.
        if !was_clean {
            save(&site, &mut found)?;
        }
        // Not before it is certain that the log opens: a refusal changes nothing.
        if is_rebuilt {
            log::warn!(log:% = name, path:% = names::meta(directory).display(); "meta_rebuilt");
            meta.write(disk, directory)?;
            disk.sync_directory(directory).map_err(IoError::at(SYNC, directory))?;
        }
        remove_leftovers(&site, &list, found.mark.durable_end)?;
    }
    Ok((meta, found))
}

/// The log's meta file, or one made from its stores, and whether it was made. Settings that cannot
/// be are no better than none: then it is made from the file itself.
pub(crate) fn read_meta(
    disk: &dyn Disk,
    directory: &Path,
    name: &LogName,
    bases: &[Offset],
) -> Result<(Meta, bool), OpenError> {
    if let Some(meta) = Meta::read(disk, directory)? {
        if meta.name == *name {
            let is_sound = meta.are_settings_sound();
            let meta = if is_sound { meta } else { meta.without_settings() };
            return Ok((meta, !is_sound));
        }
        let what =
            format!("is the log {:?}, and its directory is called {name:?}", meta.name.as_str());
        return Err(OpenError::Invalid { path: names::meta(directory), what });
    }
    let id = bases.iter().find_map(|base| stored_id(disk, directory, *base));
    let id = match id {
        None => CheckpointFile::open(disk, directory)?.1.map(|checkpoint| checkpoint.log_id),
        stored => stored,
    };
    let Some(id) = id else {
        let what = "is missing or damaged, and neither a store nor a checkpoint tells the log's id";
        let what = what.to_owned();
        return Err(OpenError::Invalid { path: names::meta(directory), what });
    };
    Ok((Meta::new(id, name.clone(), LogOverrides::default()), true))
}

fn stored_id(disk: &dyn Disk, directory: &Path, base: Offset) -> Option<LogId> {
    let file = disk.open_to_read(&names::store(directory, base)).ok()?;
    let mut bytes = [0; STORE_HEADER_BYTES];
    file.read_at(&mut bytes, 0).ok()?;
    match StoreHeader::decode(&bytes) {
        Ok(header) => Some(header.log_id),
        Err(HeaderFault::Unreadable | HeaderFault::Newer(_)) => None,
    }
}

/// Removes stores and indexes below the start of a log that ends at `end`, indexes without a store,
/// and prepared files.
fn remove_leftovers(site: &Site<'_>, list: &[String], end: Offset) -> Result<(), OpenError> {
    // A log starts where a segment does. If none is there, one below may have what is missing.
    let starts_there = site.start >= end || site.bases.first() == Some(&site.start);
    let stale = list.iter().filter(|file| {
        let store_below =
            starts_there && names::store_base(file).is_some_and(|base| base < site.start);
        let index_alone = names::index_base(file).is_some_and(|b| !site.bases.contains(&b));
        store_below || index_alone || names::LEFT_OVERS.contains(&file.as_str())
    });
    let paths: Vec<_> = stale.map(|file| site.directory.join(file)).collect();
    let engine = site.engine;
    super::trash::discard(&*engine.disk, &engine.trash, site.directory, paths.into_iter())?;
    Ok(())
}

/// Makes durable what an unclean recovery found, so that it stays so.
fn save(site: &Site<'_>, found: &mut Recovered) -> Result<(), OpenError> {
    if found.file.is_none() {
        if found.segments.is_empty() {
            return Ok(());
        }
        found.file = Some(CheckpointFile::create(&*site.engine.disk, site.directory)?);
        let synced = site.engine.disk.sync_directory(site.directory);
        synced.map_err(IoError::at(SYNC, site.directory))?;
    }
    let checkpoint = Checkpoint {
        log_id: site.meta.id,
        clean: true,
        start: found.start,
        mark: found.mark,
        census: Census::of(found.segments.iter().map(|segment| segment.base())),
        producers: found.producers_at,
    };
    fail_point!("recovery::save");
    if let Some(file) = &mut found.file {
        file.write(&*site.engine.disk, site.directory, &checkpoint)?;
    }
    found.checkpoint = Some(checkpoint);
    Ok(())
}

/// A log that was just created.
pub(crate) fn empty(options: &Options) -> Recovered {
    Recovered {
        producers: Producers::new(options.producers_max),
        ..Recovered::new(Offset::ZERO, Mark::default())
    }
}

impl Recovered {
    /// A log without segments.
    fn new(start: Offset, mark: Mark) -> Self {
        Self {
            segments: Vec::new(),
            resting: None,
            start,
            mark,
            damaged: false,
            producers: Producers::default(),
            producers_at: ProducersAt::default(),
            file: None,
            checkpoint: None,
        }
    }
}
