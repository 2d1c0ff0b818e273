//! `varve info`: the server, its limits, and as whom it knows the caller.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::client::args::ClientArgs;
use super::client::connection::Connection;
use super::error::CliError;
use super::human::{Time, about_bytes, about_us, set_age_ms, set_bytes};
use super::output;
use super::table::{self, Align};
use crate::proto::admin_service::{
    GetServerInfoRequest, GetServerInfoResponse, LatencyPercentiles,
};

const EXAMPLES: &str = "\
Examples:
  varve info
  varve info --json | jq .sync_latency.p99_us

It needs the permission `admin` on `*`.";

/// Show a server's version, limits and state
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Info {
    #[command(flatten)]
    client: ClientArgs,
}

/// A server for programs.
#[derive(Serialize)]
struct Shown<'a> {
    version: &'a str,
    format_version: u32,
    openssl_version: &'a str,
    openssl_fips: bool,
    grpc_version: &'a str,
    subject: &'a str,
    transport_security: &'a str,
    start_time_us: u64,
    logs: u32,
    free_bytes: u64,
    min_free_bytes: u64,
    sync_latency: Latency,
    limits: BTreeMap<&'a str, u64>,
}

#[derive(Serialize)]
struct Latency {
    p50_us: u64,
    p90_us: u64,
    p99_us: u64,
    max_us: u64,
}

impl Info {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let connection = Connection::open(&self.client)?;
        let request = GetServerInfoRequest::default();
        let info =
            connection.call(|option| connection.admin().get_server_info_opt(&request, option))?;
        if is_json {
            output::json(&Shown::from(&info))?;
        } else {
            output::line(text(&info))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl<'a> From<&'a GetServerInfoResponse> for Shown<'a> {
    fn from(info: &'a GetServerInfoResponse) -> Self {
        Self {
            version: &info.version,
            format_version: info.format_version,
            openssl_version: &info.openssl_version,
            openssl_fips: info.openssl_fips,
            grpc_version: &info.grpc_version,
            subject: &info.subject,
            transport_security: &info.transport_security,
            start_time_us: info.start_time_us,
            logs: info.logs,
            free_bytes: info.free_bytes,
            min_free_bytes: info.min_free_bytes,
            sync_latency: info.sync_latency.get_or_default().into(),
            limits: info.limits.iter().map(|(name, limit)| (name.as_str(), *limit)).collect(),
        }
    }
}

impl From<&LatencyPercentiles> for Latency {
    fn from(latency: &LatencyPercentiles) -> Self {
        let &LatencyPercentiles { p50_us, p90_us, p99_us, max_us, .. } = latency;
        Self { p50_us, p90_us, p99_us, max_us }
    }
}

fn text(info: &GetServerInfoResponse) -> String {
    let fips = if info.openssl_fips { "FIPS" } else { "no FIPS" };
    let (free, kept) = (about_bytes(info.free_bytes), about_bytes(info.min_free_bytes));
    let transport = match info.transport_security.as_str() {
        "none" => "plaintext",
        other => other,
    };
    let pairs = table::pairs([
        ("version", format!("{}, data format {}", info.version, info.format_version)),
        ("openssl", format!("{}, {fips}", info.openssl_version)),
        ("grpc", info.grpc_version.clone()),
        ("you are", format!("{}, over {transport}", info.subject)),
        ("started", format!("{:.0}", Time(info.start_time_us))),
        ("logs", info.logs.to_string()),
        ("free", format!("{free}, {kept} of it are kept free")),
        ("syncs", latency(info.sync_latency.get_or_default())),
    ]);
    let mut limits: Vec<_> = info.limits.iter().collect();
    limits.sort_unstable();
    let rows = limits.into_iter().map(|(name, value)| [name.clone(), limit(name, *value)]);
    let limits = table::rows([("LIMIT", Align::Left), ("VALUE", Align::Right)], rows);
    format!("{pairs}\n\n{limits}")
}

fn latency(latency: &LatencyPercentiles) -> String {
    let LatencyPercentiles { p50_us, p90_us, p99_us, max_us, .. } = *latency;
    if max_us == 0 {
        return "none yet".to_owned();
    }
    let [p50, p90, p99, max] = [p50_us, p90_us, p99_us, max_us].map(about_us);
    format!("p50 {p50}, p90 {p90}, p99 {p99}, max {max}")
}

/// A limit in the unit that its name says.
fn limit(name: &str, value: u64) -> String {
    if name.ends_with("_ms") {
        return set_age_ms(value);
    }
    if value == 0 {
        return "none".to_owned();
    }
    let is_bytes = name.rsplit('.').next().is_some_and(|last| last.contains("bytes"));
    if is_bytes { set_bytes(value) } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_shown_in_the_unit_of_their_name() {
        assert_eq!(limit("limits.record_bytes_max", 1 << 20), "1MiB");
        assert_eq!(limit("limits.streams_max", 4096), "4096");
        assert_eq!(limit("log.segment_age_max_ms", 0), "never");
        assert_eq!(limit("storage.sync_delay_max_ms", 100), "100ms");
    }

    #[test]
    fn a_server_is_shown_for_people_and_programs() {
        let latency =
            LatencyPercentiles { p50_us: 150, max_us: 2_000, ..LatencyPercentiles::default() };
        let info = GetServerInfoResponse {
            version: "0.1.0".to_owned(),
            format_version: 1,
            subject: "root".to_owned(),
            transport_security: "TLS".to_owned(),
            free_bytes: 1 << 30,
            sync_latency: Some(latency).into(),
            limits: [("limits.streams_max".to_owned(), 7)].into(),
            ..GetServerInfoResponse::default()
        };
        let text = text(&info);
        for part in [
            "version  0.1.0, data format 1\n",
            "you are  root, over TLS\n",
            "free     1.00 GiB, 0 B of it are kept free\n",
            "syncs    p50 150us, p90 0us, p99 0us, max 2ms\n",
            "limits.streams_max      7",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        let json = serde_json::to_string(&Shown::from(&info)).unwrap();
        assert!(json.contains("\"limits\":{\"limits.streams_max\":7}"), "{json}");
    }
}
