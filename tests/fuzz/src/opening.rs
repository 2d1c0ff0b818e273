//! Opens logs thousands of times a second.

use varve::log::{OpenError, Options, SimDisk};

use super::rig::{Rig, by_hand, small_segments};

/// Those of the storage tests, with short queues.
pub fn options() -> Options {
    Options { logs_max: 4, open_segments_max: 4, ..by_hand(small_segments()) }
}

/// Opens the data directory on `disk`.
pub fn open(disk: &SimDisk) -> Result<Rig, OpenError> {
    Rig::open(disk, options())
}
