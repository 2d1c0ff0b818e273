//! Opens logs thousands of times a second.

use varve::log::{OpenError, Options, SimDisk};

use super::rig::{Rig, by_hand, small_segments};

/// Those of the storage tests, with short queues.
pub fn options() -> Options {
    let defaults = small_segments();
    Options { logs_max: 4, leaving_logs_max: 16, open_segments_max: 4, ..by_hand(defaults) }
}

/// Opens the data directory on `disk`.
pub fn open(disk: &SimDisk) -> Result<Rig, OpenError> {
    Rig::open(disk, options())
}
