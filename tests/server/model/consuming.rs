//! Reads of all kinds: what comes is what the model holds, from where it was asked for, within the
//! limits.

use futures_executor::block_on;
use futures_util::StreamExt as _;
use grpcio::RpcStatusCode;
use protobuf::{EnumOrUnknown, Message as _};
use varve::log::DEFAULT_LOG;
use varve::proto::log_service::consume_request::Start;
use varve::proto::log_service::{ConsumeRequest, ConsumeResponse, Durability as Level, Edge};
use varve::proto::record::Batch;

use super::Walk;
use super::ledger::Ledger;
use crate::world::{Records, at, failure, in_time};

/// Where a read must begin, or the reason for which it fails.
type Begin = Result<u64, &'static str>;

impl Ledger {
    /// Checks a reply that begins at `next` against what is held. Returns where it goes on.
    pub(super) fn took(
        &mut self,
        request: &ConsumeRequest,
        next: u64,
        reply: &ConsumeResponse,
    ) -> u64 {
        let known_durable = self.durable;
        assert!(reply.gap.is_none(), "a gap at {next} of {}", self.name);
        assert_eq!(self.log_id, reply.log_id, "of {}", self.name);
        assert_eq!(reply.start_offset, self.start);
        let watermark = reply.high_watermark;
        let possible = known_durable..=self.end();
        assert!(possible.contains(&watermark), "{watermark} of {} is not {possible:?}", self.name);
        let end = reply.batches.iter().fold(next, |next, batch| self.compare(next, batch));
        assert_eq!(reply.next_offset, end);
        assert!(end <= watermark, "records are shown before they are durable");
        assert!(end > next || next >= known_durable, "no record at {next} of {}", self.name);
        keeps_limits(request, reply, end - next);
        self.reached(Level::DURABILITY_SYNCED, watermark);
        end
    }

    /// Checks a batch, or a piece of one, at `next`. Returns the offset behind it.
    fn compare(&mut self, next: u64, batch: &Batch) -> u64 {
        assert_eq!(batch.base_offset, next, "offsets are dense");
        let place = self.place(next);
        let entry = &self.entries[place];
        let first = (next - entry.base) as usize;
        let end = first + batch.records.len();
        assert!(end <= entry.records.len(), "the batch at {} is longer", entry.base);
        assert_eq!(batch.records, entry.records[first..end], "at {next} of {}", self.name);
        self.learn(place, batch.append_time_us);
        next + batch.records.len() as u64
    }
}

fn keeps_limits(request: &ConsumeRequest, reply: &ConsumeResponse, records: u64) {
    assert!(request.max_records == 0 || records <= request.max_records);
    let mut records: Vec<_> = reply.batches.iter().flat_map(|batch| &batch.records).collect();
    records.pop();
    let batch = Batch { records: records.into_iter().cloned().collect(), ..Batch::default() };
    let limit = if request.max_bytes == 0 { 1 << 20 } else { u64::from(request.max_bytes) };
    let bytes = batch.compute_size();
    assert!(bytes < limit || bytes == 0, "{bytes} bytes and a record, where {limit} may be");
}

impl Walk {
    /// Any way to begin, and where that is. What is known is durable then, unless it does not
    /// matter.
    fn start(&mut self, log: usize) -> (Option<Start>, Begin) {
        let kind = self.rng.below(6);
        if (2..5).contains(&kind) {
            self.settle(log);
        }
        let name = self.reader_name();
        let ledger = &self.ledgers[log];
        match kind {
            0 => (None, Ok(ledger.start)),
            1 => (Some(edge(Edge::EDGE_EARLIEST)), Ok(ledger.start)),
            2 => (Some(edge(Edge::EDGE_LATEST)), Ok(ledger.end())),
            3 => self.start_in_time(log),
            4 => {
                let offset = self.rng.below(ledger.end() + 3);
                (Some(Start::Offset(offset)), ledger.begin(offset))
            }
            _ => {
                let stands = ledger.readers.get(&name);
                let begin = stands.ok_or("READER_NOT_FOUND").and_then(|at| ledger.begin(*at));
                (Some(Start::Reader(name)), begin)
            }
        }
    }

    fn start_in_time(&mut self, log: usize) -> (Option<Start>, Begin) {
        let ledger = &mut self.ledgers[log];
        // Those that were trimmed before anyone asked cannot be told any more, and need not be.
        let mut last_us = 0;
        for entry in ledger.entries.iter_mut().take_while(|entry| entry.base < ledger.start) {
            last_us = *entry.time_us.get_or_insert(last_us);
        }
        let unknown = ledger.entries.iter().find(|entry| entry.time_us.is_none());
        if let Some(base) = unknown.map(|entry| entry.base) {
            self.read_on(log, base);
        }
        let ledger = &self.ledgers[log];
        let time_us = match ledger.entries.is_empty() {
            true => 0,
            false => {
                let entry = self.rng.pick(&ledger.entries);
                entry.time_us.unwrap() + self.rng.below(3) - 1
            }
        };
        (Some(Start::TimeUs(time_us)), Ok(ledger.at_time(time_us)))
    }

