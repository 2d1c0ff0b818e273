//! Makes up batches and what their producers claim about them.

use protobuf::EnumOrUnknown;
use varve::proto::log_service::{Durability as Level, ProduceRequest};
use varve::proto::record::{Header, Record};

use super::ledger::{Entry, Ledger, WINDOW, claim};
use super::rng::Rng;

/// The ids of producers; the first stays with its first epoch, so that it outgrows its window.
pub(super) const IDS: [&[u8; 16]; 3] =
    [b"producer number1", b"producer number2", b"producer number3"];

const LEVELS: [Level; 4] = [
    Level::DURABILITY_UNSPECIFIED,
    Level::DURABILITY_BUFFERED,
    Level::DURABILITY_WRITTEN,
    Level::DURABILITY_SYNCED,
];

/// What a producer says about a batch.
#[derive(Clone, Copy, Debug)]
enum Claim {
    Next,
    Repeat,
    RepeatWithOtherBytes,
    TooOld,
    Gap,
    NextEpoch,
    GapInNextEpoch,
    OlderEpoch,
}

/// Makes batches, no two of them alike.
pub(super) struct Maker {
    made: u64,
}

impl Maker {
    pub(super) fn new() -> Self {
        Self { made: 0 }
    }

    /// A batch that no producer claims, for whatever offset.
    pub(super) fn batch(&mut self, rng: &mut Rng, log: &str) -> ProduceRequest {
        ProduceRequest {
            log: log.to_owned(),
            records: self.records(rng),
            durability: EnumOrUnknown::new(rng.pick(&LEVELS)),
            ..ProduceRequest::default()
        }
    }

    /// The batch that `id` has to send next, `ahead` batches from now.
    pub(super) fn next_of(
        &mut self,
        rng: &mut Rng,
        ledger: &Ledger,
        (id, ahead): (&[u8], u64),
    ) -> ProduceRequest {
        let (epoch, known) = ledger.known(id);
        let producer = claim(id, epoch, known.len() as u64 + ahead);
        ProduceRequest { producer, ..self.batch(rng, &ledger.name) }
    }

    /// Any batch at all, right or wrong.
    pub(super) fn any(&mut self, rng: &mut Rng, ledger: &Ledger) -> ProduceRequest {
        let mut request = self.batch(rng, &ledger.name);
        if rng.one_in(2) {
            self.claimed(rng, ledger, &mut request);
        }
        if rng.one_in(4) {
            let wrong = rng.below(ledger.end() + 3);
            request.expected_offset = Some(if rng.one_in(2) { ledger.end() } else { wrong });
        }
        request
    }

    fn claimed(&mut self, rng: &mut Rng, ledger: &Ledger, request: &mut ProduceRequest) {
        let place = rng.below(IDS.len() as u64) as usize;
        let id = IDS[place];
        let (epoch, known) = ledger.known(id);
        let next = known.len() as u64;
        let kind = rng.weighted(&[
            (10, Claim::Next),
            (6, Claim::Repeat),
            (2, Claim::RepeatWithOtherBytes),
            (2, Claim::TooOld),
            (2, Claim::Gap),
            (1, Claim::NextEpoch),
            (1, Claim::GapInNextEpoch),
            (2, Claim::OlderEpoch),
        ]);
        let oldest = next.saturating_sub(WINDOW);
        let repeated = (next > 0).then(|| oldest + rng.below(next - oldest));
        request.producer = match (kind, repeated) {
            (Claim::Repeat, Some(sequence)) => {
                request.records = known[sequence as usize].records.clone();
                claim(id, epoch, sequence)
            }
            (Claim::RepeatWithOtherBytes, Some(sequence)) => claim(id, epoch, sequence),
            (Claim::TooOld, _) if oldest > 0 => {
                let Entry { records, .. } = known[rng.below(oldest) as usize];
                request.records = records.clone();
                claim(id, epoch, rng.below(oldest))
            }
            (Claim::Gap, _) => claim(id, epoch, next + 1 + rng.below(3)),
            (Claim::NextEpoch, Some(_)) if place > 0 => claim(id, epoch + 1, 0),
            (Claim::GapInNextEpoch, _) => claim(id, epoch + 1, 1 + rng.below(3)),
            (Claim::OlderEpoch, _) if epoch > 0 => claim(id, epoch - 1, rng.below(next + 2)),
            _ => claim(id, epoch, next),
        };
    }

    fn records(&mut self, rng: &mut Rng) -> Vec<Record> {
        if rng.one_in(60) {
            // Larger than a message to a consumer, which it is cut for.
            return (0..4).map(|_| self.tagged(rng, 300_000)).collect();
        }
        let count = rng.weighted(&[(4, 1), (3, 3), (1, 30)]);
        let mut records: Vec<_> = (0..1 + rng.below(count)).map(|_| record(rng, 200)).collect();
        let sizes = [0, 10, 10, 500, 6000];
        let size = rng.pick(&sizes);
        records[0] = self.tagged(rng, size);
        records
    }

    /// A record that there is once.
    fn tagged(&mut self, rng: &mut Rng, size: u64) -> Record {
        self.made += 1;
        let tag = self.made.to_be_bytes().to_vec();
        let mut record = record(rng, size.max(1));
        match rng.below(3) {
            0 => record.value = [tag, record.value.to_vec()].concat().into(),
            1 => record.key = tag.into(),
            _ => record.headers = vec![header("tag", tag)],
        }
        record
    }
}

fn record(rng: &mut Rng, size: u64) -> Record {
    let some = |rng: &mut Rng, size| {
        let len = if rng.one_in(3) { 0 } else { rng.below(size + 1) };
        rng.bytes(len)
    };
    let headers = (0..rng.weighted(&[(3, 0), (1, 1), (1, 4)]))
        .map(|_| {
            let name = rng.pick(&["", "content-type", "ünïcode", "x"]);
            header(name, some(rng, 20))
        })
        .collect();
    let value = some(rng, size).into();
    Record { value, key: some(rng, 20).into(), headers, ..Record::default() }
}

fn header(name: &str, value: Vec<u8>) -> Header {
    Header { name: name.to_owned(), value: value.into(), ..Header::default() }
}
