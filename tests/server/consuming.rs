//! Reading through `varve.v1.Log`: where it begins, how it is cut, gaps, waiting.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::StreamExt as _;
use grpcio::{CallOption, ChannelBuilder, ClientSStreamReceiver, RpcStatusCode};
use protobuf::EnumOrUnknown;
use varve::log::{LogName, LogOverrides, Offset, Options, SimDisk};
use varve::proto::log_service::consume_request::Start;
use varve::proto::log_service::{
    ConsumeRequest, ConsumeResponse, Edge, GapCause, GapPolicy, ProduceRequest, ProduceResponse,
};
use varve::proto::log_service_grpc::LogClient;
use varve::proto::readers_service::CommitReaderRequest;
use varve::proto::readers_service_grpc::ReadersClient;
use varve::proto::record::{Batch, Header, Record};

use crate::world::{
    Failure, Plan, World, code, environment, failure, in_time, rules, with_certificate,
    within_a_second,
};

const LOG: &str = "orders";

/// A world with an empty log whose segments hold a batch or two.
fn world() -> World {
    on(Plan::default())
}

fn on(plan: Plan) -> World {
    let world = World::of(plan);
    create(&world, LOG);
    world
}

fn create(world: &World, name: &str) {
    let overrides = LogOverrides { segment_bytes_max: Some(4096), ..LogOverrides::default() };
    world.logs.create(&LogName::parse(name).unwrap(), overrides).unwrap();
}

fn client(world: &World) -> LogClient {
    LogClient::new(world.channel("root"))
}

fn record(value: impl Into<Vec<u8>>) -> Record {
    Record { value: value.into().into(), ..Record::default() }
}

fn produce(client: &LogClient, values: &[&str]) -> ProduceResponse {
    append(client, values.iter().map(|value| record(*value)).collect())
}

fn append(client: &LogClient, records: Vec<Record>) -> ProduceResponse {
    let request = ProduceRequest { log: LOG.to_owned(), records, ..ProduceRequest::default() };
    client.produce_opt(&request, in_time()).unwrap()
}

fn ask() -> ConsumeRequest {
    ConsumeRequest { log: LOG.to_owned(), ..ConsumeRequest::default() }
}

fn from(start: Start) -> ConsumeRequest {
    ConsumeRequest { start: Some(start), ..ask() }
}

fn edge(edge: Edge) -> Start {
    Start::Edge(EnumOrUnknown::new(edge))
}

/// The values of a reply's records with their offsets.
fn records(reply: &ConsumeResponse) -> Vec<(u64, String)> {
    let of_batch = |batch: &Batch| {
        let text = |record: &Record| String::from_utf8(record.value.to_vec()).unwrap();
        (batch.base_offset..).zip(batch.records.iter().map(text).collect::<Vec<_>>())
    };
    reply.batches.iter().flat_map(of_batch).collect()
}

fn consume(client: &LogClient, request: &ConsumeRequest) -> ConsumeResponse {
    client.consume_opt(request, in_time()).unwrap()
}

fn refused(client: &LogClient, request: &ConsumeRequest) -> Failure {
    failure(client.consume_opt(request, in_time()))
}

struct Stream {
    replies: ClientSStreamReceiver<ConsumeResponse>,
    _client: LogClient,
}

impl Stream {
    fn open(client: &LogClient, request: &ConsumeRequest) -> Self {
        let replies = client.consume_stream_opt(request, in_time()).unwrap();
        Self { replies, _client: client.clone() }
    }

    /// The next reply; `None` if the stream ended well.
    fn next(&mut self) -> Option<grpcio::Result<ConsumeResponse>> {
        block_on(self.replies.next())
    }

    fn reply(&mut self) -> ConsumeResponse {
        self.next().expect("the stream has ended").unwrap()
    }

    /// The records of the next reply that has some.
    fn records(&mut self) -> Vec<(u64, String)> {
        loop {
            let found = records(&self.reply());
            if !found.is_empty() {
                return found;
            }
        }
    }

