//! `varve.v1.Readers`: named positions, whose they are, and what of them survives.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use futures_executor::block_on;
use grpcio::RpcStatusCode;
use rustix::process::Signal;
use varve::log::{DEFAULT_LOG, Durability, LogName, LogOverrides, Op, Options, SimDisk};
use varve::proto::log_service::ProduceRequest;
use varve::proto::log_service_grpc::LogClient as BatchClient;
use varve::proto::readers_service::{
    CommitReaderRequest, DeleteReaderRequest, GetReaderRequest, ListReadersRequest, Reader,
};
use varve::proto::readers_service_grpc::ReadersClient;
use varve::proto::record::Record;

use crate::cli::site::{Running, Site};
use crate::world::{Failure, Plan, World, connect, failure, in_time, record, rules, with_pem};

const FOUR: &str = "p, root, *, *\np, ann, default, consume\np, bob, default, consume\n\
                    p, chief, default, consume\np, chief, default, admin\n\
                    p, outsider, other, consume";

fn client(world: &World, name: &str) -> ReadersClient {
    ReadersClient::new(world.channel(name))
}

fn commit(reader: &str, offset: u64) -> CommitReaderRequest {
    let (log, reader) = (DEFAULT_LOG.to_owned(), reader.to_owned());
    CommitReaderRequest { log, reader, offset, ..CommitReaderRequest::default() }
}

fn get(reader: &str) -> GetReaderRequest {
    let (log, reader) = (DEFAULT_LOG.to_owned(), reader.to_owned());
    GetReaderRequest { log, reader, ..GetReaderRequest::default() }
}

fn delete(reader: &str) -> DeleteReaderRequest {
    let (log, reader) = (DEFAULT_LOG.to_owned(), reader.to_owned());
    DeleteReaderRequest { log, reader, ..DeleteReaderRequest::default() }
}

fn list(log: &str) -> ListReadersRequest {
    ListReadersRequest { log: log.to_owned(), ..ListReadersRequest::default() }
}

/// Appends so many records to `default`, each a batch.
fn fill(world: &World, records: u64) {
    let client = world.client("root");
    for _ in 0..records {
        client.produce_opt(&record("x"), in_time()).unwrap();
    }
}

fn stands(client: &ReadersClient, reader: &str) -> Reader {
    client.get_reader_opt(&get(reader), in_time()).unwrap().reader.unwrap()
}

/// Names and positions.
fn listed(client: &ReadersClient) -> Vec<(String, u64)> {
    let readers = client.list_readers_opt(&list(DEFAULT_LOG), in_time()).unwrap().readers;
    readers.into_iter().map(|reader| (reader.name, reader.offset)).collect()
}

fn pair(name: &str, offset: u64) -> (String, u64) {
    (name.to_owned(), offset)
}

fn is(told: &Failure, code: RpcStatusCode, reason: &str) {
    assert_eq!((told.code, &*told.info.reason), (i32::from(code), reason), "{told:?}");
}

#[test]
fn a_reader_is_made_moved_found_listed_and_deleted() {
    let world = World::new();
    fill(&world, 5);
    let client = client(&world, "root");
    let made = client.commit_reader_opt(&commit("b", 2), in_time()).unwrap().reader.unwrap();
    assert_eq!((&*made.name, made.offset, &*made.owner, made.lag_records), ("b", 2, "root", 3));
    client.commit_reader_opt(&commit("a", 5), in_time()).unwrap();
    let moved = client.commit_reader_opt(&commit("b", 4), in_time()).unwrap().reader.unwrap();
    assert!(moved.offset == 4 && moved.commit_time_us >= made.commit_time_us);
    let found = client.get_reader_opt(&get("b"), in_time()).unwrap();
    let id = world.logs.get(DEFAULT_LOG).unwrap().id();
    assert_eq!(found.log_id[..], id.bytes());
    assert_eq!(found.reader.unwrap().commit_time_us, moved.commit_time_us);
    assert_eq!(listed(&client), [pair("a", 5), pair("b", 4)]);
    let empty = client.delete_reader_opt(&delete("b"), in_time()).unwrap();
    assert_eq!(empty, varve::proto::readers_service::DeleteReaderResponse::default());
    assert_eq!(listed(&client), [pair("a", 5)]);
    for told in [
        failure(client.get_reader_opt(&get("b"), in_time())),
        failure(client.delete_reader_opt(&delete("b"), in_time())),
    ] {
        is(&told, RpcStatusCode::NOT_FOUND, "READER_NOT_FOUND");
    }
}

