//! The files beside the stores: `meta`, `checkpoint`, `producers`, `readers`, and what is left of
//! something that was interrupted.

use std::path::Path;

use super::fault::{Fault, Meaning};
use crate::log::checkpoint::{Census, Checkpoint, Slots};
use crate::log::disk::Disk;
use crate::log::error::{IoError, OpenError};
use crate::log::meta::Meta;
use crate::log::names::{self, LogName};
use crate::log::offset::{LogId, Offset};
use crate::log::producers::read as read_producers;
use crate::log::store::Store;
use crate::log::{age, readers};

/// What the files beside a log's stores say.
#[derive(Debug)]
pub(super) struct Beside {
    pub(super) id: Option<LogId>,
    pub(super) checkpoint: Option<Checkpoint>,
    /// Up to where the log is known to have been durable.
    pub(super) durable_end: Offset,
    pub(super) faults: Vec<Fault>,
}

impl Beside {
    /// Reads them. `all` are the base offsets of the stores, `list` every file.
    pub(super) fn read(
        disk: &dyn Disk,
        (directory, name): (&Path, &LogName),
        slots: Option<Slots>,
        (all, list): (&[Offset], &[String]),
        is_running: bool,
    ) -> Result<Self, OpenError> {
        let durable_end = Offset::ZERO;
        let mut beside = Self { id: None, checkpoint: None, durable_end, faults: Vec::new() };
        let newest = slots.as_ref().and_then(|slots| slots.newest).map(|(_, newest)| newest);
        beside.id = beside.identify(disk, (directory, name), all, newest.as_ref())?;
        beside.look_at_slots(directory, slots.as_ref(), all, is_running);
        beside.durable_end = beside.checkpoint.map_or(Offset::ZERO, |held| held.mark.durable_end);
        if let Some(id) = beside.id {
            beside.look_at_producers(disk, (directory, id), list)?;
            beside.look_at_readers(disk, (directory, id), is_running);
        }
        let start = beside.checkpoint.map_or(Offset::ZERO, |held| held.start);
        let left = list.iter().filter(|file| !is_running && is_left_over(file, all, start));
        beside.faults.extend(
            left.map(|file| {
                Fault::of(&directory.join(file), Meaning::LeftOver, "a start removes it")
            }),
        );
        Ok(beside)
    }

    /// What is wrong if no server runs and the log's stores are those with these bases.
    pub(super) fn other_stores(
        &self,
        directory: &Path,
        bases: impl Iterator<Item = Offset>,
    ) -> Option<Fault> {
        let census = Census::of(bases);
        let held = self.checkpoint.filter(|held| held.clean && held.census != census)?;
        let what = format!(
            "it was written at an orderly stop, with {} segments, and {} are here",
            held.census.segments, census.segments
        );
        Some(Fault::of(&names::checkpoint(directory), Meaning::Derived, what))
    }

    /// The log's id, as a start finds it.
    fn identify(
        &mut self,
        disk: &dyn Disk,
        (directory, name): (&Path, &LogName),
        all: &[Offset],
        newest: Option<&Checkpoint>,
    ) -> Result<Option<LogId>, OpenError> {
        let path = names::meta(directory);
        if let Some(meta) = Meta::read(disk, directory)? {
            if meta.name != *name {
                let what = format!("it is that of the log {}, and no server starts", meta.name);
                self.faults.push(Fault::of(&path, Meaning::Damage, what));
            }
            if !meta.are_settings_sound() {
                let what = "it has settings that cannot be: the log's own settings are lost";
                self.faults.push(Fault::of(&path, Meaning::Damage, what));
            }
            return Ok(Some(meta.id));
        }
        let of_store = |base: &Offset| {
            let opened = Store::open_alone(disk, &names::store(directory, *base));
            opened.ok().map(|(_, header)| header.log_id)
        };
        let id = all.iter().find_map(of_store).or(newest.map(|held| held.log_id));
        let what = match id {
            Some(_) => "it is missing or damaged: the log's own settings are lost",
            None => "it is missing or damaged, and no other file tells the log's id",
        };
        self.faults.push(Fault::of(&path, Meaning::Damage, what));
        Ok(id)
    }

