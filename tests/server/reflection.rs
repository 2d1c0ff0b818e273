//! `grpc.reflection.v1` and `v1alpha`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_executor::block_on;
use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{
    Channel, Client, ClientDuplexReceiver, ClientDuplexSender, Marshaller, Method, MethodType,
    RpcStatusCode, WriteFlags, pb_de, pb_ser,
};
use protobuf::Message as _;
use protobuf::descriptor::FileDescriptorProto;
use varve::proto::health::HealthCheckRequest;
use varve::proto::health_grpc::HealthClient;
use varve::proto::reflection::server_reflection_request::Message_request as Asked;
use varve::proto::reflection::server_reflection_response::Message_response as Answer;
use varve::proto::reflection::{ServerReflectionRequest, ServerReflectionResponse};
use varve::server::Stopped;

use crate::world::{World, failure, in_time, within_a_second};

const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

type Encode<T> = fn(&T, &mut grpcio::GrpcSlice) -> grpcio::Result<()>;

/// An open stream of requests of type `Q` with its replies.
struct Asking<Q> {
    requests: ClientDuplexSender<Q>,
    replies: ClientDuplexReceiver<ServerReflectionResponse>,
    /// Without it the stream would end.
    _client: Client,
}

impl Asking<ServerReflectionRequest> {
    fn open(channel: Channel, name: &'static str) -> Self {
        Asking::with(channel, name, pb_ser)
    }

    fn ask(&mut self, asked: Asked) -> grpcio::Result<Answer> {
        block_on(self.requests.send((about(asked), WriteFlags::default())))?;
        self.next().expect("the stream has not ended")
    }
}

impl<Q> Asking<Q> {
    fn with(channel: Channel, name: &'static str, ser: Encode<Q>) -> Self {
        let de = |_| unreachable!("a client reads no requests");
        let method = Method {
            ty: MethodType::Duplex,
            name,
            req_mar: Marshaller { ser, de },
            resp_mar: Marshaller { ser: pb_ser, de: pb_de },
        };
        let client = Client::new(channel);
        let (requests, replies) = client.duplex_streaming(&method, in_time()).unwrap();
        Self { requests, replies, _client: client }
    }

    fn next(&mut self) -> Option<grpcio::Result<Answer>> {
        block_on(self.replies.next()).map(|reply| Ok(reply?.message_response.unwrap()))
    }
}

fn about(asked: Asked) -> ServerReflectionRequest {
    ServerReflectionRequest { message_request: Some(asked), ..Default::default() }
}

fn list() -> Asked {
    Asked::ListServices(String::new())
}

#[test]
fn both_names_tell_anyone_with_a_certificate_the_services_and_their_files() {
    let world = World::new();
    for name in [V1, V1ALPHA] {
        let mut stream = Asking::open(world.channel("nobody"), name);
        let Ok(Answer::ListServicesResponse(services)) = stream.ask(list()) else {
            panic!("no list")
        };
        for service in services.service.iter().map(|service| service.name.clone()) {
            let asked = Asked::FileContainingSymbol(service.clone());
            let Ok(Answer::FileDescriptorResponse(files)) = stream.ask(asked) else {
                panic!("no file of {service}")
            };
            let file = FileDescriptorProto::parse_from_bytes(&files.file_descriptor_proto[0]);
            let file = file.unwrap();
            let declares = |s: &str| format!("{}.{s}", file.package()) == service;
            assert!(file.service.iter().any(|s| declares(s.name())), "{service}");
        }
        // What is not found does not end the stream; the client does.
        let Ok(Answer::ErrorResponse(error)) = stream.ask(Asked::FileByFilename("x".into())) else {
            panic!("no error")
        };
        assert_eq!(error.error_code, i32::from(RpcStatusCode::NOT_FOUND));
        assert!(stream.ask(list()).is_ok());
        block_on(stream.requests.close()).unwrap();
        assert!(stream.next().is_none());
    }
}

/// A reply repeated a name of any length, five times as long in its text.
#[test]
fn a_request_that_is_too_long_is_told_so_in_few_bytes_and_the_stream_goes_on() {
    let world = World::new();
    let mut stream = Asking::open(world.channel("nobody"), V1);
    let long = "\u{1}".repeat(2 << 20);
    let host = || ServerReflectionRequest { host: long.clone(), ..about(list()) };
    for request in [about(Asked::FileByFilename(long.clone())), host()] {
        block_on(stream.requests.send((request, WriteFlags::default()))).unwrap();
        let reply = block_on(stream.replies.next()).unwrap().unwrap();
        assert!(reply.compute_size() < 100, "{} bytes", reply.compute_size());
        let Some(Answer::ErrorResponse(error)) = reply.message_response else { panic!("no error") };
        assert_eq!(error.error_code, i32::from(RpcStatusCode::INVALID_ARGUMENT));
    }
    assert!(stream.ask(list()).is_ok());
}

#[test]
fn what_is_no_message_ends_the_stream() {
    let world = World::new();
    let ser: Encode<Vec<u8>> = |bytes, slice| {
        *slice = bytes.clone().into();
        Ok(())
    };
    let mut stream = Asking::with(world.channel("nobody"), V1, ser);
    let list = about(list()).write_to_bytes().unwrap();
    block_on(stream.requests.send((list, WriteFlags::default()))).unwrap();
    assert!(stream.next().unwrap().is_ok());
    // The stream may have failed before this is told to be sent; the next reply says how.
    let _sent = block_on(stream.requests.send((b"\xff".to_vec(), WriteFlags::default())));
    let failure = failure(stream.next().unwrap());
    assert_eq!(failure.code, i32::from(RpcStatusCode::INVALID_ARGUMENT));
    assert_eq!(failure.info.reason, "REQUEST_MALFORMED");
}

#[test]
fn a_stream_holds_a_slot_until_it_ends() {
    let world = World::with(|options| options.limits.streams_max = 1);
    let mut first = Asking::open(world.channel("nobody"), V1);
    first.ask(list()).unwrap();
    let mut second = Asking::open(world.channel("nobody"), V1);
    assert_eq!(failure(second.next().unwrap()).info.reason, "OVER_LIMIT");
    drop(first);
    within_a_second(|| Asking::open(world.channel("nobody"), V1).ask(list()).ok());
}

const CLEAN: Stopped = Stopped { calls_cancelled: false, threads_left: 0 };

#[test]
fn a_stop_ends_an_open_stream() {
    let mut world = World::new();
    let mut stream = Asking::open(world.channel("nobody"), V1ALPHA);
    stream.ask(list()).unwrap();
    assert_eq!(world.shutdown(), CLEAN);
    assert_eq!(failure(stream.next().unwrap()).info.reason, "STOPPING");
}

#[test]
fn a_client_that_reads_nothing_does_not_delay_a_stop() {
    let mut world = World::new();
    let mut stream = Asking::open(world.channel("nobody"), V1);
    stream.ask(list()).unwrap();
    let request = about(Asked::FileContainingSymbol("varve.v1.Log".into()));
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let flood = std::thread::spawn(move || {
        while block_on(stream.requests.send((request.clone(), WriteFlags::default()))).is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    // Until no more is taken, because nobody takes the replies.
    let others = HealthClient::new(world.channel("nobody"));
    let mut before = usize::MAX;
    while before != sent.load(Ordering::SeqCst) {
        before = sent.load(Ordering::SeqCst);
        for _ in 0..200 {
            others.check_opt(&HealthCheckRequest::default(), in_time()).unwrap();
        }
    }
    assert_eq!(world.shutdown(), CLEAN);
    flood.join().unwrap();
}
