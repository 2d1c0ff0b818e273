//! Certificate requests and signing profiles: any bytes are read or refused, with one line that
//! says why.

#![no_main]

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use varve::certs::CertsError;
use varve::certs::floors::{read_ca_request, read_leaf_request, read_profile};
use varve_fuzz::counted::compared;
use varve_fuzz::is_one_line;

/// A file in memory, since requests are read from files.
static DOCUMENT: LazyLock<(File, PathBuf)> = LazyLock::new(|| {
    let file = rustix::fs::memfd_create("request", rustix::fs::MemfdFlags::CLOEXEC);
    let file = File::from(file.expect("a file in memory"));
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    (file, path)
});

fuzz_target!(|text: &[u8]| {
    let (file, path) = &*DOCUMENT;
    let written = file.set_len(0).and_then(|()| file.write_all_at(text, 0));
    written.expect("memory is not full");
    for read in [read_ca_request(path), read_leaf_request(path), read_profile(path, "server")] {
        match read {
            Ok(()) => {
                compared();
                assert!(serde_json::from_slice::<serde_json::Value>(text).is_ok());
            }
            Err(CertsError::Syntax { line, source, .. }) => {
                assert!(is_one_line(&source) && line > 0, "{source:?}");
                assert!(line <= 1 + text.iter().filter(|byte| **byte == b'\n').count());
            }
            Err(error @ CertsError::Value { .. }) => assert!(is_one_line(&error), "{error:?}"),
            Err(error) => panic!("{error:?}"),
        }
    }
});
