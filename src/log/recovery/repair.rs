//! Opens a log that was not closed in order, and puts its tail in order.
//!
//! If anything acknowledged is damaged in the unsealed tail, nothing is changed: the log serves
//! what is valid and takes no appends.

use std::sync::Arc;

use super::clean::{open_store, segments};
use super::judge::{Verdict, judge};
use super::survey::{Survey, survey};
use super::{Recovered, Site};
use crate::log::active::Resting;
use crate::log::checkpoint::{Checkpoint, Mark};
use crate::log::error::{IoError, OpenError, SYNC};
use crate::log::names;
use crate::log::scan::Scan;
use crate::log::segment::Segment;
use crate::log::store::Store;
use crate::log::width::wide;

/// Bytes that are read and written at once when a tail is written anew.
const REWRITE_BYTES: usize = 1 << 20;

/// Opens a log by what its stores hold.
pub(super) fn open(
    site: &Site<'_>,
    checkpoint: Option<&Checkpoint>,
) -> Result<Recovered, OpenError> {
    let survey = survey(site, checkpoint)?;
    let bases = survey.stores.iter().map(|store| store.base).collect();
    let site = &Site { bases, ..*site };
    survey.strays.iter().for_each(|base| {
        let path = names::store(site.directory, *base);
        log::warn!(log:% = site.meta.name, path:% = path.display(); "store_ignored");
    });
    let verdict = judge(site, &survey);
    if let Some(&(from, _, n)) = verdict.damage.first() {
        report(site, &verdict);
        if site.engine.options.strict {
            let path = survey
                .stores
                .get(n)
                .map_or(site.directory.to_owned(), |s| names::store(site.directory, s.base));
            let what =
                "acknowledged records are missing or do not match their checksums".to_owned();
            let log = site.meta.name.as_str().to_owned();
            return Err(OpenError::Damaged { log, from, path, what });
        }
    }
    let fallback = checkpoint.map(|held| held.mark).unwrap_or_default();
    let mut mark = verdict.last.map_or(fallback, |(_, mark)| mark);
    mark.capacity_bytes = capacity(site, &survey, &verdict, &fallback)?;
    mark.incarnation = survey.incarnation;
    mark.durable_end = verdict.end;
    mark.last_time_us = verdict.last_time_us.max(fallback.last_time_us);
    if verdict.tail_damaged {
        return Ok(recovered(site, &verdict, mark, segments(site, verdict.end), None));
    }
    mend(site, &survey, mark)?;
    let segments = segments(site, verdict.end);
    let last = survey.stores.last();
    let resting =
        segments.last().filter(|_| last.is_some_and(|store| store.sealed_at.is_none())).cloned();
    Ok(recovered(site, &verdict, mark, segments, resting))
}

/// What the last segment may grow to: as the checkpoint says, or as its file was allocated.
fn capacity(
    site: &Site<'_>,
    survey: &Survey,
    verdict: &Verdict,
    marked: &Mark,
) -> Result<u64, OpenError> {
    let last = verdict.last.and_then(|(n, _)| survey.stores.get(n));
    let store = last.map(|surveyed| open_store(site, surveyed.base)).transpose()?.flatten();
    let Some(store) = store else {
        return Ok(marked.capacity_bytes);
    };
    Ok(store.file_bytes()?.max(marked.capacity_bytes))
}

fn recovered(
    site: &Site<'_>,
    verdict: &Verdict,
    mark: Mark,
    segments: Vec<Arc<Segment>>,
    resting: Option<Arc<Segment>>,
) -> Recovered {
    for &(from, resume, _) in &verdict.damage {
        for segment in segments.iter().filter(|s| s.base() < resume && from < s.end()) {
            segment.mark_damaged(from, Some(resume));
        }
    }
    let resting = resting.map(|segment| {
        segment.publish(mark.frames, mark.durable_end, mark.position);
        Resting::found(segment, mark)
    });
    let (start, damaged) = (site.start, verdict.tail_damaged);
    Recovered { segments, resting, damaged, ..Recovered::new(start, mark) }
}

fn report(site: &Site<'_>, verdict: &Verdict) {
    for (from, resume, n) in &verdict.damage {
        let path = site.bases.get(*n).map(|base| names::store(site.directory, *base));
        log::error!(
            log:% = site.meta.name, from = from.get(), resume = resume.get(),
            path:% = path.unwrap_or_else(|| site.directory.to_owned()).display(),
            appends:% = if verdict.tail_damaged { "stopped" } else { "go on" };
            "log_damaged"
        );
    }
}

/// Writes the unsure part of the stores anew, cuts what follows the end, and makes all of it
/// durable before anyone is served.
fn mend(site: &Site<'_>, survey: &Survey, end: Mark) -> Result<(), OpenError> {
    for (n, surveyed) in survey.stores.iter().enumerate() {
        let Some(from) = surveyed.unsure_from else {
            continue;
        };
        // The survey let go of it: a log may have more stores than a process may have open.
        let Some(store) = open_store(site, surveyed.base)? else {
            continue;
        };
        let is_tail = n + 1 == survey.stores.len() && surveyed.sealed_at.is_none();
        let to = if is_tail { end.position } else { store.file_bytes()? };
        rewrite(&store, from, to)?;
        if is_tail {
            cut(site, &store, &end)?;
        }
        store.sync()?;
    }
    let disk = &*site.engine.disk;
    disk.sync_directory(site.directory).map_err(IoError::at(SYNC, site.directory))?;
    Ok(())
}

/// After a sync that failed, the kernel may show bytes that are not on the disk and call them
/// clean. Writing the same bytes again makes it write them.
fn rewrite(store: &Store, from: u64, to: u64) -> Result<(), IoError> {
    let mut at = from;
    while at < to {
        let left = usize::try_from(to - at).unwrap_or(usize::MAX);
        let bytes = store.read(at, REWRITE_BYTES.min(left))?;
        if bytes.is_empty() {
            break;
        }
        store.write(&bytes, at)?;
        at += wide(bytes.len());
    }
    Ok(())
}

/// Cuts the tail behind `end`, unless it is zeros already.
fn cut(site: &Site<'_>, store: &Store, end: &Mark) -> Result<(), OpenError> {
    let torn_bytes = Scan::headers(store, end.position)?.bytes_until_zeros(end.position)?;
    if torn_bytes > 0 {
        log::warn!(
            log:% = site.meta.name, path:% = store.path().display(),
            offset = end.durable_end.get(), position = end.position, bytes = torn_bytes;
            "torn_tail_cut"
        );
        let file_bytes = store.file_bytes()?;
        store.set_len(end.position)?;
        // On a full disk the next append allocates, or is refused.
        if let Err(e) = store.allocate(file_bytes).map_err(OpenError::from)
            && !matches!(&e, OpenError::Io(io) if io.is_no_space())
        {
            return Err(e);
        }
    }
    Ok(())
}
