//! Many clients at once: producers that number their batches, a consumer at the tail, one who makes
//! and deletes logs, and a server that is killed under them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{Channel, WriteFlags};
use protobuf::EnumOrUnknown;
use varve::log::DEFAULT_LOG;
use varve::proto::log_service::consume_request::Start;
use varve::proto::log_service::{ConsumeRequest, Durability as Level, ProduceRequest};
use varve::proto::log_service_grpc::LogClient;
use varve::proto::record::Record;

use super::keeper::Keeper;
use super::ledger::claim;
use super::producing::level_reached;
use super::rig::{Keys, Rig};
use super::rng::Rng;
use super::{repeat, variable};
use crate::world::{PATIENCE, in_time};

const PRODUCERS: u64 = 3;
/// Batches that a producer has in flight at most.
const FLYING_MAX: usize = 40;
const KILLS_VAR: &str = "VARVE_MODEL_KILLS";

/// What all clients know.
pub(super) struct Stage {
    keys: Keys,
    /// Where the server listens; it may be gone already.
    port: AtomicU16,
    /// Batches that were answered, by whichever producer.
    answered: AtomicU64,
    /// Nobody begins a new batch any more.
    pub(super) is_over: AtomicBool,
    /// The end of the log, once nobody appends any more.
    end: AtomicU64,
}

impl Stage {
    fn client(&self) -> LogClient {
        LogClient::new(self.connect())
    }

    pub(super) fn connect(&self) -> Channel {
        self.keys.connect(self.port.load(Ordering::SeqCst))
    }
}

/// Lets all clients end if a test fails.
struct Curtain<'a>(&'a Stage);

impl Drop for Curtain<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.is_over.store(true, Ordering::SeqCst);
            self.0.end.store(0, Ordering::SeqCst);
        }
    }
}

/// A producer's batch of this number. It has as many records as the number says, but few.
fn batch(id: u64, number: u64, level: Level) -> ProduceRequest {
    let value = |place| format!("{id} {number} {place}").into();
    let record = |place| Record { value: value(place), ..Record::default() };
    ProduceRequest {
        log: DEFAULT_LOG.to_owned(),
        records: (0..1 + number % 4).map(record).collect(),
        durability: EnumOrUnknown::new(level),
        producer: claim(&[id as u8 + 1; 16], 0, number),
        ..ProduceRequest::default()
    }
}

/// One producer, over as many streams as it takes.
struct Producer<'a> {
    stage: &'a Stage,
    id: u64,
    rng: Rng,
    /// Base offsets of its batches that outlive the server: they were answered so, or are before
    /// one that was.
    kept: Vec<u64>,
    /// Those of the batches behind, which a kill takes.
    buffered: Vec<u64>,
    /// How many it has sent, answered or not.
    sent: usize,
    /// When it was last answered.
    got_on: Instant,
}

impl<'a> Producer<'a> {
    fn new(stage: &'a Stage, id: u64, rng: Rng) -> Self {
        let (kept, buffered) = (Vec::new(), Vec::new());
        Self { stage, id, rng, kept, buffered, sent: 0, got_on: Instant::now() }
    }

    /// Appends until it is over, and says where all its batches are.
    fn run(mut self) -> Vec<u64> {
        while !self.stream() {
            assert!(self.got_on.elapsed() < PATIENCE, "producer {} does not get on", self.id);
            // What was only buffered may be gone. A retry tells, and where it is.
            self.buffered.clear();
        }
        self.kept
    }

    /// Sends what comes next until the stream breaks; `true` if nothing more is to be sent and all
    /// that was is kept.
    fn stream(&mut self) -> bool {
        let client = self.stage.client();
        let (mut sender, mut replies) = client.produce_stream_opt(in_time()).unwrap();
        let mut flying: VecDeque<ProduceRequest> = VecDeque::new();
        loop {
            let flying_max = 1 + self.rng.below(FLYING_MAX as u64) as usize;
            while flying.len() < flying_max && self.has_more(flying.len()) {
                let request = self.next(flying.len());
                if block_on(sender.send((request.clone(), WriteFlags::default()))).is_err() {
                    return false;
                }
                flying.push_back(request);
            }
            let Some(request) = flying.pop_front() else {
                return self.finish(&client);
            };
            match block_on(replies.next()) {
                Some(Ok(reply)) => {
                    let count = request.records.len() as u64;
                    assert_eq!(reply.next_offset, reply.base_offset + count);
                    self.answered(reply.base_offset, level_reached(&request, &reply));
                }
                broken => {
                    let text = format!("{broken:?}");
                    assert!(!text.contains("FAILED_PRECONDITION"), "{text}");
                    return false;
                }
            }
        }
    }

    /// At the end only what was sent before, and may be there, is sent again.
    fn has_more(&self, flying: usize) -> bool {
        let number = self.kept.len() + self.buffered.len() + flying;
        number < self.sent || !self.stage.is_over.load(Ordering::SeqCst)
    }

    fn next(&mut self, flying: usize) -> ProduceRequest {
        let number = self.kept.len() + self.buffered.len() + flying;
        self.sent = self.sent.max(number + 1);
        let levels = [Level::DURABILITY_BUFFERED, Level::DURABILITY_WRITTEN];
        let level =
            if self.rng.one_in(4) { Level::DURABILITY_SYNCED } else { self.rng.pick(&levels) };
        batch(self.id, number as u64, level)
    }

