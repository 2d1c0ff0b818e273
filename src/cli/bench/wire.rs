//! Calls whose messages stay bytes, so that the client costs little beside the server it measures.
//!
//! A request is encoded once and shared by all its sendings; a reply with records is left in the
//! transport's buffers until it is walked.

use grpcio::{GrpcSlice, Marshaller, MessageReader, Method, MethodType};

use crate::proto::log_service::{ConsumeRequest, ProduceResponse};

/// An encoded request. A copy shares its bytes.
#[derive(Clone, Debug)]
pub(super) struct Payload(GrpcSlice);

impl Payload {
    pub(super) fn new(message: Vec<u8>) -> Self {
        Self(GrpcSlice::from(message))
    }
}

pub(super) static PRODUCE: Method<Payload, ProduceResponse> =
    produce("/varve.v1.Log/Produce", MethodType::Unary);
pub(super) static PRODUCE_STREAM: Method<Payload, ProduceResponse> =
    produce("/varve.v1.Log/ProduceStream", MethodType::Duplex);
pub(super) static CONSUME: Method<ConsumeRequest, MessageReader> =
    consume("/varve.v1.Log/Consume", MethodType::Unary);
pub(super) static CONSUME_STREAM: Method<ConsumeRequest, MessageReader> =
    consume("/varve.v1.Log/ConsumeStream", MethodType::ServerStreaming);

const fn produce(name: &'static str, ty: MethodType) -> Method<Payload, ProduceResponse> {
    let ser = |payload: &Payload, slice: &mut GrpcSlice| {
        *slice = payload.0.clone();
        Ok(())
    };
    Method {
        ty,
        name,
        req_mar: Marshaller { ser, de: |_| Err(wrong_way()) },
        resp_mar: Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
    }
}

const fn consume(name: &'static str, ty: MethodType) -> Method<ConsumeRequest, MessageReader> {
    Method {
        ty,
        name,
        req_mar: Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
        resp_mar: Marshaller { ser: |_, _| Err(wrong_way()), de: Ok },
    }
}

fn wrong_way() -> grpcio::Error {
    grpcio::Error::Codec("a client neither reads requests nor writes replies".into())
}
