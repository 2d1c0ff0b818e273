//! `varve.v1.Log`: batches of records into named logs.

use std::num::NonZeroU32;

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{ClientDuplexReceiver, ClientDuplexSender, RpcStatusCode, WriteFlags};
use protobuf::{EnumOrUnknown, Message as _};
use varve::log::{Durability, LogName, LogOverrides, Options};
use varve::proto::log_service::{Durability as Level, ProduceRequest, ProduceResponse};
use varve::proto::log_service_grpc::LogClient;
use varve::proto::record::{Batch, Header, Record};

use crate::world::{Failure, Plan, World, at, code, failure, in_time, read};

fn record(value: &str) -> Record {
    Record { value: value.to_owned().into(), ..Record::default() }
}

fn batch(log: &str, values: &[&str]) -> ProduceRequest {
    let records = values.iter().map(|value| record(value)).collect();
    ProduceRequest { log: log.to_owned(), records, ..ProduceRequest::default() }
}

fn client(world: &World, name: &str) -> LogClient {
    LogClient::new(world.channel(name))
}

fn create(world: &World, name: &str) {
    let name = LogName::parse(name).unwrap();
    world.logs.create(&name, LogOverrides::default()).unwrap();
}

/// What a log holds as the bytes of batches.
fn stored(world: &World, log: &str) -> Vec<Vec<u8>> {
    let log = world.logs.get(log).unwrap();
    let (mut next, mut payloads) = (log.bounds().start, Vec::new());
    while next < log.bounds().end {
        let chunk = log.read(next, 1 << 20).unwrap();
        payloads.extend(chunk.batches().map(|batch| batch.payload.to_vec()));
        next = chunk.next_offset();
    }
    payloads
}

struct Producer {
    requests: ClientDuplexSender<ProduceRequest>,
    replies: ClientDuplexReceiver<ProduceResponse>,
    _client: LogClient,
}

impl Producer {
    fn open(client: &LogClient) -> Self {
        let (requests, replies) = client.produce_stream_opt(in_time()).unwrap();
        Self { requests, replies, _client: client.clone() }
    }

    fn send(&mut self, request: ProduceRequest) {
        // The stream may have failed already, which the next reply tells.
        let _sent = block_on(self.requests.send((request, WriteFlags::default())));
    }

    fn next(&mut self) -> grpcio::Result<ProduceResponse> {
        block_on(self.replies.next()).expect("the stream has ended well")
    }

    fn failure(&mut self) -> Failure {
        failure(self.next())
    }
}

#[test]
fn a_batch_is_stored_as_it_was_sent_and_read_by_the_first_interface() {
    let world = World::new();
    let mut sent = batch("default", &["one", "two"]);
    sent.records[1].key = b"key".to_vec().into();
    let header = Header { name: "n".to_owned(), value: vec![0xff].into(), ..Header::default() };
    sent.records[1].headers.push(header);
    let reply = client(&world, "root").produce_opt(&sent, in_time()).unwrap();
    assert_eq!((reply.base_offset, reply.next_offset), (0, 2));
    assert_eq!(reply.durability, EnumOrUnknown::new(Level::DURABILITY_SYNCED));
    let now_us = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let age_us = now_us.as_micros() as u64 - reply.append_time_us;
    assert!(age_us < 60_000_000, "taken {age_us} us ago");
    let expected = Batch { records: sent.records, ..Batch::default() };
    assert_eq!(stored(&world, "default"), [expected.write_to_bytes().unwrap()]);
    let first = world.client("root").consume_opt(&at(1), in_time()).unwrap();
    assert_eq!(read(first), (1, b"two".to_vec()));
}

#[test]
fn each_log_has_offsets_of_its_own() {
    let world = World::new();
    create(&world, "orders.eu");
    let client = client(&world, "root");
    for (log, base) in [("default", 0), ("orders.eu", 0), ("default", 3), ("orders.eu", 3)] {
        let reply = client.produce_opt(&batch(log, &["a", "b", "c"]), in_time()).unwrap();
        assert_eq!(reply.base_offset, base, "{log}");
    }
}

