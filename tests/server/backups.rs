//! `BackUp`: who may, what is refused, and that a backup which is made while others produce holds
//! all that was acknowledged before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use grpcio::{CallOption, RpcStatusCode};
use varve::log::{
    Cut, Disk, LogName, LogSettings, Logs, Offset, Op, Options, OsDisk, Restore, SimDisk,
};
use varve::proto::admin_service::backup_fault::Meaning;
use varve::proto::admin_service::{BackUpRequest, BackUpResponse, CreateLogRequest};
use varve::proto::admin_service_grpc::AdminClient;
use varve::proto::log_service::ProduceRequest;
use varve::proto::log_service_grpc::LogClient;
use varve::proto::record::Record;

use crate::world::{Failure, PATIENCE, Plan, World, failure, in_time, rules};

fn admin(world: &World, name: &str) -> AdminClient {
    AdminClient::new(world.channel(name))
}

fn create(client: &AdminClient, log: &str) {
    let request = CreateLogRequest { log: log.to_owned(), ..CreateLogRequest::default() };
    client.create_log_opt(&request, in_time()).unwrap();
}

fn produce(client: &LogClient, log: &str, value: &str) -> grpcio::Result<u64> {
    let record = Record { value: value.as_bytes().to_vec().into(), ..Record::default() };
    let (log, records) = (log.to_owned(), vec![record]);
    let request = ProduceRequest { log, records, ..ProduceRequest::default() };
    client.produce_opt(&request, in_time()).map(|reply| reply.next_offset)
}

fn asked(name: &str, logs: &[&str]) -> BackUpRequest {
    let logs = logs.iter().map(|log| (*log).to_owned()).collect();
    BackUpRequest { name: name.to_owned(), logs, ..BackUpRequest::default() }
}

/// A check may take longer than other calls.
fn patient() -> CallOption {
    CallOption::default().timeout(4 * PATIENCE)
}

fn refused<T>(outcome: grpcio::Result<T>, code: RpcStatusCode, reason: &str) -> Failure {
    let told = failure(outcome);
    assert_eq!((told.code, &*told.info.reason), (i32::from(code), reason), "{told:?}");
    told
}

fn ends(made: &BackUpResponse) -> BTreeMap<&str, u64> {
    made.logs.iter().map(|log| (&*log.log, log.end_offset)).collect()
}

#[test]
fn a_backup_is_made_checked_and_told() {
    let world = World::new();
    let (client, producer) = (admin(&world, "root"), LogClient::new(world.channel("root")));
    create(&client, "orders");
    for log in ["default", "orders", "orders"] {
        produce(&producer, log, "x").unwrap();
    }
    let made = client.back_up_opt(&asked("", &[]), patient()).unwrap();
    assert_eq!((made.name.len(), &*made.path), (16, &*format!("backups/{}", made.name)));
    assert_eq!(ends(&made), BTreeMap::from([("default", 1), ("orders", 2)]));
    assert!(made.checked && made.faults.is_empty(), "{made:?}");
    let orders = &made.logs[1];
    assert_eq!((orders.segments, orders.linked, orders.log_id.len()), (1, 1, 16));
    assert!(orders.store_bytes > 128 && made.elapsed_us > 0);
    assert!(world.data().join(&made.path).join("logs/orders/meta").exists());

    let one = BackUpRequest { skip_check: true, ..asked("one", &["orders"]) };
    let one = client.back_up_opt(&one, patient()).unwrap();
    assert_eq!((&*one.path, one.checked, ends(&one).len()), ("backups/one", false, 1));
    assert_eq!(produce(&producer, "orders", "y").unwrap(), 3);
}

