//! A look at the server: versions, limits, the state of its disk.

use std::collections::HashMap;
use std::time::UNIX_EPOCH;

use openssl::md::Md;

use super::wide;
use crate::log::{FORMAT_VERSION, Options, Percentiles};
use crate::proto::admin_service::{
    GetServerInfoRequest, GetServerInfoResponse, LatencyPercentiles,
};
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::limits::Limits;
use crate::service::refusal::Refusal;

/// The version of gRPC's C core, which the binding does not tell.
pub(crate) const GRPC_VERSION: &str = "1.56.2";

pub(super) fn get(
    backend: &Backend,
    caller: &Caller,
    _: &GetServerInfoRequest,
) -> Result<GetServerInfoResponse, Refusal> {
    let logs = backend.guard.oversee(caller)?;
    let (free_bytes, min_free_bytes) = logs.space().map_err(Refusal::Files)?;
    let started = backend.started_at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(GetServerInfoResponse {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        format_version: u32::from(FORMAT_VERSION),
        openssl_version: openssl::version::version().to_owned(),
        openssl_fips: is_fips(),
        grpc_version: GRPC_VERSION.to_owned(),
        subject: caller.subject().as_str().to_owned(),
        transport_security: backend.guard.transport_security().to_owned(),
        start_time_us: u64::try_from(started.as_micros()).unwrap_or(u64::MAX),
        logs: u32::try_from(logs.list().len()).unwrap_or(u32::MAX),
        free_bytes,
        min_free_bytes,
        sync_latency: Some(latency(logs.sync_latency())).into(),
        limits: limits(&backend.limits(), logs.options()),
        ..GetServerInfoResponse::default()
    })
}

/// Whether OpenSSL has its FIPS provider and takes algorithms from it alone: what that does not
/// have is then not to be had.
pub(crate) fn is_fips() -> bool {
    Md::fetch(None, "SHA2-256", Some("fips=yes")).is_ok() && Md::fetch(None, "MD5", None).is_err()
}

fn latency(percentiles: Percentiles) -> LatencyPercentiles {
    let Percentiles { p50_us, p90_us, p99_us, max_us } = percentiles;
    LatencyPercentiles { p50_us, p90_us, p99_us, max_us, ..LatencyPercentiles::default() }
}

/// Every limit by its name in the configuration.
fn limits(limits: &Limits, options: &Options) -> HashMap<String, u64> {
    // Taken apart, so that a limit that is added is missed here.
    let Limits {
        streams_per_connection_max,
        streams_per_subject_max,
        streams_max,
        calls_per_subject_max,
        calls_max,
        queued_reads_max,
        stream_unacknowledged_max,
        stream_unacknowledged_bytes_max,
        record_bytes_max,
        message_bytes_max,
        append_bytes_per_subject_per_s,
        appends_per_subject_per_s,
    } = *limits;
    let defaults = &options.defaults;
    [
        ("limits.streams_per_connection_max", wide(streams_per_connection_max)),
        ("limits.streams_per_subject_max", wide(streams_per_subject_max)),
        ("limits.streams_max", wide(streams_max)),
        ("limits.calls_per_subject_max", wide(calls_per_subject_max)),
        ("limits.calls_max", wide(calls_max)),
        ("limits.queued_reads_max", wide(queued_reads_max)),
        ("limits.stream_unacknowledged_max", wide(stream_unacknowledged_max)),
        ("limits.stream_unacknowledged_bytes_max", wide(stream_unacknowledged_bytes_max)),
        ("limits.record_bytes_max", wide(record_bytes_max)),
        ("limits.message_bytes_max", u64::from(message_bytes_max)),
        ("limits.append_bytes_per_subject_per_s", append_bytes_per_subject_per_s),
        ("limits.appends_per_subject_per_s", appends_per_subject_per_s),
        ("limits.producers_per_log_max", wide(options.producers_max)),
        ("limits.readers_per_log_max", wide(options.readers_per_log_max)),
        ("storage.pending_bytes_max", options.pending_bytes_max),
        ("storage.open_segments_max", wide(options.open_segments_max)),
        ("storage.logs_max", wide(options.logs_max)),
        ("log.segment_bytes_max", defaults.segment_bytes_max),
        ("log.index_bytes_max", defaults.index_bytes_max),
        ("log.batch_bytes_max", u64::from(defaults.batch_bytes_max)),
    ]
    .into_iter()
    .map(|(name, limit)| (name.to_owned(), limit))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_the_core_is_the_one_that_is_built() {
        let lock = std::fs::read_to_string("Cargo.lock").unwrap();
        let (_, package) = lock.split_once("name = \"grpcio-sys\"\n").unwrap();
        let version = package.lines().next().unwrap();
        assert!(version.contains(&format!("+{GRPC_VERSION}-")), "{version}");
    }

    #[test]
    fn limits_have_the_names_of_the_configuration() {
        let manual = std::fs::read_to_string("docs/OPERATIONS.md").unwrap();
        let told = limits(&Limits::default(), &Options::default());
        for name in told.keys() {
            assert!(manual.contains(&format!("| `{name}` |")), "{name}");
        }
        let keys = manual.lines().filter(|line| line.starts_with("| `limits."));
        for key in keys.filter_map(|line| line.split('`').nth(1)) {
            assert!(told.contains_key(key), "{key}");
        }
    }
}
