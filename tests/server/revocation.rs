//! Certificates that are taken back while their clients are connected.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grpcio::RpcStatusCode;
use openssl::hash::MessageDigest;
use openssl::x509::X509;
use varve::proto::log_grpc::LogClient;
use varve::service::Rules;
use varve::tls::{RevocationFiles, Revocations};

use crate::pki::{DAY_S, Identity};
use crate::world::{
    Failure, Producer, ROOT, Records, World, at, failure, in_time, record, rules, within_a_second,
};

/// The files that say what is revoked; an empty one is absent.
#[derive(Default)]
struct Taken {
    list: Vec<u8>,
    deny_list: String,
    requires_fresh_lists: bool,
}

impl Taken {
    fn of(world: &World, revoked: &[&Identity]) -> Self {
        Self { list: world.authority.revocation_list(revoked, DAY_S), ..Self::default() }
    }

    fn denied(identity: &Identity) -> Self {
        let certificate = X509::from_pem(&identity.certificate).unwrap();
        let digest = certificate.digest(MessageDigest::sha256()).unwrap();
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { deny_list: format!("fingerprint, {digits}\n"), ..Self::default() }
    }

    /// Puts it in force.
    fn apply(&self, world: &World) {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = directory.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let lists = file("crl.pem", &self.list);
        let deny_list = file("deny.csv", self.deny_list.as_bytes());
        let revocations = Revocations::load(RevocationFiles {
            lists: (!self.list.is_empty()).then_some(&*lists),
            deny_list: Some(&deny_list),
            authorities: &file("ca.pem", &world.authority.pem()),
            requires_fresh_lists: self.requires_fresh_lists,
        });
        let revocations = Arc::new(revocations.unwrap());
        world.server().replace_rules(Rules { revocations, ..rules(ROOT) });
    }
}

fn is_told(told: &Failure, words: &str) {
    assert_eq!(told.code, i32::from(RpcStatusCode::UNAUTHENTICATED));
    assert!(told.message.contains(words), "{}", told.message);
}

/// What a call on an open connection of the client is told.
fn call(client: &LogClient) -> (RpcStatusCode, String) {
    match client.consume_opt(&at(0), in_time()).unwrap_err() {
        grpcio::Error::RpcFailure(status) => (status.code(), status.message().to_owned()),
        other => panic!("{other:?}"),
    }
}

/// Opens streams of a client and of another, takes the client's certificate back, and looks who is
/// cut.
fn takes_back(taken: impl FnOnce(&World, &Identity) -> Taken, words: &str) {
    let world = World::new();
    let identity = world.authority.client("root");
    let client = LogClient::new(world.channel_as(&identity));
    client.produce_opt(&record("x"), in_time()).unwrap();
    let (mut records, mut producer) = (Records::open(&client, 0), Producer::open(&client));
    let mut kept = Records::open(&world.client("root"), 0);
    records.next().unwrap();
    producer.send(record("y")).unwrap();
    assert_eq!(producer.offset(), 1);
    assert_eq!(records.next().unwrap().0, 1);

    let taken = taken(&world, &identity);
    let began = Instant::now();
    taken.apply(&world);
    let told = failure(records.next());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(told.info.reason, "CERTIFICATE_REVOKED");
    is_told(&told, words);
    is_told(&producer.failure(), words);
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    within_a_second(|| producer.send(record("z")).err());
    let (code, message) = call(&client);
    assert_eq!(code, RpcStatusCode::UNAUTHENTICATED);
    assert!(message.contains(words), "{message}");
    // The same name with another certificate is another matter.
    assert_eq!(world.client("root").produce_opt(&record("z"), in_time()).unwrap().offset, 2);
    let read: Vec<_> = (0..3).map(|_| kept.next().unwrap().0).collect();
    assert_eq!(read, [0, 1, 2]);
}

#[test]
fn what_the_authority_revokes_is_cut_within_a_second() {
    takes_back(|world, identity| Taken::of(world, &[identity]), "revoked by its CA");
}

#[test]
fn what_is_on_the_deny_list_is_cut_within_a_second() {
    takes_back(|_, identity| Taken::denied(identity), "on the server's deny list");
}

#[test]
fn without_a_fresh_list_nobody_is_let_in_if_there_has_to_be_one() {
    let world = World::new();
    let client = world.client("root");
    client.produce_opt(&record("x"), in_time()).unwrap();
    let required = Taken { requires_fresh_lists: true, ..Taken::default() };
    required.apply(&world);
    assert!(call(&client).1.contains("no revocation list"));
    let other = world.authority.client("another");
    let fresh = Taken { requires_fresh_lists: true, ..Taken::of(&world, &[&other]) };
    fresh.apply(&world);
    assert!(client.consume_opt(&at(0), in_time()).is_ok());
}

#[test]
fn a_list_that_runs_out_cuts_streams_if_it_has_to_be_fresh() {
    let world = World::new();
    let other = world.authority.client("another");
    let list = world.authority.revocation_list(&[&other], 3);
    Taken { list, requires_fresh_lists: true, ..Taken::default() }.apply(&world);
    let began = Instant::now();
    let mut records = Records::open(&world.client("root"), 0);
    world.client("root").produce_opt(&record("x"), in_time()).unwrap();
    records.next().unwrap();
    is_told(&failure(records.next()), "out of date");
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
}
