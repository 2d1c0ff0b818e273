//! The reading of a produce request, against the protobuf library's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use varve::service::floors::compare_produce_request;

fuzz_target!(|message: &[u8]| compare_produce_request(message));
