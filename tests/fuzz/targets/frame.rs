//! The decoder of frames, against a second one written from `docs/FORMAT.md`, and every frame it
//! takes with one bit changed.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use varve::log::floors;
use varve_fuzz::format;

/// That of the log and the segment that `floors` reads frames of.
static SEED: LazyLock<u32> = LazyLock::new(|| format::seed(&[1; 16], 0, 5));

fuzz_target!(|input: &[u8]| {
    let Some(([first, second], bytes)) = input.split_first_chunk() else { return };
    let mut bytes = bytes.to_vec();
    // Half of them with right checksums, or nothing but the magic would ever be looked at.
    if first & 1 == 1 {
        format::mend_frame(&mut bytes, *SEED);
    }
    let found = floors::read_frame(&bytes);
    let expected = format::frame(&bytes, *SEED);
    let expected = expected.map(|frame| floors::ReadFrame {
        base: frame.base,
        records: frame.records,
        append_time_us: frame.append_time_us,
        payload: frame.payload,
    });
    assert_eq!(found, expected);
    let Some(frame) = found else { return };
    let bit = (usize::from(*first) << 8 | usize::from(*second)) % (frame.payload.end * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    assert_eq!(floors::read_frame(&bytes), None, "bit {bit} counts for nothing");
});
