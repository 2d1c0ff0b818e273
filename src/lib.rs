//! Varve: a durable commit log and its server.
//!
//! A file imports only from floors below its own: [`log`] (storage) and [`acl`] know nothing of
//! the wire; `proto`, `tls` and `service` speak gRPC; `server` runs them and `ops` tells how
//! they do; `config` and `cli` stand on top. Without the `server` feature only the first two are
//! built.

pub mod acl;
#[cfg(feature = "server")]
pub mod certs;
#[cfg(feature = "server")]
pub mod cli;
#[cfg(feature = "server")]
pub mod config;
mod fail_points;
pub mod histogram;
mod line_limit;
pub mod log;
#[cfg(feature = "server")]
pub mod ops;
mod own;
#[cfg(feature = "server")]
pub mod proto;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod service;
mod small_file;
mod sync;
#[cfg(feature = "server")]
pub mod tls;
