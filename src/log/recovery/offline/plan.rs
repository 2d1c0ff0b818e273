//! What is to be done to a log.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::claims;
use crate::log::checkpoint::Mark;
use crate::log::engine::Engine;
use crate::log::error::OpenError;
use crate::log::names::{self, LogName};
use crate::log::offset::{LogId, Offset};
use crate::log::recovery::clean::open_store;
use crate::log::recovery::judge::{Verdict, judge};
use crate::log::recovery::survey::{Survey, Surveyed, survey};
use crate::log::recovery::{Found, Site, look};
use crate::log::scan::Scan;

/// What is to be done to a log, in this order: what is replaced or taken away is kept first.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) id: Option<LogId>,
    /// Files that go into the quarantine.
    pub(super) kept: Vec<PathBuf>,
    pub(super) tail: Option<Tail>,
    /// Stores and indexes that lose their names here.
    pub(super) taken_away: Vec<PathBuf>,
    /// Segments whose index is made anew, and what no frame of theirs reaches beyond.
    pub(super) indexes: Vec<(Offset, Option<Offset>)>,
    /// Why the log cannot be made writable again.
    pub(super) left: Option<String>,
}

/// What becomes of the end of a log.
#[derive(Clone, Copy, Debug)]
pub(super) enum Tail {
    /// The store is cut behind its last frame.
    Cut { base: Offset, position: u64 },
    /// The store is sealed with its readable frames up to an offset; the segment ends at another.
    Seal { base: Offset, readable: Offset, end: Offset, incarnation: u64 },
    /// A sealed store without frames.
    Fill { base: Offset, end: Offset, incarnation: u64, time_us: u64 },
}

impl Plan {
    pub(super) fn is_empty(&self) -> bool {
        self.tail.is_none() && self.taken_away.is_empty() && self.indexes.is_empty()
    }

    /// Keeps the files of a segment, as far as they are there.
    fn keep(&mut self, directory: &Path, list: &[String], base: Offset) {
        let files = [names::store(directory, base), names::index(directory, base)];
        let is_there = |path: &PathBuf| list.iter().any(|file| path.ends_with(file));
        let new = files.into_iter().filter(|path| is_there(path) && !self.kept.contains(path));
        self.kept.extend(new.collect::<Vec<_>>());
    }
}

/// The plan for the log in `directory`, of which the indexes of some segments are wrong.
pub(super) fn of(
    engine: &Arc<Engine>,
    directory: &Path,
    name: &LogName,
    indexes: &[Offset],
) -> Result<Plan, OpenError> {
    let Found { list, meta, checkpoint, bases, start, stored, .. } = look(engine, directory, name)?;
    let producers_from = stored.map_or(Offset::ZERO, |stored| stored.offset);
    let site = Site { engine, directory, meta: &meta, bases, start, producers_from };
    let mut plan = Plan { id: Some(meta.id), ..Plan::default() };
    let survey = survey(&site, checkpoint.as_ref())?;
    let verdict = judge(&site, &survey);
    let used_up = match (survey.incarnation, verdict.end.is_out_of_reach()) {
        (u64::MAX, _) => Some("incarnations"),
        (_, true) => Some("offsets"),
        _ => None,
    };
    if let Some(what) = used_up {
        plan.left = Some(format!("its {what} are used up; copy its records into another"));
    } else if verdict.tail_damaged {
        seal_tail(&site, (&survey, &verdict), &list, &mut plan)?;
    } else {
        cut_tail(&site, (&survey, &verdict), &list, &mut plan)?;
    }
    if plan.left.is_none() {
        take_away(&site, survey.strays.iter().copied(), &list, &mut plan);
    }
    let gone = |base: &Offset| plan.taken_away.contains(&names::index(directory, *base));
    let sealed = plan.tail.and_then(|tail| tail.replaced());
    let stays = |base: &&Offset| site.bases.contains(base) && !gone(base) && sealed != Some(**base);
    let bound = |base: &Offset| {
        let surveyed = survey.stores.iter().find(|store| store.base == *base);
        (*base, surveyed.and_then(|store| store.bound))
    };
    plan.indexes = indexes.iter().filter(stays).map(bound).collect();
    for (base, _) in plan.indexes.clone() {
        let index = names::index(directory, base);
        if list.iter().any(|file| index.ends_with(file)) && !plan.kept.contains(&index) {
            plan.kept.push(index);
        }
    }
    Ok(plan)
}

