//! How much may go on at once.

use futures_executor::block_on;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use grpcio::RpcStatusCode;
use varve::log::Options;
use varve::proto::log_grpc::LogClient;

use crate::world::{
    Failure, Plan, Records, World, failure, in_time, record, rules, within_a_second,
};

fn is_over(failure: &Failure, name: &str, limit: usize) {
    assert_eq!(failure.code, i32::from(RpcStatusCode::RESOURCE_EXHAUSTED));
    assert_eq!((&*failure.info.reason, failure.value("limit_name")), ("OVER_LIMIT", name));
    assert_eq!(failure.value("limit"), limit.to_string());
    assert_eq!(failure.value("actual"), (limit + 1).to_string());
    assert!(failure.retry.is_some());
}

/// An open stream that has sent its first record, so that it holds its slot.
fn open(client: &LogClient) -> Records {
    let mut records = Records::open(client, 0);
    records.next().unwrap();
    records
}

fn with_a_record(world: &World) {
    world.client("root").produce_opt(&record("x"), in_time()).unwrap();
}

#[test]
fn streams_are_limited_per_connection_per_subject_and_in_all() {
    let world = World::with(|options| {
        options.limits.streams_per_connection_max = 2;
        options.limits.streams_per_subject_max = 3;
        options.limits.streams_max = 4;
        options.rules = rules("p, root, *, *\np, other, *, *");
    });
    with_a_record(&world);
    let (first, second, third) =
        (world.client("root"), world.client("root"), world.client("other"));
    let mut streams = vec![open(&first), open(&first)];
    is_over(&failure(Records::open(&first, 0).next()), "streams_per_connection_max", 2);
    streams.push(open(&second));
    is_over(&failure(Records::open(&second, 0).next()), "streams_per_subject_max", 3);
    streams.push(open(&third));
    is_over(&failure(Records::open(&third, 0).next()), "streams_max", 4);
    // What ends makes room.
    streams.pop();
    within_a_second(|| Records::open(&third, 0).next().ok());
}

#[test]
fn a_hundred_streams_on_one_connection_are_served_and_one_more_is_refused() {
    let world = World::new();
    with_a_record(&world);
    let client = world.client("root");
    let streams: Vec<Records> = (0..100).map(|_| open(&client)).collect();
    is_over(&failure(Records::open(&client, 0).next()), "streams_per_connection_max", 100);
    drop(streams);
}

/// Unanswered calls, one more than may be: exactly one is refused, the others are answered.
fn one_too_many(world: &World, callers: &[&LogClient], name: &str, limit: usize) {
    let calls: FuturesUnordered<_> = (0..=limit)
        .map(|n| callers[n % callers.len()].produce_async_opt(&record("x"), in_time()).unwrap())
        .collect();
    let mut calls = calls;
    is_over(&failure(block_on(calls.next()).unwrap()), name, limit);
    world.logs.work();
    let answered = block_on(calls.map(|reply| reply.unwrap().offset).collect::<Vec<_>>());
    assert_eq!(answered.len(), limit);
}

/// Nothing becomes durable, and so nothing is answered, before somebody does the work.
fn idle(change: impl FnOnce(&mut varve::server::ServerOptions) + 'static) -> World {
    let storage = Options { flushers: 0, min_free_bytes: 0, ..Options::default() };
    World::of(Plan { storage, change: Box::new(change), ..Plan::default() })
}

#[test]
fn sixty_four_unanswered_calls_of_a_subject_are_taken_and_one_more_is_refused() {
    let world = idle(|_| {});
    let client = world.client("root");
    for _ in 0..3 {
        one_too_many(&world, &[&client], "calls_per_subject_max", 64);
    }
}

#[test]
fn unanswered_calls_are_limited_in_all() {
    let world = idle(|options| {
        options.limits.calls_max = 5;
        options.rules = rules("p, root, *, *\np, other, *, *");
    });
    let (root, other) = (world.client("root"), world.client("other"));
    one_too_many(&world, &[&root, &other], "calls_max", 5);
}

#[test]
fn sixty_four_callers_are_never_refused() {
    const CALLS: usize = 40;
    let world = World::new();
    let client = world.client("root");
    std::thread::scope(|scope| {
        for _ in 0..64 {
            scope.spawn(|| {
                for _ in 0..CALLS {
                    client.produce_opt(&record("x"), in_time()).unwrap();
                }
            });
        }
    });
    let end = world.logs.get("default").unwrap().bounds().end.get();
    assert_eq!(end, u64::try_from(64 * CALLS).unwrap());
}
