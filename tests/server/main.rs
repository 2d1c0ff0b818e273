//! The server over real sockets: calls and streams, identities and permissions, limits, faults of
//! the disk, stops, and what is told of all this; then the certificates and the program itself.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::indexing_slicing)]
#![allow(clippy::as_conversions, clippy::print_stdout)]

mod access;
mod admin;
mod backups;
mod batches;
mod calls;
mod certs;
mod cli;
mod consuming;
mod disk;
mod exactly_once;
mod health;
mod identity;
mod lifecycle;
mod limits;
mod model;
mod naming;
mod pki;
mod rates;
mod readers;
mod reasons;
mod reflection;
mod revocation;
mod streams;
mod watched;
mod wire;
mod world;
