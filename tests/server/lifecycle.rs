//! Starts and stops.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{RpcStatusCode, WriteFlags};
use varve::log::Options;
use varve::server::{Server, ServerOptions, StartError, Stopped, Transport};
use varve::tls::Subject;

use crate::world::{
    Appended, Plan, Producer, ROOT, Records, World, anywhere, code, failure, in_time, record,
    rules, within_a_second,
};

const CLEAN: Stopped = Stopped { calls_cancelled: false, threads_left: 0 };

fn plaintext(port: u16) -> ServerOptions {
    let mut listen = anywhere();
    listen.set_port(port);
    let subject = Subject::new("anonymous").unwrap();
    ServerOptions::new(listen, Transport::Plaintext { subject }, rules(ROOT))
}

#[test]
fn port_zero_takes_a_free_port_that_is_told() {
    let (one, other) = (World::new(), World::new());
    assert_ne!(one.port(), 0);
    assert_ne!(one.port(), other.port());
    assert!(one.client("root").produce_opt(&record("x"), in_time()).is_ok());
}

#[test]
fn a_taken_port_is_refused_and_free_again_after_a_stop() {
    let mut world = World::new();
    let port = world.port();
    let error = Server::start(plaintext(port), Arc::clone(&world.logs)).unwrap_err();
    assert!(matches!(error, StartError::PortTaken { .. }), "{error}");
    assert_eq!(world.shutdown(), CLEAN);
    let again = Server::start(plaintext(port), Arc::clone(&world.logs)).unwrap();
    assert_eq!(again.port(), port);
    assert_eq!(again.shutdown(), CLEAN);
}

#[test]
fn an_address_that_is_not_ours_is_refused_with_its_reason() {
    let world = World::new();
    let mut options = plaintext(0);
    options.transport = Transport::MutualTls(world.credentials_of(&world.authority));
    options.listen = ([192, 0, 2, 1], 0).into();
    let error = Server::start(options, Arc::clone(&world.logs)).unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
}

#[test]
fn r17_a_stop_tells_parked_streams_and_is_quick() {
    let mut world = World::new();
    let client = world.client("root");
    client.produce_opt(&record("x"), in_time()).unwrap();
    let mut consumers: Vec<Records> = (0..20)
        .map(|_| {
            let mut records = Records::open(&client, 0);
            records.next().unwrap();
            records
        })
        .collect();
    let mut producer = Producer::open(&client);
    producer.send(record("y")).unwrap();
    assert_eq!(producer.offset(), 1);
    let began = Instant::now();
    assert_eq!(world.shutdown(), CLEAN);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    for records in &mut consumers {
        // The second record may have come before the end.
        let failure = failure(records.next().and_then(|_| records.next()));
        assert_eq!(failure.code, i32::from(RpcStatusCode::UNAVAILABLE));
        assert_eq!(failure.info.reason, "STOPPING");
    }
    assert_eq!(producer.failure().info.reason, "STOPPING");
    assert!(world.logs.close().is_ok());
    assert_eq!(code(client.produce_opt(&record("z"), in_time())), RpcStatusCode::UNAVAILABLE);
}

#[test]
fn a_stop_does_not_wait_for_a_client_that_only_holds_a_connection() {
    let world = World::new();
    let server = Server::start(plaintext(0), Arc::clone(&world.logs)).unwrap();
    let mut silent = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    // HTTP/2's greeting and empty settings; whatever the server then asks is not answered.
    silent.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    silent.read_exact(&mut [0; 9]).unwrap();
    let began = Instant::now();
    assert_eq!(server.shutdown(), CLEAN);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[test]
fn r17_a_stop_answers_what_was_taken_before_it_ends_a_produce_stream() {
    const RECORDS: u64 = 2000;
    let mut world = World::new();
    let (mut sink, replies, _client) = Producer::open(&world.client("root")).split();
    let sender = std::thread::spawn(move || {
        for _ in 0..RECORDS {
            if block_on(sink.send((record("x"), WriteFlags::default()))).is_err() {
                break;
            }
        }
        sink
    });
    let mut replies = replies;
    for _ in 0..10 {
        block_on(replies.next()).unwrap().unwrap();
    }
    assert_eq!(world.shutdown(), CLEAN);
    let rest = block_on(replies.collect::<Vec<_>>());
    let answered = 10 + rest.iter().filter(|reply| reply.is_ok()).count();
    // Every record that is in the log was answered, though the client's library may give up the
    // last reply for the failure that follows it.
    let end = world.logs.get("default").unwrap().bounds().end.get();
    let unanswered = end - u64::try_from(answered).unwrap();
    assert!(unanswered <= 1, "{unanswered} of {end} were not answered");
    drop(sender.join().unwrap());
}

#[test]
fn r17_a_stop_waits_neither_for_a_client_that_does_not_read_nor_for_a_disk() {
    // Nothing becomes durable before somebody does the work.
    let storage = Options { flushers: 0, min_free_bytes: 0, ..Options::default() };
    let mut world = World::of(Plan { storage, ..Plan::default() });
    let client = world.client("root");
    let filled: Vec<_> = (0..32)
        .map(|_| client.produce_async_opt(&record(vec![b'x'; 1 << 20]), in_time()).unwrap())
        .collect();
    while world.logs.get("default").unwrap().bounds().end.get() < 32 {
        world.logs.work();
    }
    for call in filled {
        block_on(call).unwrap();
    }
    // It holds up its stream in the middle of what there is.
    let mut unread = Records::open(&client, 0);
    unread.next().unwrap();
    let parked = client.produce_async_opt(&record("x"), in_time()).unwrap();
    let mut producer = Producer::open(&client);
    producer.send(record("x")).unwrap();
    // Both records have their place once one that is appended here comes after them.
    let mut appended = Appended::new(&world);
    within_a_second(|| (appended.by_others() == 34).then_some(()));
    let began = Instant::now();
    let stopped = world.shutdown();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(stopped, Stopped { calls_cancelled: true, threads_left: 0 });
    assert!(block_on(parked).is_err());
    drop(unread);
}