    /// How the stream fails, after replies that may still come.
    fn failure(&mut self) -> Failure {
        loop {
            match self.next().expect("the stream has ended well") {
                Ok(_) => {}
                error => return failure(error),
            }
        }
    }
}

fn text(found: &[(u64, &str)]) -> Vec<(u64, String)> {
    found.iter().map(|(offset, value)| (*offset, (*value).to_owned())).collect()
}

#[test]
fn batches_come_as_they_were_sent_with_where_the_log_stands() {
    let world = world();
    let client = client(&world);
    let mut sent = vec![record("one"), record("two")];
    sent[1].key = b"key".to_vec().into();
    sent[1].headers =
        vec![Header { name: "n".to_owned(), value: vec![0xff].into(), ..Header::default() }];
    let first = append(&client, sent.clone());
    let second = produce(&client, &["three"]);
    let reply = consume(&client, &ask());
    let batch = |records, base_offset, append_time_us| Batch {
        records,
        base_offset,
        append_time_us,
        ..Batch::default()
    };
    let expected = [
        batch(sent, 0, first.append_time_us),
        batch(vec![record("three")], 2, second.append_time_us),
    ];
    assert_eq!(reply.batches, expected);
    assert!(reply.gap.is_none());
    assert_eq!((reply.next_offset, reply.start_offset, reply.high_watermark), (3, 0, 3));
    assert_eq!(&reply.log_id[..], world.logs.get(LOG).unwrap().id().bytes());
    assert!(reply.server_time_us >= second.append_time_us);
}

#[test]
fn reading_begins_where_the_request_says_also_inside_a_batch() {
    let world = world();
    let client = client(&world);
    produce(&client, &["a", "b", "c"]);
    produce(&client, &["d"]);
    let all = [(0, "a"), (1, "b"), (2, "c"), (3, "d")];
    for (start, first) in [
        (Start::Offset(0), 0),
        (Start::Offset(1), 1),
        (Start::Offset(2), 2),
        (Start::Offset(3), 3),
        (Start::Offset(4), 4),
        (edge(Edge::EDGE_EARLIEST), 0),
        (edge(Edge::EDGE_LATEST), 4),
        (Start::TimeUs(0), 0),
        (Start::TimeUs(u64::MAX), 4),
    ] {
        let reply = consume(&client, &from(start.clone()));
        assert_eq!(records(&reply), text(&all[first..]), "{start:?}");
        assert_eq!(reply.next_offset, 4);
        if first < 4 {
            let mut stream = Stream::open(&client, &from(start.clone()));
            assert_eq!(stream.records(), text(&all[first..]), "{start:?}");
        }
    }
}

#[test]
fn reading_begins_at_the_first_record_of_a_time_or_later() {
    let world = world();
    let client = client(&world);
    let mut times = Vec::new();
    for n in 0..40 {
        let reply = produce(&client, &[&format!("{n}a"), &format!("{n}b")]);
        times.push((reply.base_offset, reply.append_time_us));
        while world.logs.get(LOG).unwrap().now_us() <= reply.append_time_us {
            std::hint::spin_loop();
        }
    }
    for (base, time_us) in times {
        for (time_us, first) in [(time_us, base), (time_us + 1, base + 2)] {
            let request = ConsumeRequest { max_records: 1, ..from(Start::TimeUs(time_us)) };
            let reply = consume(&client, &request);
            let found = records(&reply).first().map_or(reply.next_offset, |(at, _)| *at);
            assert_eq!(found, first, "at {time_us}");
        }
    }
}

#[test]
fn an_offset_beyond_the_end_is_out_of_range() {
    let world = world();
    let client = client(&world);
    produce(&client, &["a"]);
    let request = from(Start::Offset(2));
    for told in [refused(&client, &request), Stream::open(&client, &request).failure()] {
        assert_eq!(told.code, i32::from(RpcStatusCode::OUT_OF_RANGE));
        assert_eq!(&*told.info.reason, "OFFSET_OUT_OF_RANGE");
        assert_eq!((told.value("start"), told.value("end")), ("0", "1"));
    }
}

