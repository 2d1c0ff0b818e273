//! `grpc.health.v1`.

use std::path::Path;
use std::sync::Arc;

use futures_executor::block_on;
use futures_util::StreamExt as _;
use grpcio::RpcStatusCode;
use varve::log::{Options, SimDisk};
use varve::proto::health::health_check_response::ServingStatus;
use varve::proto::health::{HealthCheckRequest, HealthCheckResponse};
use varve::proto::health_grpc::HealthClient;

use crate::disk::fail_syncs;
use crate::world::{Plan, World, code, failure, in_time, record};

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned(), ..HealthCheckRequest::default() }
}

fn status(reply: HealthCheckResponse) -> ServingStatus {
    reply.status.unwrap()
}

#[test]
fn anyone_with_a_certificate_may_ask() {
    let world = World::new();
    let client = HealthClient::new(world.channel("nobody"));
    for service in ["", "log.v1.Log", "varve.v1.Log", "varve.v1.Log/Produce", "log.v1.Log/Consume"]
    {
        let reply = client.check_opt(&about(service), in_time()).unwrap();
        assert_eq!(status(reply), ServingStatus::SERVING);
    }
}

#[test]
fn an_unknown_service_is_not_found_by_a_check_and_unknown_to_a_watch() {
    let world = World::new();
    let client = HealthClient::new(world.channel("nobody"));
    let outcome = client.check_opt(&about("log.v1.Blog"), in_time());
    assert_eq!(code(outcome), RpcStatusCode::NOT_FOUND);
    let mut watch = client.watch_opt(&about("log.v1.Blog"), in_time()).unwrap();
    let first = block_on(watch.next()).unwrap().unwrap();
    assert_eq!(status(first), ServingStatus::SERVICE_UNKNOWN);
}

#[test]
fn a_watch_tells_of_a_stop() {
    let mut world = World::new();
    let client = HealthClient::new(world.channel("nobody"));
    let mut watch = client.watch_opt(&about("log.v1.Log"), in_time()).unwrap();
    let mut next = || block_on(watch.next()).unwrap();
    assert_eq!(status(next().unwrap()), ServingStatus::SERVING);
    let stopped = world.shutdown();
    // The client's library may give up the last message for the failure that follows it.
    let failed = match next() {
        Ok(reply) => {
            assert_eq!(status(reply), ServingStatus::NOT_SERVING);
            next()
        }
        failed => failed,
    };
    assert_eq!(failure(failed).info.reason, "STOPPING");
    assert!(!stopped.calls_cancelled);
}

#[test]
fn a_server_that_cannot_acknowledge_does_not_serve() {
    let disk = Arc::new(SimDisk::new());
    let storage = Options { min_free_bytes: 0, ..Options::default() };
    let world = World::of(Plan { disk: Some(Arc::clone(&disk)), storage, ..Plan::default() });
    let client = HealthClient::new(world.channel("nobody"));
    let mut watch = client.watch_opt(&about(""), in_time()).unwrap();
    let mut next = || status(block_on(watch.next()).unwrap().unwrap());
    assert_eq!(next(), ServingStatus::SERVING);
    fail_syncs(&disk);
    assert!(world.client("root").produce_opt(&record("x"), in_time()).is_err());
    let reply = client.check_opt(&about(""), in_time()).unwrap();
    assert_eq!(status(reply), ServingStatus::NOT_SERVING);
    assert_eq!(next(), ServingStatus::NOT_SERVING);
}

#[test]
fn r11_while_the_disk_is_too_full_only_the_methods_that_append_do_not_serve() {
    let disk = Arc::new(SimDisk::new());
    let storage = Options { min_free_bytes: 1 << 20, ..Options::default() };
    let world = World::of(Plan { disk: Some(Arc::clone(&disk)), storage, ..Plan::default() });
    let client = HealthClient::new(world.channel("nobody"));
    let mut watch = client.watch_opt(&about("varve.v1.Log/Produce"), in_time()).unwrap();
    let mut next = || status(block_on(watch.next()).unwrap().unwrap());
    assert_eq!(next(), ServingStatus::SERVING);
    disk.set_capacity(Some(0));
    assert_eq!(next(), ServingStatus::NOT_SERVING);
    for (name, expected) in [
        ("", ServingStatus::SERVING),
        ("log.v1.Log", ServingStatus::SERVING),
        ("log.v1.Log/ConsumeStream", ServingStatus::SERVING),
        ("log.v1.Log/ProduceStream", ServingStatus::NOT_SERVING),
    ] {
        let reply = client.check_opt(&about(name), in_time()).unwrap();
        assert_eq!(status(reply), expected, "{name}");
    }
    disk.set_capacity(None);
    assert_eq!(next(), ServingStatus::SERVING);
    assert!(world.client("root").produce_opt(&record("x"), in_time()).is_ok());
}

#[test]
fn r6_one_damaged_log_does_not_make_the_server_unhealthy() {
    let disk = Arc::new(SimDisk::new());
    let open = || {
        let storage = Options { min_free_bytes: 0, ..Options::default() };
        World::of(Plan { disk: Some(Arc::clone(&disk)), storage, ..Plan::default() })
    };
    let mut world = open();
    assert!(world.client("root").produce_opt(&record("x"), in_time()).is_ok());
    world.shutdown();
    world.logs.close().unwrap();
    disk.damage(Path::new("/data/logs/default/00000000000000000000.store"), b"rot").unwrap();
    let world = open();
    let outcome = world.client("root").produce_opt(&record("x"), in_time());
    assert_eq!(failure(outcome).info.reason, "LOG_DAMAGED");
    let client = HealthClient::new(world.channel("nobody"));
    for name in ["", "log.v1.Log", "log.v1.Log/Produce"] {
        let reply = client.check_opt(&about(name), in_time()).unwrap();
        assert_eq!(status(reply), ServingStatus::SERVING, "{name}");
    }
}
