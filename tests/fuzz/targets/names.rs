//! Names of logs: taken exactly if they have the form, and then one plain file name below any
//! directory.

#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use varve::log::{LOG_NAME_BYTES_MAX, LogName, ReaderName};
use varve_fuzz::is_one_line;

/// The form, written down a second time: byte by byte, with what stood before.
fn has_the_form(text: &str) -> bool {
    let mut before = None;
    for byte in text.bytes() {
        let is_plain = byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let may_follow = match byte {
            b'.' => before.is_some_and(|before| before != b'.'),
            b'_' | b'-' => before.is_some(),
            _ => false,
        };
        if !is_plain && !may_follow {
            return false;
        }
        before = Some(byte);
    }
    before.is_some() && text.len() <= LOG_NAME_BYTES_MAX
}

fuzz_target!(|text: &str| {
    let taken = LogName::parse(text);
    assert_eq!(taken.is_ok(), has_the_form(text), "{text:?}: {taken:?}");
    assert_eq!(ReaderName::parse(text).is_ok(), taken.is_ok(), "{text:?}");
    match taken {
        Ok(name) => {
            assert_eq!(name.as_str(), text);
            let path = Path::new("logs").join(name.as_str());
            let parts: Vec<_> = path.components().collect();
            assert_eq!(
                parts,
                [Component::Normal("logs".as_ref()), Component::Normal(text.as_ref())]
            );
        }
        Err(why) => assert!(is_one_line(&why), "{why:?}"),
    }
});
