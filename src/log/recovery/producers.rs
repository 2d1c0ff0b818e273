//! Finds what a log knows of its producers: what was stored, and what the frames after it tell.
//!
//! Only headers are read, from the stored offset on; after an orderly stop that is the end.

use super::clean::open_store;
use super::{Recovered, Site};
use crate::log::checkpoint::{Checkpoint, ProducersAt};
use crate::log::error::OpenError;
use crate::log::names;
use crate::log::offset::Offset;
use crate::log::producers::{Producers, Stored};
use crate::log::reached::Reached;
use crate::log::scan::{Found, Scan};
use crate::log::segment::Segment;
use crate::log::store::Store;
use crate::log::store_header::STORE_HEADER_BYTES;
use crate::log::width::wide;

/// Whether the batches of producers that were trimmed are lost. Asked before anything is changed.
///
/// # Errors
///
/// `Damaged` if they are, and it is to be strict.
pub(super) fn are_lost(
    site: &Site<'_>,
    stored: Option<&Stored>,
    checkpoint: Option<&Checkpoint>,
) -> Result<bool, OpenError> {
    let is_lost = match stored {
        // It would have been written anew before the frames behind it were trimmed.
        Some(stored) => stored.offset < site.start,
        None => checkpoint.is_some_and(|held| held.producers.in_file),
    };
    if is_lost {
        report(site)?;
    }
    Ok(is_lost)
}

/// Puts the producers into `found`, which is all else of the log.
pub(super) fn restore(
    site: &Site<'_>,
    (stored, is_lost): (Option<Stored>, bool),
    checkpoint: Option<&Checkpoint>,
    found: &mut Recovered,
) -> Result<(), OpenError> {
    let told = checkpoint.map(|held| held.producers);
    let in_file = stored.is_some();
    let (from, position, mut producers) = match stored {
        Some(stored) => (stored.offset, stored.position, stored.producers),
        None => {
            let from = told.filter(|_| !is_lost).map_or(site.start, |told| told.from);
            (from, 0, Producers::new(site.engine.options.producers_max))
        }
    };
    for segment in found.segments.iter().filter(|segment| segment.end() > from) {
        if let Some(store) = open_store(site, segment.base())? {
            let begin = begin(&store, segment, (from, position))?;
            replay(&store, begin, segment, from, &mut producers)?;
        }
    }
    found.producers = producers;
    found.producers_at = ProducersAt { from, in_file };
    Ok(())
}

fn report(site: &Site<'_>) -> Result<(), OpenError> {
    let path = names::producers(site.directory);
    log::error!(log:% = site.meta.name, path:% = path.display(); "producers_lost");
    if !site.engine.options.strict {
        return Ok(());
    }
    let what = "what is known of producers whose batches were trimmed is missing".to_owned();
    let log = site.meta.name.as_str().to_owned();
    Err(OpenError::Damaged { log, from: Offset::ZERO, path, what })
}

/// Where to begin in a store: at the frame that begins at the offset `at`, if it stands where it is
/// said to, else with the first.
fn begin(store: &Store, segment: &Segment, at: (Offset, u64)) -> Result<u64, OpenError> {
    let (offset, position) = at;
    if segment.base() < offset
        && let Found::Frame { header, .. } = Scan::headers(store, position)?.next()?
        && header.base == offset
    {
        return Ok(position);
    }
    Ok(wide(STORE_HEADER_BYTES))
}

/// Takes in the frames of one store up to its segment's end.
fn replay(
    store: &Store,
    begin: u64,
    segment: &Segment,
    from: Offset,
    producers: &mut Producers,
) -> Result<(), OpenError> {
    let mut reached = Reached::nothing(segment.base()).within(segment.end());
    let mut scan = Scan::headers(store, begin)?;
    while reached.end < segment.end() {
        match scan.next()? {
            Found::Frame { header, .. } => {
                if reached.take(&header) && header.base >= from {
                    producers.replay(&header);
                }
            }
            Found::Footer { .. } => break,
            Found::Nothing { .. } => {
                if !scan.resync()? {
                    break;
                }
            }
        }
    }
    Ok(())
}
