//! Decides where a log ends that was not closed in order, and puts its tail in order.
//!
//! If anything acknowledged is damaged in the unsealed tail, nothing is changed: the log serves
//! what is valid and takes no appends.

use std::sync::Arc;

use super::clean::{open_store, segments};
use super::survey::{Survey, Surveyed, survey};
use super::{Recovered, Site};
use crate::log::active::Resting;
use crate::log::checkpoint::{Checkpoint, Mark};
use crate::log::error::{IoError, OpenError, SYNC};
use crate::log::names;
use crate::log::offset::Offset;
use crate::log::scan::Scan;
use crate::log::segment::Segment;
use crate::log::store::Store;
use crate::log::trash;
use crate::log::width::wide;

/// Bytes that are read and written at once when a tail is written anew.
const REWRITE_BYTES: usize = 1 << 20;

/// What a survey amounts to.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The last store that is kept, and where its frames end.
    pub(super) last: Option<(usize, Mark)>,
    /// Acknowledged records that are gone: from, where reading can go on, in which store.
    damage: Vec<(Offset, Offset, usize)>,
    pub(super) end: Offset,
    /// When the newest record that is kept was appended, whichever store it is in.
    pub(super) last_time_us: u64,
    pub(super) tail_damaged: bool,
}

/// Opens a log by what its stores hold.
pub(super) fn open(
    site: &Site<'_>,
    checkpoint: Option<&Checkpoint>,
) -> Result<Recovered, OpenError> {
    let survey = survey(site, checkpoint)?;
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
    let kept = verdict.last.map_or(0, |(n, _)| n + 1);
    mend(site, &survey, kept, mark)?;
    let kept_site = Site { bases: site.bases.iter().copied().take(kept).collect(), ..*site };
    let segments = segments(&kept_site, verdict.end);
    let last = kept.checked_sub(1).and_then(|n| survey.stores.get(n));
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

/// Follows the pieces from the start to the first break at or above the highest durable end.
pub(super) fn judge(site: &Site<'_>, survey: &Survey) -> Verdict {
    let mut verdict = Verdict { end: site.start, ..Verdict::default() };
    'stores: for (n, store) in survey.stores.iter().enumerate() {
        if verdict.end >= survey.durable_end && store.base != verdict.end {
            break;
        }
        if !store.readable {
            // A header is durable before its store has a name, so this is no torn write: records
            // may have been acknowledged here, and nobody can tell how many.
            verdict.tail_damaged |= n + 1 == survey.stores.len();
        }
        for piece in &store.pieces {
            let gap = piece.after_break || piece.from != verdict.end;
            if gap && verdict.end >= survey.durable_end {
                break 'stores;
            }
            // Also where no offset is gone: a frame in the break may claim those of later appends,
            // and an index that is made anew would follow it and miss them.
            let in_unsealed = piece.after_break && store.sealed_at.is_none();
            if piece.from > verdict.end || in_unsealed {
                let within = if verdict.end >= store.base { n } else { n.saturating_sub(1) };
                verdict.damage.push((verdict.end, piece.from.max(verdict.end), within));
            }
            verdict.end = verdict.end.max(piece.to());
            verdict.last = Some((n, piece.mark));
            verdict.last_time_us = verdict.last_time_us.max(piece.mark.last_time_us);
        }
    }
    if verdict.end < survey.durable_end {
        let n = survey.stores.len().saturating_sub(1);
        verdict.damage.push((verdict.end, survey.durable_end, n));
        verdict.end = survey.durable_end;
        // If a footer vouches for what is gone, it is the sealed segment's and not the tail's.
        let sealed_at = survey.stores.last().and_then(|store| store.sealed_at);
        verdict.tail_damaged |= sealed_at != Some(survey.durable_end);
    }
    // Appends go on in the last store that is kept, whatever is thrown away behind it.
    let in_tail = |n: usize| {
        let is_last = n + 1 == survey.stores.len() || verdict.last.is_some_and(|(k, _)| k == n);
        is_last && survey.stores.get(n).is_none_or(|store| store.sealed_at.is_none())
    };
    verdict.tail_damaged |= verdict.damage.iter().any(|(_, _, n)| in_tail(*n));
    // Nothing that is written now could be told from what a recovery cut before.
    verdict.tail_damaged |= survey.incarnation == u64::MAX;
    // No append brought the log there, and not many fit behind it.
    verdict.tail_damaged |= verdict.end.is_out_of_reach();
    if verdict.tail_damaged && verdict.damage.is_empty() {
        // Nobody knows what is gone, or whether anything is.
        let n = survey.stores.len().saturating_sub(1);
        verdict.damage.push((verdict.end, verdict.end, n));
    }
    verdict
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

/// Writes the unsure part of the kept stores anew, cuts what follows the end, and makes all of it
/// durable before anyone is served.
fn mend(site: &Site<'_>, survey: &Survey, kept: usize, end: Mark) -> Result<(), OpenError> {
    for (n, surveyed) in survey.stores.iter().take(kept).enumerate() {
        let Some(from) = surveyed.unsure_from else {
            continue;
        };
        // The survey let go of it: a log may have more stores than a process may have open.
        let Some(store) = open_store(site, surveyed.base)? else {
            continue;
        };
        let is_tail = n + 1 == kept && surveyed.sealed_at.is_none();
        let to = if is_tail { end.position } else { store.file_bytes()? };
        rewrite(&store, from, to)?;
        if is_tail {
            cut(site, &store, &end)?;
        }
        store.sync()?;
    }
    let dropped: Vec<&Surveyed> = survey.stores.iter().skip(kept).collect();
    for surveyed in &dropped {
        let path = names::store(site.directory, surveyed.base);
        log::warn!(
            log:% = site.meta.name, path:% = path.display(), reason = "unacknowledged";
            "store_dropped"
        );
    }
    let paths = dropped.iter().flat_map(|surveyed| {
        [names::store(site.directory, surveyed.base), names::index(site.directory, surveyed.base)]
    });
    let disk = &*site.engine.disk;
    trash::discard(disk, &site.engine.trash, site.directory, paths)?;
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
