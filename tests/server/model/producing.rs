//! Appends of all kinds, each with an answer that the model knows before.

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{RpcStatusCode, WriteFlags};
use protobuf::EnumOrUnknown;
use varve::log::DEFAULT_LOG;
use varve::proto::log_service::{Durability as Level, ProduceRequest, ProduceResponse};
use varve::proto::record::Record;

use super::Walk;
use super::ledger::{Entry, Expected, Ledger, WINDOW};
use super::making::IDS;
use crate::world::{Producer, failure, in_time, record};

type Outcome = grpcio::Result<ProduceResponse>;

impl Ledger {
    /// Checks the answer to `request`, which was sent alone or after all others were answered.
    /// Returns whether it was taken.
    pub(super) fn answered(&mut self, request: &ProduceRequest, outcome: Outcome) -> bool {
        let (base, next) = match self.expect(request) {
            Expected::Refused { reason, values } => {
                self.refused(reason, &values, outcome);
                return false;
            }
            Expected::Appended => (self.end(), self.end() + request.records.len() as u64),
            Expected::Duplicate { base, next } => (base, next),
        };
        let reply = outcome.unwrap();
        assert_eq!((reply.base_offset, reply.next_offset), (base, next), "of {}", self.name);
        assert_eq!(reply.deduplicated, base < self.end(), "at {base} of {}", self.name);
        self.acknowledged(request, &reply);
        true
    }

    /// Takes in that `request` was answered with `reply`.
    pub(super) fn acknowledged(&mut self, request: &ProduceRequest, reply: &ProduceResponse) {
        if reply.deduplicated {
            assert_eq!(reply.append_time_us, 0);
        } else {
            self.push(Entry::of(request, reply.base_offset, Some(reply.append_time_us)));
        }
        let level = level_reached(request, reply);
        self.reached(level, reply.next_offset);
    }

    /// Takes in a request that was answered before one that failed.
    fn taken_unread(&mut self, request: &ProduceRequest) {
        let next = match self.expect(request) {
            Expected::Duplicate { next, .. } => next,
            _ => {
                self.push(Entry::of(request, self.end(), None));
                self.end()
            }
        };
        match request.durability.unwrap() {
            Level::DURABILITY_UNSPECIFIED => self.reached(Level::DURABILITY_SYNCED, next),
            level => self.reached(level, next),
        }
    }

    fn refused(&mut self, reason: &str, values: &[(&str, u64)], outcome: Outcome) {
        let told = failure(outcome);
        assert_eq!(told.info.reason, reason, "{told:?}");
        let code = match reason {
            "RECORD_TOO_LARGE" => RpcStatusCode::INVALID_ARGUMENT,
            _ => RpcStatusCode::FAILED_PRECONDITION,
        };
        assert_eq!(told.code, i32::from(code));
        for (name, value) in values {
            assert_eq!(told.value(name), value.to_string(), "{name} of {told:?}");
        }
        if reason == "NOT_AT_END" {
            // The end that it tells is durable.
            self.reached(Level::DURABILITY_SYNCED, self.end());
        }
    }
}

/// The level in `reply`, which is not below the one that `request` asks for.
pub(super) fn level_reached(request: &ProduceRequest, reply: &ProduceResponse) -> Level {
    let rank = |level: Level| match level {
        Level::DURABILITY_UNSPECIFIED => 3,
        level => level as i32,
    };
    let (asked, reached) = (request.durability.unwrap(), reply.durability.unwrap());
    assert_ne!(reached, Level::DURABILITY_UNSPECIFIED);
    assert!(rank(reached) >= rank(asked), "{reached:?} where {asked:?} was asked for");
    reached
}

impl Walk {
    pub(super) fn send(&mut self, log: usize, request: &ProduceRequest) -> bool {
        let outcome = self.rig.batches().produce_opt(request, in_time());
        self.ledgers[log].answered(request, outcome)
    }

    pub(super) fn produce(&mut self, log: usize) {
        let request = self.maker.any(&mut self.rng, &self.ledgers[log]);
        self.send(log, &request);
    }

