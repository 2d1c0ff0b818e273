//! Models: the storage itself, on the simulated disk, in one order of its threads' steps after the
//! other.
//!
//! Under the feature `models` the storage's locks, atomics, channels and threads are those of
//! `shuttle` (see `src/sync.rs`), which runs one thread at a time and chooses at each step
//! which one. Nothing is rewritten for it: what runs is `Logs` with its flushers, its housekeeper
//! and its chores. Whoever waits in vain is a deadlock, and that fails the model.
//!
//! usage: `cargo test --no-default-features --features models --test models [-- --show-output]`
//!
//! | variable | what |
//! |---|---|
//! | `VARVE_SCHEDULES` | how many each model runs; without it 10,000, or what fits in 6 s |
//! | `VARVE_SEED` | the number that the schedules are drawn from; without it the clock's |
//! | `VARVE_REPLAY` | runs the hundred schedules of one number, as a failure prints it |

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::as_conversions
)]

mod closing;
mod commit;
mod committing;
mod consuming;
mod explore;
mod retrying;
mod waiting;
mod world;
