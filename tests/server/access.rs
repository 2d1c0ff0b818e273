//! Who may do what, and what happens to open streams when that changes.

use std::thread;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{ChannelBuilder, RpcStatusCode, WriteFlags};
use varve::proto::log_grpc::LogClient;
use varve::proto::log_service::ProduceRequest;
use varve::proto::log_service_grpc::LogClient as BatchClient;
use varve::proto::record::Record;

use crate::world::{
    Failure, Producer, ROOT, Records, World, at, environment, failure, in_time, record, rules,
    with_certificate, within_a_second,
};

fn is_denial(failure: &Failure, action: &str) {
    assert_eq!(failure.code, i32::from(RpcStatusCode::PERMISSION_DENIED));
    assert_eq!(failure.message, format!("nobody not permitted to {action} to default"));
    assert_eq!(failure.info.reason, "NOT_PERMITTED");
    let values = ["subject", "action", "object"].map(|key| failure.value(key));
    assert_eq!(values, ["nobody", action, "default"]);
}

#[test]
fn whom_no_rule_allows_is_denied_on_every_method() {
    let world = World::new();
    world.client("root").produce_opt(&record("x"), in_time()).unwrap();
    let nobody = world.client("nobody");
    is_denial(&failure(nobody.produce_opt(&record("x"), in_time())), "produce");
    is_denial(&failure(nobody.consume_opt(&at(0), in_time())), "consume");
    is_denial(&failure(Records::open(&nobody, 0).next()), "consume");
    let mut producer = Producer::open(&nobody);
    // The server may have ended the stream before the request.
    let _sent = producer.send(record("x"));
    is_denial(&producer.failure(), "produce");
    assert_eq!(world.logs.get("default").unwrap().bounds().end.get(), 1);
}

#[test]
fn a_denial_comes_before_anything_about_the_log() {
    let world = World::new();
    // Out of range, which only one who may read it should know.
    is_denial(&failure(world.client("nobody").consume_opt(&at(99), in_time())), "consume");
}

#[test]
fn one_action_does_not_bring_the_other() {
    let world = World::with(|options| {
        options.rules = rules("p, reader, default, consume\np, writer, default, produce");
    });
    let (reader, writer) = (world.client("reader"), world.client("writer"));
    assert_eq!(writer.produce_opt(&record("x"), in_time()).unwrap().offset, 0);
    assert!(reader.consume_opt(&at(0), in_time()).is_ok());
    let message = failure(writer.consume_opt(&at(0), in_time())).message;
    assert_eq!(message, "writer not permitted to consume to default");
    let message = failure(reader.produce_opt(&record("x"), in_time())).message;
    assert_eq!(message, "reader not permitted to produce to default");
}

#[test]
fn another_policy_holds_for_the_next_call() {
    let world = World::new();
    let nobody = world.client("nobody");
    assert!(nobody.produce_opt(&record("x"), in_time()).is_err());
    world.server().replace_rules(rules("p, nobody, default, produce"));
    assert!(nobody.produce_opt(&record("x"), in_time()).is_ok());
    world.server().replace_rules(rules(ROOT));
    is_denial(&failure(nobody.produce_opt(&record("x"), in_time())), "produce");
}

#[test]
fn another_policy_cuts_an_open_consume_stream() {
    let world = World::with(|options| options.rules = rules("p, nobody, *, *\np, root, *, *"));
    let root = world.client("root");
    root.produce_opt(&record("x"), in_time()).unwrap();
    let mut cut = Records::open(&world.client("nobody"), 0);
    let mut kept = Records::open(&root, 0);
    cut.next().unwrap();
    kept.next().unwrap();
    let began = Instant::now();
    world.server().replace_rules(rules("p, nobody, *, produce\np, root, *, *"));
    is_denial(&failure(cut.next()), "consume");
    assert!(began.elapsed() < Duration::from_secs(1));
    root.produce_opt(&record("y"), in_time()).unwrap();
    assert_eq!(kept.next().unwrap(), (1, b"y".to_vec()));
}

