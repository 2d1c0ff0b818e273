//! The streams of `log.v1`.

use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{RpcStatusCode, WriteFlags};
use varve::log::Options;
use varve::proto::log::ProduceRequest;
use varve::proto::log_grpc::LogClient;

use crate::world::{
    Appended, Plan, Producer, Records, World, at, failure, in_time, record, within_a_second,
};

/// Appends values on one stream, all in flight at once, and returns the offsets in the order of the
/// replies.
fn produce_all(client: &LogClient, values: impl Iterator<Item = String>) -> Vec<u64> {
    let (mut sink, replies, _client) = Producer::open(client).split();
    let send = async {
        for value in values {
            sink.feed((record(value), WriteFlags::default())).await.unwrap();
        }
        sink.close().await.unwrap();
    };
    let receive = replies.map(|reply| reply.unwrap().offset).collect();
    block_on(async { futures_util::join!(send, receive) }).1
}

fn value_of(stream: u64, n: u64) -> String {
    format!("record {n} of stream {stream}")
}

#[test]
fn r13_a_produce_stream_answers_every_request_in_order() {
    const RECORDS: u64 = 10_000;
    let world = World::new();
    let client = world.client("root");
    let offsets = produce_all(&client, (0..RECORDS).map(|n| value_of(0, n)));
    assert!(offsets.into_iter().eq(0..RECORDS));
    let mut records = Records::open(&client, 0);
    for n in 0..RECORDS {
        assert_eq!(records.next().unwrap(), (n, value_of(0, n).into_bytes()));
    }
}

#[test]
fn an_empty_produce_stream_ends_well() {
    let world = World::new();
    assert!(produce_all(&world.client("root"), std::iter::empty()).is_empty());
}

#[test]
fn a_reply_comes_without_a_further_request() {
    let world = World::new();
    let mut producer = Producer::open(&world.client("root"));
    for offset in 0..20 {
        producer.send(record("x")).unwrap();
        assert_eq!(producer.offset(), offset);
    }
}

#[test]
fn concurrent_streams_keep_their_own_order() {
    const STREAMS: u64 = 4;
    const RECORDS: u64 = 1000;
    let world = World::new();
    let consumers: Vec<LogClient> = (0..2).map(|_| world.client("root")).collect();
    std::thread::scope(|scope| {
        for stream in 0..STREAMS {
            let client = world.client("root");
            scope.spawn(move || {
                let offsets = produce_all(&client, (0..RECORDS).map(|n| value_of(stream, n)));
                assert!(offsets.is_sorted());
            });
        }
        for client in &consumers {
            scope.spawn(move || {
                let mut records = Records::open(client, 0);
                let mut next = [0; 4];
                for offset in 0..STREAMS * RECORDS {
                    let (at, value) = records.next().unwrap();
                    assert_eq!(at, offset);
                    let value = String::from_utf8(value).unwrap();
                    let stream: usize = value.rsplit(' ').next().unwrap().parse().unwrap();
                    let expected = value_of(u64::try_from(stream).unwrap(), next[stream]);
                    assert_eq!(value, expected);
                    next[stream] += 1;
                }
                assert_eq!(next, [RECORDS; 4]);
            });
        }
    });
}

#[test]
fn r2_a_consume_stream_waits_at_the_tail_and_goes_on() {
    let world = World::new();
    let client = world.client("root");
    // The end of an empty log is where its first record will be.
    let mut records = Records::open(&client, 0);
    for offset in 0..20 {
        let value = value_of(0, offset);
        assert_eq!(client.produce_opt(&record(&value), in_time()).unwrap().offset, offset);
        assert_eq!(records.next().unwrap(), (offset, value.into_bytes()));
    }
}

#[test]
fn a_consume_stream_begins_in_the_middle_of_a_batch() {
    let world = World::new();
    // Three records, encoded by hand as the log stores them.
    let payload = [0x0a, 3, 0x0a, 1, b'a', 0x0a, 3, 0x0a, 1, b'b', 0x0a, 3, 0x0a, 1, b'c'];
    let log = world.logs.get("default").unwrap();
    let three = 3.try_into().unwrap();
    let pending = log.append(&payload, three, varve::log::Durability::Synced).unwrap();
    block_on(pending).unwrap();
    let client = world.client("root");
    let mut records = Records::open(&client, 1);
    assert_eq!(records.next().unwrap(), (1, b"b".to_vec()));
    assert_eq!(records.next().unwrap(), (2, b"c".to_vec()));
    let last = client.consume_opt(&at(2), in_time()).unwrap();
    assert_eq!(crate::world::read(last), (2, b"c".to_vec()));
}

