//! What a running server holds for clients that do not take what they asked for.

use std::time::Duration;

use futures_executor::block_on;
use futures_util::StreamExt as _;
use grpcio::{ChannelBuilder, ChannelCredentialsBuilder, ClientSStreamReceiver};
use varve::proto::log_service::{ConsumeRequest, ConsumeResponse, ProduceRequest};
use varve::proto::log_service_grpc::LogClient;
use varve::proto::record::Record;

use super::site::{Running, Site};
use crate::world::{environment, in_time};

const LOG: &str = "default";
const STALLED: usize = 20;

fn client(site: &Site, server: &Running) -> LogClient {
    let read = |name: &str| std::fs::read(site.path(name)).unwrap();
    let credentials = ChannelCredentialsBuilder::new()
        .root_cert(read("ca.pem"))
        .cert(read("root.pem"), read("root-key.pem"))
        .build();
    let channel = ChannelBuilder::new(environment())
        .use_local_subchannel_pool(true)
        .set_credentials(credentials)
        .connect(&server.address);
    LogClient::new(channel)
}

fn anonymous_kib(server: &Running) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn open(client: &LogClient) -> ClientSStreamReceiver<ConsumeResponse> {
    let request = ConsumeRequest { log: LOG.to_owned(), ..ConsumeRequest::default() };
    client.consume_stream_opt(&request, in_time()).unwrap()
}

/// How long they stall: VARVE_STALL_S seconds, 3 unless set.
fn stall() -> Duration {
    let seconds = std::env::var("VARVE_STALL_S").map_or(3, |text| text.parse().unwrap());
    Duration::from_secs(seconds)
}

#[test]
fn memory_stays_flat_while_consumers_stop_reading() {
    let site = Site::new();
    let server = site.serve();
    let writer = client(&site, &server);
    let record = Record { value: vec![b'x'; 1000].into(), ..Record::default() };
    let request = ProduceRequest {
        log: LOG.to_owned(),
        records: vec![record; 100],
        ..ProduceRequest::default()
    };
    let fill = || (0..200).for_each(|_| drop(writer.produce_opt(&request, in_time()).unwrap()));
    fill();
    let before_kib = anonymous_kib(&server);
    let slow = client(&site, &server);
    let mut streams: Vec<_> = (0..STALLED).map(|_| open(&slow)).collect();
    for stream in &mut streams {
        block_on(stream.next()).unwrap().unwrap();
    }
    fill();
    let first_kib = anonymous_kib(&server);
    let each_kib = first_kib.saturating_sub(before_kib) / STALLED as u64;
    println!("{each_kib} KiB for each of {STALLED} consumers that stopped reading");
    // What is read at once, what waits, and what the transport holds of it.
    assert!(each_kib < 4096, "{each_kib} KiB each");
    std::thread::sleep(stall());
    fill();
    let last_kib = anonymous_kib(&server);
    println!("{first_kib} KiB at first, {last_kib} KiB after {:?}", stall());
    assert!(last_kib < first_kib + 8 * 1024, "{first_kib} KiB, then {last_kib} KiB");
    drop(streams);
}
