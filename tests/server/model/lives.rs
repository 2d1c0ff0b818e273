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
use super::changing::FlyingChange;
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

/// Batches that were answered, with their offsets, and requests that were not.
type Landed = (Vec<Entry>, Vec<ProduceRequest>);

impl Walk {
    /// Ends the server with calls in flight, starts it again, and checks what it holds.
    pub(super) fn end_life(&mut self, end: End) {
        if end == End::Kill {
            self.produce_unsynced();
        }
        let is_calm = self.rng.one_in(2);
        if is_calm {
            self.change();
        }
        let flying_max = if is_calm { 0 } else { 6 };
        let change = (!is_calm).then(|| self.launch_change());
        let condemned = change.as_ref().and_then(FlyingChange::condemned);
        // One that is appended to at the same time is rarely deleted.
        let alone = condemned.filter(|_| self.rng.one_in(2));
        let most = |log| if alone == Some(log) { 0 } else { flying_max };
        let flying: Vec<_> =
            (0..self.ledgers.len()).map(|log| self.launch(log, most(log))).collect();
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
        if end == End::Stop && is_calm && self.rng.one_in(2) {
            self.trim_stopped();
        }
        self.rig.start();
        let gone = change.and_then(|change| self.land_change(change));
        self.recover(landed, gone);
        let commit = commit.filter(|commit| Some(commit.log) != gone);
        commit.into_iter().for_each(|commit| self.land_commit(commit));
        gone.into_iter().for_each(|log| self.bury(log));
        self.look_at_all();
        self.ends.push(end);
    }

    /// Checks what each log holds, but for the one that is `gone`, and retries what is unknown.
    fn recover(&mut self, landed: Vec<Landed>, gone: Option<usize>) {
        for (log, (answered, unknown)) in landed.into_iter().enumerate() {
            if gone == Some(log) {
                assert!(answered.is_empty(), "it was deleted with another end");
                continue;
            }
            let found = self.found(log);
            self.ledgers[log].recover(answered, unknown.clone(), found);
            // A retry of what is there is recognised, and appends what is not.
            unknown.iter().filter(|request| request.producer.is_some()).for_each(|request| {
                self.send(log, request);
            });
        }
    }

    /// Drops old segments of one log while no server runs.
    fn trim_stopped(&mut self) {
        let log = self.rng.below(self.ledgers.len() as u64) as usize;
        let ledger = &mut self.ledgers[log];
        let before = ledger.start + self.rng.below(ledger.end() - ledger.start + 1);
        let start = self.rig.trim(&ledger.name, before);
        ledger.begin_at(start, before);
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

    /// Changes a log right before the end. What was answered then holds.
    fn change(&mut self) {
        let log = self.rng.below(self.ledgers.len() as u64) as usize;
        match self.rng.below(4) {
            0 => self.create(),
            1 | 2 => self.delete(log),
            _ => self.update(log),
        }
    }

    /// Sends up to so many requests of each kind, and does not wait for answers.
    fn launch(&mut self, log: usize, most: u64) -> Flying {
        let client = self.rig.batches();
        let (mut sender, replies) = client.produce_stream_opt(in_time()).unwrap();
        let id = self.rng.pick(&IDS);
        let count = self.rng.below(most + 1);
        let mut calls = Vec::new();
        let (mut streamed, mut is_open) = (Vec::new(), true);
        for n in 0..count {
            let request = self.maker.batch(&mut self.rng, &self.ledgers[log].name);
            let reply = client.produce_async_opt(&request, in_time()).unwrap();
            calls.push((request, reply));
            let next = self.maker.next_of(&mut self.rng, &self.ledgers[log], (id, n));
            // A record that is too large by now ends the stream.
            let mut send = || block_on(sender.send((next.clone(), WriteFlags::default())));
            is_open = is_open && send().is_ok();
            streamed.push(next);
        }
        Flying { log, calls, streamed, replies }
    }

    /// Collects the answers that came, as batches with their offsets, and what was not answered.
    fn land(&mut self, flying: Flying) -> Landed {
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
