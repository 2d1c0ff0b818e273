//! The messages and service stubs that `build.rs` generates from `proto/`.
//!
//! A module per file: `log` and `log_grpc`, `record`, `log_service` and `log_service_grpc`,
//! `health` and `health_grpc`, `status`, `error_details`. Nothing here is written by hand.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::as_conversions)]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::wildcard_imports)]

include!(concat!(env!("OUT_DIR"), "/pb/mod.rs"));
