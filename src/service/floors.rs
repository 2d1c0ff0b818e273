//! The reading of requests, opened for fuzzing alone (feature `floors`): not an interface.

use super::varve_v1::library;

/// Reads a `varve.v1.ProduceRequest` here and with the protobuf library.
///
/// # Panics
///
/// If they do not make the same of it.
pub fn compare_produce_request(message: &[u8]) {
    let _outcome = library::compare(message);
}
