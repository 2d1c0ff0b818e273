//! Protobuf's wire format, read in place and written into exactly sized buffers.
//!
//! Only what the messages on the hot path need: a request is looked into without being copied, and
//! whatever is wrong with it is our own answer instead of the codec's. Everything else uses the
//! generated code. Groups, which proto3 does not have, are refused.

use thiserror::Error;

/// The wire type of varints, in the low three bits of a tag.
const VARINT: u64 = 0;
/// The wire type of bytes, strings and messages.
const LENGTH_DELIMITED: u64 = 2;
/// Tags are 32 bits.
const TAG_MAX: u64 = 0xffff_ffff;

/// Bytes that are no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a well-formed protobuf message")]
pub(crate) struct Malformed;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// 32 or 64 bits, which none of our messages has.
    Fixed,
}

/// The fields of a message in the order of its bytes, as (number, value); it ends at the first
/// fault.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// How many bytes are yet to be walked.
    pub(crate) fn rest_bytes(&self) -> usize {
        self.rest.len()
    }

    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        let tag = self.varint().filter(|tag| *tag <= TAG_MAX)?;
        let value = match tag & 7 {
            VARINT => Value::Varint(self.varint()?),
            LENGTH_DELIMITED => {
                let bytes = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(bytes)?)
            }
            1 => self.take(8).map(|_| Value::Fixed)?,
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return None,
        };
        let number = tag >> 3;
        (number > 0).then_some((number, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(bytes)?;
        self.rest = rest;
        Some(taken)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field().ok_or(Malformed);
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// The last value of the bytes field `number`, which is the one that counts; `None` without one.
pub(crate) fn last_bytes(message: &[u8], number: u64) -> Result<Option<&[u8]>, Malformed> {
    Fields::of(message).try_fold(None, |last, field| match field? {
        (n, Value::Bytes(bytes)) if n == number => Ok(Some(bytes)),
        _ => Ok(last),
    })
}

/// The last value of the varint field `number`; zero without one.
pub(crate) fn last_varint(message: &[u8], number: u64) -> Result<u64, Malformed> {
    Fields::of(message).try_fold(0, |last, field| match field? {
        (n, Value::Varint(value)) if n == number => Ok(value),
        _ => Ok(last),
    })
}

/// How many bytes `put_bytes` adds for a field below number 16.
pub(crate) fn bytes_len(content_bytes: usize) -> usize {
    1 + varint_len(wide(content_bytes)) + content_bytes
}

/// How many bytes `put_varint` adds for a field below number 16.
pub(crate) fn varint_field_len(value: u64) -> usize {
    1 + varint_len(value)
}

/// Adds the tag and length of a bytes field; its content is the caller's to add.
pub(crate) fn put_bytes_head(buffer: &mut Vec<u8>, number: u8, content_bytes: usize) {
    buffer.push(number << 3 | 2);
    put_raw_varint(buffer, wide(content_bytes));
}

/// Adds a varint field.
pub(crate) fn put_varint(buffer: &mut Vec<u8>, number: u8, value: u64) {
    buffer.push(number << 3);
    put_raw_varint(buffer, value);
}

fn put_raw_varint(buffer: &mut Vec<u8>, mut value: u64) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            buffer.push(low & 0x7f);
            return;
        }
        buffer.push(low | 0x80);
    }
}

fn varint_len(value: u64) -> usize {
    std::iter::successors(Some(value >> 7), |rest| Some(rest >> 7))
        .position(|rest| rest == 0)
        .map_or(1, |more| more + 1)
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn fields_of_every_kind_are_walked() {
        let message =
            [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4];
        let fields: Result<Vec<_>, _> = Fields::of(&message).collect();
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"hi")),
            (3, Value::Fixed),
            (4, Value::Fixed),
        ];
        assert_eq!(fields.unwrap(), expected);
    }

    #[test]
    fn every_cut_of_a_message_is_malformed_or_shorter() {
        let message = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i'];
        for cut in 1..message.len() {
            let whole = Fields::of(&message[..cut]).all(|field| field.is_ok());
            assert_eq!(whole, cut == 3, "cut at {cut}");
        }
    }

    #[test]
    fn a_fault_is_told_once_and_ends_the_walk() {
        for message in [
            &[0x0b, 0x0c][..],
            &[0x00, 0x01],
            &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            &[0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
            &[0x88, 0x80, 0x80, 0x80, 0x80, 0x01, 0x00],
        ] {
            let fields: Vec<_> = Fields::of(message).collect();
            assert_eq!(fields, [Err(Malformed)], "{message:x?}");
        }
    }

    #[test]
    fn the_last_value_of_a_field_counts() {
        let message = [0x0a, 1, b'a', 0x10, 5, 0x0a, 1, b'b', 0x10, 6, 0x08, 9];
        assert_eq!(last_bytes(&message, 1), Ok(Some(&b"b"[..])));
        assert_eq!(last_varint(&message, 2), Ok(6));
        assert_eq!(last_bytes(&message, 3), Ok(None));
        assert_eq!(last_varint(&message, 3), Ok(0));
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_without_a_panic(message: Vec<u8>) {
            Fields::of(&message).for_each(drop);
        }

        #[test]
        fn a_varint_is_as_long_as_it_says_and_reads_back(value: u64, shift in 0_u32..64) {
            let value = value >> shift;
            let mut buffer = Vec::new();
            put_varint(&mut buffer, 3, value);
            prop_assert_eq!(buffer.len(), varint_field_len(value));
            prop_assert_eq!(last_varint(&buffer, 3), Ok(value));
        }

        #[test]
        fn a_bytes_field_is_as_long_as_it_says_and_reads_back(content: Vec<u8>) {
            let mut buffer = Vec::new();
            put_bytes_head(&mut buffer, 2, content.len());
            buffer.extend_from_slice(&content);
            prop_assert_eq!(buffer.len(), bytes_len(content.len()));
            prop_assert_eq!(last_bytes(&buffer, 2), Ok(Some(&content[..])));
        }
    }
}
