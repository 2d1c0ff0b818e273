//! How fast a subject may append.

use std::time::{Duration, Instant};

use grpcio::RpcStatusCode;
use varve::server::Stopped;

use crate::world::{Failure, Producer, World, failure, in_time, record, rules, within_a_second};

/// Larger than any bucket here, so it passes at once and leaves a debt of many minutes.
const LARGE: [u8; 10_000] = [b'x'; 10_000];

/// A server on which one byte is appended per second.
fn slow() -> World {
    World::with(|options| {
        options.limits.append_bytes_per_subject_per_s = 1;
        options.rules = rules("p, root, *, *\np, other, *, *");
    })
}

fn delay(failure: &Failure) -> Duration {
    let delay = failure.retry.as_ref().unwrap().retry_delay.as_ref().unwrap();
    Duration::new(delay.seconds.try_into().unwrap(), delay.nanos.try_into().unwrap())
}

fn end(world: &World) -> u64 {
    world.logs.get("default").unwrap().bounds().end.get()
}

#[test]
fn a_call_over_the_rate_is_refused_with_the_time_to_come_again() {
    let world = slow();
    let client = world.client("root");
    assert!(client.produce_opt(&record(LARGE), in_time()).is_ok());
    let refused = failure(client.produce_opt(&record("x"), in_time()));
    assert_eq!(refused.code, i32::from(RpcStatusCode::RESOURCE_EXHAUSTED));
    assert_eq!(refused.info.reason, "RATE_LIMITED");
    assert_eq!(refused.value("limit_name"), "append_bytes_per_subject_per_s");
    assert_eq!(refused.value("limit"), "1");
    let actual: u64 = refused.value("actual").parse().unwrap();
    let delay = delay(&refused);
    for tokens in [delay.as_secs(), actual] {
        assert!((9_000..11_000).contains(&tokens), "{refused:?}");
    }
    // The rate is the subject's, over all its connections, and nobody else's.
    assert!(world.client("root").produce_opt(&record("x"), in_time()).is_err());
    assert!(world.client("other").produce_opt(&record("x"), in_time()).is_ok());
    assert_eq!(end(&world), 2);
}

#[test]
fn who_comes_again_when_told_is_let_through() {
    let world = World::with(|options| options.limits.appends_per_subject_per_s = 10);
    let client = world.client("root");
    let (began, mut appended, mut refused) = (Instant::now(), 0_u32, 0);
    while refused < 3 {
        match client.produce_opt(&record("x"), in_time()) {
            Ok(_) => appended += 1,
            refusal => {
                let failure = failure(refusal);
                assert_eq!(failure.value("limit_name"), "appends_per_subject_per_s");
                assert!(delay(&failure) <= Duration::from_millis(100), "{failure:?}");
                std::thread::sleep(delay(&failure));
                assert!(client.produce_opt(&record("x"), in_time()).is_ok());
                (appended, refused) = (appended + 1, refused + 1);
            }
        }
    }
    assert!(appended >= 13, "{appended}");
    assert!(f64::from(appended) <= 10.0 + 10.0 * began.elapsed().as_secs_f64(), "{appended}");
}

#[test]
fn a_stream_over_the_rate_waits_and_loses_nothing() {
    const RECORDS: u32 = 30;
    let world = World::with(|options| options.limits.appends_per_subject_per_s = 20);
    let mut producer = Producer::open(&world.client("root"));
    let began = Instant::now();
    for _ in 0..RECORDS {
        producer.send(record("x")).unwrap();
    }
    for offset in 0..u64::from(RECORDS) {
        assert_eq!(producer.offset(), offset);
    }
    // Twenty at once, and the others one by one.
    assert!(began.elapsed() >= Duration::from_millis(500), "{:?}", began.elapsed());
}

/// A stream that has to wait for hours.
fn waiting(world: &World) -> Producer {
    let client = world.client("root");
    let mut producer = Producer::open(&client);
    producer.send(record(LARGE)).unwrap();
    assert_eq!(producer.offset(), 0);
    producer.send(record(LARGE)).unwrap();
    // Its turn is taken, which a call of the same subject is told.
    within_a_second(|| {
        let refused = failure(client.produce_opt(&record("x"), in_time()));
        let actual: usize = refused.value("actual").parse().unwrap();
        (actual > LARGE.len() * 3 / 2).then_some(())
    });
    producer
}

#[test]
fn a_stream_that_waits_for_its_rate_is_cut_by_a_new_policy_within_a_second() {
    let world = slow();
    let mut producer = waiting(&world);
    world.server().replace_rules(rules("p, other, *, *"));
    let began = Instant::now();
    assert_eq!(producer.failure().info.reason, "NOT_PERMITTED");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(end(&world), 1);
}

#[test]
fn a_stream_that_waits_for_its_rate_does_not_delay_a_stop() {
    let mut world = slow();
    let mut producer = waiting(&world);
    assert_eq!(world.shutdown(), Stopped { calls_cancelled: false, threads_left: 0 });
    assert_eq!(producer.failure().info.reason, "STOPPING");
    assert_eq!(end(&world), 1);
}
