//! Decides where a log ends that was not closed in order, and what of it is damaged.

use super::Site;
use super::survey::Survey;
use crate::log::checkpoint::Mark;
use crate::log::offset::Offset;

/// What a survey amounts to.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// The last store that can be read, and where its frames end.
    pub(super) last: Option<(usize, Mark)>,
    /// Acknowledged records that are gone: from, where reading can go on, in which store.
    pub(super) damage: Vec<(Offset, Offset, usize)>,
    pub(super) end: Offset,
    /// When the newest record that is kept was appended, whichever store it is in.
    pub(super) last_time_us: u64,
    pub(super) tail_damaged: bool,
}

/// Follows the pieces from the start to the first break at or above the highest durable end.
pub(super) fn judge(site: &Site<'_>, survey: &Survey) -> Verdict {
    let mut verdict = Verdict { end: site.start, ..Verdict::default() };
    // A header is durable before its store has a name, so this is no torn write: records may have
    // been acknowledged there, and nobody can tell how many.
    verdict.tail_damaged = survey.stores.last().is_some_and(|store| !store.readable);
    for (n, store) in survey.stores.iter().enumerate() {
        for piece in survey.kept(store, verdict.end) {
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
