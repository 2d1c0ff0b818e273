//! A log against a plain `Vec`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| varve_fuzz::model::check(input));