impl Tail {
    /// The segment whose store and index are made anew with it.
    fn replaced(self) -> Option<Offset> {
        match self {
            Self::Cut { .. } => None,
            Self::Seal { base, .. } | Self::Fill { base, .. } => Some(base),
        }
    }
}

/// Acknowledged records of the unsealed tail are gone: what is left of it is sealed.
fn seal_tail(
    site: &Site<'_>,
    (survey, verdict): (&Survey, &Verdict),
    list: &[String],
    plan: &mut Plan,
) -> Result<(), OpenError> {
    let last = last_kept(survey, verdict);
    let mut end = verdict.end;
    if let Some(lost) = survey.stores.last().filter(|store| !store.readable) {
        end = end.max(claims::end(site, lost.base)?).max(lost.base.plus(1));
    }
    if end.is_out_of_reach() {
        let what = "a store that nobody can read has the name of an offset that no append reaches";
        plan.left = Some(format!("{what}; take that file away"));
        return Ok(());
    }
    let incarnation = survey.incarnation;
    let tail = match last {
        Some((store, mark)) if store.sealed_at.is_none() => {
            plan.keep(site.directory, list, store.base);
            let (base, readable) = (store.base, mark.durable_end);
            Tail::Seal { base, readable, end: behind(base, end), incarnation }
        }
        _ => {
            let base = last.map_or(site.start, |(store, mark)| {
                store.sealed_at.unwrap_or(mark.durable_end).max(mark.durable_end)
            });
            let time_us = verdict.last_time_us;
            Tail::Fill { base, end: behind(base, end), incarnation, time_us }
        }
    };
    plan.tail = Some(tail);
    let kept = verdict.last.map_or(0, |(n, _)| n + 1);
    take_away(site, survey.stores.iter().skip(kept).map(|store| store.base), list, plan);
    Ok(())
}

/// The last store that can be read, and where its frames end.
fn last_kept<'a>(survey: &'a Survey, verdict: &Verdict) -> Option<(&'a Surveyed, Mark)> {
    verdict.last.and_then(|(n, mark)| Some((survey.stores.get(n)?, mark)))
}

/// The end of a segment that begins at `base`: one without any offset would have the name of the
/// next. Where nobody knows how many records are gone, at least one is.
fn behind(base: Offset, end: Offset) -> Offset {
    end.max(base.plus(1))
}

/// What stands behind the end was never known to be durable.
fn cut_tail(
    site: &Site<'_>,
    (survey, verdict): (&Survey, &Verdict),
    list: &[String],
    plan: &mut Plan,
) -> Result<(), OpenError> {
    let last = last_kept(survey, verdict);
    if let Some((surveyed, Mark { position, .. })) = last.filter(|(s, _)| s.sealed_at.is_none())
        && let Some(store) = open_store(site, surveyed.base)?
        && Scan::headers(&store, position)?.bytes_until_zeros(position)? > 0
    {
        plan.keep(site.directory, list, surveyed.base);
        plan.tail = Some(Tail::Cut { base: surveyed.base, position });
    }
    Ok(())
}

/// Stores of which nothing can be read as the log's.
fn take_away(
    site: &Site<'_>,
    bases: impl Iterator<Item = Offset>,
    list: &[String],
    plan: &mut Plan,
) {
    let replaced = plan.tail.and_then(Tail::replaced);
    for base in bases {
        plan.keep(site.directory, list, base);
        if replaced != Some(base) {
            let files = [names::store(site.directory, base), names::index(site.directory, base)];
            let is_there = |path: &PathBuf| list.iter().any(|file| path.ends_with(file));
            plan.taken_away.extend(files.into_iter().filter(is_there));
        }
    }
}
