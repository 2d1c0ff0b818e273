//! Opening a data directory of any files.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| varve_fuzz::recovery::check(input));
