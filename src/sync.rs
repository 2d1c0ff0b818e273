//! The threads, locks, channels and clock by which the storage and the list of open streams
//! coordinate themselves, in one place, so that a scheduler can take their place.
//!
//! They are the host's, under their own names. Under the feature `models` they are those of
//! `shuttle`, which runs one thread at a time and decides at each of these calls who goes on:
//! `tests/models`, and the model beside the guard, have it try one order after the other on the
//! code itself. Nothing else runs then: a server's other threads are none of shuttle's.

#[cfg(not(feature = "models"))]
pub(crate) use self::host::*;
#[cfg(feature = "models")]
pub(crate) use self::model::*;

#[cfg(feature = "models")]
mod model;

#[cfg(not(feature = "models"))]
mod host {
    pub(crate) use std::sync::atomic;
    pub(crate) use std::thread;
    pub(crate) use std::time::Instant;

    pub(crate) use arc_swap::{ArcSwap, ArcSwapOption};
    pub(crate) use crossbeam_channel as channel;
    pub(crate) use parking_lot::{Mutex, RwLock};
}

#[cfg(all(feature = "models", feature = "server", not(test)))]
compile_error!("the feature `models` is for tests alone: build with --no-default-features");
