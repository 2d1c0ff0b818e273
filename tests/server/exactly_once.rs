//! Producers that number their batches: through the wire each is appended once.

use std::path::Path;
use std::sync::Arc;

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{
    ChannelCredentialsBuilder, ClientDuplexReceiver, ClientDuplexSender, RpcStatusCode, WriteFlags,
};
use protobuf::{EnumOrUnknown, MessageField};
use rustix::process::Signal;
use varve::log::{LogName, LogOverrides, Logs, Options, OsDisk};
use varve::proto::log_service::{
    Durability as Level, ProduceRequest, ProduceResponse, ProducerSequence,
};
use varve::proto::log_service_grpc::LogClient;
use varve::proto::record::Record;
use varve::service::Limits;

use crate::cli::site::{Running, Site};
use crate::world::{Failure, Plan, World, connect, failure, in_time};

const ID: [u8; 16] = *b"the one producer";

fn numbered(epoch: u32, sequence: u64, value: &str) -> ProduceRequest {
    let record = Record { value: value.to_owned().into(), ..Record::default() };
    let id = ID.to_vec().into();
    let producer = ProducerSequence { id, epoch, sequence, ..ProducerSequence::default() };
    ProduceRequest {
        log: "default".to_owned(),
        records: vec![record],
        producer: MessageField::some(producer),
        ..ProduceRequest::default()
    }
}

/// The producer's batch of this number, which holds it.
fn batch(sequence: u64) -> ProduceRequest {
    numbered(0, sequence, &sequence.to_string())
}

fn client(world: &World, name: &str) -> LogClient {
    LogClient::new(world.channel(name))
}

/// Base offset of the reply, and whether the batch was there; what goes with it is checked.
fn told(reply: &ProduceResponse) -> (u64, bool) {
    assert_eq!(reply.append_time_us == 0, reply.deduplicated);
    assert_eq!(reply.next_offset, reply.base_offset + 1);
    (reply.base_offset, reply.deduplicated)
}

fn produce(client: &LogClient, request: &ProduceRequest) -> (u64, bool) {
    told(&client.produce_opt(request, in_time()).unwrap())
}

fn end(world: &World) -> u64 {
    world.logs.get("default").unwrap().bounds().end.get()
}

struct Stream {
    requests: ClientDuplexSender<ProduceRequest>,
    replies: ClientDuplexReceiver<ProduceResponse>,
    /// Without it the stream would end.
    _client: LogClient,
}

impl Stream {
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

    fn told(&mut self) -> (u64, bool) {
        told(&self.next().unwrap())
    }

    /// How the stream fails, after replies that may still come.
    fn failure(&mut self) -> Failure {
        loop {
            match self.next() {
                Ok(_) => {}
                error => return failure(error),
            }
        }
    }
}

fn connected(site: &Site, server: &Running) -> LogClient {
    let read = |name: &str| std::fs::read(site.path(name)).unwrap();
    let credentials = ChannelCredentialsBuilder::new()
        .root_cert(read("ca.pem"))
        .cert(read("root.pem"), read("root-key.pem"))
        .build();
    let port = server.address.rsplit(':').next().unwrap().parse().unwrap();
    LogClient::new(connect(port, credentials))
}

fn trim_all(data: &str) {
    let options = Options { min_free_bytes: 0, ..Options::default() };
    let logs = Logs::open(Path::new(data), Arc::new(OsDisk::new()), options).unwrap();
    let log = logs.get("default").unwrap();
    let end = log.bounds().end;
    assert_eq!(log.trim(end).map(|_| log.bounds().start).unwrap(), end);
    logs.close().unwrap();
}

#[test]
fn r3_a_retry_is_recognised_after_a_restart_a_kill_and_a_trim() {
    let site = Site::new();
    let mut sent = 0;
    for how in ["at first", "stopped", "killed", "killed", "trimmed", "killed", "stopped"] {
        if how == "trimmed" {
            trim_all(&site.path("data"));
        }
        let server = site.serve();
        let client = connected(&site, &server);
        for sequence in 0..sent + 20 {
            let reply = client.produce_opt(&batch(sequence), in_time()).unwrap();
            assert_eq!(told(&reply), (sequence, sequence < sent), "{how}");
            assert_eq!(reply.durability, EnumOrUnknown::new(Level::DURABILITY_SYNCED));
        }
        sent += 20;
        drop(client);
        match how {
            "killed" => drop(server),
            _ => {
                server.signal(Signal::TERM);
                assert_eq!(server.wait().0.code, 0);
            }
        }
    }
}