#[test]
fn a_consume_stream_beyond_the_end_is_out_of_range() {
    let world = World::new();
    let failure = failure(Records::open(&world.client("root"), 1).next());
    assert_eq!(failure.code, i32::from(RpcStatusCode::OUT_OF_RANGE));
    assert_eq!((failure.value("start"), failure.value("end")), ("0", "0"));
}

#[test]
fn a_request_that_fails_ends_its_stream_after_the_earlier_ones_are_answered() {
    const GOOD: u64 = 100;
    let world = World::new();
    let mut producer = Producer::open(&world.client("root"));
    for _ in 0..GOOD {
        producer.send(record("x")).unwrap();
    }
    for request in [ProduceRequest::default(), record("not to be appended")] {
        // The server may have ended the stream by now.
        let _sent = producer.send(request);
    }
    // The client's library may give up the last reply for the failure that follows it.
    for offset in 0..GOOD - 1 {
        assert_eq!(producer.offset(), offset);
    }
    let failure = producer.failure();
    assert_eq!(failure.info.reason, "RECORD_MISSING");
    assert_eq!(world.logs.get("default").unwrap().bounds().end.get(), GOOD);
}

#[test]
fn a_stream_with_a_full_window_goes_on_when_it_empties() {
    const RECORDS: u64 = 500;
    let world = World::with(|options| options.limits.stream_unacknowledged_max = 3);
    let offsets = produce_all(&world.client("root"), (0..RECORDS).map(|n| value_of(0, n)));
    assert!(offsets.into_iter().eq(0..RECORDS));
}

#[test]
fn a_full_window_is_felt_by_the_client() {
    const WINDOW: u64 = 3;
    // Nothing becomes durable before somebody does the work.
    let storage = Options { flushers: 0, min_free_bytes: 0, ..Options::default() };
    let world = World::of(Plan {
        storage,
        change: Box::new(|options| options.limits.stream_unacknowledged_max = 3),
        ..Plan::default()
    });
    let client = world.client("root");
    let mut producer = Producer::open(&client);
    for _ in 0..2 * WINDOW {
        producer.send(record("x")).unwrap();
    }
    let mut appended = Appended::new(&world);
    within_a_second(|| (appended.by_others() == WINDOW).then_some(()));
    // As many exchanges on the same connection leave time for more, if more were taken.
    for _ in 0..50 {
        assert!(client.consume_opt(&at(0), in_time()).is_err());
    }
    assert_eq!(appended.by_others(), WINDOW);
    let worker = world.work_until_dropped();
    for _ in 0..2 * WINDOW {
        producer.offset();
    }
    drop(worker);
}

#[test]
fn a_stream_waits_while_the_log_is_busy() {
    const RECORDS: u64 = 200;
    // Room for a few records of this size at a time.
    let storage = Options { pending_bytes_max: 64 * 1024, min_free_bytes: 0, ..Options::default() };
    let world = World::of(Plan { storage, ..Plan::default() });
    let value = |n| format!("{n:>20000}");
    let offsets = produce_all(&world.client("root"), (0..RECORDS).map(value));
    assert!(offsets.into_iter().eq(0..RECORDS));
}

#[test]
fn a_stream_whose_client_left_is_over_within_a_second() {
    let world = World::with(|options| options.limits.streams_max = 1);
    let client = world.client("root");
    client.produce_opt(&record("x"), in_time()).unwrap();
    for _ in 0..3 {
        // It waits at the tail, and its thread holds the one slot there is.
        let left = within_a_second(|| {
            let mut records = Records::open(&client, 0);
            records.next().ok().map(|_| records)
        });
        assert_eq!(failure(Records::open(&client, 0).next()).info.reason, "OVER_LIMIT");
        drop(left);
    }
    let producer = within_a_second(|| {
        let mut producer = Producer::open(&client);
        let sent = producer.send(record("x"));
        let answered = producer.next().is_some_and(|reply| reply.is_ok());
        (sent.is_ok() && answered).then_some(producer)
    });
    drop(producer);
    within_a_second(|| Records::open(&client, 0).next().ok());
}

#[test]
fn a_client_that_reads_slowly_gets_everything() {
    const RECORDS: u64 = 300;
    let world = World::new();
    let client = world.client("root");
    produce_all(&client, (0..RECORDS).map(|n| format!("{n:>20000}")));
    let mut records = Records::open(&client, 0);
    // Far more than fits between the two: the stream is held up here.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(200) {
        client.consume_opt(&at(0), in_time()).unwrap();
    }
    for n in 0..RECORDS {
        assert_eq!(records.next().unwrap(), (n, format!("{n:>20000}").into_bytes()));
    }
}
