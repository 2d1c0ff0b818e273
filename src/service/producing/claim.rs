//! Who says to have made a batch, and how a log tells producers apart.

use openssl::sha::Sha256;

use crate::log::{Producer, ProducerId};
use crate::tls::Subject;

/// What a request says of its batch's producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// Not all zero.
    pub(crate) id: [u8; 16],
    pub(crate) epoch: u32,
    pub(crate) sequence: u64,
}

impl Claim {
    /// The producer, if `subject` says so: another subject's with the same id is another. The log
    /// knows it by the first 16 bytes of the SHA-256 of the subject, a zero byte and the id.
    pub(super) fn by(&self, subject: &Subject) -> Producer {
        let Self { id, epoch, sequence } = *self;
        let mut hash = Sha256::new();
        hash.update(subject.as_str().as_bytes());
        // No subject holds it, so no two pairs run together into the same bytes.
        hash.update(&[0]);
        hash.update(&id);
        let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash.finish();
        let id = ProducerId::from_bytes(first).expect("no known hash begins with 128 zero bits");
        Producer { id, epoch, sequence }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(subject: &str, id: [u8; 16]) -> ProducerId {
        Claim { id, epoch: 0, sequence: 0 }.by(&Subject::new(subject).unwrap()).id
    }

    /// From `printf 'root\0abcdefghijklmnop' | sha256sum`: what is on disk must not change.
    #[test]
    fn a_log_knows_a_producer_by_a_hash_that_stays() {
        let expected = u128::from_str_radix("0f7c5b9362391a01f403a1fd602db63c", 16).unwrap();
        assert_eq!(id_of("root", *b"abcdefghijklmnop").bytes(), expected.to_be_bytes());
    }

    #[test]
    fn subjects_and_ids_make_producers_apart() {
        let ids = [id_of("a", [1; 16]), id_of("b", [1; 16]), id_of("a", [2; 16]), {
            id_of("ab", [1; 16])
        }];
        for (n, id) in ids.iter().enumerate() {
            assert!(!ids[..n].contains(id), "{n}");
        }
    }
}
