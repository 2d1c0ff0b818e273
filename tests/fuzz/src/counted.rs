//! How many inputs came as far as a comparison: most of those that a fuzzer makes are refused
//! before.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

static COMPARED: AtomicU64 = AtomicU64::new(0);
/// Told after so many.
const TOLD_EACH: u64 = 1000;

/// One more.
pub fn compared() {
    let n = COMPARED.fetch_add(1, Ordering::Relaxed) + 1;
    if n.is_multiple_of(TOLD_EACH) {
        let _unheard = writeln!(std::io::stderr().lock(), "compared: {n}");
    }
}