    fn answered(&mut self, base: u64, level: Level) {
        self.stage.answered.fetch_add(1, Ordering::SeqCst);
        self.got_on = Instant::now();
        let last = self.buffered.last().or(self.kept.last());
        assert!(last.is_none_or(|last| *last < base), "{} goes back to {base}", self.id);
        self.buffered.push(base);
        if level != Level::DURABILITY_BUFFERED {
            self.kept.append(&mut self.buffered);
        }
    }

    /// Sends the last batch again, to be sure of it and of those before.
    fn finish(&mut self, client: &LogClient) -> bool {
        let count = self.kept.len() + self.buffered.len();
        let request = batch(self.id, count as u64 - 1, Level::DURABILITY_SYNCED);
        let Ok(reply) = client.produce_opt(&request, in_time()) else {
            return false;
        };
        let last = self.buffered.last().or(self.kept.last());
        assert_eq!((Some(&reply.base_offset), reply.deduplicated), (last, true));
        self.kept.append(&mut self.buffered);
        true
    }
}

/// Reads all values in the order of their offsets, over as many streams as it takes.
fn tail(stage: &Stage) -> Vec<String> {
    let mut values = Vec::new();
    while (values.len() as u64) < stage.end.load(Ordering::SeqCst) {
        let request = ConsumeRequest {
            log: DEFAULT_LOG.to_owned(),
            start: Some(Start::Offset(values.len() as u64)),
            max_wait_ms: Some(500),
            ..ConsumeRequest::default()
        };
        let client = stage.client();
        let mut replies = client.consume_stream_opt(&request, in_time()).unwrap();
        while let Some(Ok(reply)) = block_on(replies.next()) {
            for batch in reply.batches {
                assert_eq!(batch.base_offset, values.len() as u64, "offsets are dense");
                let text = |record: Record| String::from_utf8(record.value.to_vec()).unwrap();
                values.extend(batch.records.into_iter().map(text));
            }
        }
    }
    values
}

/// Kills the server so often, each time after some batches were answered, and starts it again.
fn kill_and_start(stage: &Stage, rig: &mut Rig, rng: &mut Rng, kills: u64) {
    for _ in 0..=kills {
        let until = stage.answered.load(Ordering::SeqCst) + 200 + rng.below(400);
        let began = Instant::now();
        while stage.answered.load(Ordering::SeqCst) < until {
            let is_over = stage.is_over.load(Ordering::SeqCst);
            assert!(!is_over && began.elapsed() < PATIENCE, "the producers do not get on");
            std::thread::sleep(Duration::from_millis(1));
        }
        rig.kill();
        rig.start();
        stage.port.store(rig.port(), Ordering::SeqCst);
    }
}

#[test]
fn r2_to_r5_producers_that_retry_over_kills_append_each_batch_once_and_in_order() {
    let kills = variable(KILLS_VAR).unwrap_or(6);
    let repeat = repeat(0);
    let mut rng = Rng::new(repeat.seed);
    let mut rig = Rig::new();
    let stage = Stage {
        keys: rig.keys(),
        port: rig.port().into(),
        answered: 0.into(),
        is_over: false.into(),
        end: u64::MAX.into(),
    };
    let stage = &stage;
    let (kept, seen, log) = std::thread::scope(|scope| {
        let producers: Vec<_> = (0..PRODUCERS)
            .map(|id| {
                let producer = Producer::new(stage, id, Rng::new(rng.next()));
                scope.spawn(move || {
                    let _curtain = Curtain(stage);
                    producer.run()
                })
            })
            .collect();
        let _curtain = Curtain(stage);
        let tail = scope.spawn(move || {
            let _curtain = Curtain(stage);
            tail(stage)
        });
        let keeper = Keeper::new(stage, Rng::new(rng.next()));
        let keeper = scope.spawn(move || {
            let _curtain = Curtain(stage);
            keeper.run()
        });
        kill_and_start(stage, &mut rig, &mut rng, kills);
        stage.is_over.store(true, Ordering::SeqCst);
        let kept: Vec<_> = producers.into_iter().map(|thread| thread.join().unwrap()).collect();
        stage.end.store(end_of(&kept), Ordering::SeqCst);
        (kept, tail.join().unwrap(), keeper.join().unwrap())
    });
    let mut expected = BTreeMap::new();
    for (id, bases) in (0..).zip(&kept) {
        for (number, base) in (0..).zip(bases) {
            let records = batch(id, number, Level::DURABILITY_SYNCED).records;
            let text = |record: &Record| String::from_utf8(record.value.to_vec()).unwrap();
            expected.extend((*base..).zip(records.iter().map(text).collect::<Vec<_>>()));
        }
    }
    assert!(expected.keys().copied().eq(0..seen.len() as u64), "each offset is one producer's");
    assert!(expected.values().eq(&seen), "what the tail saw is what was answered");
    stage.end.store(seen.len() as u64, Ordering::SeqCst);
    rig.kill();
    rig.start();
    stage.port.store(rig.port(), Ordering::SeqCst);
    assert!(tail(stage) == seen, "what was seen once is still there");
    log.is_there(&mut Keeper::new(stage, rng));
    let batches: usize = kept.iter().map(Vec::len).sum();
    println!("cases: {kills} kills, {batches} batches");
}

/// The end of a log that holds these producers' batches and nothing else.
fn end_of(kept: &[Vec<u64>]) -> u64 {
    kept.iter().flat_map(|bases| (0..bases.len() as u64).map(|number| 1 + number % 4)).sum()
}