#[test]
fn a_large_batch_comes_in_pieces_that_every_client_takes() {
    let world = world();
    let client = client(&world);
    let value = |n: usize| format!("{n:07}").repeat(14_000 + n);
    let sent: Vec<_> = (0..30).map(|n| record(value(n))).collect();
    append(&client, sent);
    let mut stream = Stream::open(&client, &ask());
    let (mut next, mut replies) = (0, 0);
    while next < 30 {
        let reply = stream.reply();
        let found = records(&reply);
        let bytes: usize = found.iter().map(|(_, value)| value.len()).sum();
        assert!(bytes < (1 << 20) + value(30).len() + 1000, "{bytes} bytes");
        for (offset, found) in found {
            assert_eq!((offset, found), (next, value(next as usize)));
            next += 1;
        }
        assert_eq!(reply.next_offset, next);
        replies += 1;
    }
    assert!(replies >= 3, "{replies} replies");
    // A call goes on where the one before ended.
    let mut next = 0;
    while next < 30 {
        let reply = consume(&client, &ConsumeRequest { max_bytes: 1, ..from(Start::Offset(next)) });
        assert_eq!(records(&reply), [(next, value(next as usize))]);
        next = reply.next_offset;
    }
}

#[test]
fn a_limit_of_records_holds_inside_batches_and_ends_a_stream() {
    let world = world();
    let client = client(&world);
    produce(&client, &["a", "b"]);
    produce(&client, &["c", "d", "e"]);
    let request = ConsumeRequest { max_records: 3, ..ask() };
    let expected = text(&[(0, "a"), (1, "b"), (2, "c")]);
    let reply = consume(&client, &request);
    assert_eq!((records(&reply), reply.next_offset), (expected.clone(), 3));
    let mut stream = Stream::open(&client, &request);
    assert_eq!(stream.records(), expected);
    assert!(stream.next().is_none(), "it ends well");
}

#[test]
fn a_stream_begins_with_where_it_stands_and_tells_it_again_while_nothing_comes() {
    let world = world();
    let client = client(&world);
    produce(&client, &["old"]);
    let request = ConsumeRequest { heartbeat_ms: 100, ..from(edge(Edge::EDGE_LATEST)) };
    let began = Instant::now();
    let mut stream = Stream::open(&client, &request);
    let mut times = Vec::new();
    for _ in 0..3 {
        let beat = stream.reply();
        assert!(beat.batches.is_empty() && beat.gap.is_none());
        assert_eq!((beat.next_offset, beat.high_watermark), (1, 1));
        times.push(beat.server_time_us);
    }
    assert!(began.elapsed() >= Duration::from_millis(200), "no sooner than asked for");
    assert!(times.is_sorted() && times[2] - times[0] >= 200_000, "{times:?}");
    produce(&client, &["new"]);
    assert_eq!(stream.records(), text(&[(1, "new")]));
}

#[test]
fn a_stream_without_a_heartbeat_due_is_silent_and_ends_when_its_patience_does() {
    let world = world();
    let client = client(&world);
    produce(&client, &["a"]);
    let began = Instant::now();
    let request = ConsumeRequest { max_wait_ms: Some(200), ..ask() };
    let mut stream = Stream::open(&client, &request);
    assert_eq!(stream.records(), text(&[(0, "a")]));
    assert!(stream.next().is_none(), "it ends well, without a heartbeat");
    assert!(began.elapsed() >= Duration::from_millis(200));
    let until_the_end = ConsumeRequest { max_wait_ms: Some(0), ..ask() };
    let mut stream = Stream::open(&client, &until_the_end);
    assert_eq!(stream.records(), text(&[(0, "a")]));
    assert!(stream.next().is_none());
}

