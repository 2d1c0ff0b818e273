//! What clients see of a disk that is full, broken or rotten.

use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grpcio::RpcStatusCode;
use varve::log::{Durability, LogSettings, Op, Options, SimDisk};

use crate::world::{PATIENCE, Plan, Producer, Records, World, at, failure, in_time, record};

/// The next sync is that of a store; should a checkpoint's come first, those after it fail as well.
pub(crate) fn fail_syncs(disk: &SimDisk) {
    for further in 0..20 {
        disk.fail(Op::Sync, further, ErrorKind::Other);
    }
}

fn on(disk: &Arc<SimDisk>) -> World {
    let storage = Options { min_free_bytes: 0, ..Options::default() };
    World::of(Plan { disk: Some(Arc::clone(disk)), storage, ..Plan::default() })
}

#[test]
fn r11_a_full_disk_is_resource_exhausted_and_reads_go_on() {
    let disk = Arc::new(SimDisk::new());
    let world = on(&disk);
    let client = world.client("root");
    client.produce_opt(&record("kept"), in_time()).unwrap();
    disk.set_capacity(Some(0));
    let value = vec![b'x'; 1 << 20];
    let refused = (0..1000)
        .find_map(|_| client.produce_opt(&record(&value), in_time()).is_err().then_some(()));
    assert!(refused.is_some(), "the disk never filled");
    let failure = failure(client.produce_opt(&record(&value), in_time()));
    assert_eq!(failure.code, i32::from(RpcStatusCode::RESOURCE_EXHAUSTED));
    assert_eq!(failure.info.reason, "DISK_RESERVE");
    assert!(failure.retry.is_some());
    let reply = client.consume_opt(&at(0), in_time()).unwrap();
    assert_eq!(crate::world::read(reply), (0, b"kept".to_vec()));
}

/// While a client takes no replies nobody looks at what became of its batches, and one was appended
/// after another had been dropped: whoever sent both again had the later one twice.
#[test]
fn r11_a_stream_that_lost_a_batch_appends_none_after_it_although_there_is_space_again() {
    /// Their replies are more than fits between the two.
    const UNREAD: u64 = 60_000;
    let disk = Arc::new(SimDisk::new());
    let defaults = LogSettings { segment_bytes_max: 1 << 20, ..LogSettings::default() };
    let world = World::of(Plan {
        disk: Some(Arc::clone(&disk)),
        storage: Options { min_free_bytes: 1, defaults, ..Options::default() },
        change: Box::new(|options| options.limits.stream_unacknowledged_max = 1_000_000),
    });
    let client = world.client("root");
    let mut producer = Producer::open(&client);
    for _ in 0..UNREAD {
        producer.send(record("x")).unwrap();
    }
    let log = world.logs.get("default").unwrap();
    eventually(|| log.bounds().end.get() == UNREAD);
    disk.set_capacity(Some(0));
    // More than a segment, so that it needs space of its own.
    producer.send(record(vec![b'x'; 1 << 20])).unwrap();
    eventually(|| world.logs.is_out_of_space());
    disk.set_capacity(None);
    eventually(|| !world.logs.is_out_of_space());
    // The stream may have ended by now.
    let _sent = producer.send(record("later"));
    for _ in 0..50 {
        client.consume_opt(&at(0), in_time()).unwrap();
    }
    assert_eq!(producer.failure().info.reason, "DISK_RESERVE");
    let next = log.append(b"\x0a\x00", NonZeroU32::MIN, Durability::Synced).unwrap();
    assert_eq!(next.base_offset().get(), UNREAD);
}

fn eventually(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "in vain");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn r3_r12_a_failed_sync_is_unavailable_with_an_unknown_outcome() {
    let disk = Arc::new(SimDisk::new());
    let world = on(&disk);
    let client = world.client("root");
    client.produce_opt(&record("durable"), in_time()).unwrap();
    fail_syncs(&disk);
    let mut producer = Producer::open(&client);
    producer.send(record("lost")).unwrap();
    let lost = producer.failure();
    assert_eq!(lost.code, i32::from(RpcStatusCode::UNAVAILABLE));
    assert_eq!((&*lost.info.reason, lost.value("outcome")), ("STORAGE_FAILED", "unknown"));
    let later = failure(client.produce_opt(&record("later"), in_time()));
    assert_eq!((&*later.info.reason, later.value("outcome")), ("STORAGE_FAILED", "not attempted"));
    // What was acknowledged can be read, and nothing will follow it.
    let reply = client.consume_opt(&at(0), in_time()).unwrap();
    assert_eq!(crate::world::read(reply), (0, b"durable".to_vec()));
    let ended = failure(Records::open(&client, 1).next());
    assert_eq!((&*ended.info.reason, ended.value("outcome")), ("STORAGE_FAILED", ""));
}

#[test]
fn r12_a_failed_read_fails_its_call_alone() {
    let disk = Arc::new(SimDisk::new());
    let world = on(&disk);
    let client = world.client("root");
    client.produce_opt(&record("kept"), in_time()).unwrap();
    disk.fail(Op::Read, 0, ErrorKind::Other);
    let told = failure(client.consume_opt(&at(0), in_time()));
    assert_eq!(told.code, i32::from(RpcStatusCode::UNAVAILABLE));
    assert!(told.info.reason == "READ_FAILED" && told.retry.is_some(), "{told:?}");
    disk.fail_with(Op::Read, 0, rustix::io::Errno::IO.raw_os_error());
    let told = failure(client.consume_opt(&at(0), in_time()));
    assert_eq!(told.code, i32::from(RpcStatusCode::DATA_LOSS));
    assert!(told.info.reason == "READ_FAILED" && told.retry.is_none(), "{told:?}");
    let reply = client.consume_opt(&at(0), in_time()).unwrap();
    assert_eq!(crate::world::read(reply), (0, b"kept".to_vec()));
    assert_eq!(client.produce_opt(&record("more"), in_time()).unwrap().offset, 1);
}
