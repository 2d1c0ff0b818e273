//! The unary calls of `log.v1`.

use std::collections::BTreeSet;

use grpcio::RpcStatusCode;
use varve::proto::log::ProduceRequest;

use crate::world::{World, at, code, failure, in_time, read, record};

#[test]
fn a_record_is_read_back_at_the_offset_that_was_answered() {
    let world = World::new();
    let client = world.client("root");
    let values = [&b"first"[..], b"", b"\x00\xff not text", &[b'x'; 100_000]];
    for (offset, value) in (0..).zip(values) {
        assert_eq!(client.produce_opt(&record(value), in_time()).unwrap().offset, offset);
    }
    for (offset, value) in (0..).zip(values) {
        let reply = client.consume_opt(&at(offset), in_time()).unwrap();
        assert_eq!(read(reply), (offset, value.to_vec()));
    }
}

#[test]
fn an_offset_in_a_request_is_not_taken() {
    let world = World::new();
    let client = world.client("root");
    let mut request = record("x");
    request.record.as_mut().unwrap().offset = 77;
    assert_eq!(client.produce_opt(&request, in_time()).unwrap().offset, 0);
    assert_eq!(read(client.consume_opt(&at(0), in_time()).unwrap()), (0, b"x".to_vec()));
}

#[test]
fn concurrent_callers_get_offsets_without_a_gap() {
    const CALLERS: u64 = 8;
    const RECORDS: u64 = 50;
    let world = World::new();
    let client = world.client("root");
    let offsets: BTreeSet<u64> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let client = client.clone();
                scope.spawn(move || {
                    let produce = |n| {
                        let value = format!("{caller} {n}");
                        let offset = client.produce_opt(&record(&value), in_time()).unwrap().offset;
                        let reply = client.consume_opt(&at(offset), in_time()).unwrap();
                        assert_eq!(read(reply), (offset, value.into_bytes()));
                        offset
                    };
                    (0..RECORDS).map(produce).collect::<Vec<_>>()
                })
            })
            .collect();
        callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
    });
    assert_eq!(offsets, (0..CALLERS * RECORDS).collect());
}

#[test]
fn a_read_beyond_the_end_is_out_of_range_and_names_the_bounds() {
    let world = World::new();
    let client = world.client("root");
    client.produce_opt(&record("x"), in_time()).unwrap();
    for offset in [1, 2, u64::MAX] {
        let failure = failure(client.consume_opt(&at(offset), in_time()));
        assert_eq!(failure.code, i32::from(RpcStatusCode::OUT_OF_RANGE));
        assert_eq!(failure.info.reason, "OFFSET_OUT_OF_RANGE");
        assert_eq!(failure.info.domain, "varve");
        assert_eq!(failure.value("offset"), offset.to_string());
        assert_eq!((failure.value("start"), failure.value("end")), ("0", "1"));
        let localized = failure.localized.unwrap();
        assert_eq!(localized.locale, "en-US");
        assert!(localized.message.contains(&offset.to_string()), "{localized}");
    }
}

#[test]
fn with_the_switch_a_read_beyond_the_end_is_the_numeric_status_404() {
    let world = World::with(|options| options.legacy_404 = true);
    let client = world.client("root");
    let failure = failure(client.consume_opt(&at(0), in_time()));
    assert_eq!(failure.code, 404);
    assert_eq!((failure.value("start"), failure.value("end")), ("0", "0"));
    assert!(failure.localized.is_some());
}

#[test]
fn a_read_below_the_start_names_start_and_end() {
    let world = World::with(|_| {});
    let client = world.client("root");
    let log = world.logs.get("default").unwrap();
    let value = vec![b'x'; 100_000];
    // Enough for several of the smallest segments that one can have.
    while log.trim(varve::log::Offset::new(log.bounds().end.get())).unwrap().start.get() == 0 {
        client.produce_opt(&record(&value), in_time()).unwrap();
    }
    let bounds = log.bounds();
    let failure = failure(client.consume_opt(&at(0), in_time()));
    assert_eq!(failure.info.reason, "OFFSET_OUT_OF_RANGE");
    assert_eq!(failure.value("start"), bounds.start.to_string());
    assert_eq!(failure.value("end"), bounds.end.to_string());
    let reply = client.consume_opt(&at(bounds.start.get()), in_time());
    assert!(reply.is_ok() || bounds.start == bounds.end);
}

#[test]
fn a_request_without_a_record_is_refused() {
    let world = World::new();
    let client = world.client("root");
    let failure = failure(client.produce_opt(&ProduceRequest::default(), in_time()));
    assert_eq!(failure.code, i32::from(RpcStatusCode::INVALID_ARGUMENT));
    assert_eq!((&*failure.info.reason, failure.value("field")), ("RECORD_MISSING", "record"));
    assert!(failure.retry.is_none());
}

#[test]
fn a_record_over_the_limit_is_refused_with_both_sizes() {
    let world = World::with(|options| options.limits.record_bytes_max = 1000);
    let client = world.client("root");
    assert!(client.produce_opt(&record([0; 1000]), in_time()).is_ok());
    let failure = failure(client.produce_opt(&record([0; 1001]), in_time()));
    assert_eq!(failure.code, i32::from(RpcStatusCode::INVALID_ARGUMENT));
    assert_eq!(failure.info.reason, "RECORD_TOO_LARGE");
    assert_eq!((failure.value("limit"), failure.value("actual")), ("1000", "1001"));
}

#[test]
fn a_message_over_the_limit_is_refused_and_the_connection_goes_on() {
    let world = World::new();
    let client = world.client("root");
    let outcome = client.produce_opt(&record(vec![0; 5 << 20]), in_time());
    assert_eq!(code(outcome), RpcStatusCode::RESOURCE_EXHAUSTED);
    assert_eq!(client.produce_opt(&record("x"), in_time()).unwrap().offset, 0);
}
