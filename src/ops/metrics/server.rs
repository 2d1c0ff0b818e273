//! Calls, connections, certificates, and the process.

use std::time::UNIX_EPOCH;

use crate::ops::Ops;
use crate::ops::families::{Families, count, counter, flag, gauge, real, times};
use crate::ops::process::Process;
use crate::server::{Observer, handshakes};
use crate::service::admin::info::GRPC_VERSION;
use crate::service::calls::CallsSeen;
use crate::tls::Moment;

pub(super) fn add(to: &mut Families, ops: &Ops) {
    let versions = [
        ("version", env!("CARGO_PKG_VERSION")),
        ("openssl", openssl::version::version()),
        ("grpc", GRPC_VERSION),
    ];
    let build = std::iter::once(gauge(&versions, 1.0));
    to.gauges("varve_build_info", "1, with the versions as labels.", build);
    add_calls(to, &ops.observer.calls());
    add_connections(to, &ops.observer);
    add_certificates(to, &ops.observer);
    let reloads = ops.reloads.seen();
    to.gauge(
        "varve_reload_generation",
        "Number of the certificates and policy in force, 1 for those of the start.",
        real(reloads.generation()),
    );
    let outcomes = [("done", reloads.done), ("refused", reloads.refused)];
    to.counters(
        "varve_reloads_total",
        "Reloads of certificates and policy, by outcome.",
        outcomes.into_iter().map(|(outcome, n)| counter(&[("outcome", outcome)], real(n))),
    );
    to.gauge(
        "varve_reload_last_refused",
        "1 if the last reload had a fault, so that older files are in force.",
        flag(reloads.is_last_refused),
    );
    add_process(to, &Process::look(), &ops.observer);
}

fn add_calls(to: &mut Families, calls: &CallsSeen) {
    let methods = || calls.methods.iter();
    to.counters(
        "varve_grpc_calls_started_total",
        "Calls that reached their method.",
        methods().map(|seen| counter(&[("method", seen.method)], real(seen.begun))),
    );
    let ended = methods().flat_map(|seen| {
        let labels = move |code| [("method", seen.method), ("code", code)];
        seen.ended.iter().map(move |(code, n)| counter(&labels(code), real(*n)))
    });
    to.counters("varve_grpc_calls_ended_total", "Calls that ended, by gRPC's code.", ended);
    to.histograms(
        "varve_grpc_handling_seconds",
        "Time from a unary call or a stream's batch to its answer; of consume streams, of a read.",
        methods().map(|seen| times(&[("method", seen.method)], &seen.took)),
    );
    to.counters(
        "varve_grpc_calls_unadmitted_total",
        "Calls that reached no method, by reason.",
        calls.unadmitted.iter().map(|(why, n)| counter(&[("reason", why)], real(*n))),
    );
    to.counters(
        "varve_denials_total",
        "Calls and streams that the access control list does not allow, by action.",
        calls.denied.iter().map(|(action, n)| counter(&[("action", action)], real(*n))),
    );
    to.counter(
        "varve_consumed_bytes_total",
        "Bytes of replies with records that were given to clients.",
        calls.consumed_bytes,
    );
}

fn add_connections(to: &mut Families, observer: &Observer) {
    if let Some(accepted) = observer.accepted() {
        to.counter(
            "varve_connections_accepted_total",
            "Connections that were accepted; missing in plaintext.",
            accepted,
        );
        to.counters(
            "varve_handshakes_refused_total",
            "Connections whose TLS handshake failed, by reason; missing in plaintext.",
            handshakes::refused().map(|(why, n)| counter(&[("reason", why)], real(n))),
        );
    }
    let open = observer.open();
    to.gauge("varve_open_streams", "Streams that are open.", count(open.streams));
    to.gauge("varve_open_calls", "Unary calls without an answer yet.", count(open.calls));
    to.gauges(
        "varve_call_queue_calls",
        "Unary calls that wait for a thread, by the role of the threads.",
        open.queued.into_iter().map(|(role, n)| gauge(&[("threads", role)], count(n))),
    );
}

fn add_certificates(to: &mut Families, observer: &Observer) {
    let ends = observer.certificate_ends().into_iter();
    let named = ends.flat_map(|ends| [("server", ends.server), ("client_ca", ends.client_ca)]);
    to.gauges(
        "varve_certificate_expiry_timestamp_seconds",
        "When the certificate ends, since the Unix epoch; missing in plaintext.",
        named.map(|(which, end)| gauge(&[("certificate", which)], unix_s(end))),
    );
}

fn unix_s(moment: Moment) -> f64 {
    real(u64::try_from(moment.unix_s()).unwrap_or_default())
}

fn add_process(to: &mut Families, process: &Process, observer: &Observer) {
    let figures = [
        ("process_threads", "Threads of the process.", process.threads),
        ("process_resident_memory_bytes", "Memory that is resident.", process.resident_bytes),
        ("process_open_fds", "Files and sockets that are open.", process.open_files),
        ("process_max_fds", "Files and sockets that may be open.", process.open_files_max),
    ];
    for (name, help, figure) in figures {
        to.gauges(name, help, figure.into_iter().map(|figure| gauge(&[], real(figure))));
    }
    let spent = process.cpu_time.into_iter().map(|spent| counter(&[], spent.as_secs_f64()));
    to.counters("process_cpu_seconds_total", "Time on processors.", spent);
    let started = observer.started_at().duration_since(UNIX_EPOCH).unwrap_or_default();
    to.gauge(
        "process_start_time_seconds",
        "When the server began, since the Unix epoch.",
        started.as_secs_f64(),
    );
}
