//! The ends of the server's lives: what was in flight then is there once and whole, or not at all.

use std::time::Duration;

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{ClientDuplexReceiver, ClientUnaryReceiver, WriteFlags};
use protobuf::EnumOrUnknown;
use varve::proto::log_service::consume_request::Start;
use varve::proto::log_service::{ConsumeRequest, Durability as Level};
use varve::proto::log_service::{ProduceRequest, ProduceResponse};
use varve::proto::record::Record;

use super::Walk;
use super::ledger::{Entry, Ledger};
use super::making::IDS;
use super::producing::level_reached;
use crate::world::in_time;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Kill,
    Stop,
}

/// Requests to one log whose answers nobody waited for.
struct Flying {
    log: usize,
    calls: Vec<(ProduceRequest, ClientUnaryReceiver<ProduceResponse>)>,
    /// In the order in which they were sent.
    streamed: Vec<ProduceRequest>,
    replies: ClientDuplexReceiver<ProduceResponse>,
}

/// Records as they were found, each with its append time; their place is their offset.
type Found = Vec<(Record, u64)>;

impl Walk {
    /// Ends the server with calls in flight, starts it again, and checks what it holds.
    pub(super) fn end_life(&mut self, end: End) {
        if end == End::Kill {
            self.produce_unsynced();
        }
        let is_calm = self.rng.one_in(2);
        let flying_max = if is_calm { 0 } else { 6 };
        let flying: Vec<_> =
            (0..self.ledgers.len()).map(|log| self.launch(log, flying_max)).collect();
        let log = self.rng.below(self.ledgers.len() as u64) as usize;
        let commit = (!is_calm).then(|| self.launch_commit(log));
        if !is_calm {
            std::thread::sleep(Duration::from_micros(self.rng.below(4000)));
        }
        match end {
            End::Kill => self.rig.kill(),
            End::Stop => {
                self.rig.stop();
                // Everything that was taken is synced by a stop.
                self.ledgers.iter_mut().for_each(|ledger| ledger.survives = ledger.end());
            }
        }
        let landed: Vec<_> = flying.into_iter().map(|flying| self.land(flying)).collect();
        if end == End::Stop && self.rng.one_in(2) {
            self.trim();
        }
        self.rig.start();
        let mut unanswered = Vec::new();
        for (log, (answered, unknown)) in landed.into_iter().enumerate() {
            let found = self.found(log);
            self.ledgers[log].recover(answered, unknown.clone(), found);
            unanswered.push(unknown);
        }
        commit.into_iter().for_each(|commit| self.land_commit(commit));
        for (log, requests) in unanswered.into_iter().enumerate() {
            // A retry of what is there is recognised, and appends what is not.
            requests.iter().filter(|request| request.producer.is_some()).for_each(|request| {
                self.send(log, request);
            });
        }
        self.ends.push(end);
    }

    /// Drops old segments of one log while no server runs.
    fn trim(&mut self) {
        let log = self.rng.below(self.ledgers.len() as u64) as usize;
        let ledger = &mut self.ledgers[log];
        let before = ledger.start + self.rng.below(ledger.end() - ledger.start + 1);
        let start = self.rig.trim(&ledger.name, before);
        assert!((ledger.start..=before).contains(&start), "{start} where {before} was asked for");
        assert!(ledger.end() == start || ledger.entries[ledger.place(start)].base == start);
        ledger.start = start;
    }

    /// Batches of which some may be lost, some not.
    fn produce_unsynced(&mut self) {
        for log in 0..self.ledgers.len() {
            for _ in 0..self.rng.below(4) {
                let mut request = self.maker.any(&mut self.rng, &self.ledgers[log]);
                let levels = [Level::DURABILITY_BUFFERED, Level::DURABILITY_WRITTEN];
                request.durability = EnumOrUnknown::new(self.rng.pick(&levels));
                self.send(log, &request);
            }
        }
    }

    /// Sends up to so many requests of each kind, and does not wait for answers.
    fn launch(&mut self, log: usize, most: u64) -> Flying {
        let client = self.rig.batches();
        let (mut sender, replies) = client.produce_stream_opt(in_time()).unwrap();
        let id = self.rng.pick(&IDS);
        let count = self.rng.below(most + 1);
        let mut calls = Vec::new();
        let mut streamed = Vec::new();
        for n in 0..count {
            let request = self.maker.batch(&mut self.rng, &self.ledgers[log].name);
            let reply = client.produce_async_opt(&request, in_time()).unwrap();
            calls.push((request, reply));
            let next = self.maker.next_of(&mut self.rng, &self.ledgers[log], (id, n));
            block_on(sender.send((next.clone(), WriteFlags::default()))).unwrap();
            streamed.push(next);
        }
        Flying { log, calls, streamed, replies }
    }