#[test]
fn lag_is_what_a_reader_has_yet_to_read_and_how_old_the_next_of_it_is() {
    let world = World::new();
    fill(&world, 3);
    std::thread::sleep(Duration::from_millis(300));
    fill(&world, 2);
    let client = client(&world, "root");
    let lag = |offset| {
        let mut request = commit("a", offset);
        request.force = true;
        let by_commit = client.commit_reader_opt(&request, in_time()).unwrap().reader.unwrap();
        let found = stands(&client, "a");
        assert_eq!(by_commit.lag_records, found.lag_records);
        assert!(by_commit.lag_us <= found.lag_us);
        (found.lag_records, found.lag_us)
    };
    let (at_start, in_middle, at_end) = (lag(0), lag(3), lag(5));
    assert_eq!((at_start.0, in_middle.0, at_end.0), (5, 2, 0));
    assert!(at_start.1 >= 300_000, "{at_start:?}");
    assert!(in_middle.1 + 250_000 <= at_start.1 && in_middle.1 > 0, "{in_middle:?}");
    assert_eq!(at_end.1, 0, "there is nothing yet");
    fill(&world, 1);
    let behind = stands(&client, "a");
    assert!(behind.lag_records == 1 && behind.lag_us > 0, "{behind:?}");
    // What was trimmed is not to be read any more.
    lag(0);
    let log = world.logs.get(DEFAULT_LOG).unwrap();
    assert_eq!(log.trim(log.bounds().end).unwrap().start.get(), 6);
    let trimmed = stands(&client, "a");
    assert_eq!((trimmed.offset, trimmed.lag_records, trimmed.lag_us), (0, 0, 0));
    fill(&world, 2);
    assert_eq!(stands(&client, "a").lag_records, 2);
}