/// A finite read was cut off a second after the server had nothing more to add, with what the
/// client had yet to read, and without its end.
#[test]
fn a_finite_read_is_had_in_full_by_a_client_that_reads_slowly() {
    const RECORDS: u64 = 12;
    let world = world();
    let writer = client(&world);
    // More than goes out unread, and all that waits in the server's memory then.
    let value = "x".repeat(20_000);
    (0..RECORDS).for_each(|_| drop(append(&writer, vec![record(value.as_str())])));
    // Its window stays small, however much there is to receive.
    let builder = ChannelBuilder::new(environment()).http2_bdp_probe(false);
    let credentials = with_certificate(&world.authority, &world.authority.client("root"));
    let address = format!("127.0.0.1:{}", world.port());
    let channel = builder.use_local_subchannel_pool(true).set_credentials(credentials);
    let slow = LogClient::new(channel.connect(&address));
    let until_the_end = ConsumeRequest { max_bytes: 1, max_wait_ms: Some(0), ..ask() };
    let beyond = skipping(ConsumeRequest { max_records: RECORDS, ..until_the_end.clone() });
    for request in [until_the_end, beyond] {
        let mut stream = Stream::open(&slow, &request);
        assert_eq!(stream.reply().next_offset, 1);
        std::thread::sleep(Duration::from_millis(2500));
        for next in 2..=RECORDS {
            assert_eq!(stream.reply().next_offset, next);
        }
        assert!(stream.next().is_none(), "it ends well");
    }
}

#[test]
fn a_call_waits_for_a_record_as_long_as_it_says() {
    let world = world();
    let client = client(&world);
    let wait = |ms| ConsumeRequest { max_wait_ms: Some(ms), ..ask() };
    let began = Instant::now();
    let reply = consume(&client, &wait(150));
    assert!(began.elapsed() >= Duration::from_millis(150));
    assert!(reply.batches.is_empty() && reply.next_offset == 0);
    let waiting = client.consume_async_opt(&wait(20_000), in_time()).unwrap();
    produce(&client, &["a"]);
    assert_eq!(records(&block_on(waiting).unwrap()), text(&[(0, "a")]));
    assert!(began.elapsed() < Duration::from_secs(15), "the record ended the wait");
    let told = refused(&client, &wait(60_001));
    assert_eq!((&*told.info.reason, told.value("field")), ("VALUE_OUT_OF_BOUNDS", "max_wait_ms"));
    assert_eq!((told.value("limit"), told.value("actual")), ("60000", "60001"));
}