    /// Collects the answers that came, as batches with their offsets, and what was not answered.
    fn land(&mut self, flying: Flying) -> (Vec<Entry>, Vec<ProduceRequest>) {
        let Flying { log, calls, streamed, mut replies } = flying;
        let calls = calls.into_iter().map(|(request, reply)| (request, block_on(reply).ok()));
        let mut outcomes: Vec<_> = calls.collect();
        let mut is_open = true;
        for request in streamed {
            let reply = if is_open { block_on(replies.next()) } else { None };
            let reply = reply.and_then(Result::ok);
            is_open = reply.is_some();
            outcomes.push((request, reply));
        }
        let (mut answered, mut unknown) = (Vec::new(), Vec::new());
        for (request, reply) in outcomes {
            let Some(reply) = reply else {
                unknown.push(request);
                continue;
            };
            assert!(!reply.deduplicated, "{request:?} was sent once");
            let level = level_reached(&request, &reply);
            self.ledgers[log].reached(level, reply.next_offset);
            let entry = Entry::of(&request, reply.base_offset, Some(reply.append_time_us));
            assert_eq!(entry.end(), reply.next_offset);
            answered.push(entry);
        }
        (answered, unknown)
    }

    /// All that a log holds.
    fn found(&self, log: usize) -> Found {
        let client = self.rig.batches();
        let (mut found, first) = (Found::new(), self.ledgers[log].start);
        loop {
            let next = first + found.len() as u64;
            let request = ConsumeRequest {
                log: self.ledgers[log].name.clone(),
                start: Some(Start::Offset(next)),
                ..ConsumeRequest::default()
            };
            let reply = client.consume_opt(&request, in_time()).unwrap();
            for batch in reply.batches {
                assert_eq!(batch.base_offset, first + found.len() as u64, "offsets are dense");
                let time_us = batch.append_time_us;
                found.extend(batch.records.into_iter().map(|record| (record, time_us)));
            }
            if first + found.len() as u64 == reply.high_watermark {
                return found;
            }
        }
    }
}

impl Ledger {
    /// Checks what was found after a start against what was answered before the end, `flying` at
    /// last, and takes in which of the `unknown` requests were appended.
    fn recover(&mut self, flying: Vec<Entry>, mut unknown: Vec<ProduceRequest>, found: Found) {
        let trimmed = self.place(self.start);
        let mut answered = self.entries.split_off(trimmed);
        answered.extend(flying);
        answered.sort_by_key(|entry| entry.base);
        let mut answered = answered.into_iter().peekable();
        while self.end() < self.start + found.len() as u64 {
            let base = self.end();
            let rest = &found[(base - self.start) as usize..];
            let entry = match answered.next_if(|entry| entry.base <= base) {
                Some(entry) => entry,
                None => take(&mut unknown, base, rest)
                    .unwrap_or_else(|| panic!("nobody sent what is at {base} of {}", self.name)),
            };
            assert_eq!(entry.base, base, "answered offsets of {} overlap", self.name);
            assert!(is_at_start(&entry.records, rest), "the batch at {base} of {}", self.name);
            let time_us = rest[0].1;
            self.push(entry);
            self.learn(self.entries.len() - 1, time_us);
        }
        let end = self.end();
        assert!(end >= self.survives, "{} ends at {end} and not at {}", self.name, self.survives);
        for lost in answered {
            assert!(lost.base >= end, "{} at {} is lost", self.name, lost.base);
            self.lost += 1;
        }
        (self.durable, self.survives) = (end, end);
    }
}

/// The one of `unknown` that begins `rest`, whole.
fn take(unknown: &mut Vec<ProduceRequest>, base: u64, rest: &[(Record, u64)]) -> Option<Entry> {
    let place = unknown.iter().position(|request| is_at_start(&request.records, rest))?;
    Some(Entry::of(&unknown.remove(place), base, None))
}

/// Whether `found` begins with one batch of these records.
fn is_at_start(records: &[Record], found: &[(Record, u64)]) -> bool {
    let (first_time_us, len) = (found[0].1, records.len());
    found.len() >= len
        && found
            .iter()
            .zip(records)
            .all(|((found, time), record)| found == record && *time == first_time_us)
}