/// The server's own limit was looked at before the duplicate: after a reload that lowered it, a
/// batch that was in the log and not answered could not be sent again.
#[test]
fn r3_a_retry_is_recognised_after_the_limit_of_records_was_lowered() {
    let world = World::with(|options| options.creates_logs = true);
    let client = client(&world, "root");
    let large = |sequence| numbered(0, sequence, &"x".repeat(1000));
    assert_eq!(produce(&client, &large(0)), (0, false));
    world.server().replace_limits(Limits { record_bytes_max: 500, ..Limits::default() });
    assert_eq!(produce(&client, &large(0)), (0, true));
    let mut stream = Stream::open(&client);
    stream.send(large(0));
    assert_eq!(stream.told(), (0, true));
    stream.send(large(1));
    let elsewhere = ProduceRequest { log: "absent".to_owned(), ..large(0) };
    let by_call = |request| failure(client.produce_opt(request, in_time()));
    for told in [stream.failure(), by_call(&large(1)), by_call(&elsewhere)] {
        assert_eq!((&*told.info.reason, told.value("limit")), ("RECORD_TOO_LARGE", "500"));
        assert_eq!((told.value("field"), told.value("actual")), ("records", "1003"));
    }
    assert_eq!(end(&world), 1);
    assert!(world.logs.get("absent").is_none(), "no log is made for what it does not take");
}

#[test]
fn r3_a_producer_is_told_what_it_sent_wrong_and_nothing_is_appended() {
    let world = World::new();
    let client = client(&world, "root");
    let mut stream = Stream::open(&client);
    (0..1030).for_each(|sequence| stream.send(batch(sequence)));
    (0..1030).for_each(|sequence| assert_eq!(stream.told(), (sequence, false)));
    let next_epoch = numbered(2, 0, "of the second");
    let wrong = [
        (batch(1031), "SEQUENCE_GAP", [("expected", "1030"), ("actual", "1031")]),
        (numbered(1, 1, "x"), "SEQUENCE_GAP", [("expected", "0"), ("actual", "1")]),
        (numbered(0, 1029, "x"), "SEQUENCE_REUSED", [("sequence", "1029"), ("", "")]),
        (batch(5), "DUPLICATE_TOO_OLD", [("sequence", "5"), ("oldest", "6")]),
        (batch(1030), "PRODUCER_FENCED", [("epoch", "0"), ("current", "2")]),
    ];
    for (request, reason, values) in wrong {
        if reason == "PRODUCER_FENCED" {
            assert_eq!(produce(&client, &next_epoch), (1030, false));
        }
        let end_before = end(&world);
        let mut stream = Stream::open(&client);
        stream.send(request.clone());
        let by_call = failure(client.produce_opt(&request, in_time()));
        for told in [by_call, stream.failure()] {
            assert_eq!(told.code, i32::from(RpcStatusCode::FAILED_PRECONDITION), "{told:?}");
            assert_eq!(told.info.reason, reason);
            for (name, value) in values {
                assert_eq!(told.value(name), value, "{reason}");
            }
            assert!(told.retry.is_none());
        }
        assert_eq!(end(&world), end_before);
    }
    assert_eq!(produce(&client, &next_epoch), (1030, true));
}

#[test]
fn a_producer_without_a_proper_id_is_refused() {
    let world = World::new();
    let client = client(&world, "root");
    for (id, epoch, field, reason) in [
        (vec![], 0, "producer.id", "ID_MALFORMED"),
        (vec![7; 15], 0, "producer.id", "ID_MALFORMED"),
        (vec![0; 16], 0, "producer.id", "ID_MALFORMED"),
    ] {
        let producer = ProducerSequence { id: id.into(), epoch, ..ProducerSequence::default() };
        let producer = MessageField::some(producer);
        let told = failure(client.produce_opt(&ProduceRequest { producer, ..batch(0) }, in_time()));
        assert_eq!(told.code, i32::from(RpcStatusCode::INVALID_ARGUMENT));
        assert_eq!((&*told.info.reason, told.value("field")), (reason, field));
    }
    assert_eq!(end(&world), 0);
}

#[test]
fn r3_producers_of_different_subjects_and_logs_do_not_know_each_other() {
    let world = World::with(|options| {
        options.rules = crate::world::rules("p, root, *, *\np, clerk, *, produce");
    });
    let orders = LogName::parse("orders").unwrap();
    world.logs.create(&orders, LogOverrides::default()).unwrap();
    let (root, clerk) = (client(&world, "root"), client(&world, "clerk"));
    assert_eq!(produce(&root, &batch(0)), (0, false));
    assert_eq!(produce(&clerk, &batch(0)), (1, false));
    let fenced_by_root = numbered(9, 0, "x");
    assert_eq!(produce(&root, &fenced_by_root), (2, false));
    assert_eq!(produce(&clerk, &batch(1)), (3, false), "nobody fences off another subject");
    let elsewhere = ProduceRequest { log: "orders".to_owned(), ..batch(0) };
    assert_eq!(produce(&root, &elsewhere), (0, false));
    for (client, request, base) in
        [(&root, &fenced_by_root, 2), (&clerk, &batch(0), 1), (&root, &elsewhere, 0)]
    {
        assert_eq!(produce(client, request), (base, true));
    }
}

