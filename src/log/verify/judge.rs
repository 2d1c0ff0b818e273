//! Judges a log's stores together: what is missing, and where writing stopped. The rule is that of
//! recovery.

use std::path::Path;

use super::fault::{Fault, Meaning};
use super::walk::{Course, Piece, Walked};
use crate::log::names;
use crate::log::offset::Offset;

const MISSING: &str = "records are missing";
const USED_UP: &str = "its offsets are used up: no append brought it there, and none can follow";
const STRAY: &str =
    "is no store of this log: another has its offsets; no start reads it, a repair takes it away";
const HEADER: &str = "both copies of the header are damaged, and nothing can be read without it";

/// What a log's stores amount to.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) end: Offset,
    damage: Vec<Damage>,
    /// The store that is not wholly kept, and from where on.
    torn: Option<(usize, u64)>,
}

/// Records that are gone, or bytes between records.
#[derive(Debug)]
struct Damage {
    from: Offset,
    resume: Offset,
    /// In which store, and where.
    store: Option<usize>,
    position: Option<u64>,
    what: &'static str,
}

/// Takes out the files with names of stores that cannot be read, where the batches that count of
/// another store reach beyond, or its footer does; and says so of each.
pub(super) fn strays(
    stores: &mut Vec<Walked>,
    (start, durable_end): (Offset, Offset),
    directory: &Path,
) -> Vec<Fault> {
    let (mut end, mut reached) = (start, start);
    let is_stray = |store: &mut Walked| {
        if !store.is_readable {
            return !store.is_cut_short && store.base < reached;
        }
        for piece in &store.pieces {
            if (piece.after.is_some() || piece.from != end) && end >= durable_end {
                break;
            }
            end = end.max(piece.to);
        }
        reached = reached.max(end).max(store.sealed_at.unwrap_or(end));
        false
    };
    let strays = stores.extract_if(.., is_stray);
    let told = strays.map(|store| {
        let path = names::store(directory, store.base);
        Fault::of(&path, Meaning::Derived, STRAY).over(store.base, store.base)
    });
    told.collect()
}

/// The highest durable end that is known or that a store names, but not above the limit.
pub(super) fn durable_end(stores: &[Walked], known: Offset, limit: Option<Offset>) -> Offset {
    let told = stores.iter().map(|store| store.durable_end).max();
    limit.unwrap_or(known.max(told.unwrap_or(known)))
}

impl Judged {
    /// Judges the stores of a log that begins at the first offset and was durable up to the second.
    /// With a limit, nothing at or above it.
    pub(super) fn of(
        stores: &[Walked],
        (start, durable_end): (Offset, Offset),
        limit: Option<Offset>,
    ) -> Self {
        let mut judged = Self { end: start, damage: Vec::new(), torn: None };
        let mut course = None;
        for (n, store) in stores.iter().enumerate() {
            if !store.is_readable {
                if limit.is_none_or(|limit| store.base <= limit) {
                    let next = stores.get(n + 1).map_or(durable_end, |next| next.base);
                    judged.skip(n, store, next.min(durable_end));
                }
                continue;
            }
            let mut ends_at = None;
            for piece in &store.pieces {
                let is_gap = piece.after.is_some() || piece.from != judged.end;
                if is_gap && judged.end >= durable_end {
                    judged.torn = ends_at.map(|ends_at| (n, ends_at));
                    break;
                }
                if is_gap {
                    judged.gap(n, piece, ends_at, stores);
                }
                judged.compare(&mut course, piece, n);
                judged.end = judged.end.max(piece.to);
                ends_at = Some(piece.ends_at);
            }
        }
        if judged.end < durable_end {
            let last = stores.len().checked_sub(1);
            judged.missing_end((last, durable_end), stores);
        }
        if judged.end.is_out_of_reach() {
            let (from, resume, store) = (judged.end, judged.end, stores.len().checked_sub(1));
            judged.damage.push(Damage { from, resume, store, position: None, what: USED_UP });
        }
        if judged.torn.is_none() {
            judged.torn = tail(stores);
        }
        // A start cuts nothing where nobody knows what is gone.
        let is_end_known = stores.last().is_none_or(|store| store.is_readable);
        judged.torn = judged.torn.filter(|_| limit.is_none() && is_end_known);
        judged
    }

