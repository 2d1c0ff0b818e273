//! Under which name batches are counted, so that sending one again appends it once.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use openssl::error::ErrorStack;
use openssl::rand::rand_bytes;
use thiserror::Error;

use crate::proto::log_service::ProducerSequence;

/// What was typed for a producer's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// None: batches are not counted, and nothing is sent again.
    None,
    /// This one.
    Id(Id),
}

/// A producer's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id([u8; 16]);

/// What was typed is no id.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("a producer's id has 32 hexadecimal digits, not all 0; `none` does without")]
pub(crate) struct NoId;

/// Who counts, and from which number on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Producer {
    pub(crate) id: Id,
    pub(crate) epoch: u32,
    /// The number of the next batch.
    pub(crate) sequence: u64,
}

impl FromStr for Named {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        match text {
            "none" => Ok(Self::None),
            text => text.parse().map(Self::Id),
        }
    }
}

impl FromStr for Id {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(number) if is_hex && number != 0 => Ok(Self(number.to_be_bytes())),
            Ok(_) | Err(_) => Err(NoId),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl Id {
    /// One that nobody else has.
    pub(super) fn random() -> Result<Self, ErrorStack> {
        let mut id = [0; 16];
        rand_bytes(&mut id)?;
        Ok(Self(id))
    }
}

impl Producer {
    /// The next number, for one batch.
    pub(super) fn count(&mut self) -> ProducerSequence {
        let sequence = self.sequence;
        self.sequence = sequence.saturating_add(1);
        let id = Bytes::copy_from_slice(&self.id.0);
        ProducerSequence { id, epoch: self.epoch, sequence, ..ProducerSequence::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_as_it_is_shown() {
        let text = "00ff00000000000000000000000000a1";
        assert_eq!(text.parse::<Id>().unwrap().to_string(), text);
        assert_eq!("none".parse(), Ok(Named::None));
        assert_ne!(Id::random().unwrap(), Id::random().unwrap());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        let zero = "0".repeat(32);
        let signed = format!("+{}", "1".repeat(31));
        for text in ["", "None", "1", &zero, &signed, &"1".repeat(33), &"g".repeat(32)] {
            assert_eq!(text.parse::<Named>(), Err(NoId), "{text}");
        }
    }

    #[test]
    fn batches_are_counted_without_a_gap() {
        let id = "00ff00000000000000000000000000a1".parse().unwrap();
        let mut producer = Producer { id, epoch: 3, sequence: 7 };
        let counted = [producer.count(), producer.count()];
        assert_eq!(counted.map(|count| (count.epoch, count.sequence)), [(3, 7), (3, 8)]);
    }
}