#[test]
fn another_policy_cuts_an_open_produce_stream() {
    let world = World::with(|options| options.rules = rules("p, nobody, *, *"));
    let mut producer = Producer::open(&world.client("nobody"));
    producer.send(record("x")).unwrap();
    assert_eq!(producer.offset(), 0);
    let began = Instant::now();
    world.server().replace_rules(rules("p, nobody, *, consume"));
    is_denial(&producer.failure(), "produce");
    assert!(began.elapsed() < Duration::from_secs(1));
    // And nothing more is taken on that stream.
    within_a_second(|| producer.send(record("y")).err());
    assert_eq!(world.logs.get("default").unwrap().bounds().end.get(), 1);
}

/// A stream that named its log late was let in by the list of the moment at which it was opened. A
/// batch was appended, and its log made, after the right to that was gone.
#[test]
fn a_stream_that_names_its_log_late_needs_the_right_at_that_moment() {
    for log in ["default", "absent"] {
        let world = World::with(|options| {
            options.creates_logs = true;
            options.rules = rules("p, nobody, *, *");
        });
        let channel = world.channel("nobody");
        let client = BatchClient::new(channel.clone());
        let (mut requests, mut replies) = client.produce_stream_opt(in_time()).unwrap();
        // Answered after the stream was opened: both come over one connection.
        let before = LogClient::new(channel).produce_opt(&record("x"), in_time()).unwrap();
        assert_eq!(before.offset, 0);
        world.server().replace_rules(rules("p, nobody, *, consume"));
        let records = vec![Record { value: b"late".to_vec().into(), ..Record::default() }];
        let request = ProduceRequest { log: log.to_owned(), records, ..ProduceRequest::default() };
        // The stream may have failed before this is told to be sent; the reply says how.
        let _sent = block_on(requests.send((request, WriteFlags::default())));
        let told = failure(block_on(replies.next()).unwrap());
        assert_eq!(told.message, format!("nobody not permitted to produce to {log}"));
        assert_eq!(told.info.reason, "NOT_PERMITTED");
        assert_eq!(world.logs.get("default").unwrap().bounds().end.get(), 1);
        assert!(world.logs.get("absent").is_none());
    }
}

/// Its answers pile up until nothing moves any more, and then it may not go on.
#[test]
fn another_policy_cuts_a_produce_stream_whose_client_reads_nothing() {
    let world = World::with(|options| {
        options.rules = rules("p, nobody, *, *");
        options.limits.streams_max = 1;
    });
    let client = world.client("nobody");
    // Its window stays small, however much there is to receive.
    let builder = ChannelBuilder::new(environment()).http2_bdp_probe(false);
    let identity = world.authority.client("nobody");
    let credentials = with_certificate(&world.authority, &identity);
    let channel = builder
        .use_local_subchannel_pool(true)
        .set_credentials(credentials)
        .connect(&format!("127.0.0.1:{}", world.port()));
    let stuck = LogClient::new(channel);
    let (mut requests, replies) = stuck.produce_stream().unwrap();
    requests.enhance_batch(true);
    let sender = thread::spawn(move || {
        while block_on(requests.feed((record("x"), WriteFlags::default()))).is_ok() {}
    });
    let end = || world.logs.get("default").unwrap().bounds().end;
    let mut before = None;
    while before != Some(end()) || end().get() < 1000 {
        before = Some(end());
        thread::sleep(Duration::from_millis(200));
    }
    world.server().replace_rules(rules("p, nobody, *, consume"));
    let began = Instant::now();
    // The one slot that there is is free again once the stream is over.
    while Records::open(&client, 0).next().is_err() {
        assert!(began.elapsed() < Duration::from_secs(5), "the stream holds its slot");
    }
    drop(replies);
    sender.join().unwrap();
}