    /// Sends many batches of one producer before it reads an answer, and at their end perhaps one
    /// that fails, with others behind it.
    pub(super) fn produce_stream(&mut self, log: usize) {
        let id = *self.rng.pick(&IDS);
        let count = 1 + self.rng.below(12);
        let mut requests: Vec<_> = (0..count)
            .map(|n| self.maker.next_of(&mut self.rng, &self.ledgers[log], (&id, n)))
            .collect();
        // From the place of a batch that is left out on, the next one fails.
        if self.rng.one_in(3) {
            requests.remove(self.rng.below(count) as usize);
        }
        if self.rng.one_in(3) {
            requests.insert(0, self.maker.any(&mut self.rng, &self.ledgers[log]));
        }
        for request in requests.iter_mut().skip(1) {
            if self.rng.one_in(2) {
                request.log.clear();
            }
        }
        self.stream(log, &requests);
    }

    /// Sends `requests` over one stream and checks all answers.
    pub(super) fn stream(&mut self, log: usize, requests: &[ProduceRequest]) {
        let client = self.rig.batches();
        let (mut sender, mut replies) = client.produce_stream_opt(in_time()).unwrap();
        // It may fail at any of them, which its answers tell. It must not be used then.
        let mut send = |request: &ProduceRequest| {
            block_on(sender.send((request.clone(), WriteFlags::default())))
        };
        if requests.iter().all(|request| send(request).is_ok()) {
            let _closed = block_on(sender.close());
        }
        let mut failure = None;
        for request in requests {
            let ledger = &mut self.ledgers[log];
            let is_refused = matches!(ledger.expect(request), Expected::Refused { .. });
            if failure.is_some() && !is_refused {
                ledger.taken_unread(request);
                continue;
            }
            let answer = || block_on(replies.next()).expect("an answer to each request");
            match failure.take().unwrap_or_else(answer) {
                Err(error) if !is_refused => {
                    // The client's library tells how a stream failed before what it has yet to
                    // hand out. Of which request it is, a later one has to show.
                    failure = Some(Err(error));
                    ledger.taken_unread(request);
                }
                outcome => {
                    if !ledger.answered(request, outcome) {
                        return;
                    }
                }
            }
        }
        assert!(failure.is_none(), "no request deserves {failure:?}");
        assert!(block_on(replies.next()).is_none(), "it ends well");
    }

    /// More batches of the first producer than are recognised.
    pub(super) fn outgrow_window(&mut self, log: usize) {
        let requests: Vec<_> = (0..WINDOW + 50)
            .map(|n| {
                let ledger = &self.ledgers[log];
                let request = self.maker.next_of(&mut self.rng, ledger, (IDS[0], n));
                let value = n.to_be_bytes().to_vec().into();
                let durability = EnumOrUnknown::new(Level::DURABILITY_WRITTEN);
                let records = vec![Record { value, ..Record::default() }];
                ProduceRequest { records, durability, ..request }
            })
            .collect();
        self.stream(log, &requests);
    }

    /// Appends through the first interface, by calls or a stream.
    pub(super) fn produce_first(&mut self) {
        let log = self.ledgers.iter().position(|ledger| ledger.name == DEFAULT_LOG).unwrap();
        let count = self.rng.below(4);
        let values: Vec<_> = (0..count).map(|n| self.rng.bytes(n * n * 10)).collect();
        let client = self.rig.first();
        let offsets: Vec<u64> = if self.rng.one_in(2) {
            let call = |value| client.produce_opt(&record(value), in_time()).unwrap().offset;
            values.iter().map(call).collect()
        } else {
            let mut stream = Producer::open(&client);
            values.iter().for_each(|value| stream.send(record(value)).unwrap());
            values.iter().map(|_| stream.offset()).collect()
        };
        let ledger = &mut self.ledgers[log];
        for (value, offset) in values.into_iter().zip(offsets) {
            let records = vec![Record { value: value.into(), ..Record::default() }];
            ledger.push(Entry { base: offset, records, time_us: None, producer: None });
            ledger.reached(Level::DURABILITY_SYNCED, offset + 1);
        }
    }

    /// Makes all that was taken durable, by a conditional append that fails: it tells an end.
    pub(super) fn settle(&mut self, log: usize) {
        let ledger = &self.ledgers[log];
        if ledger.durable < ledger.end() {
            let request = ProduceRequest {
                log: ledger.name.clone(),
                records: vec![Record::default()],
                expected_offset: Some(ledger.end() + 1),
                ..ProduceRequest::default()
            };
            assert!(!self.send(log, &request));
        }
    }
}