#[test]
fn a_commit_is_refused_with_what_would_have_been_right() {
    let world = World::with(|options| options.rules = rules(FOUR));
    fill(&world, 5);
    let client = client(&world, "ann");
    client.commit_reader_opt(&commit("a", 3), in_time()).unwrap();
    let told = failure(client.commit_reader_opt(&commit("a", 2), in_time()));
    is(&told, RpcStatusCode::FAILED_PRECONDITION, "READER_AHEAD");
    assert_eq!((told.value("offset"), told.value("current")), ("2", "3"));
    let mut forced = commit("a", 2);
    forced.force = true;
    assert_eq!(client.commit_reader_opt(&forced, in_time()).unwrap().reader.unwrap().offset, 2);
    forced.offset = 6;
    let told = failure(client.commit_reader_opt(&forced, in_time()));
    is(&told, RpcStatusCode::OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE");
    assert_eq!((told.value("start"), told.value("end")), ("0", "5"));
    let id = world.logs.get(DEFAULT_LOG).unwrap().id();
    let mut other = commit("a", 3);
    other.log_id = vec![7; 16].into();
    let told = failure(client.commit_reader_opt(&other, in_time()));
    is(&told, RpcStatusCode::FAILED_PRECONDITION, "LOG_REPLACED");
    assert_eq!(told.value("log_id"), id.to_string());
    other.log_id = id.bytes().to_vec().into();
    assert!(client.commit_reader_opt(&other, in_time()).is_ok());
    assert_eq!(listed(&client), [pair("a", 3)]);
}

#[test]
fn a_request_that_makes_no_sense_is_told_what_is_wrong_where() {
    let world = World::new();
    let client = client(&world, "root");
    let long = "x".repeat(129);
    for name in ["", "Upper", "a..b", "../x", "a b", &long] {
        for told in [
            failure(client.commit_reader_opt(&commit(name, 0), in_time())),
            failure(client.get_reader_opt(&get(name), in_time())),
            failure(client.delete_reader_opt(&delete(name), in_time())),
        ] {
            is(&told, RpcStatusCode::INVALID_ARGUMENT, "READER_NAME_INVALID");
            assert_eq!(told.value("field"), "reader");
        }
    }
    let mut id = commit("a", 0);
    id.log_id = vec![1; 15].into();
    let told = failure(client.commit_reader_opt(&id, in_time()));
    is(&told, RpcStatusCode::INVALID_ARGUMENT, "ID_MALFORMED");
    assert_eq!((told.value("field"), told.value("actual")), ("log_id", "15"));
    let told = failure(client.list_readers_opt(&list(""), in_time()));
    is(&told, RpcStatusCode::INVALID_ARGUMENT, "LOG_NOT_NAMED");
    let told = failure(client.list_readers_opt(&list("absent"), in_time()));
    is(&told, RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND");
}

#[test]
fn another_subjects_reader_is_there_only_for_those_who_may_administer_the_log() {
    let world = World::with(|options| options.rules = rules(FOUR));
    fill(&world, 5);
    let [ann, bob, chief] = ["ann", "bob", "chief"].map(|name| client(&world, name));
    ann.commit_reader_opt(&commit("hers", 3), in_time()).unwrap();
    bob.commit_reader_opt(&commit("his", 1), in_time()).unwrap();
    assert_eq!(listed(&ann), [pair("hers", 3)]);
    assert_eq!(listed(&bob), [pair("his", 1)]);
    assert_eq!(listed(&chief), [pair("hers", 3), pair("his", 1)]);
    let told = failure(bob.get_reader_opt(&get("hers"), in_time()));
    let absent = failure(bob.get_reader_opt(&get("absent"), in_time()));
    assert_eq!(
        (told.code, &told.message, &told.info),
        (absent.code, &absent.message, &absent.info)
    );
    let told = failure(bob.delete_reader_opt(&delete("hers"), in_time()));
    is(&told, RpcStatusCode::NOT_FOUND, "READER_NOT_FOUND");
    // The one place where it shows: the name is taken.
    let told = failure(bob.commit_reader_opt(&commit("hers", 4), in_time()));
    is(&told, RpcStatusCode::PERMISSION_DENIED, "READER_OWNED");
    assert_eq!(stands(&ann, "hers").offset, 3);
    let moved = chief.commit_reader_opt(&commit("hers", 4), in_time()).unwrap().reader.unwrap();
    assert_eq!((moved.offset, &*moved.owner), (4, "ann"), "it stays hers");
    chief.delete_reader_opt(&delete("hers"), in_time()).unwrap();
    assert_eq!(listed(&ann), []);
    // Who may not consume learns nothing, whatever else they may.
    for name in ["outsider", "nobody"] {
        let outsider = client(&world, name);
        let text = format!("{name} not permitted to consume to default");
        for told in [
            failure(outsider.commit_reader_opt(&commit("his", 1), in_time())),
            failure(outsider.get_reader_opt(&get("his"), in_time())),
            failure(outsider.list_readers_opt(&list(DEFAULT_LOG), in_time())),
            failure(outsider.delete_reader_opt(&delete("his"), in_time())),
        ] {
            is(&told, RpcStatusCode::PERMISSION_DENIED, "NOT_PERMITTED");
            assert_eq!(told.message, text);
        }
    }
    assert_eq!(listed(&chief), [pair("his", 1)]);
}

#[test]
fn a_log_has_so_many_readers_and_each_log_its_own() {
    let storage = Options { readers_per_log_max: 2, min_free_bytes: 0, ..Options::default() };
    let world = World::of(Plan { storage, ..Plan::default() });
    world.logs.create(&LogName::parse("orders").unwrap(), LogOverrides::default()).unwrap();
    let client = client(&world, "root");
    for reader in ["a", "b"] {
        client.commit_reader_opt(&commit(reader, 0), in_time()).unwrap();
    }
    let told = failure(client.commit_reader_opt(&commit("c", 0), in_time()));
    is(&told, RpcStatusCode::RESOURCE_EXHAUSTED, "READERS_MAX");
    assert_eq!((told.value("limit"), told.value("actual")), ("2", "2"));
    let mut elsewhere = commit("c", 0);
    elsewhere.log = "orders".to_owned();
    assert!(client.commit_reader_opt(&elsewhere, in_time()).is_ok());
    assert_eq!(listed(&client), [pair("a", 0), pair("b", 0)]);
}

/// Many consumers commit at once; they share few syncs, and each is answered with its own.
#[test]
fn commits_of_many_calls_at_once_are_all_there_and_share_syncs() {
    let disk = Arc::new(SimDisk::new());
    let storage = Options { min_free_bytes: 0, ..Options::default() };
    let disk_too = Arc::clone(&disk);
    let plan = Plan {
        disk: Some(disk_too),
        storage,
        change: Box::new(|options| options.limits.calls_per_subject_max = 1000),
    };
    let world = World::of(plan);
    fill(&world, 20);
    let client = client(&world, "root");
    client.commit_reader_opt(&commit("reader-0", 0), in_time()).unwrap();
    let before = disk.trace().len();
    for round in 1..=5 {
        let calls: Vec<_> = (0..200)
            .map(|n| {
                let request = commit(&format!("reader-{}", n % 100), round * 2 + n / 100);
                client.commit_reader_async_opt(&request, in_time()).unwrap()
            })
            .collect();
        for (n, call) in (0..200).zip(calls) {
            // Of two calls for one reader the later one may come first.
            match block_on(call) {
                Ok(reply) => assert_eq!(reply.reader.unwrap().offset, round * 2 + n / 100),
                error => is(&failure(error), RpcStatusCode::FAILED_PRECONDITION, "READER_AHEAD"),
            }
        }
    }
    assert_eq!(listed(&client).len(), 100);
    assert!(listed(&client).iter().all(|(_, offset)| *offset == 11));
    let readers = |(op, path): &(Op, std::path::PathBuf)| {
        *op == Op::Sync && path.to_str().unwrap().contains("/readers")
    };
    let syncs = disk.trace()[before..].iter().filter(|call| readers(call)).count();
    assert!(syncs < 800, "{syncs} for 1,000 commits");
    println!("cases: 1000 commits with {syncs} syncs");
}

#[test]
fn r11_r12_a_full_or_failing_disk_is_told_and_reads_go_on() {
    let disk = Arc::new(SimDisk::new());
    let storage = Options { min_free_bytes: 0, ..Options::default() };
    let world = World::of(Plan { disk: Some(Arc::clone(&disk)), storage, ..Plan::default() });
    fill(&world, 5);
    let client = client(&world, "root");
    disk.set_capacity(Some(0));
    let told = failure(client.commit_reader_opt(&commit("a", 1), in_time()));
    is(&told, RpcStatusCode::RESOURCE_EXHAUSTED, "DISK_RESERVE");
    assert!(told.retry.is_some());
    disk.set_capacity(None);
    client.commit_reader_opt(&commit("a", 1), in_time()).unwrap();
    // Nothing else syncs now: a second passes before a checkpoint does.
    std::thread::sleep(Duration::from_millis(1500));
    disk.fail(Op::Sync, 0, std::io::ErrorKind::Other);
    let told = failure(client.commit_reader_opt(&commit("a", 2), in_time()));
    is(&told, RpcStatusCode::UNAVAILABLE, "READERS_FAILED");
    assert_eq!(told.value("outcome"), "unknown");
    assert_eq!(stands(&client, "a").offset, 1);
    assert_eq!(
        client.commit_reader_opt(&commit("a", 2), in_time()).unwrap().reader.unwrap().offset,
        2
    );
    fill(&world, 1);
}

#[test]
fn r6_damaged_readers_are_data_loss_and_the_log_goes_on() {
    let disk = Arc::new(SimDisk::new());
    let storage = Options { min_free_bytes: 0, ..Options::default() };
    {
        let world = World::of(Plan {
            disk: Some(Arc::clone(&disk)),
            storage: storage.clone(),
            ..Plan::default()
        });
        let log = world.logs.get(DEFAULT_LOG).unwrap();
        let _taken = log.append(b"\x0a\x00", NonZeroU32::MIN, Durability::Synced).unwrap();
        client(&world, "root").commit_reader_opt(&commit("a", 0), in_time()).unwrap();
    }
    let path = std::path::Path::new("/data/logs/default/readers");
    let mut bytes = disk.bytes(path).unwrap();
    bytes[70] ^= 1;
    disk.damage(path, &bytes).unwrap();
    let world = World::of(Plan { disk: Some(Arc::clone(&disk)), storage, ..Plan::default() });
    let client = client(&world, "root");
    for told in [
        failure(client.commit_reader_opt(&commit("b", 0), in_time())),
        failure(client.get_reader_opt(&get("a"), in_time())),
        failure(client.list_readers_opt(&list(DEFAULT_LOG), in_time())),
        failure(client.delete_reader_opt(&delete("a"), in_time())),
    ] {
        is(&told, RpcStatusCode::DATA_LOSS, "READERS_DAMAGED");
        assert!(!told.message.contains('/'), "no path: {}", told.message);
    }
    fill(&world, 1);
    assert_eq!(disk.bytes(path).unwrap(), bytes);
}

fn channel(site: &Site, server: &Running) -> grpcio::Channel {
    let file = |name: &str| std::fs::read(site.path(name)).unwrap();
    let credentials = with_pem(file("ca.pem"), file("root.pem"), file("root-key.pem"));
    connect(server.address.rsplit(':').next().unwrap().parse().unwrap(), credentials)
}

#[test]
fn r5_answered_commits_are_there_after_a_kill_and_after_a_stop() {
    let site = Site::new();
    let mut server = site.serve();
    let produce = |channel: grpcio::Channel| {
        let records = vec![Record::default(); 50];
        let log = DEFAULT_LOG.to_owned();
        let request = ProduceRequest { log, records, ..ProduceRequest::default() };
        BatchClient::new(channel).produce_opt(&request, in_time()).unwrap();
    };
    produce(channel(&site, &server));
    let mut answered = 0;
    for (life, end) in [Signal::KILL, Signal::TERM, Signal::KILL].into_iter().enumerate() {
        let client = ReadersClient::new(channel(&site, &server));
        if life > 0 {
            assert_eq!(stands(&client, "a").offset, answered);
        }
        for _ in 0..10 {
            answered += 1;
            client.commit_reader_opt(&commit("a", answered), in_time()).unwrap();
        }
        if end == Signal::TERM {
            server.signal(end);
            server.wait().0.done();
        } else {
            // It ends with a kill.
            drop(server);
        }
        server = site.serve();
    }
    let client = ReadersClient::new(channel(&site, &server));
    let found = stands(&client, "a");
    assert_eq!((found.offset, found.lag_records, &*found.owner), (30, 20, "root"));
    client.delete_reader_opt(&delete("a"), in_time()).unwrap();
    drop(server);
    let server = site.serve();
    assert_eq!(listed(&ReadersClient::new(channel(&site, &server))), []);
}
