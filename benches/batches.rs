//! How fast batches go in and out over mutual TLS, with client and server in one process.
//!
//! `cargo bench --bench batches [-- DIRECTORY]` makes certificates, starts a server on a free
//! loopback port with its data below DIRECTORY, and measures one connection: a produce stream of
//! batches of 1,000 records of 100 bytes, each acknowledged after its sync, then a consume stream
//! over what that wrote, once as bytes and once decoded by the generated code.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::as_conversions, missing_docs)]
#![allow(clippy::indexing_slicing, unreachable_pub)]

#[path = "rig.rs"]
mod rig;

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use grpcio::{CallOption, Channel, GrpcSlice, Marshaller, Method, MethodType, WriteFlags};
use protobuf::{EnumOrUnknown, Message as _};
use varve::log::{DEFAULT_LOG, Logs, Options, OsDisk};
use varve::proto::log_service::consume_request::Start;
use varve::proto::log_service::{
    ConsumeRequest, ConsumeResponse, Durability, ProduceRequest, ProduceResponse,
};
use varve::proto::record::Record;

use rig::{cpu_time, median};

const RECORD_BYTES: usize = 100;
const BATCH_RECORDS: usize = 1000;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);

fn main() {
    let (scratch, certificates) = rig::scratch();
    let data = scratch.path().join("data");
    let logs = Logs::open(&data, Arc::new(OsDisk::new()), Options::default()).unwrap();
    let server = certificates.serve(&logs);
    println!(
        "medians of {ROUNDS} rounds of about {ROUND:?}, batches of {BATCH_RECORDS} x \
         {RECORD_BYTES} B, one connection, mutual TLS; CPU is that of server and client together"
    );
    let channel = certificates.channel(server.port());
    report("produce, synced", || produce(&channel));
    let end = logs.get(DEFAULT_LOG).unwrap().bounds().end.get();
    report("consume, as bytes", || consume(&channel, end, &RAW, next_offset));
    let decode = |message: &[u8]| ConsumeResponse::parse_from_bytes(message).unwrap().next_offset;
    report("consume, decoded", || consume(&channel, end, &RAW, decode));
    let _stopped = server.shutdown();
    logs.close().unwrap();
}

/// Runs rounds of `work`, which returns how many records it moved.
fn report(name: &str, mut work: impl FnMut() -> u64) {
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (began, cpu) = (Instant::now(), cpu_time());
        let records = work() as f64;
        rates.push(records / began.elapsed().as_secs_f64());
        costs.push((cpu_time() - cpu).as_secs_f64() * 1e9 / records);
    }
    println!("{name}: {:.0} records/s, {:.0} ns of CPU per record", median(rates), median(costs));
}

/// Requests that are encoded once and sent again and again.
static APPEND: Method<Vec<u8>, ProduceResponse> = Method {
    ty: MethodType::Duplex,
    name: "/varve.v1.Log/ProduceStream",
    req_mar: Marshaller { ser: put, de: take },
    resp_mar: Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
};

static RAW: Method<ConsumeRequest, Vec<u8>> = Method {
    ty: MethodType::ServerStreaming,
    name: "/varve.v1.Log/ConsumeStream",
    req_mar: Marshaller { ser: grpcio::pb_ser, de: grpcio::pb_de },
    resp_mar: Marshaller { ser: put, de: take },
};

#[allow(clippy::ptr_arg)] // The marshaller's signature.
fn put(message: &Vec<u8>, slice: &mut GrpcSlice) -> grpcio::Result<()> {
    *slice = GrpcSlice::from(message.clone());
    Ok(())
}

fn take(mut reader: grpcio::MessageReader) -> grpcio::Result<Vec<u8>> {
    let mut message = Vec::with_capacity(reader.len());
    reader.read_to_end(&mut message).unwrap();
    Ok(message)
}

fn produce(channel: &Channel) -> u64 {
    let record = Record { value: vec![7; RECORD_BYTES].into(), ..Record::default() };
    let request = ProduceRequest {
        log: DEFAULT_LOG.to_owned(),
        records: vec![record; BATCH_RECORDS],
        durability: EnumOrUnknown::new(Durability::DURABILITY_SYNCED),
        ..ProduceRequest::default()
    };
    let request = request.write_to_bytes().unwrap();
    let client = grpcio::Client::new(channel.clone());
    let (mut sink, mut replies) = client.duplex_streaming(&APPEND, CallOption::default()).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    client.spawn(async move {
        while !stopped.load(Ordering::Relaxed) {
            sink.send((request.clone(), WriteFlags::default())).await.unwrap();
        }
        sink.close().await.unwrap();
    });
    let (tell, told) = std::sync::mpsc::channel();
    client.spawn(async move {
        let began = Instant::now();
        let mut acknowledged = 0;
        while let Some(reply) = replies.next().await {
            let reply = reply.unwrap();
            acknowledged += reply.next_offset - reply.base_offset;
            if began.elapsed() > ROUND {
                stop.store(true, Ordering::Relaxed);
            }
        }
        tell.send(acknowledged).unwrap();
    });
    told.recv().unwrap()
}

/// Reads all below `end`, or as much of it as comes in a round.
fn consume(
    channel: &Channel,
    end: u64,
    method: &'static Method<ConsumeRequest, Vec<u8>>,
    next_offset: impl Fn(&[u8]) -> u64 + Send + Sync + 'static,
) -> u64 {
    let client = grpcio::Client::new(channel.clone());
    let request = ConsumeRequest {
        log: DEFAULT_LOG.to_owned(),
        start: Some(Start::Offset(0)),
        ..ConsumeRequest::default()
    };
    let mut replies = client.server_streaming(method, &request, CallOption::default()).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    client.spawn(async move {
        let (began, mut next) = (Instant::now(), 0);
        while next < end && began.elapsed() < ROUND {
            next = next_offset(&replies.next().await.unwrap().unwrap());
        }
        tell.send(next).unwrap();
    });
    told.recv().unwrap()
}

/// `ConsumeResponse.next_offset`, past the batches without a look into them.
fn next_offset(message: &[u8]) -> u64 {
    let mut input = protobuf::CodedInputStream::from_bytes(message);
    let mut next = 0;
    while let Some(tag) = input.read_raw_tag_or_eof().unwrap() {
        match tag >> 3 {
            3 => next = input.read_uint64().unwrap(),
            _ if tag & 7 == 2 => {
                let bytes = input.read_raw_varint32().unwrap();
                input.skip_raw_bytes(bytes).unwrap();
            }
            _ => drop(input.read_uint64().unwrap()),
        }
    }
    next
}
