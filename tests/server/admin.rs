//! `varve.v1.Admin`: each call, each way in which it refuses, and logs that come and go while
//! others produce and consume.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{RpcStatusCode, WriteFlags};
use protobuf::MessageField;
use varve::log::{Disk as _, Durability, LogSettings as StoredAs, Op, Options, SimDisk};
use varve::ops::{Ops, SeriesMax};
use varve::proto::admin_service::{
    CreateLogRequest, DeleteLogRequest, DescribeLogRequest, DescribeLogResponse,
    GetServerInfoRequest, ListLogsRequest, LogSettings, LogSummary, TrimRequest, UpdateLogRequest,
};
use varve::proto::admin_service_grpc::AdminClient;
use varve::proto::log_service::{ConsumeRequest, ProduceRequest};
use varve::proto::log_service_grpc::LogClient;
use varve::proto::record::Record;

use crate::world::{Failure, PATIENCE, Plan, World, failure, in_time, rules, within_a_second};

fn admin(world: &World, name: &str) -> AdminClient {
    AdminClient::new(world.channel(name))
}

fn logs(world: &World, name: &str) -> LogClient {
    LogClient::new(world.channel(name))
}

fn create(log: &str, settings: LogSettings) -> CreateLogRequest {
    let settings = MessageField::some(settings);
    CreateLogRequest { log: log.to_owned(), settings, ..CreateLogRequest::default() }
}

fn made(client: &AdminClient, log: &str) -> LogSummary {
    let request = create(log, LogSettings::default());
    client.create_log_opt(&request, in_time()).unwrap().log.unwrap()
}

fn delete(log: &str, end: Option<u64>) -> DeleteLogRequest {
    let log = log.to_owned();
    DeleteLogRequest { log, expected_end_offset: end, ..DeleteLogRequest::default() }
}

fn update(log: &str, settings: LogSettings, reset: &[&str]) -> UpdateLogRequest {
    UpdateLogRequest {
        log: log.to_owned(),
        settings: MessageField::some(settings),
        reset: reset.iter().map(|name| (*name).to_owned()).collect(),
        ..UpdateLogRequest::default()
    }
}

fn trim(log: &str, before_offset: u64, dry_run: bool) -> TrimRequest {
    TrimRequest { log: log.to_owned(), before_offset, dry_run, ..TrimRequest::default() }
}

fn describe(client: &AdminClient, log: &str) -> DescribeLogResponse {
    let request = DescribeLogRequest { log: log.to_owned(), ..DescribeLogRequest::default() };
    client.describe_log_opt(&request, in_time()).unwrap()
}

fn batch(log: &str, bytes: usize, records: usize) -> ProduceRequest {
    let record = Record { value: vec![b'x'; bytes].into(), ..Record::default() };
    let records = vec![record; records];
    ProduceRequest { log: log.to_owned(), records, ..ProduceRequest::default() }
}

fn produce(client: &LogClient, log: &str, bytes: usize) -> u64 {
    client.produce_opt(&batch(log, bytes, 1), in_time()).unwrap().next_offset
}

fn names(client: &AdminClient, prefix: &str, page_size: u32) -> Vec<Vec<String>> {
    let prefix = prefix.to_owned();
    let mut request = ListLogsRequest { prefix, page_size, ..ListLogsRequest::default() };
    let mut pages = Vec::new();
    loop {
        let reply = client.list_logs_opt(&request, in_time()).unwrap();
        pages.push(reply.logs.into_iter().map(|log| log.log).collect());
        if reply.next_page_token.is_empty() {
            return pages;
        }
        request.page_token = reply.next_page_token;
    }
}

fn refused<T>(outcome: grpcio::Result<T>, code: RpcStatusCode, reason: &str) -> Failure {
    let told = failure(outcome);
    assert_eq!((told.code, &*told.info.reason), (i32::from(code), reason), "{told:?}");
    told
}

const BAD: RpcStatusCode = RpcStatusCode::INVALID_ARGUMENT;
const UNMET: RpcStatusCode = RpcStatusCode::FAILED_PRECONDITION;

