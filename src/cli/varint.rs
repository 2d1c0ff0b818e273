//! Lengths before delimited records: seven bits a byte, least first, the top bit set on all bytes
//! but the last.

/// The longest encoding of a 64-bit number.
const BYTES_MAX: usize = 10;

/// The bytes hold no number of 64 bits.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Writes `number`.
pub(super) fn encode(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BYTES_MAX);
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(low & 0x7f);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Reads the number that `bytes` begin with, and how many bytes it takes; `None` if it goes on
/// after them.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<(u64, usize)>, TooLong> {
    let mut number: u128 = 0;
    for (place, byte) in bytes.iter().take(BYTES_MAX).enumerate() {
        number |= u128::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return u64::try_from(number).map(|number| Some((number, place + 1))).or(Err(TooLong));
        }
    }
    if bytes.len() < BYTES_MAX { Ok(None) } else { Err(TooLong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_they_were_written() {
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = encode(number);
            let length = bytes.len();
            assert_eq!(decode(&bytes[..length - 1]), Ok(None));
            bytes.push(0xff);
            assert_eq!(decode(&bytes), Ok(Some((number, length))));
        }
        assert_eq!(encode(300), [0xac, 0x02]);
    }

    #[test]
    fn what_exceeds_64_bits_is_refused() {
        assert_eq!(decode(&[0xff; 10]), Err(TooLong));
        assert_eq!(
            decode(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]),
            Err(TooLong)
        );
    }
}
