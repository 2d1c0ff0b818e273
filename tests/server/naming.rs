//! What names a call comes back with its answer, and stands in an error.

use futures_executor::block_on;
use grpcio::{CallOption, Metadata, MetadataBuilder};
use varve::proto::admin_service::TrimRequest;
use varve::proto::admin_service_grpc::AdminClient;
use varve::proto::log_grpc::LogClient;
use varve::server::ServerOptions;

use crate::world::{World, at, failure, in_time, record, rules};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn named(id: &str) -> CallOption {
    let mut headers = MetadataBuilder::new();
    headers.add_str("x-request-id", id).unwrap();
    headers.add_str("traceparent", &format!("00-{TRACE}-{PARENT}-01")).unwrap();
    in_time().headers(headers.build())
}

/// The span that the server was, if `headers` name the call `id` and its trace.
fn span(headers: &Metadata, id: &str) -> String {
    let find = |wanted: &str| {
        let value = headers.iter().find(|(key, _)| *key == wanted).map(|(_, value)| value.to_vec());
        String::from_utf8(value.unwrap_or_else(|| panic!("{wanted}: {headers:?}"))).unwrap()
    };
    assert_eq!(find("x-request-id"), id);
    let parent = find("traceparent");
    let parts: Vec<&str> = parent.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[3]), ("00", TRACE, "01"));
    assert_ne!(parts[2], PARENT);
    assert_eq!(parts[2].len(), 16);
    parts[2].to_owned()
}

#[test]
fn a_call_that_names_itself_is_answered_by_that_name() {
    let world = World::new();
    let client = world.client("root");
    let mut produced = client.produce_async_opt(&record("x"), named("one")).unwrap();
    let (headers, reply, _) = produced.receive_sync().unwrap();
    assert_eq!(reply.offset, 0);
    let first = span(&headers, "one");

    let mut consumed = client.consume_async_opt(&at(0), named("two")).unwrap();
    assert_ne!(span(&consumed.receive_sync().unwrap().0, "two"), first, "each call is a span");

    let mut stream = client.consume_stream_opt(&at(0), named("three")).unwrap();
    span(block_on(stream.headers()).unwrap(), "three");
    let (requests, mut replies) = client.produce_stream_opt(named("four")).unwrap();
    let mut requests = requests;
    block_on(async {
        use futures_util::SinkExt as _;
        requests.send((record("y"), grpcio::WriteFlags::default())).await.unwrap();
        span(replies.headers().await.unwrap(), "four");
    });

    let mut unnamed = client.consume_async_opt(&at(0), in_time()).unwrap();
    let (headers, ..) = unnamed.receive_sync().unwrap();
    assert!(!headers.iter().any(|(key, _)| key == "x-request-id" || key == "traceparent"));
}

#[test]
fn an_error_says_which_call_it_ended() {
    let world = World::with(|options: &mut ServerOptions| {
        options.rules = rules("p, root, *, admin");
    });
    let admin = AdminClient::new(world.channel("root"));
    let unnamed_log = TrimRequest::default();
    assert_eq!(failure(admin.trim_opt(&unnamed_log, named("mine"))).request_id, "mine");
    let own = failure(admin.trim_opt(&unnamed_log, in_time())).request_id;
    assert_eq!(own.len(), 16, "{own}");
    let client = LogClient::new(world.channel("root"));
    let denied = failure(client.produce_opt(&record("x"), named("denied")));
    assert_eq!(
        (denied.request_id.as_str(), denied.info.reason.as_str()),
        ("denied", "NOT_PERMITTED")
    );
}

/// A collector that takes one message and hands on its body.
fn collector() -> (String, std::thread::JoinHandle<serde_json::Value>) {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let taken = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(&stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line == "\r\n" {
                break;
            }
            head.push(line.to_lowercase());
        }
        assert!(head[0].starts_with("post /v1/traces"), "{head:?}");
        let length = head.iter().find_map(|line| line.strip_prefix("content-length:")).unwrap();
        let mut body = vec![0; length.trim().parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        (&stream).write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        serde_json::from_slice(&body).unwrap()
    });
    (endpoint, taken)
}

#[test]
fn a_call_of_a_recorded_trace_is_a_span_for_the_collector() {
    let (endpoint, taken) = collector();
    let mut world = World::with(move |options: &mut ServerOptions| {
        options.traces = Some(endpoint);
    });
    let client = world.client("root");
    client.consume_opt(&at(0), in_time()).unwrap_err();
    let mut produced = client.produce_async_opt(&record("x"), named("one")).unwrap();
    let own = span(&produced.receive_sync().unwrap().0, "one");
    // Sends what waits.
    world.shutdown();
    let message = taken.join().unwrap();
    let spans = message["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
    assert_eq!(spans.len(), 1, "the other call was of no trace: {message}");
    let told = |key: &str| spans[0][key].as_str().unwrap();
    assert_eq!([told("traceId"), told("parentSpanId"), told("spanId")], [TRACE, PARENT, &own]);
    assert_eq!(told("name"), "log.v1.Log/Produce");
    let nanos = |key: &str| told(key).parse::<u64>().unwrap();
    assert!(nanos("startTimeUnixNano") < nanos("endTimeUnixNano"));
    assert_eq!(spans[0]["kind"], 2);
    let attributes = spans[0]["attributes"].to_string();
    assert!(attributes.contains(r#""enduser.id","value":{"stringValue":"root"}"#), "{attributes}");
}

#[test]
fn a_collector_that_is_not_there_delays_nobody() {
    let mut world = World::with(|options: &mut ServerOptions| {
        options.traces = Some("http://127.0.0.1:1/v1/traces".to_owned());
    });
    let client = world.client("root");
    for n in 0..20 {
        client.produce_opt(&record("x"), named(&n.to_string())).unwrap();
    }
    assert!(!world.shutdown().calls_cancelled);
}