#[test]
fn r1_a_reply_leaves_at_the_level_asked_for() {
    let storage = Options { flushers: 0, min_free_bytes: 0, ..Options::default() };
    let world = World::of(Plan { storage, ..Plan::default() });
    let client = client(&world, "root");
    let mut request = batch("default", &["x"]);
    request.durability = EnumOrUnknown::new(Level::DURABILITY_BUFFERED);
    // Nobody writes, and the reply comes all the same.
    let reply = client.produce_opt(&request, in_time()).unwrap();
    assert_eq!(reply.durability, EnumOrUnknown::new(Level::DURABILITY_BUFFERED));
    let end = |world: &World| world.logs.get("default").unwrap().bounds().end.get();
    assert_eq!(end(&world), 0);
    for (level, end_then) in [(Level::DURABILITY_WRITTEN, 0), (Level::DURABILITY_SYNCED, 3)] {
        request.durability = EnumOrUnknown::new(level);
        let mut reply = client.produce_async_opt(&request, in_time()).unwrap();
        let early = std::time::Duration::from_millis(50);
        assert!(!replied_within(&mut reply, early), "{level:?} before anything was done");
        let _worker = world.work_until_dropped();
        let reply = block_on(reply).unwrap();
        assert!(reply.durability.value() >= EnumOrUnknown::new(level).value());
        assert!(end(&world) >= end_then, "{level:?}");
    }
}

/// Whether `reply` comes within `time`.
fn replied_within<F: Future + Unpin>(reply: &mut F, time: std::time::Duration) -> bool {
    std::thread::sleep(time);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::Pin::new(reply).poll(&mut cx).is_ready()
}

#[test]
fn r2_r3_an_append_at_an_expected_offset_is_taken_there_or_told_a_durable_end() {
    let world = World::new();
    let client = client(&world, "root");
    let at = |offset| {
        let mut request = batch("default", &["x", "y"]);
        request.expected_offset = Some(offset);
        client.produce_opt(&request, in_time())
    };
    assert_eq!(at(0).unwrap().base_offset, 0);
    assert_eq!(at(2).unwrap().base_offset, 2);
    for missed in [0, 1, 3, 5, u64::MAX] {
        let told = failure(at(missed));
        assert_eq!(told.code, i32::from(RpcStatusCode::FAILED_PRECONDITION));
        assert_eq!((&*told.info.reason, told.value("end")), ("NOT_AT_END", "4"));
        assert_eq!(told.value("expected"), missed.to_string());
    }
    // The end that was met is another's, which no disk has yet.
    let log = world.logs.get("default").unwrap();
    let _other = log.append(b"\x0a\x00", NonZeroU32::MIN, Durability::Buffered).unwrap();
    assert_eq!(failure(at(4)).value("end"), "5");
    assert_eq!(log.bounds().end.get(), 5);
}

#[test]
fn of_many_callers_at_the_same_offset_one_is_taken() {
    let world = World::new();
    let client = client(&world, "root");
    for round in 0..10 {
        let mut request = batch("default", &["x"]);
        request.expected_offset = Some(round);
        let calls: Vec<_> =
            (0..16).map(|_| client.produce_async_opt(&request, in_time()).unwrap()).collect();
        let outcomes: Vec<_> = calls.into_iter().map(block_on).collect();
        let (taken, missed): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(Result::is_ok);
        assert_eq!((taken.len(), missed.len()), (1, 15));
        for outcome in missed {
            assert_eq!(failure(outcome).value("end"), (round + 1).to_string());
        }
    }
}

#[test]
fn r13_a_stream_names_its_log_once_and_is_answered_in_order() {
    let world = World::new();
    create(&world, "orders");
    let mut producer = Producer::open(&client(&world, "root"));
    for n in 0..100 {
        producer.send(batch(if n % 3 == 0 { "orders" } else { "" }, &["x"; 3]));
    }
    for n in 0..100 {
        let reply = producer.next().unwrap();
        assert_eq!((reply.base_offset, reply.next_offset), (n * 3, n * 3 + 3));
    }
    producer.send(batch("default", &["x"]));
    let told = producer.failure();
    assert_eq!(told.info.reason, "LOG_CHANGED");
    assert_eq!(
        told.message,
        "the stream is about log orders, and the request names log \"default\""
    );
    assert_eq!(world.logs.get("default").unwrap().bounds().end.get(), 0);
}

#[test]
fn a_stream_ends_with_the_first_append_that_is_not_at_the_end() {
    let world = World::new();
    let mut producer = Producer::open(&client(&world, "root"));
    let at = |expected| ProduceRequest { expected_offset: expected, ..batch("default", &["x"]) };
    for offset in 0..2 {
        producer.send(at(Some(offset)));
        // Read at once: the client's library gives up replies for a failure that follows them.
        assert_eq!(producer.next().unwrap().base_offset, offset);
    }
    producer.send(at(Some(1)));
    producer.send(at(None));
    let told = producer.failure();
    assert_eq!((&*told.info.reason, told.value("end")), ("NOT_AT_END", "2"));
    assert_eq!(world.logs.get("default").unwrap().bounds().end.get(), 2);
}