    /// A store of which nothing can be read; the next begins at `next`.
    fn skip(&mut self, n: usize, store: &Walked, next: Offset) {
        let (from, resume) = (self.end, next.max(self.end));
        if !store.is_cut_short {
            let (store, position) = (Some(n), Some(0));
            self.damage.push(Damage { from, resume, store, position, what: HEADER });
        }
        self.end = resume;
    }

    /// Records are missing before a piece of store `n`, or bytes stand there that are none.
    fn gap(&mut self, n: usize, piece: &Piece, ends_at: Option<u64>, stores: &[Walked]) {
        let resume = piece.from.max(self.end);
        let Some(ends_at) = ends_at else {
            return self.missing_end((n.checked_sub(1), resume), stores);
        };
        let (position, what) = piece.after.unwrap_or((ends_at, MISSING));
        let (from, store, position) = (self.end, Some(n), Some(position));
        self.damage.push(Damage { from, resume, store, position, what });
    }

    /// Records are missing at the end of a store, or of the log if it has none.
    fn missing_end(&mut self, (store, resume): (Option<usize>, Offset), stores: &[Walked]) {
        let walked = store.and_then(|n| stores.get(n));
        let from = std::mem::replace(&mut self.end, resume);
        if walked.is_some_and(|store| store.is_cut_short) {
            return;
        }
        let is_bad = |store: &&Walked| store.footer.is_some() || store.tail_bytes > 0;
        let stands = walked.filter(is_bad).and_then(|store| store.ends_in);
        let end = walked.and_then(|store| store.pieces.last()).map(|piece| piece.ends_at);
        let position = stands.map(|(position, _)| position).or(end);
        let what = stands.map_or(MISSING, |(_, what)| what);
        self.damage.push(Damage { from, resume, store, position, what });
    }

    /// What goes back from the store before to this one; inside of a store it was told already.
    fn compare(&mut self, course: &mut Option<Course>, piece: &Piece, n: usize) {
        let Some((first, last)) = piece.course else {
            return;
        };
        let before = course.replace(last);
        let is_in_store = self.end > piece.from;
        let what = before.and_then(|before| before.goes_back(&first)).filter(|_| !is_in_store);
        if let Some(what) = what {
            let (from, resume, store) = (piece.from, piece.to, Some(n));
            let position = Some(piece.begins_at);
            self.damage.push(Damage { from, resume, store, position, what });
        }
    }

    pub(super) fn faults(&self, stores: &[Walked], directory: &Path) -> Vec<Fault> {
        let store = |n: usize| stores.get(n).map(|store| names::store(directory, store.base));
        let damage = self.damage.iter().map(|damage| {
            let path = damage.store.and_then(store).unwrap_or_else(|| directory.to_owned());
            let fault = Fault::of(&path, Meaning::Damage, damage.what);
            Fault { position: damage.position, ..fault }.over(damage.from, damage.resume)
        });
        let torn = self.torn.and_then(|(n, position)| Some((stores.get(n)?, position)));
        let torn = torn.map(|(store, position)| {
            let what = format!(
                "{} bytes behind the end were never known to be durable; a start cuts them off",
                used_bytes(store).saturating_sub(position)
            );
            let path = names::store(directory, store.base);
            Fault::of(&path, Meaning::TornTail, what).at(position).over(self.end, self.end)
        });
        damage.chain(torn).collect()
    }
}

/// Bytes of the store that are not zeros behind its end.
fn used_bytes(store: &Walked) -> u64 {
    match (&store.footer, store.pieces.last()) {
        (None, Some(piece)) => piece.ends_at + store.tail_bytes,
        _ => store.file_bytes,
    }
}

/// Bytes behind the last frame of the last store.
fn tail(stores: &[Walked]) -> Option<(usize, u64)> {
    let store = stores.last().filter(|store| store.footer.is_none() && store.is_readable)?;
    let ends_at = store.pieces.last()?.ends_at;
    (store.tail_bytes > 0).then_some((stores.len() - 1, ends_at))
}
