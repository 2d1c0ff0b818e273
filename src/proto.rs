//! The messages and service stubs that `build.rs` generates from `proto/`.
//!
//! A module per file: `log` and `log_grpc`, `record`, `log_service` and `log_service_grpc`,
//! `readers_service` and `readers_service_grpc`, `admin_service` and `admin_service_grpc`,
//! `health` and `health_grpc`, `reflection` and `reflection_grpc`, `status`, `error_details`.
//! Nothing of these is written by hand.

#![allow(missing_docs, unreachable_pub, clippy::all, clippy::as_conversions)]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::wildcard_imports)]

/// A `google.protobuf.FileDescriptorSet` of every file of which the server says something, and of
/// all that these import.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pb/descriptors.bin"));

include!(concat!(env!("OUT_DIR"), "/pb/mod.rs"));