#[test]
fn who_may_not_administer_each_log_gets_no_backup_and_learns_of_none() {
    let world = World::with(|options| {
        options.rules = rules(
            "p, root, *, *\np, alice, orders, admin\np, alice, default, consume\n\
             p, carol, *, admin\np, carol, secret, admin, deny",
        );
    });
    let root = admin(&world, "root");
    create(&root, "orders");
    create(&root, "secret");
    let alice = admin(&world, "alice");
    let made = alice.back_up_opt(&asked("hers", &["orders"]), patient()).unwrap();
    assert_eq!(ends(&made).len(), 1);
    let denied = RpcStatusCode::PERMISSION_DENIED;
    for (logs, object) in [
        (vec!["default"], "default"),
        (vec!["orders", "absent"], "absent"),
        // Which log it is that keeps her from it is not told.
        (vec![], "*"),
    ] {
        let told = alice.back_up_opt(&asked("all", &logs), patient());
        let told = refused(told, denied, "NOT_PERMITTED");
        assert_eq!((told.value("subject"), told.value("object")), ("alice", object));
    }
    let told = admin(&world, "carol").back_up_opt(&asked("all", &[]), patient());
    assert_eq!(refused(told, denied, "NOT_PERMITTED").value("object"), "*");
    // Nothing is told of the name to those who may not.
    let told = admin(&world, "nobody").back_up_opt(&asked("no.part", &["orders"]), patient());
    refused(told, denied, "NOT_PERMITTED");
    assert!(!world.data().join("backups/all").exists());
}

#[test]
fn what_cannot_be_is_refused_with_its_reason() {
    let world = World::new();
    let client = admin(&world, "root");
    let bad = RpcStatusCode::INVALID_ARGUMENT;
    for name in ["no.part", "..", "a/b", "Monday"] {
        let told = client.back_up_opt(&asked(name, &[]), patient());
        assert_eq!(refused(told, bad, "BACKUP_NAME_INVALID").value("field"), "name");
    }
    let told = client.back_up_opt(&asked("x", &["default", ""]), patient());
    refused(told, bad, "LOG_NOT_NAMED");
    let told = client.back_up_opt(&asked("x", &["absent"]), patient());
    refused(told, RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND");
    client.back_up_opt(&asked("monday", &[]), patient()).unwrap();
    let told = client.back_up_opt(&asked("monday", &[]), patient());
    let told = refused(told, RpcStatusCode::ALREADY_EXISTS, "BACKUP_EXISTS");
    assert_eq!(told.value("name"), "monday");
}

/// Two clients ask again and again until one meets the other.
#[test]
fn one_backup_is_made_at_a_time() {
    let world = World::new();
    for n in 0..20 {
        create(&admin(&world, "root"), &format!("log-{n}"));
    }
    let (met, began) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        for who in ["a", "b"] {
            let (client, met) = (admin(&world, "root"), &met);
            scope.spawn(move || {
                for n in 0.. {
                    let request =
                        BackUpRequest { skip_check: true, ..asked(&format!("{who}{n}"), &[]) };
                    match client.back_up_opt(&request, patient()) {
                        Ok(_) if met.load(Ordering::Relaxed) => return,
                        Ok(_) => assert!(began.elapsed() < PATIENCE, "they never met"),
                        Err(error) => {
                            let away = RpcStatusCode::UNAVAILABLE;
                            let told = refused::<()>(Err(error), away, "BACKUP_RUNNING");
                            assert!(told.retry.is_some());
                            met.store(true, Ordering::Relaxed);
                            return;
                        }
                    }
                }
            });
        }
    });
    assert!(met.into_inner());
}

#[test]
fn damage_in_a_backup_is_told_and_a_full_disk_fails_it() {
    let disk = Arc::new(SimDisk::new());
    let storage = Options {
        min_free_bytes: 0,
        defaults: LogSettings { segment_bytes_max: 4096, ..LogSettings::default() },
        scrub_bytes_per_s: 0,
        ..Options::default()
    };
    let world = World::of(Plan { disk: Some(Arc::clone(&disk)), storage, ..Plan::default() });
    let (client, producer) = (admin(&world, "root"), LogClient::new(world.channel("root")));
    for _ in 0..20 {
        produce(&producer, "default", &"x".repeat(1000)).unwrap();
    }
    disk.fail(Op::Create, 0, std::io::ErrorKind::StorageFull);
    let told = client.back_up_opt(&asked("full", &[]), patient());
    refused(told, RpcStatusCode::RESOURCE_EXHAUSTED, "DISK_RESERVE");
    let store = Path::new("/data/logs/default/00000000000000000000.store");
    let mut bytes = disk.bytes(store).unwrap();
    bytes[128 + 200] ^= 1;
    disk.damage(store, &bytes).unwrap();
    let made = client.back_up_opt(&asked("harmed", &[]), patient()).unwrap();
    let fault = made.faults.iter().find(|f| f.meaning.enum_value() == Ok(Meaning::MEANING_DAMAGE));
    let fault = fault.unwrap_or_else(|| panic!("{made:?}"));
    assert_eq!((&*fault.log, &*fault.file), ("default", "00000000000000000000.store"));
    assert_eq!((fault.from_offset, fault.to_offset), (0, 1));
}

