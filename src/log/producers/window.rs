//! The last durable batches of one producer.

use std::collections::VecDeque;

use crate::log::offset::Offset;

/// How many batches of a producer a log remembers, and how many it may have in flight.
pub const PRODUCER_BATCHES_MAX: usize = 1024;

/// What is remembered of a batch: where it is, and what tells its retry from another batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) base: Offset,
    pub(crate) records: u32,
    pub(crate) payload_crc: u32,
}

impl Remembered {
    pub(crate) fn next_offset(&self) -> Offset {
        self.base.plus(u64::from(self.records))
    }

    /// Whether a batch with so many records and this payload is the same one.
    pub(crate) fn is(&self, records: u32, payload_crc: u32) -> bool {
        (self.records, self.payload_crc) == (records, payload_crc)
    }
}

/// The last durable batches of a producer's highest epoch.
///
/// Sequences follow each other without a gap, so a batch needs no number of its own. In an idle
/// producer they take 16 bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Window {
    pub(super) epoch: u32,
    /// The sequence after the last durable batch; 0 if there is none.
    pub(super) next: u64,
    /// Consecutive up to `next`; fewer than there should be only where damage took some.
    pub(super) batches: VecDeque<Remembered>,
}

impl Window {
    /// Whether the producer has no durable batch.
    pub(super) fn is_empty(&self) -> bool {
        self.next == 0
    }

    /// Notes a durable batch; one that is known already changes nothing.
    pub(super) fn push(&mut self, (epoch, sequence): (u32, u64), batch: Remembered) {
        if !self.is_empty() && (epoch, sequence) < (self.epoch, self.next) {
            return;
        }
        // Batches are missing only where damage took them. Those before the gap must not look like
        // those in it; forgetting them makes them too old, which nobody takes for new.
        if (epoch, sequence) != (self.epoch, self.next) {
            self.batches.clear();
        }
        if self.batches.len() >= PRODUCER_BATCHES_MAX {
            self.batches.pop_front();
        }
        self.batches.push_back(batch);
        (self.epoch, self.next) = (epoch, sequence.saturating_add(1));
    }

    /// Forgets the batches at and above `end`; whether there were any.
    pub(super) fn cut(&mut self, end: Offset) -> bool {
        let before = self.next;
        while self.batches.pop_back_if(|batch| batch.base >= end).is_some() {
            self.next = self.next.saturating_sub(1);
        }
        self.next != before
    }

    /// The batch that is `back` before the next one, from 1.
    pub(super) fn back(&self, back: usize) -> Option<&Remembered> {
        self.batches.len().checked_sub(back).and_then(|at| self.batches.get(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base: u64) -> Remembered {
        Remembered { base: Offset::new(base), records: 1, payload_crc: 7 }
    }

    fn window(batches: &[(u32, u64)]) -> Window {
        let mut window = Window::default();
        for (n, at) in (0..).zip(batches) {
            window.push(*at, batch(n));
        }
        window
    }

    #[test]
    fn a_batch_that_is_known_changes_nothing() {
        let mut twice = window(&[(2, 0), (2, 1), (2, 2)]);
        let once = twice.clone();
        for known in [(2, 0), (2, 2), (1, 9), (0, 0)] {
            twice.push(known, batch(99));
        }
        assert_eq!(twice, once);
    }

    #[test]
    fn a_new_epoch_or_a_gap_begins_anew() {
        for (batches, next) in [([(0, 0), (0, 1), (1, 0)], 1), ([(0, 0), (0, 1), (0, 5)], 6)] {
            let window = window(&batches);
            assert_eq!((window.next, window.batches.len()), (next, 1));
            assert_eq!((window.back(1), window.back(2)), (Some(&batch(2)), None));
        }
    }

    #[test]
    fn a_cut_leaves_what_was_known_then() {
        let mut cut = window(&[(1, 0), (1, 1), (1, 2)]);
        assert!(!cut.cut(Offset::new(3)));
        assert!(cut.cut(Offset::new(1)));
        assert_eq!(cut, window(&[(1, 0)]));
    }

    #[test]
    fn the_oldest_batch_makes_room_and_memory_stays() {
        let batches: Vec<_> = (0..5000).map(|sequence| (0, sequence)).collect();
        let window = window(&batches);
        assert_eq!(window.batches.len(), PRODUCER_BATCHES_MAX);
        assert_eq!(window.batches.capacity(), PRODUCER_BATCHES_MAX);
        assert_eq!(window.back(PRODUCER_BATCHES_MAX), Some(&batch(5000 - 1024)));
        assert_eq!(std::mem::size_of::<Remembered>(), 16);
    }
}
