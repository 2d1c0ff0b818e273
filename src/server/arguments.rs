//! The transport's settings, each against something that its default allows.

use std::ffi::CStr;
use std::sync::Arc;
use std::time::Duration;

use grpcio::{ChannelBuilder, Environment};

use super::options::ServerOptions;
use crate::service::Limits;

/// A peer that does not answer a keepalive ping for this long is gone.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// Clients may ping this often on a connection without data.
const PING_INTERVAL_MIN: Duration = Duration::from_secs(10);
/// A client that pings oftener is disconnected after this many pings.
const PING_STRIKES_MAX: i32 = 2;
/// A connection that has not finished its handshake by then is closed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Of the algorithms only `identity`: a compressed message could inflate without a bound.
const ALGORITHMS_IDENTITY_ONLY: i32 = 1;
/// Calls at once on a connection, beyond what our own limits say about streams and unary calls, so
/// that those are what a client meets, with their reasons.
const SPARE_STREAMS: usize = 64;
/// Small messages gather in a buffer of this size before it is sent.
const WRITE_BUFFER_BYTES: i32 = 256 * 1024;

/// The settings for `options`, for connections that `environment` polls.
pub(super) fn builder(options: &ServerOptions, environment: &Arc<Environment>) -> ChannelBuilder {
    let limits = &options.limits;
    let streams = calls_per_connection_max(limits);
    let builder = ChannelBuilder::new(Arc::clone(environment))
        // By default a second server binds the same port in silence.
        .reuse_port(false)
        .max_receive_message_len(i32::try_from(limits.message_bytes_max).unwrap_or(i32::MAX))
        .max_concurrent_stream(i32::try_from(streams).unwrap_or(i32::MAX))
        .http2_write_buffer_size(WRITE_BUFFER_BYTES)
        .keepalive_time(options.keepalive)
        .keepalive_timeout(KEEPALIVE_TIMEOUT)
        .keepalive_permit_without_calls(true)
        // Streams that wait at a log's tail have no data for hours and are pinged all the same.
        .http2_max_pings_without_data(0)
        .http2_min_recv_ping_interval_without_data(PING_INTERVAL_MIN)
        .http2_max_ping_strikes(PING_STRIKES_MAX);
    [
        (c"grpc.compression_enabled_algorithms_bitset", ALGORITHMS_IDENTITY_ONLY),
        (c"grpc.server_handshake_timeout_ms", millis(HANDSHAKE_TIMEOUT)),
        (c"grpc.max_connection_idle_ms", millis(options.connection_idle_max)),
        (c"grpc.max_connection_age_ms", millis(options.connection_age_max)),
        (c"grpc.max_connection_age_grace_ms", millis(options.connection_age_grace)),
    ]
    .into_iter()
    .fold(builder, |builder, (name, value): (&CStr, i32)| builder.raw_cfg_int(name.into(), value))
}

/// How many calls and streams a server that starts with `limits` takes at once on a connection.
pub(crate) fn calls_per_connection_max(limits: &Limits) -> usize {
    calls_of_subject_max(limits) + SPARE_STREAMS
}

/// How many `limits` let a subject have at once on a connection. Calls that wait for a record are
/// counted apart, by the same limit.
pub(crate) fn calls_of_subject_max(limits: &Limits) -> usize {
    limits.streams_per_connection_max + 2 * limits.calls_per_subject_max
}

/// The transport takes its largest number for "never".
fn millis(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}
