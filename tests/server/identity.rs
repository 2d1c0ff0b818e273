//! Who gets in, and who does not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use grpcio::{ChannelCredentials, ChannelCredentialsBuilder, RpcStatusCode};
use varve::proto::log_grpc::LogClient;
use varve::server::{Server, ServerOptions, StartError, Transport};
use varve::tls::Subject;

use crate::pki::{Authority, DAY_S, Wish};
use crate::world::{
    Records, World, code, connect, failure, in_time, record, rules, with_certificate,
};

/// A handshake that fails is, for a client, a server that is not there.
fn is_shut_out<T>(outcome: grpcio::Result<T>) {
    assert_eq!(code(outcome), RpcStatusCode::UNAVAILABLE);
}

fn has_no_record(world: &World) {
    assert_eq!(world.logs.get("default").unwrap().bounds().end.get(), 0);
}

#[test]
fn without_a_certificate_nobody_gets_in() {
    let world = World::new();
    let credentials = ChannelCredentialsBuilder::new().root_cert(world.authority.pem()).build();
    let client = LogClient::new(connect(world.port(), credentials));
    is_shut_out(client.produce_opt(&record("x"), in_time()));
    has_no_record(&world);
}

#[test]
fn in_plaintext_nobody_gets_in() {
    let world = World::new();
    let client = LogClient::new(connect(world.port(), ChannelCredentials::insecure()));
    is_shut_out(client.produce_opt(&record("x"), in_time()));
    has_no_record(&world);
}

#[test]
fn a_certificate_of_another_authority_is_refused() {
    let world = World::new();
    // Of the same name, but with another key.
    let other = Authority::new("Varve test CA");
    is_shut_out(world.produce_as(&other.client("root")));
    has_no_record(&world);
}

#[test]
fn an_expired_certificate_is_refused() {
    let world = World::new();
    let expired = world.authority.issue(&Wish { seconds: -DAY_S, ..Wish::client("root") });
    is_shut_out(world.produce_as(&expired));
    has_no_record(&world);
}

#[test]
fn a_certificate_that_runs_out_cuts_the_streams_that_it_opened() {
    let world = World::new();
    let short = world.authority.issue(&Wish { seconds: 4, ..Wish::client("root") });
    let began = Instant::now();
    let mut records = Records::open(&LogClient::new(world.channel_as(&short)), 0);
    let mut lasting = Records::open(&world.client("root"), 0);
    world.client("root").produce_opt(&record("x"), in_time()).unwrap();
    assert_eq!(records.next().unwrap(), (0, b"x".to_vec()));
    let told = failure(records.next());
    assert_eq!(told.code, i32::from(RpcStatusCode::UNAUTHENTICATED));
    assert_eq!(told.info.reason, "CERTIFICATE_EXPIRED");
    // Its end has whole seconds.
    assert!(began.elapsed() > Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(lasting.next().unwrap(), (0, b"x".to_vec()));
}

#[test]
fn a_servers_certificate_is_no_clients() {
    let world = World::new();
    let server = world.authority.issue(&Wish { is_server: true, ..Wish::client("root") });
    is_shut_out(world.produce_as(&server));
    has_no_record(&world);
}

#[test]
fn a_spiffe_name_is_the_subject_whatever_the_common_name_says() {
    let uri = "spiffe://example.org/billing";
    let world =
        World::with(|options| options.rules = rules("p, spiffe://example.org/billing, *, *"));
    let named = Wish { uri: Some(uri), ..Wish::client("root") };
    assert_eq!(world.produce_as(&world.authority.issue(&named)).unwrap().offset, 0);
    let failure = failure(world.produce_as(&world.authority.client("root")));
    assert_eq!(failure.message, "root not permitted to produce to default");
}

#[test]
fn a_certificate_that_names_nobody_is_denied() {
    let world = World::with(|options| options.rules = rules("p, root, *, *"));
    let nameless = Wish { common_name: None, ..Wish::client("") };
    let odd = Wish { uri: Some("https://example.org/root"), ..Wish::client("root") };
    for wish in [nameless, odd] {
        let outcome = world.produce_as(&world.authority.issue(&wish));
        let Err(grpcio::Error::RpcFailure(status)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(status.code(), RpcStatusCode::PERMISSION_DENIED);
        let reason = "the client's certificate names no usable subject";
        assert!(status.message().starts_with(reason), "{status:?}");
    }
    has_no_record(&world);
}

#[test]
fn a_replaced_certificate_and_authority_hold_for_new_connections() {
    let world = World::new();
    let early = world.client("root");
    early.produce_opt(&record("x"), in_time()).unwrap();
    let next = Authority::new("Varve test CA, the next");
    world.server().replace_credentials(world.credentials_of(&next));
    let credentials = with_certificate(&next, &next.client("root"));
    let late = LogClient::new(connect(world.port(), credentials));
    assert_eq!(late.produce_opt(&record("x"), in_time()).unwrap().offset, 1);
    // The old authority's clients keep the connections they have, and get no others.
    assert_eq!(early.produce_opt(&record("x"), in_time()).unwrap().offset, 2);
    is_shut_out(world.produce_as(&world.authority.client("root")));
}

#[test]
fn on_a_plaintext_listener_everyone_is_the_one_subject() {
    let world = World::with(|options| {
        options.transport = Transport::Plaintext { subject: Subject::new("anonymous").unwrap() };
        options.rules = rules("p, anonymous, default, produce");
    });
    let client = LogClient::new(connect(world.port(), ChannelCredentials::insecure()));
    assert_eq!(client.produce_opt(&record("x"), in_time()).unwrap().offset, 0);
    let failure = failure(client.consume_opt(&crate::world::at(0), in_time()));
    assert_eq!(failure.message, "anonymous not permitted to consume to default");
}

#[test]
fn a_plaintext_listener_on_a_public_address_does_not_start() {
    let world = World::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let listen: SocketAddr = address.parse().unwrap();
        let subject = Subject::new("anonymous").unwrap();
        let options =
            ServerOptions::new(listen, Transport::Plaintext { subject }, rules("p, a, *, *"));
        let error = Server::start(options, Arc::clone(&world.logs)).unwrap_err();
        assert!(matches!(error, StartError::PublicPlaintext { .. }), "{address}: {error}");
    }
}