#[test]
fn a_log_is_made_filled_described_trimmed_and_deleted() {
    let world = World::new();
    let (client, producer) = (admin(&world, "root"), logs(&world, "root"));
    let settings = LogSettings { segment_bytes_max: Some(4096), ..LogSettings::default() };
    let made = client.create_log_opt(&create("orders", settings.clone()), in_time()).unwrap();
    let made = made.log.unwrap();
    assert_eq!((&*made.log, made.log_id.len(), made.start_offset), ("orders", 16, 0));
    for _ in 0..20 {
        produce(&producer, "orders", 1000);
    }
    let told = describe(&client, "orders");
    let log = told.log.clone().unwrap();
    assert_eq!((log.log_id.clone(), log.start_offset, log.end_offset), (made.log_id, 0, 20));
    assert!(log.stored_bytes > 20_000 && !log.damaged && told.segments >= 5, "{told:?}");
    assert!(told.oldest_time_us > 0 && told.oldest_time_us <= told.newest_time_us);
    assert!(told.records_per_s > 0.0 && told.bytes_per_s > told.records_per_s, "{told:?}");
    assert_eq!(told.own_settings.unwrap(), settings);
    let in_force = told.settings.unwrap();
    assert_eq!(in_force.segment_bytes_max, Some(4096));
    assert_eq!(in_force.record_bytes_max, Some(1 << 20), "the server's limit");
    assert_eq!((in_force.retention_bytes, in_force.archive), (Some(0), Some(false)));

    let preview = client.trim_opt(&trim("orders", 10, true), in_time()).unwrap();
    assert_eq!(describe(&client, "orders").log.unwrap().start_offset, 0);
    let trimmed = client.trim_opt(&trim("orders", 10, false), in_time()).unwrap();
    assert_eq!(trimmed, preview);
    assert!(trimmed.segments >= 2 && trimmed.start_offset > 5 && trimmed.start_offset <= 10);
    let after = describe(&client, "orders").log.unwrap();
    assert_eq!(after.start_offset, trimmed.start_offset);
    assert_eq!(after.stored_bytes, log.stored_bytes - trimmed.bytes);

    client.delete_log_opt(&delete("orders", Some(20)), in_time()).unwrap();
    let gone = client.describe_log_opt(
        &DescribeLogRequest { log: "orders".into(), ..DescribeLogRequest::default() },
        in_time(),
    );
    refused(gone, RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND");
    let again = self::made(&client, "orders");
    assert_ne!(again.log_id, log.log_id);
    assert_eq!(again.end_offset, 0);
}

#[test]
fn a_log_that_cannot_be_made_is_not() {
    let storage = Options { logs_max: 2, min_free_bytes: 0, ..Options::default() };
    let world = World::of(Plan { storage, ..Plan::default() });
    let client = admin(&world, "root");
    let attempt = |log: &str, settings| client.create_log_opt(&create(log, settings), in_time());
    for name in ["_x", "Orders", "a..b", "a/b", "-a", &"a".repeat(129)] {
        let told = refused(attempt(name, LogSettings::default()), BAD, "LOG_NAME_INVALID");
        assert_eq!(told.value("field"), "log", "{name}");
    }
    refused(attempt("", LogSettings::default()), BAD, "LOG_NOT_NAMED");
    for (settings, field, limit, actual) in [
        (
            LogSettings { segment_bytes_max: Some(1), ..LogSettings::default() },
            "settings.segment_bytes_max",
            "4096",
            "1",
        ),
        (
            LogSettings { segment_age_max_ms: Some(999), ..LogSettings::default() },
            "settings.segment_age_max_ms",
            "1000",
            "999",
        ),
        (
            LogSettings { batch_bytes_max: Some(1 << 30), ..LogSettings::default() },
            "settings.batch_bytes_max",
            "67108864",
            "1073741824",
        ),
        (
            LogSettings { record_bytes_max: Some((1 << 20) + 1), ..LogSettings::default() },
            "settings.record_bytes_max",
            "1048576",
            "1048577",
        ),
    ] {
        let told = refused(attempt("orders", settings), BAD, "SETTING_INVALID");
        let values = (told.value("field"), told.value("limit"), told.value("actual"));
        assert_eq!(values, (field, limit, actual));
    }
    let archive = LogSettings { archive: Some(true), ..LogSettings::default() };
    let told = refused(attempt("orders", archive), BAD, "SETTING_INVALID");
    assert_eq!(told.value("field"), "settings.archive");
    assert_eq!(names(&client, "", 0), [["default"]]);
    made(&client, "orders");
    let exists = attempt("orders", LogSettings::default());
    let told = refused(exists, RpcStatusCode::ALREADY_EXISTS, "LOG_EXISTS");
    assert_eq!(told.value("log"), "orders");
    let told = refused(
        attempt("more", LogSettings::default()),
        RpcStatusCode::RESOURCE_EXHAUSTED,
        "OVER_LIMIT",
    );
    let values = (told.value("limit_name"), told.value("limit"), told.value("actual"));
    assert_eq!(values, ("logs_max", "2", "3"));
}

#[test]
fn settings_change_one_by_one_are_in_force_and_can_be_reset() {
    let world = World::new();
    let (client, producer) = (admin(&world, "root"), logs(&world, "root"));
    made(&client, "orders");
    let first = LogSettings {
        record_bytes_max: Some(100),
        retention_age_ms: Some(3_600_000),
        ..LogSettings::default()
    };
    let told = client.update_log_opt(&update("orders", first.clone(), &[]), in_time()).unwrap();
    assert_eq!(told.settings.unwrap(), first);
    let second = LogSettings { retention_bytes: Some(0), ..LogSettings::default() };
    let told = client.update_log_opt(&update("orders", second, &[]), in_time()).unwrap();
    let both = LogSettings { retention_bytes: Some(0), ..first };
    assert_eq!(told.settings.unwrap(), both);
    // The record's encoding is what counts.
    produce(&producer, "orders", 98);
    let large = producer.produce_opt(&batch("orders", 99, 1), in_time());
    let told = refused(large, BAD, "RECORD_TOO_LARGE");
    let values = (told.value("field"), told.value("limit"), told.value("actual"));
    assert_eq!(values, ("records", "100", "101"));
    produce(&producer, "default", 101);
    let reset = update("orders", LogSettings::default(), &["record_bytes_max", "archive"]);
    let told = client.update_log_opt(&reset, in_time()).unwrap().settings.unwrap();
    assert_eq!(told, LogSettings { record_bytes_max: None, ..both });
    produce(&producer, "orders", 1000);

    let attempt = |request: UpdateLogRequest| client.update_log_opt(&request, in_time());
    let nonsense = attempt(update("orders", LogSettings::default(), &["archive", "colour"]));
    assert_eq!(refused(nonsense, BAD, "SETTING_INVALID").value("field"), "reset[1]");
    let both = LogSettings { retention_bytes: Some(1), ..LogSettings::default() };
    let twice = attempt(update("orders", both, &["retention_bytes"]));
    let told = refused(twice, BAD, "SETTING_INVALID");
    assert_eq!(told.value("field"), "settings.retention_bytes");
    refused(attempt(update("", LogSettings::default(), &[])), BAD, "LOG_NOT_NAMED");
    let absent = attempt(update("absent", LogSettings::default(), &[]));
    refused(absent, RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND");
}

#[test]
fn a_deletion_says_what_stands_against_it() {
    let world = World::new();
    let (client, producer) = (admin(&world, "root"), logs(&world, "root"));
    let id = made(&client, "orders").log_id;
    produce(&producer, "orders", 1);
    let attempt = |request: DeleteLogRequest| client.delete_log_opt(&request, in_time());
    let told = refused(attempt(delete("orders", None)), BAD, "FIELD_MISSING");
    assert_eq!(told.value("field"), "expected_end_offset");
    let told = refused(attempt(delete("orders", Some(0))), UNMET, "NOT_AT_END");
    assert_eq!((told.value("expected"), told.value("end")), ("0", "1"));
    let mut other = delete("orders", Some(1));
    other.log_id = vec![7; 16].into();
    let told = refused(attempt(other.clone()), UNMET, "LOG_REPLACED");
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(told.value("log_id"), hex);
    other.log_id = vec![7; 3].into();
    assert_eq!(refused(attempt(other.clone()), BAD, "ID_MALFORMED").value("field"), "log_id");
    refused(attempt(delete("", Some(0))), BAD, "LOG_NOT_NAMED");
    let told = refused(attempt(delete("default", Some(0))), UNMET, "LOG_PROTECTED");
    assert_eq!(told.value("log"), "default");
    refused(attempt(delete("absent", Some(0))), RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND");
    other.log_id = id;
    attempt(other).unwrap();
    assert_eq!(names(&client, "", 0), [["default"]]);
}

/// Calls that waited for a thread ran by the list of when they had come, however long ago that was
/// and whatever had become of their caller since.
#[test]
fn a_call_that_waited_for_a_thread_needs_its_right_when_it_is_done() {
    let world = World::with(|options| {
        options.creates_logs = true;
        options.rules = rules("p, clerk, *, *");
    });
    // All over one connection, so that calls arrive in this order.
    let channel = world.channel("clerk");
    let (client, producer) = (AdminClient::new(channel.clone()), LogClient::new(channel));
    made(&client, "held");
    let held = world.logs.get("held").unwrap();
    std::thread::scope(|scope| {
        let (began, has_begun) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || {
            let change = held.update(|_| {
                began.send(()).unwrap();
                let _released = released.recv();
            });
            change.unwrap();
        });
        has_begun.recv().unwrap();
        let about = DescribeLogRequest { log: "held".into(), ..DescribeLogRequest::default() };
        let describe = || client.describe_log_async_opt(&about, in_time()).unwrap();
        // Each of the two threads waits for the change.
        let describing = [describe(), describe()];
        let request = create("created", LogSettings::default());
        let creating = client.create_log_async_opt(&request, in_time()).unwrap();
        let producing = producer.produce_async_opt(&batch("produced", 1, 1), in_time()).unwrap();
        assert_eq!(produce(&producer, "default", 1), 1);
        let ops =
            Ops::new(Arc::clone(&world.logs), world.server().observer(), SeriesMax::default());
        let waiting = "varve_call_queue_calls{threads=\"admin\"} 2";
        within_a_second(|| ops.metrics().contains(waiting).then_some(()));
        world.server().replace_rules(rules("p, clerk, *, consume"));
        drop(release);
        for described in describing {
            assert!(block_on(described).is_ok(), "it was let in in time");
        }
        for (told, action, log) in [
            (failure(block_on(creating)), "admin", "created"),
            (failure(block_on(producing)), "produce", "produced"),
        ] {
            assert_eq!(told.message, format!("clerk not permitted to {action} to {log}"));
            assert!(world.logs.get(log).is_none(), "{log}");
        }
    });
}

#[test]
fn what_one_may_not_administer_is_denied_whether_or_not_it_is_there() {
    let world = World::with(|options| {
        options.rules = rules(
            "p, root, *, *\np, clerk, orders.*, admin\np, clerk, invoices, consume\n\
             p, clerk, orders.secret, *, deny",
        );
    });
    let root = admin(&world, "root");
    for log in ["orders.eu", "orders.secret", "invoices", "payroll"] {
        made(&root, log);
    }
    let clerk = admin(&world, "clerk");
    assert_eq!(names(&clerk, "", 0), [["invoices", "orders.eu"]]);
    assert_eq!(describe(&clerk, "orders.eu").segments, 0);
    made(&clerk, "orders.us");
    for log in ["invoices", "payroll", "absent", "orders.secret", "default"] {
        let name = || log.to_owned();
        let about = DescribeLogRequest { log: name(), ..DescribeLogRequest::default() };
        let outcomes = [
            failure(clerk.describe_log_opt(&about, in_time())),
            failure(clerk.create_log_opt(&create(log, LogSettings::default()), in_time())),
            failure(clerk.update_log_opt(&update(log, LogSettings::default(), &[]), in_time())),
            failure(clerk.delete_log_opt(&delete(log, Some(0)), in_time())),
            failure(clerk.trim_opt(&trim(log, 0, true), in_time())),
        ];
        for told in outcomes {
            assert_eq!(told.code, i32::from(RpcStatusCode::PERMISSION_DENIED));
            assert_eq!(told.message, format!("clerk not permitted to admin to {log}"));
        }
    }
    let long = DescribeLogRequest { log: "a".repeat(1 << 20), ..DescribeLogRequest::default() };
    let told = failure(clerk.describe_log_opt(&long, in_time()));
    assert_eq!(told.message, format!("clerk not permitted to admin to {}...", "a".repeat(128)));
    let info = clerk.get_server_info_opt(&GetServerInfoRequest::default(), in_time());
    let told = refused(info, RpcStatusCode::PERMISSION_DENIED, "NOT_PERMITTED");
    assert_eq!(told.value("object"), "*");
    let nobody = admin(&world, "nobody");
    assert_eq!(names(&nobody, "", 0), [Vec::<String>::new()]);
}

#[test]
fn logs_are_listed_in_pages_and_by_prefix() {
    let world = World::new();
    let client = admin(&world, "root");
    for log in ["a", "b.1", "b.2", "b.3", "c"] {
        made(&client, log);
    }
    assert_eq!(names(&client, "", 2), [vec!["a", "b.1"], vec!["b.2", "b.3"], vec!["c", "default"]]);
    assert_eq!(names(&client, "b.", 2), [vec!["b.1", "b.2"], vec!["b.3"]]);
    assert_eq!(names(&client, "b.", 3), [["b.1", "b.2", "b.3"]]);
    assert_eq!(names(&client, "z", 3), [Vec::<String>::new()]);
}

#[test]
fn a_trim_beyond_the_end_is_refused_and_the_end_itself_drops_all() {
    let world = World::new();
    let (client, producer) = (admin(&world, "root"), logs(&world, "root"));
    for _ in 0..5 {
        produce(&producer, "default", 10);
    }
    for dry_run in [true, false] {
        let beyond = client.trim_opt(&trim("default", 6, dry_run), in_time());
        let told = refused(beyond, RpcStatusCode::OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE");
        assert_eq!((told.value("offset"), told.value("end")), ("6", "5"));
    }
    let none = client.trim_opt(&trim("default", 3, false), in_time()).unwrap();
    assert_eq!((none.start_offset, none.segments, none.bytes), (0, 0, 0));
    let all = client.trim_opt(&trim("default", 5, false), in_time()).unwrap();
    assert_eq!((all.start_offset, all.segments), (5, 1));
    assert_eq!(produce(&producer, "default", 10), 6);
}

#[test]
fn the_server_tells_of_itself() {
    let world = World::new();
    let (client, producer) = (admin(&world, "root"), logs(&world, "root"));
    produce(&producer, "default", 10);
    let told = client.get_server_info_opt(&GetServerInfoRequest::default(), in_time()).unwrap();
    assert_eq!((&*told.version, told.format_version), (env!("CARGO_PKG_VERSION"), 1));
    assert!(told.openssl_version.starts_with("OpenSSL 3."), "{}", told.openssl_version);
    assert_eq!((&*told.grpc_version, &*told.transport_security), ("1.56.2", "TLS"));
    assert_eq!((&*told.subject, told.logs), ("root", 1));
    assert!(told.start_time_us > 1_700_000_000_000_000 && told.free_bytes > 0);
    assert_eq!(told.limits["limits.record_bytes_max"], 1 << 20);
    assert_eq!(told.limits["storage.logs_max"], 10_000);
    let latency = told.sync_latency.unwrap();
    assert!(latency.p50_us > 0 && latency.p50_us <= latency.max_us, "{latency:?}");
}

#[test]
fn a_tailing_consumer_and_a_producer_are_told_of_the_deletion() {
    let world = World::new();
    let (client, producer) = (admin(&world, "root"), logs(&world, "root"));
    made(&client, "orders");
    produce(&producer, "orders", 10);
    let request = ConsumeRequest { log: "orders".into(), ..ConsumeRequest::default() };
    let mut tail = producer.consume_stream_opt(&request, in_time()).unwrap();
    let first = block_on(tail.next()).unwrap().unwrap();
    assert_eq!(first.batches.len(), 1);
    let (mut requests, mut replies) = producer.produce_stream_opt(in_time()).unwrap();
    block_on(requests.send((batch("orders", 10, 1), WriteFlags::default()))).unwrap();
    assert_eq!(block_on(replies.next()).unwrap().unwrap().next_offset, 2);
    let began = std::time::Instant::now();
    client.delete_log_opt(&delete("orders", Some(2)), in_time()).unwrap();
    let ended = loop {
        match block_on(tail.next()).expect("the stream does not end well") {
            Ok(_) => {}
            ended => break ended,
        }
    };
    refused(ended, RpcStatusCode::NOT_FOUND, "LOG_DELETED");
    let _sent = block_on(requests.send((batch("orders", 10, 1), WriteFlags::default())));
    let ended = block_on(replies.next()).unwrap();
    refused(ended, RpcStatusCode::NOT_FOUND, "LOG_DELETED");
    assert!(began.elapsed() < PATIENCE / 10, "{:?}", began.elapsed());
    let told = producer.produce_opt(&batch("orders", 10, 1), in_time());
    refused(told, RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND");
}

#[test]
fn a_thousand_logs_come_and_go_while_others_produce() {
    let world = World::with(|options| options.limits.calls_per_subject_max = 1024);
    let (client, producer) = (admin(&world, "root"), logs(&world, "root"));
    made(&client, "steady");
    let (done, produced) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                produce(&producer, "steady", 100);
                produced.fetch_add(1, Ordering::Relaxed);
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let listed = names(&client, "", 7).concat();
                assert!(listed.is_sorted() && listed.last().unwrap() == "steady", "{listed:?}");
            }
        });
        let all: Vec<String> = (0..1000).map(|n| format!("log-{n:04}")).collect();
        let created: Vec<_> = all
            .iter()
            .map(|log| create(log, LogSettings::default()))
            .map(|request| client.create_log_async_opt(&request, in_time()).unwrap())
            .collect();
        let ids: BTreeSet<Vec<u8>> = created
            .into_iter()
            .map(|reply| block_on(reply).unwrap().log.unwrap().log_id.to_vec())
            .collect();
        assert_eq!(ids.len(), 1000, "no id twice");
        assert_eq!(names(&client, "log-", 300).concat(), all);
        for log in all.iter().step_by(10) {
            assert_eq!(produce(&producer, log, 10), 1);
        }
        for (n, log) in all.iter().enumerate() {
            let end = describe(&client, log).log.unwrap().end_offset;
            assert_eq!(end, u64::from(n % 10 == 0));
            client.delete_log_opt(&delete(log, Some(end)), in_time()).unwrap();
        }
        assert_eq!(names(&client, "", 0), [["default", "steady"]]);
        done.store(true, Ordering::Relaxed);
    });
    let produced = produced.into_inner();
    assert!(produced > 100, "{produced}");
    assert_eq!(describe(&client, "steady").log.unwrap().end_offset, produced);
}