    pub(super) fn consume(&mut self, log: usize) {
        let (start, begin) = self.start(log);
        let mut request = self.request(log, start);
        request.max_wait_ms = self.rng.pick(&[None, Some(0), Some(10)]);
        request.max_records = self.rng.pick(&[0, 1, 7, 100]);
        let outcome = self.rig.batches().consume_opt(&request, in_time());
        match begin {
            Ok(next) => {
                self.ledgers[log].took(&request, next, &outcome.unwrap());
            }
            Err(reason) => self.not_begun(log, reason, outcome),
        }
    }

    /// Reads until so many records came, or until there is nothing more.
    pub(super) fn consume_stream(&mut self, log: usize) {
        let (start, begin) = self.start(log);
        let mut request = self.request(log, start);
        let there = self.ledgers[log].durable.saturating_sub(begin.unwrap_or_default());
        if there > 0 && self.rng.one_in(2) {
            request.max_records = 1 + self.rng.below(there);
        } else {
            request.max_wait_ms = Some(self.rng.pick(&[0, 5]));
        }
        let client = self.rig.batches();
        let mut replies = client.consume_stream_opt(&request, in_time()).unwrap();
        let first = match begin {
            Ok(first) => first,
            Err(reason) => {
                return self.not_begun(log, reason, block_on(replies.next()).unwrap());
            }
        };
        let (mut next, durable) = (first, self.ledgers[log].durable);
        while let Some(reply) = block_on(replies.next()) {
            next = self.ledgers[log].took(&request, next, &reply.unwrap());
        }
        match request.max_records {
            0 => assert!(next >= durable, "it ended at {next} and not at {durable}"),
            records => assert_eq!(next, first + records),
        }
    }

    fn request(&mut self, log: usize, start: Option<Start>) -> ConsumeRequest {
        let ledger = &self.ledgers[log];
        let log_id = if self.rng.one_in(2) { ledger.log_id.clone() } else { Vec::new() };
        ConsumeRequest {
            log: ledger.name.clone(),
            log_id: log_id.into(),
            start,
            max_bytes: self.rng.pick(&[0, 1, 300, 5000, 1 << 20, 2 << 20]),
            ..ConsumeRequest::default()
        }
    }

    fn not_begun(&self, log: usize, reason: &str, outcome: grpcio::Result<ConsumeResponse>) {
        let told = failure(outcome);
        assert_eq!(told.info.reason, reason, "{told:?}");
        if reason == "OFFSET_OUT_OF_RANGE" {
            assert_eq!(told.code, i32::from(RpcStatusCode::OUT_OF_RANGE));
            let ledger = &self.ledgers[log];
            assert_eq!(told.value("start"), ledger.start.to_string());
            let end = ledger.durable..=ledger.end();
            assert!(end.contains(&told.value("end").parse().unwrap()), "{told:?}");
        }
    }

    pub(super) fn read_all(&mut self, log: usize) {
        self.read_on(log, self.ledgers[log].start);
    }

    /// Reads all from `next` to the end, durable as it then is.
    pub(super) fn read_on(&mut self, log: usize, mut next: u64) {
        self.settle(log);
        let client = self.rig.batches();
        while next < self.ledgers[log].end() {
            let log_name = self.ledgers[log].name.clone();
            let start = Some(Start::Offset(next));
            let request = ConsumeRequest { log: log_name, start, ..ConsumeRequest::default() };
            let reply = client.consume_opt(&request, in_time()).unwrap();
            next = self.ledgers[log].took(&request, next, &reply);
        }
    }

    /// Reads through the first interface, by a call or a stream.
    pub(super) fn consume_first(&mut self) {
        let log = self.ledgers.iter().position(|ledger| ledger.name == DEFAULT_LOG).unwrap();
        self.settle(log);
        let ledger = &self.ledgers[log];
        let (client, offset) = (self.rig.first(), self.rng.below(ledger.end() + 2));
        if !(ledger.start..ledger.end()).contains(&offset) {
            let told = failure(client.consume_opt(&at(offset), in_time()));
            assert_eq!(told.info.reason, "OFFSET_OUT_OF_RANGE");
            assert_eq!(told.value("end"), ledger.end().to_string());
        } else if self.rng.one_in(2) {
            let reply = client.consume_opt(&at(offset), in_time()).unwrap();
            assert_eq!(crate::world::read(reply), (offset, ledger.value(offset)));
        } else {
            let mut stream = Records::open(&client, offset);
            for offset in offset..ledger.end().min(offset + 20) {
                assert_eq!(stream.next().unwrap(), (offset, ledger.value(offset)));
            }
        }
    }
}

impl Ledger {
    fn begin(&self, offset: u64) -> Begin {
        let is_there = (self.start..=self.end()).contains(&offset);
        is_there.then_some(offset).ok_or("OFFSET_OUT_OF_RANGE")
    }

    fn value(&self, offset: u64) -> Vec<u8> {
        let entry = &self.entries[self.place(offset)];
        entry.records[(offset - entry.base) as usize].value.to_vec()
    }
}

fn edge(edge: Edge) -> Start {
    Start::Edge(EnumOrUnknown::new(edge))
}
