//! Who makes a batch, and which of theirs it is.

use std::fmt;

/// A producer of a log: 16 bytes that are not all zero.
///
/// The log compares them and nothing else; whoever calls it decides what makes two producers the
/// same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerId([u8; 16]);

impl ProducerId {
    /// The producer with these bytes; `None` if they are all zero, which stands for no producer.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        bytes.iter().any(|byte| *byte != 0).then_some(Self(bytes))
    }

    /// The bytes that are stored.
    #[must_use]
    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Debug for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Which batch of which producer a batch is, for recognising a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    /// Who made it.
    pub id: ProducerId,
    /// A higher epoch fences off the lower ones.
    pub epoch: u32,
    /// The batch's number in its epoch, from 0 and without a gap.
    pub sequence: u64,
}