#[test]
fn r3_a_duplicate_of_an_unsynced_original_waits_for_its_level() {
    let storage = Options { flushers: 0, min_free_bytes: 0, ..Options::default() };
    let world = World::of(Plan { storage, ..Plan::default() });
    let client = client(&world, "root");
    let mut buffered = batch(0);
    buffered.durability = EnumOrUnknown::new(Level::DURABILITY_BUFFERED);
    // Nobody writes, and the replies come all the same.
    assert_eq!(produce(&client, &buffered), (0, false));
    assert_eq!(produce(&client, &buffered), (0, true));
    let mut parked = client.produce_async_opt(&batch(0), in_time()).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert!(futures_util::FutureExt::now_or_never(&mut parked).is_none(), "not before its sync");
    let _worker = world.work_until_dropped();
    let reply = block_on(parked).unwrap();
    assert_eq!(told(&reply), (0, true));
    assert_eq!(reply.durability, EnumOrUnknown::new(Level::DURABILITY_SYNCED));
    assert_eq!(end(&world), 1);
}

#[test]
fn r13_a_producer_with_too_many_in_flight_is_refused_and_its_stream_waits() {
    let storage = Options { flushers: 0, min_free_bytes: 0, ..Options::default() };
    let world = World::of(Plan { storage, ..Plan::default() });
    let client = client(&world, "root");
    let buffered = |sequence| {
        let mut request = batch(sequence);
        request.durability = EnumOrUnknown::new(Level::DURABILITY_BUFFERED);
        request
    };
    let mut stream = Stream::open(&client);
    (0..1030).for_each(|sequence| stream.send(buffered(sequence)));
    (0..1024).for_each(|sequence| assert_eq!(stream.told(), (sequence, false)));
    let told = failure(client.produce_opt(&buffered(1024), in_time()));
    assert_eq!(told.code, i32::from(RpcStatusCode::RESOURCE_EXHAUSTED));
    assert_eq!((&*told.info.reason, told.value("limit")), ("PRODUCER_BUSY", "1024"));
    assert!(told.retry.is_some());
    let _worker = world.work_until_dropped();
    // Of the two that wait, this one may have its turn first.
    produce(&client, &batch(0));
    (1024..1030).for_each(|sequence| assert_eq!(stream.told(), (sequence, false)));
}

#[test]
fn a_new_producer_beyond_the_limit_is_refused_and_known_ones_go_on() {
    let storage = Options { producers_max: 1, min_free_bytes: 0, ..Options::default() };
    let world = World::of(Plan { storage, ..Plan::default() });
    let client = client(&world, "root");
    assert_eq!(produce(&client, &batch(0)), (0, false));
    let mut other = batch(0);
    other.producer.as_mut().unwrap().id = vec![9; 16].into();
    let told = failure(client.produce_opt(&other, in_time()));
    assert_eq!(told.code, i32::from(RpcStatusCode::RESOURCE_EXHAUSTED));
    let limit = ("producers_per_log_max", "1");
    assert_eq!((told.value("limit_name"), told.value("limit")), limit);
    assert_eq!(told.info.reason, "PRODUCERS_MAX");
    assert!(told.retry.is_none(), "waiting does not help");
    assert_eq!(produce(&client, &batch(1)), (1, false));
}

#[test]
fn r3_a_stream_that_was_cut_goes_on_where_it_was() {
    let world = World::new();
    let client = client(&world, "root");
    let mut cut = Stream::open(&client);
    (0..50).for_each(|sequence| cut.send(batch(sequence)));
    (0..20).for_each(|sequence| assert_eq!(cut.told(), (sequence, false)));
    drop(cut);
    // Nobody knows which of the others are there; all that was not answered is sent again.
    let mut resumed = Stream::open(&client);
    (20..60).for_each(|sequence| resumed.send(batch(sequence)));
    let replies: Vec<_> = (20..60).map(|_| resumed.told()).collect();
    assert_eq!(
        replies.iter().map(|(base, _)| *base).collect::<Vec<_>>(),
        (20..60).collect::<Vec<_>>()
    );
    let first_new = replies.iter().position(|(_, was_there)| !was_there).unwrap();
    assert!(replies[first_new..].iter().all(|(_, was_there)| !was_there));
    assert_eq!(end(&world), 60);
}