#[test]
fn a_call_that_waits_is_cut_by_a_new_policy_and_by_a_stop() {
    let mut world = world();
    let client = client(&world);
    let request = ConsumeRequest { max_wait_ms: Some(30_000), ..ask() };
    let waiting = client.consume_async_opt(&request, in_time()).unwrap();
    // Answered after the first one was taken: both come over one connection.
    consume(&client, &ask());
    world.server().replace_rules(rules("p, root, *, produce"));
    let began = Instant::now();
    assert_eq!(failure(block_on(waiting)).info.reason, "NOT_PERMITTED");
    world.server().replace_rules(rules(crate::world::ROOT));
    let waiting = client.consume_async_opt(&request, in_time()).unwrap();
    consume(&client, &ask());
    world.shutdown();
    assert_eq!(failure(block_on(waiting)).info.reason, "STOPPING");
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// Appends batches until the log has several segments, and trims all but the last.
fn trimmed(world: &World, client: &LogClient) -> (u64, u64) {
    let value = "x".repeat(1500);
    for _ in 0..8 {
        produce(client, &[&value, &value]);
    }
    let log = world.logs.get(LOG).unwrap();
    let start = log.trim(Offset::new(13)).unwrap().start.get();
    assert!((4..=13).contains(&start), "{start}");
    (start, log.bounds().end.get())
}

fn skipping(request: ConsumeRequest) -> ConsumeRequest {
    let skip = EnumOrUnknown::new(GapPolicy::GAP_POLICY_SKIP);
    ConsumeRequest { on_trimmed: skip, on_damaged: skip, ..request }
}

#[test]
fn a_trimmed_start_fails_with_the_bounds_or_is_a_gap() {
    let world = world();
    let client = client(&world);
    let (start, end) = trimmed(&world, &client);
    let request = from(Start::Offset(1));
    for told in [refused(&client, &request), Stream::open(&client, &request).failure()] {
        assert_eq!(told.code, i32::from(RpcStatusCode::OUT_OF_RANGE));
        assert_eq!(told.value("start"), start.to_string());
        assert_eq!(told.value("end"), end.to_string());
    }
    let request = skipping(request);
    let mut stream = Stream::open(&client, &request);
    for reply in [consume(&client, &request), stream.reply()] {
        let gap = reply.gap.unwrap();
        assert_eq!((gap.from_offset, gap.to_offset, reply.next_offset), (1, start, start));
        assert_eq!(gap.cause.unwrap(), GapCause::GAP_CAUSE_TRIMMED);
        assert!(reply.batches.is_empty());
    }
    assert_eq!(stream.records()[0].0, start);
}

#[test]
fn a_trim_under_a_slow_streams_feet_fails_it_or_is_a_gap() {
    let world = world();
    let client = client(&world);
    // More than what is on the way to a client that does not read.
    let value = "x".repeat(1000);
    for _ in 0..150 {
        append(&client, vec![record(value.as_str()); 100]);
    }
    let slow = LogClient::new(world.channel("root"));
    let mut failing = Stream::open(&slow, &ask());
    let mut skipping = Stream::open(&slow, &skipping(ask()));
    assert_eq!(failing.reply().next_offset > 0, skipping.reply().next_offset > 0);
    let log = world.logs.get(LOG).unwrap();
    let start = log.trim(Offset::new(14_900)).unwrap().start.get();
    let told = failing.failure();
    assert_eq!(
        (&*told.info.reason, told.value("start")),
        ("OFFSET_OUT_OF_RANGE", &*start.to_string())
    );
    let (mut next, mut gap) = (skipping.reply().next_offset, None);
    while next < 15_000 {
        let reply = skipping.reply();
        if let Some(found) = reply.gap.as_ref() {
            assert_eq!((found.from_offset, found.to_offset), (next, start));
            gap = Some(found.clone());
        } else {
            assert_eq!(reply.batches[0].base_offset, next);
        }
        next = reply.next_offset;
    }
    assert!(gap.is_some(), "the trim overtook it");
}

#[test]
fn damage_fails_with_its_range_or_is_a_gap() {
    let disk = Arc::new(SimDisk::new());
    let storage = Options { min_free_bytes: 0, ..Options::default() };
    let world = on(Plan { disk: Some(Arc::clone(&disk)), storage, ..Plan::default() });
    let client = client(&world);
    let value = "x".repeat(1500);
    for _ in 0..8 {
        produce(&client, &[&value]);
    }
    let path = PathBuf::from(format!("/data/logs/{LOG}/{:020}.store", 2));
    let mut bytes = disk.bytes(&path).expect("a segment begins at offset 2");
    bytes[300] ^= 1;
    disk.damage(&path, &bytes).unwrap();
    let mut stream = Stream::open(&client, &ask());
    // The client's library may put the failure before replies that were not read.
    for told in [stream.failure(), refused(&client, &from(Start::Offset(2)))] {
        assert_eq!(told.code, i32::from(RpcStatusCode::DATA_LOSS));
        assert_eq!(&*told.info.reason, "LOG_DAMAGED");
        assert_eq!((told.value("from"), told.value("resume")), ("2", "3"));
    }
    let mut stream = Stream::open(&client, &skipping(ask()));
    assert_eq!(stream.reply().next_offset, 2);
    let gap = stream.reply().gap.unwrap();
    assert_eq!((gap.from_offset, gap.to_offset), (2, 3));
    assert_eq!(gap.cause.unwrap(), GapCause::GAP_CAUSE_DAMAGED);
    assert_eq!(stream.records()[0].0, 3);
}

#[test]
fn a_log_that_was_replaced_or_is_not_there_is_told() {
    let world = world();
    let client = client(&world);
    let log_id = world.logs.get(LOG).unwrap().id();
    let with_id = |id: Vec<u8>| ConsumeRequest { log_id: id.into(), ..ask() };
    assert_eq!(consume(&client, &with_id(log_id.bytes().to_vec())).next_offset, 0);
    let told = refused(&client, &with_id(vec![7; 16]));
    assert_eq!(told.code, i32::from(RpcStatusCode::FAILED_PRECONDITION));
    assert_eq!((&*told.info.reason, told.value("log_id")), ("LOG_REPLACED", &*log_id.to_string()));
    assert_eq!(refused(&client, &with_id(vec![7])).info.reason, "ID_MALFORMED");
    let named = |log: &str| ConsumeRequest { log: log.to_owned(), ..ConsumeRequest::default() };
    assert_eq!(refused(&client, &named("")).info.reason, "LOG_NOT_NAMED");
    assert_eq!(refused(&client, &named("absent")).info.reason, "LOG_NOT_FOUND");
    let stranger = LogClient::new(world.channel("nobody"));
    for log in ["absent", LOG] {
        assert_eq!(refused(&stranger, &named(log)).info.reason, "NOT_PERMITTED");
    }
}

#[test]
fn a_tail_gets_every_record_once_and_in_order_while_others_append() {
    const RECORDS: u64 = 3000;
    let world = world();
    let reader = client(&world);
    std::thread::scope(|scope| {
        for producer in 0..3 {
            let client = client(&world);
            scope.spawn(move || {
                for n in 0..RECORDS / 3 {
                    produce(&client, &[&format!("{producer} {n}")]);
                }
            });
        }
        scope.spawn(move || {
            let mut stream = Stream::open(&reader, &ask());
            let (mut next, mut counts) = (0, [0_u64; 3]);
            while next < RECORDS {
                for (offset, value) in stream.records() {
                    assert_eq!(offset, next);
                    let (producer, n) = value.split_once(' ').unwrap();
                    let count = &mut counts[producer.parse::<usize>().unwrap()];
                    assert_eq!(n, count.to_string());
                    (*count, next) = (*count + 1, next + 1);
                }
            }
        });
    });
}

/// Calls that waited took the slots of others: a client that left 64 of them behind had its subject
/// refused for a minute.
#[test]
fn a_call_that_waits_keeps_another_from_waiting_and_no_other_call() {
    let world = World::with(|options| options.limits.calls_per_subject_max = 1);
    create(&world, LOG);
    let client = client(&world);
    // Longer than what is awaited below.
    let request = ConsumeRequest { max_wait_ms: Some(3000), ..ask() };
    let brief = ConsumeRequest { max_wait_ms: Some(1), ..ask() };
    // Whichever of the two comes first keeps the other out.
    let (waiting, told) = (0..20)
        .find_map(|_| {
            let waiting = client.consume_async_opt(&request, in_time()).unwrap();
            let outcome = client.consume_opt(&brief, in_time());
            if outcome.is_err() {
                return Some((waiting, outcome));
            }
            let _refused_or_not = block_on(waiting);
            None
        })
        .expect("two that wait at once");
    let told = failure(told);
    assert_eq!((&*told.info.reason, told.value("limit")), ("OVER_LIMIT", "1"));
    assert_eq!(told.value("limit_name"), "calls_per_subject_max");
    within_a_second(|| client.consume_opt(&ask(), in_time()).ok());
    block_on(waiting).unwrap();
    within_a_second(|| client.consume_opt(&brief, in_time()).ok());
}

#[test]
fn a_call_that_waits_is_over_soon_after_its_deadline() {
    let world = World::with(|options| options.limits.calls_per_subject_max = 1);
    create(&world, LOG);
    let client = client(&world);
    let began = Instant::now();
    let request = ConsumeRequest { max_wait_ms: Some(20_000), ..ask() };
    let hasty = CallOption::default().timeout(Duration::from_millis(200));
    let told = client.consume_opt(&request, hasty);
    assert_eq!(code(told), RpcStatusCode::DEADLINE_EXCEEDED);
    let brief = ConsumeRequest { max_wait_ms: Some(1), ..ask() };
    while client.consume_opt(&brief, in_time()).is_err() {
        assert!(began.elapsed() < Duration::from_secs(10), "it holds its slot");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads on from `next` over one broken stream after the other, and checks that no offset is left
/// out or comes twice.
async fn tail_to(client: LogClient, end: u64) {
    let mut next = 0;
    while next < end {
        let again = in_time().wait_for_ready(true);
        let mut replies = client.consume_stream_opt(&from(Start::Offset(next)), again).unwrap();
        while next < end
            && let Some(Ok(reply)) = replies.next().await
        {
            for (offset, value) in records(&reply) {
                assert_eq!((offset, value), (next, format!("{next}")));
                next += 1;
            }
            assert_eq!(reply.next_offset, next);
        }
    }
}

#[test]
fn tails_resume_over_restarts_without_a_gap_or_a_duplicate() {
    const CONSUMERS: usize = 50;
    const ROUNDS: u64 = 3;
    const RECORDS: u64 = 200;
    let mut world = world();
    let clients: Vec<LogClient> = (0..5).map(|_| client(&world)).collect();
    let tails = (0..CONSUMERS).map(|n| tail_to(clients[n % 5].clone(), ROUNDS * RECORDS));
    let tails = futures_util::future::join_all(tails);
    let all = std::thread::spawn(move || block_on(tails));
    for round in 0..ROUNDS {
        let producer = client(&world);
        for n in (round * RECORDS..(round + 1) * RECORDS).step_by(2) {
            assert_eq!(
                produce(&producer, &[&format!("{n}"), &format!("{}", n + 1)]).base_offset,
                n
            );
        }
        if round + 1 < ROUNDS {
            world.restart();
        }
    }
    all.join().unwrap();
}

#[test]
fn consumers_that_stop_reading_slow_nobody_and_miss_nothing() {
    let world = world();
    let (writer, slow) = (client(&world), client(&world));
    let value = "x".repeat(1000);
    let fill = || (0..100).for_each(|_| drop(append(&writer, vec![record(value.as_str()); 100])));
    fill();
    let mut stalled: Vec<Stream> = (0..10).map(|_| Stream::open(&slow, &ask())).collect();
    // Whoever reads gets all, and what is appended meanwhile, while the others take nothing.
    let mut reader = Stream::open(&client(&world), &ask());
    fill();
    for stream in std::iter::once(&mut reader).chain(&mut stalled) {
        let mut next = 0;
        while next < 20_000 {
            let reply = stream.reply();
            assert_eq!(reply.batches[0].base_offset, next);
            next = reply.next_offset;
        }
    }
}

#[test]
fn reading_begins_where_a_reader_of_the_subject_stands() {
    let world = World::with(|options| {
        options.rules = rules("p, root, *, *\np, other, *, consume\np, boss, *, *");
    });
    create(&world, LOG);
    let client = client(&world);
    produce(&client, &["a", "b", "c"]);
    let commit = CommitReaderRequest {
        log: LOG.to_owned(),
        reader: "billing".to_owned(),
        offset: 2,
        ..CommitReaderRequest::default()
    };
    ReadersClient::new(world.channel("root")).commit_reader_opt(&commit, in_time()).unwrap();
    let request = from(Start::Reader("billing".to_owned()));
    assert_eq!(records(&consume(&client, &request)), text(&[(2, "c")]));
    assert_eq!(Stream::open(&client, &request).records(), text(&[(2, "c")]));
    let boss = LogClient::new(world.channel("boss"));
    assert_eq!(records(&consume(&boss, &request)), text(&[(2, "c")]));
    let other = LogClient::new(world.channel("other"));
    for (client, name) in [(&client, "absent"), (&other, "billing")] {
        let told = refused(client, &from(Start::Reader(name.to_owned())));
        assert_eq!(told.code, i32::from(RpcStatusCode::NOT_FOUND), "{name}");
        assert_eq!(told.info.reason, "READER_NOT_FOUND");
    }
    assert_eq!(
        refused(&client, &from(Start::Reader("Bad".to_owned()))).info.reason,
        "READER_NAME_INVALID"
    );
}
