//! Makes the entries of an index from the frames of its store.

use super::error::IoError;
use super::index::Index;
use super::reached::Reached;
use super::scan::{Found, Scan};
use super::store::Store;
use super::store_header::STORE_HEADER_BYTES;
use super::width::wide;

/// The frames of a store that an index is to lead to: those that count by their headers, or, if
/// headers contradict each other, those that count and are whole, as in a recovery.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    store: &'a Store,
    /// What there is before the first.
    reached: Reached,
    /// Only those with intact payloads count.
    whole_alone: bool,
    count: u32,
}

impl<'a> Frames<'a> {
    /// Looks at the headers of all, but behind `most` of them not beyond a break.
    pub(crate) fn of(store: &'a Store, reached: Reached, most: u32) -> Result<Self, IoError> {
        let mut frames = Self { store, reached, whole_alone: false, count: 0 };
        let mut walked = frames.walk(most, |_, _, _| {})?;
        if walked.has_refused {
            frames.whole_alone = true;
            walked = frames.walk(most, |_, _, _| {})?;
        }
        frames.count = walked.taken;
        Ok(frames)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Fills the first `entries` of `index` and returns how many frames there were for them. If
    /// there were fewer, the last one stands again in the rest, so that the entries stay sorted.
    pub(crate) fn fill(&self, index: &Index, entries: u32) -> Result<u32, IoError> {
        let mut filled = 0;
        let mut last = (0, wide(STORE_HEADER_BYTES));
        self.walk(entries, |n, relative, position| {
            if n < entries && index.put(n, relative, position) {
                (filled, last) = (n + 1, (relative, position));
            }
        })?;
        for n in filled..entries {
            index.put(n, last.0, last.1);
        }
        Ok(filled)
    }

    /// Calls `each` with the number, relative offset and position of every frame, but behind `most`
    /// of them of none beyond a break.
    fn walk(&self, most: u32, mut each: impl FnMut(u32, u32, u64)) -> Result<Walked, IoError> {
        let start = wide(STORE_HEADER_BYTES);
        let new = if self.whole_alone { Scan::verified } else { Scan::headers };
        let mut scan = new(self.store, start)?;
        let (mut walked, mut reached) = (Walked::default(), self.reached);
        loop {
            match scan.next()? {
                Found::Frame { position, header, intact: true } => {
                    let relative = header.base.get().checked_sub(self.reached.end.get());
                    let Some(relative) = relative.and_then(|r| u32::try_from(r).ok()) else {
                        continue;
                    };
                    if reached.take(&header) {
                        each(walked.taken, relative, position);
                        walked.taken += 1;
                    } else {
                        walked.has_refused = true;
                    }
                }
                Found::Frame { .. } => {}
                Found::Footer { .. } => return Ok(walked),
                Found::Nothing { .. } => {
                    if walked.taken >= most || !scan.resync()? {
                        return Ok(walked);
                    }
                }
            }
        }
    }
}

/// How a walk went.
#[derive(Debug, Default)]
struct Walked {
    taken: u32,
    has_refused: bool,
}
