//! Which frame may come after which in a store.

use super::frame::FrameHeader;
use super::offset::Offset;

/// How far the frames of a store that count have come, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reached {
    pub(crate) end: Offset,
    pub(crate) incarnation: u64,
    /// Where the segment ends, or as far as frames are asked for.
    limit: Offset,
}

/// For each of the stores that begin at `bases` where the next one begins whose header is whole:
/// no frame reaches beyond. The name of a file alone says nothing.
pub(crate) fn bounds<E>(
    bases: impl DoubleEndedIterator<Item = Offset>,
    mut is_whole: impl FnMut(Offset) -> Result<bool, E>,
) -> Result<Vec<Option<Offset>>, E> {
    let (mut bounds, mut next) = (Vec::new(), None);
    for base in bases.rev() {
        bounds.push(next);
        if is_whole(base)? {
            next = Some(base);
        }
    }
    bounds.reverse();
    Ok(bounds)
}

impl Reached {
    /// Nothing yet of the store that begins at `base`.
    pub(crate) fn nothing(base: Offset) -> Self {
        Self::so_far(base, 0)
    }

    /// The frames up to `end`, the last of `incarnation`.
    pub(crate) fn so_far(end: Offset, incarnation: u64) -> Self {
        Self { end, incarnation, limit: Offset::new(u64::MAX) }
    }

    /// The same, where no frame counts that reaches beyond `limit`.
    pub(crate) fn within(self, limit: Offset) -> Self {
        Self { limit, ..self }
    }

    /// The same, where another segment begins at `next`, or none does.
    pub(crate) fn before(self, next: Option<Offset>) -> Self {
        next.map_or(self, |next| self.within(next))
    }

    /// Why a frame does not count that stands behind: it is over offsets that are taken, or of an
    /// older incarnation, whose frames were cut away before, or over another segment's.
    pub(crate) fn refusal(&self, header: &FrameHeader) -> Option<&'static str> {
        if header.base < self.end {
            Some("a batch has offsets that were before")
        } else if header.incarnation < self.incarnation {
            Some("a batch is of an incarnation that was over")
        } else if header.next_offset() > self.limit {
            Some("a batch has offsets of another segment")
        } else {
            None
        }
    }

    /// How far the log was durable when a frame was written, by its own word; but never beyond what
    /// it can know of, which is all before it, in this segment or below.
    pub(crate) fn durable_end(&self, header: &FrameHeader) -> Offset {
        self.at_most(header.durable_end.min(header.base))
    }

    /// An end that something in the store names, but never beyond where the segment ends.
    pub(crate) fn at_most(&self, end: Offset) -> Offset {
        end.min(self.limit)
    }

    /// Goes on to the end of a frame that stands behind; `false` if it does not count.
    pub(crate) fn take(&mut self, header: &FrameHeader) -> bool {
        let counts = self.refusal(header).is_none();
        if counts {
            (self.end, self.incarnation) = (header.next_offset(), header.incarnation);
        }
        counts
    }
}
