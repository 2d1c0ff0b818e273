//! What a power cut leaves of what was not synced.

use super::content::{PAGE, SECTOR};

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// Nothing: only what was synced is there.
    LoseAll,
    /// Everything, as after a killed process: the kernel lives on.
    KeepAll,
    /// Each sector, each length and each name by a coin that the seed tosses.
    Random(u64),
    /// The same with pages of 4 KiB in place of sectors.
    RandomPages(u64),
    /// Names and lengths, and no data: what was written reads as zeros.
    SizesAlone,
    /// Data, and no names or lengths: what was written behind a file's old end is gone.
    DataAlone,
}

/// Decides what an unsynced thing becomes; the same seed decides the same.
pub(super) struct Coin {
    tear: Tear,
    state: u64,
}

/// What is not synced yet.
#[derive(Clone, Copy)]
pub(super) enum Unsynced {
    Name,
    Length,
    Data,
}

impl Coin {
    pub(super) fn new(tear: Tear) -> Self {
        let seed = if let Tear::Random(seed) | Tear::RandomPages(seed) = tear { seed } else { 0 };
        Self { tear, state: seed }
    }

    /// The bytes that survive together.
    pub(super) fn piece(&self) -> usize {
        if matches!(self.tear, Tear::RandomPages(_)) { PAGE } else { SECTOR }
    }

    /// Whether the next unsynced thing survives.
    pub(super) fn survives(&mut self, what: Unsynced) -> bool {
        match self.tear {
            Tear::LoseAll => false,
            Tear::KeepAll => true,
            Tear::Random(_) | Tear::RandomPages(_) => self.next() & 1 == 1,
            Tear::SizesAlone => !matches!(what, Unsynced::Data),
            Tear::DataAlone => matches!(what, Unsynced::Data),
        }
    }

    /// The SplitMix64 generator (Steele, Lea and Flood, 2014).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