#[test]
fn what_may_not_be_done_to_a_log_hides_whether_it_is_there() {
    let world = World::with(|options| {
        options.rules = crate::world::rules("p, root, *, *\np, clerk, orders.*, produce");
    });
    create(&world, "orders.eu");
    create(&world, "secret");
    let client = client(&world, "clerk");
    assert!(client.produce_opt(&batch("orders.eu", &["x"]), in_time()).is_ok());
    for log in ["secret", "absent", "default"] {
        let told = failure(client.produce_opt(&batch(log, &["x"]), in_time()));
        assert_eq!(told.code, i32::from(RpcStatusCode::PERMISSION_DENIED));
        assert_eq!(told.message, format!("clerk not permitted to produce to {log}"));
        let mut producer = Producer::open(&client);
        producer.send(batch(log, &["x"]));
        assert_eq!(producer.failure().info.reason, "NOT_PERMITTED");
    }
    let told = failure(client.produce_opt(&batch("orders.us", &["x"]), in_time()));
    assert_eq!((&*told.info.reason, told.value("log")), ("LOG_NOT_FOUND", "orders.us"));
}

#[test]
fn a_request_that_makes_no_sense_is_told_what_is_wrong_where() {
    let world = World::with(|options| options.limits.record_bytes_max = 100);
    let client = client(&world, "root");
    let mut large = batch("default", &["small", ""]);
    large.records[1].key = vec![b'k'; 99].into();
    let mut level = batch("default", &["x"]);
    level.durability = EnumOrUnknown::from_i32(9);
    for (request, reason, field) in [
        (batch("default", &[]), "RECORD_MISSING", "records"),
        (batch("", &["x"]), "LOG_NOT_NAMED", "log"),
        (large, "RECORD_TOO_LARGE", "records"),
        (level, "VALUE_UNKNOWN", "durability"),
    ] {
        let told = failure(client.produce_opt(&request, in_time()));
        assert_eq!(told.code, i32::from(RpcStatusCode::INVALID_ARGUMENT));
        assert_eq!((&*told.info.reason, told.value("field")), (reason, field));
        let mut producer = Producer::open(&client);
        producer.send(request);
        assert_eq!(producer.failure().info.reason, reason);
    }
    assert_eq!(stored(&world, "default"), Vec::<Vec<u8>>::new());
    let too_many = batch("default", &["x"; 3]);
    assert!(client.produce_opt(&too_many, in_time()).is_ok());
    assert_eq!(code(client.produce_opt(&batch("Not/A/Log", &["x"]), in_time())), {
        RpcStatusCode::NOT_FOUND
    });
}

#[test]
fn a_batch_over_its_logs_limit_is_refused_with_both_sizes() {
    let world = World::new();
    let overrides = LogOverrides { batch_bytes_max: Some(20), ..LogOverrides::default() };
    world.logs.create(&LogName::parse("small").unwrap(), overrides).unwrap();
    let client = client(&world, "root");
    // Four bytes frame each value.
    assert!(client.produce_opt(&batch("small", &["123456", "123456"]), in_time()).is_ok());
    let request = batch("small", &["123456", "1234567"]);
    let mut stream = Producer::open(&client);
    stream.send(request.clone());
    for told in [failure(client.produce_opt(&request, in_time())), stream.failure()] {
        assert_eq!(told.code, i32::from(RpcStatusCode::INVALID_ARGUMENT));
        assert_eq!(told.info.reason, "BATCH_TOO_LARGE");
        assert_eq!((told.value("limit"), told.value("actual")), ("20", "21"));
    }
}

#[test]
fn r13_a_call_is_refused_while_too_much_waits_for_the_disk_and_a_stream_waits() {
    let storage =
        Options { flushers: 0, min_free_bytes: 0, pending_bytes_max: 1, ..Options::default() };
    let world = World::of(Plan { storage, ..Plan::default() });
    let client = client(&world, "root");
    // One batch is taken whatever its size, and nobody writes it.
    let taken = client.produce_async_opt(&batch("default", &["first"]), in_time()).unwrap();
    let request = batch("default", &["refused"]);
    let told = crate::world::within_a_second(|| {
        let mut request = request.clone();
        // Not appended, should it come before the first.
        request.expected_offset = Some(1);
        let told = failure(client.produce_opt(&request, in_time()));
        (told.info.reason != "NOT_AT_END").then_some(told)
    });
    assert_eq!(told.code, i32::from(RpcStatusCode::RESOURCE_EXHAUSTED));
    assert_eq!((&*told.info.reason, told.value("limit")), ("BUSY", "1"));
    assert!(told.value("actual").parse::<u64>().unwrap() > 1 && told.retry.is_some(), "{told:?}");
    let mut stream = Producer::open(&client);
    stream.send(batch("default", &["second"]));
    let _worker = world.work_until_dropped();
    assert_eq!(block_on(taken).unwrap().base_offset, 0);
    assert_eq!(stream.next().unwrap().base_offset, 1);
}
