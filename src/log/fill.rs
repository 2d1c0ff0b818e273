//! Makes the entries of an index from the frames of its store.

use super::error::IoError;
use super::index::Index;
use super::reached::Reached;
use super::scan::{Found, Scan};
use super::store::Store;
use super::store_header::STORE_HEADER_BYTES;
use super::width::wide;

/// Calls `each` with the entry number, relative offset and position of every frame of the store
/// that counts by its header, until it returns `false`, and tells how many it took; `reached` is
/// what there is before the first. If headers contradict each other, it begins anew, and frames
/// count that are whole, as in a recovery.
pub(crate) fn each_frame(
    store: &Store,
    reached: Reached,
    mut each: impl FnMut(u32, u32, u64) -> bool,
) -> Result<u32, IoError> {
    let by_headers = Scan::headers(store, wide(STORE_HEADER_BYTES))?;
    let walked = walk(by_headers, reached, &mut each)?;
    if !walked.has_refused {
        return Ok(walked.taken);
    }
    let by_frames = Scan::verified(store, wide(STORE_HEADER_BYTES))?;
    Ok(walk(by_frames, reached, &mut each)?.taken)
}

/// How a walk through a store's frames went.
#[derive(Debug, Default)]
struct Walked {
    taken: u32,
    has_refused: bool,
}

fn walk(
    mut scan: Scan<'_>,
    mut reached: Reached,
    each: &mut impl FnMut(u32, u32, u64) -> bool,
) -> Result<Walked, IoError> {
    let base = reached.end;
    let (mut walked, mut is_taking) = (Walked::default(), true);
    loop {
        match scan.next()? {
            Found::Frame { position, header, intact: true } => {
                let relative = header.base.get().checked_sub(base.get());
                let Some(relative) = relative.and_then(|r| u32::try_from(r).ok()) else {
                    continue;
                };
                if !reached.take(&header) {
                    walked.has_refused = true;
                    continue;
                }
                is_taking = is_taking && each(walked.taken, relative, position);
                walked.taken += u32::from(is_taking);
            }
            Found::Frame { .. } => {}
            Found::Footer { .. } => return Ok(walked),
            Found::Nothing { .. } => {
                // Behind what was asked for may be nothing but the space that appends will take.
                if !is_taking || !scan.resync()? {
                    return Ok(walked);
                }
            }
        }
    }
}

/// Fills the first `entries` of `index` and returns how many frames there were for them. If there
/// were fewer, the last one stands again in the rest, so that the entries stay sorted.
pub(crate) fn fill_index(
    store: &Store,
    index: &Index,
    frames: Reached,
    entries: u32,
) -> Result<u32, IoError> {
    let mut last = (0, wide(STORE_HEADER_BYTES));
    let filled = each_frame(store, frames, |n, relative, position| {
        let fits = n < entries && index.put(n, relative, position);
        if fits {
            last = (relative, position);
        }
        fits
    })?;
    for n in filled..entries {
        index.put(n, last.0, last.1);
    }
    Ok(filled)
}
