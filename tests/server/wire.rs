//! Requests that no well-behaved client sends.

use grpcio::{Client, GrpcSlice, Marshaller, MessageReader, Method, MethodType, RpcStatusCode};
use std::io::Read as _;

use crate::world::{World, code, failure, in_time};

const PRODUCE: &str = "/varve.v1.Log/Produce";
const CONSUME: &str = "/varve.v1.Log/Consume";

const fn raw(name: &'static str) -> Method<Vec<u8>, Vec<u8>> {
    const BYTES: Marshaller<Vec<u8>> = Marshaller {
        ser: |bytes: &Vec<u8>, slice: &mut GrpcSlice| {
            *slice = GrpcSlice::from(bytes.clone());
            Ok(())
        },
        de: |mut reader: MessageReader| {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            Ok(bytes)
        },
    };
    Method { ty: MethodType::Unary, name, req_mar: BYTES, resp_mar: BYTES }
}

#[test]
fn what_is_no_message_is_an_invalid_argument() {
    let world = World::new();
    let client = Client::new(world.channel("root"));
    for name in ["/log.v1.Log/Produce", "/log.v1.Log/Consume"] {
        let method = raw(name);
        for bytes in [&b"\xff"[..], b"\x0a\x05abc", b"\x0b\x0c", &[0x08; 1]] {
            let failure = failure(client.unary_call(&method, &bytes.to_vec(), in_time()));
            assert_eq!(failure.code, i32::from(RpcStatusCode::INVALID_ARGUMENT), "{bytes:x?}");
            assert_eq!(failure.info.reason, "REQUEST_MALFORMED", "{bytes:x?}");
        }
    }
}

#[test]
fn only_the_exact_paths_are_methods() {
    let world = World::new();
    let client = Client::new(world.channel("root"));
    for name in [
        "/log.v1.Log/produce",
        "/log.v1.Log/Produce/",
        "//log.v1.Log/Produce",
        "/log.v1.Log/Produce?x",
        "/log.v1.Log/%50roduce",
        "/log.v1.log/Produce",
        "/log.v1.Log/",
        "/",
    ] {
        let outcome = client.unary_call(&raw(name), &b"\x0a\x00".to_vec(), in_time());
        assert_eq!(code(outcome), RpcStatusCode::UNIMPLEMENTED, "{name}");
    }
    assert_eq!(world.logs.get("default").unwrap().bounds().end.get(), 0);
}

#[test]
fn a_compressed_message_is_refused() {
    let world = World::new();
    let channel = grpcio::ChannelBuilder::new(crate::world::environment())
        .default_compression_algorithm(grpcio::CompressionAlgorithms::GRPC_COMPRESS_GZIP)
        .set_credentials(crate::world::with_certificate(
            &world.authority,
            &world.authority.client("root"),
        ))
        .connect(&format!("127.0.0.1:{}", world.port()));
    // A message of zeros, which any compression shrinks.
    let mut bytes = vec![0x0a, 0x84, 0x50, 0x0a, 0x80, 0x50];
    bytes.resize(bytes.len() + 10 * 1024 + 1, 0);
    let outcome = Client::new(channel).unary_call(&raw("/log.v1.Log/Produce"), &bytes, in_time());
    assert_eq!(code(outcome), RpcStatusCode::UNIMPLEMENTED);
}

#[test]
fn a_record_that_is_no_message_and_text_that_is_not_utf_8_are_refused_with_their_place() {
    let world = World::new();
    let client = Client::new(world.channel("root"));
    for (method, message, reason, field) in [
        // A record that ends in the middle of its value.
        (
            PRODUCE,
            &b"\x0a\x00\x0a\x02\x0a\x05\x12\x07default"[..],
            "RECORD_MALFORMED",
            "records[1]",
        ),
        (
            PRODUCE,
            b"\x0a\x0a\x1a\x03\x0a\x01n\x1a\x03\x0a\x01\xff\x12\x07default",
            "RECORD_MALFORMED",
            "records[0].headers[1].name",
        ),
        (PRODUCE, b"\x0a\x00\x12\x02x\xff", "TEXT_MALFORMED", "log"),
        (CONSUME, b"\x0a\x02x\xff", "TEXT_MALFORMED", "log"),
    ] {
        let told = failure(client.unary_call(&raw(method), &message.to_vec(), in_time()));
        assert_eq!(told.code, i32::from(RpcStatusCode::INVALID_ARGUMENT), "{message:x?}");
        assert_eq!((&*told.info.reason, told.value("field")), (reason, field), "{message:x?}");
    }
    assert_eq!(world.logs.get("default").unwrap().bounds().end.get(), 0);
}
