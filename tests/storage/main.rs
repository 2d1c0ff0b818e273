//! The storage floors and the access control list, tested from outside without the C++ core.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::as_conversions
)]

mod backup;
mod basics;
mod casbin;
mod claims;
mod conditional;
mod crash;
mod damage;
mod deletion;
mod filling;
mod format;
mod fuzzed;
mod headers;
mod many;
mod model;
mod newer;
mod os;
mod producers;
mod readers;
mod repair;
mod restore;
mod retention;
mod rig;
// The tests of the service use the rest of it.
#[allow(dead_code)]
#[path = "../rng.rs"]
mod rng;
mod scrub;
mod seeds;
mod settings;
mod space;
mod sweep;
mod tidy;
mod verify;
