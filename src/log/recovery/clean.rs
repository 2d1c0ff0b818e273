//! Opens a log that was closed in order: the checkpoint is believed if its last frame is there.

use std::sync::Arc;

use super::{Recovered, Site};
use crate::log::active::Resting;
use crate::log::checkpoint::{Checkpoint, Mark};
use crate::log::error::OpenError;
use crate::log::names;
use crate::log::offset::Offset;
use crate::log::scan::{Found, Scan};
use crate::log::segment::Segment;
use crate::log::store::{Store, StoreFault};
use crate::log::store_header::{FORMAT_VERSION, STORE_HEADER_BYTES};
use crate::log::width::wide;

/// The log as the checkpoint says, or `None` if its last segment is not as it was left.
pub(super) fn open(
    site: &Site<'_>,
    checkpoint: &Checkpoint,
) -> Result<Option<Recovered>, OpenError> {
    let mark = checkpoint.mark;
    let mut recovered = Recovered::new(site.start, mark);
    let Some(&last) = site.bases.last() else {
        return Ok(Some(recovered));
    };
    let Some(store) = open_store(site, last)? else {
        return Ok(None);
    };
    if last != mark.base || !ends_as_marked(&store, &mark)? {
        return Ok(None);
    }
    if matches!(Scan::headers(&store, mark.position)?.next()?, Found::Frame { .. }) {
        // Somebody appended after this checkpoint, which then is not the newest.
        return Ok(None);
    }
    let sealed = store.footer()?.is_some();
    recovered.segments = segments(site, mark.durable_end);
    if let Some(segment) = recovered.segments.last().filter(|_| !sealed) {
        segment.publish(mark.frames, mark.durable_end, mark.position);
        recovered.resting = Some(Resting::found(Arc::clone(segment), mark));
    }
    Ok(Some(recovered))
}

/// A store of the site; `None` if its header is damaged.
pub(super) fn open_store(site: &Site<'_>, base: Offset) -> Result<Option<Store>, OpenError> {
    let path = names::store(site.directory, base);
    match Store::open(&*site.engine.disk, &path, site.meta.id, base) {
        Ok(store) => Ok(Some(store)),
        Err(StoreFault::Header) => Ok(None),
        Err(StoreFault::Newer(found)) => Err(OpenError::NewerFormat {
            path,
            found,
            supported: format!("version {FORMAT_VERSION}"),
        }),
        Err(StoreFault::Io(e)) => Err(e.into()),
    }
}

/// All segments, each ending where the next begins, the last at `end`, unless it has no offset
/// below that: who knows what is in a store that nobody can read?
pub(super) fn segments(site: &Site<'_>, end: Offset) -> Vec<Arc<Segment>> {
    let last = site.bases.last().map(|base| end.max(*base));
    let ends = site.bases.iter().copied().skip(1).chain(last);
    site.bases.iter().zip(ends).map(|(base, end)| Arc::new(site.segment(*base, end))).collect()
}

/// Whether the store's last frame is the one that `mark` names, and whole.
pub(super) fn ends_as_marked(store: &Store, mark: &Mark) -> Result<bool, OpenError> {
    if mark.frames == 0 {
        return Ok(mark.position == wide(STORE_HEADER_BYTES) && mark.durable_end == mark.base);
    }
    let mut scan = Scan::verified(store, mark.last_frame_at)?;
    let Found::Frame { position, header, intact: true } = scan.next()? else {
        return Ok(false);
    };
    let end = position + wide(header.frame_bytes());
    // Higher ones are the mark's own: it is raised before a frame is written, and time stays where
    // frames that were lost had brought it.
    let is_known =
        header.incarnation <= mark.incarnation && header.append_time_us <= mark.last_time_us;
    Ok(is_known && end == mark.position && header.next_offset() == mark.durable_end)
}
