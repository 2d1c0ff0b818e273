//! The `varve` program as its users meet it: the real binary, its flags, its messages, its exit
//! codes.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod bench;
mod consume;
mod doctor;
mod logs;
mod memory;
mod produce;
mod proxy;
mod readers;
mod records;
mod refusals;
mod reloading;
mod running;
pub(crate) mod site;
mod telling;
mod tools;
mod upkeep;