#[test]
fn a_batch_makes_its_log_where_the_server_does_that() {
    let world = World::with(|options| {
        options.creates_logs = true;
        options.rules = rules("p, root, *, *\np, clerk, orders.*, produce");
    });
    let clerk = logs(&world, "clerk");
    let calls: Vec<_> = (0..20)
        .map(|_| clerk.produce_async_opt(&batch("orders.eu", 1, 1), in_time()).unwrap())
        .collect();
    let offsets: BTreeSet<u64> =
        calls.into_iter().map(|call| block_on(call).unwrap().base_offset).collect();
    assert_eq!(offsets, (0..20).collect(), "one log for all");
    let (mut requests, mut replies) = clerk.produce_stream_opt(in_time()).unwrap();
    block_on(requests.send((batch("orders.us", 1, 1), WriteFlags::default()))).unwrap();
    assert_eq!(block_on(replies.next()).unwrap().unwrap().base_offset, 0);
    let denied = clerk.produce_opt(&batch("invoices", 1, 1), in_time());
    refused(denied, RpcStatusCode::PERMISSION_DENIED, "NOT_PERMITTED");
    let root = logs(&world, "root");
    refused(root.produce_opt(&batch("_x", 1, 1), in_time()), BAD, "LOG_NAME_INVALID");
    let request = ConsumeRequest { log: "absent".into(), ..ConsumeRequest::default() };
    let consumed = root.consume_opt(&request, in_time());
    refused(consumed, RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND");
    let all = names(&admin(&world, "root"), "", 0);
    assert_eq!(all, [["default", "orders.eu", "orders.us"]]);
}

/// A request of several pieces was gone once the poll thread had read it. Where its log was made it
/// was then a request without records.
#[test]
fn a_batch_of_several_pieces_makes_its_log_too() {
    let world = World::with(|options| options.creates_logs = true);
    let reply = logs(&world, "root").produce_opt(&batch("large", 100_000, 3), in_time()).unwrap();
    assert_eq!((reply.base_offset, reply.next_offset), (0, 3));
}

#[test]
fn retention_drops_what_is_too_much_within_seconds() {
    let world = World::new();
    let (client, producer) = (admin(&world, "root"), logs(&world, "root"));
    let settings = LogSettings { segment_bytes_max: Some(4096), ..LogSettings::default() };
    client.create_log_opt(&create("orders", settings), in_time()).unwrap();
    for _ in 0..50 {
        produce(&producer, "orders", 1000);
    }
    let retention = LogSettings { retention_bytes: Some(20_000), ..LogSettings::default() };
    client.update_log_opt(&update("orders", retention, &[]), in_time()).unwrap();
    let began = std::time::Instant::now();
    loop {
        let log = describe(&client, "orders").log.unwrap();
        if log.stored_bytes <= 20_000 {
            assert!(log.start_offset > 20 && log.end_offset == 50, "{log:?}");
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{log:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_request_that_is_no_message_is_the_clients_fault() {
    let world = World::new();
    let (channel, bytes) = (world.channel("root"), vec![0x0a, 0xff]);
    let method = grpcio::Method {
        ty: grpcio::MethodType::Unary,
        name: "/varve.v1.Admin/CreateLog",
        req_mar: grpcio::Marshaller {
            ser: |bytes: &Vec<u8>, slice: &mut grpcio::GrpcSlice| {
                *slice = grpcio::GrpcSlice::from(bytes.clone());
                Ok(())
            },
            de: |_| Ok(Vec::new()),
        },
        resp_mar: grpcio::Marshaller { ser: |_: &(), _| Ok(()), de: |_| Ok(()) },
    };
    let outcome = grpcio::Client::new(channel).unary_call(&method, &bytes, in_time());
    refused(outcome, BAD, "REQUEST_MALFORMED");
}

#[test]
fn a_full_disk_makes_no_log_and_says_so() {
    let disk = SimDisk::new();
    let storage = Options { min_free_bytes: 0, ..Options::default() };
    let disk = Arc::new(disk);
    let world = World::of(Plan { disk: Some(Arc::clone(&disk)), storage, ..Plan::default() });
    let client = admin(&world, "root");
    disk.fail(Op::Write, 0, std::io::ErrorKind::StorageFull);
    let attempt = || client.create_log_opt(&create("orders", LogSettings::default()), in_time());
    let told = refused(attempt(), RpcStatusCode::RESOURCE_EXHAUSTED, "DISK_RESERVE");
    assert!(told.retry.is_some());
    disk.fail(Op::Create, 0, std::io::ErrorKind::PermissionDenied);
    refused(attempt(), RpcStatusCode::UNAVAILABLE, "FILES_FAILED");
    attempt().unwrap();
    let log = world.logs.get("orders").unwrap();
    let one = std::num::NonZeroU32::MIN;
    let _pending = log.append(b"\x0a\x00", one, Durability::Synced).unwrap();
    within_a_second(|| (log.bounds().end.get() == 1).then_some(()));
}

#[test]
fn a_segment_that_cannot_be_archived_stays_and_is_archived_later() {
    let disk = Arc::new(SimDisk::new());
    let defaults = StoredAs { segment_bytes_max: 4096, archive: true, ..StoredAs::default() };
    let archive = Some("/archive".into());
    let storage = Options { min_free_bytes: 0, archive, defaults, ..Options::default() };
    let world = World::of(Plan { disk: Some(Arc::clone(&disk)), storage, ..Plan::default() });
    let (client, producer) = (admin(&world, "root"), logs(&world, "root"));
    for _ in 0..20 {
        produce(&producer, "default", 1000);
    }
    let attempt = || client.trim_opt(&trim("default", 10, false), in_time());
    disk.fail(Op::Rename, 0, std::io::ErrorKind::PermissionDenied);
    let told = refused(attempt(), RpcStatusCode::UNAVAILABLE, "ARCHIVE_FAILED");
    assert!(told.retry.is_some());
    assert_eq!(describe(&client, "default").log.unwrap().start_offset, 0);
    assert!(attempt().unwrap().start_offset > 5);
    assert!(disk.list(std::path::Path::new("/archive")).unwrap()[0].starts_with("default-"));
}