/// Every record of a log, in order, of a data directory that nobody has.
fn records(data: &Path, log: &str) -> Vec<Vec<u8>> {
    let options = Options { min_free_bytes: 0, ..Options::default() };
    let logs = Logs::open(data, Arc::new(OsDisk::new()), options).unwrap();
    let log = logs.get(log).unwrap();
    let (mut offset, end) = (log.bounds().start, log.bounds().end);
    let mut payloads = Vec::new();
    while offset < end {
        let chunk = log.read(offset, 1 << 20).unwrap();
        payloads.extend(chunk.batches().map(|batch| batch.payload.to_vec()));
        offset = chunk.next_offset();
    }
    payloads
}

#[test]
fn a_backup_that_is_made_under_load_restores_to_what_was_acknowledged() {
    let storage = Options {
        min_free_bytes: 0,
        defaults: LogSettings { segment_bytes_max: 16 << 10, ..LogSettings::default() },
        ..Options::default()
    };
    let mut world = World::of(Plan { storage, ..Plan::default() });
    let client = admin(&world, "root");
    create(&client, "orders");
    let (stop, acknowledged) = (AtomicBool::new(false), [(); 2].map(|()| AtomicU64::new(0)));
    let mut made = Vec::new();
    std::thread::scope(|scope| {
        for (log, acknowledged) in ["default", "orders"].into_iter().zip(&acknowledged) {
            let (producer, stop) = (LogClient::new(world.channel("root")), &stop);
            scope.spawn(move || {
                for n in 0.. {
                    let end = produce(&producer, log, &format!("{log} {n:0500}")).unwrap();
                    acknowledged.store(end, Ordering::SeqCst);
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
        for n in 0..6 {
            let before = acknowledged.each_ref().map(|end| end.load(Ordering::SeqCst));
            let name = format!("b{n}");
            let told = client.back_up_opt(&asked(&name, &[]), patient()).unwrap();
            assert!(told.faults.is_empty(), "{told:?}");
            let ends = ends(&told);
            let held = ["default", "orders"].map(|log| ends[log]);
            assert!(held.iter().zip(before).all(|(held, before)| *held >= before));
            made.push((name, held));
        }
        stop.store(true, Ordering::SeqCst);
    });
    let data = world.data();
    world.shutdown();
    world.logs.close().unwrap();
    let whole = ["default", "orders"].map(|log| records(&data, log));
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new());
    for (name, held) in made {
        let (backup, target) = (data.join("backups").join(&name), data.join(format!("{name}-new")));
        let cut = Cut::Offsets(BTreeMap::from([(
            LogName::parse("orders").unwrap(),
            Offset::new(held[1] / 2),
        )]));
        let planned = Restore::plan(&disk, &backup, &target, &[], &cut).unwrap();
        planned.run(&|_| {}).unwrap();
        let counts = [held[0], held[1] / 2];
        for ((log, whole), count) in ["default", "orders"].iter().zip(&whole).zip(counts) {
            let found = records(&target, log);
            let expected = &whole[..usize::try_from(count).unwrap()];
            assert!(found == expected, "{name} {log}: {} of {count}", found.len());
        }
    }
}

#[test]
fn what_is_left_of_a_backup_goes_at_the_next_start() {
    let mut world = World::new();
    let client = admin(&world, "root");
    client.back_up_opt(&asked("whole", &[]), patient()).unwrap();
    let left: PathBuf = world.data().join("backups/half.part/logs/default");
    std::fs::create_dir_all(&left).unwrap();
    std::fs::write(left.join("meta"), b"x").unwrap();
    world.restart();
    let backups = std::fs::read_dir(world.data().join("backups")).unwrap();
    let names: Vec<_> = backups.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["whole"]);
}