    fn look_at_slots(
        &mut self,
        directory: &Path,
        slots: Option<&Slots>,
        all: &[Offset],
        is_running: bool,
    ) {
        let path = names::checkpoint(directory);
        let newest = slots.and_then(|slots| slots.newest).map(|(_, newest)| newest);
        self.checkpoint = newest.filter(|held| Some(held.log_id) == self.id);
        let lost: &[u64] = slots.map_or(&[], |slots| &slots.lost_at);
        let fault = |meaning, what: &str| Fault::of(&path, meaning, what);
        match self.checkpoint {
            None if newest.is_some() => {
                let what = "it is that of another log and does not count";
                self.faults.push(fault(Meaning::Derived, what));
            }
            None if !all.is_empty() => {
                let what = "it is missing or damaged; a start goes by the stores";
                self.faults.push(fault(Meaning::Derived, what));
            }
            None if !lost.is_empty() => {
                let what = "no slot is valid, and nothing else tells where the log ended";
                self.faults.push(fault(Meaning::Damage, what));
            }
            None => {}
            Some(_) => {
                // A running server may be writing it.
                let lost = lost.iter().filter(|_| !is_running);
                self.faults.extend(lost.map(|position| {
                    let what = "a slot is damaged; the other one stands in for it";
                    fault(Meaning::Derived, what).at(*position)
                }));
            }
        }
    }

    fn look_at_producers(
        &mut self,
        disk: &dyn Disk,
        (directory, id): (&Path, LogId),
        list: &[String],
    ) -> Result<(), OpenError> {
        let path = names::producers(directory);
        let stored = match read_producers(disk, directory, id, usize::MAX) {
            Err(OpenError::Io(error)) => {
                self.faults.push(Fault::unreadable(&error));
                return Ok(());
            }
            read => read?,
        };
        let is_there = list.iter().any(|file| path.ends_with(file));
        let is_needed = self.checkpoint.is_some_and(|held| held.producers.in_file);
        let start = self.checkpoint.map_or(Offset::ZERO, |held| held.start);
        let lost = "what is known of producers whose batches were trimmed is lost";
        match stored {
            Some(stored) => {
                self.durable_end = self.durable_end.max(stored.offset);
                if stored.offset < start {
                    let what = format!("it ends below the log's start: {lost}");
                    self.faults.push(Fault::of(&path, Meaning::Damage, what));
                }
            }
            None if is_needed => {
                let what = format!("it is missing or damaged: {lost}");
                self.faults.push(Fault::of(&path, Meaning::Damage, what));
            }
            None if is_there => {
                let what = "it is damaged; the batches tell all that it would";
                self.faults.push(Fault::of(&path, Meaning::Derived, what));
            }
            None => {}
        }
        Ok(())
    }

    fn look_at_readers(
        &mut self,
        disk: &dyn Disk,
        (directory, id): (&Path, LogId),
        is_running: bool,
    ) {
        let path = names::readers(directory);
        match readers::check(disk, directory, id) {
            Err(error) => self.faults.push(Fault::unreadable(&error)),
            Ok(readers::Found::Damaged(what)) => {
                let what = format!("{what}: where readers stand is lost");
                self.faults.push(Fault::of(&path, Meaning::Damage, what));
            }
            Ok(readers::Found::Whole { end, torn_bytes }) if torn_bytes > 0 && !is_running => {
                let what = format!("{torn_bytes} bytes behind the end were never durable");
                self.faults.push(Fault::of(&path, Meaning::TornTail, what).at(end));
            }
            Ok(readers::Found::Whole { .. } | readers::Found::Absent) => {}
        }
    }
}

/// As a start decides.
fn is_left_over(file: &str, all: &[Offset], start: Offset) -> bool {
    names::store_base(file).is_some_and(|base| base < start)
        || names::index_base(file).is_some_and(|base| base < start || !all.contains(&base))
        || names::LEFT_OVERS.contains(&file)
}

/// What is wrong beside all logs.
pub(super) fn folder(disk: &dyn Disk, folder: &Path) -> Result<Vec<Fault>, OpenError> {
    let mut faults = Vec::new();
    let clock = names::clock(folder);
    let is_there = disk.list(folder).is_ok_and(|list| list.iter().any(|f| clock.ends_with(f)));
    if is_there && age::read(disk, folder)?.is_none() {
        let what = "it is damaged; the time of the newest record takes its place";
        faults.push(Fault::of(&clock, Meaning::Derived, what));
    }
    let trash = names::trash(folder);
    let left = match disk.list(&trash) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(IoError::at("list", &trash))?,
    };
    let left = left.iter().map(|file| trash.join(file));
    faults.extend(left.map(|path| Fault::of(&path, Meaning::LeftOver, "a start removes it")));
    Ok(faults)
}
