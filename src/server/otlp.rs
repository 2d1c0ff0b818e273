//! Exports spans by OTLP over HTTP, in its JSON form, from a thread of its own.
//!
//! Source: the OpenTelemetry protocol's JSON encoding, and its conventions for spans of RPCs. The
//! SDK would bring some sixty crates for one message.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, UNIX_EPOCH};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use serde_json::{Value, json};

use crate::line_limit::LineLimit;
use crate::service::spans::{Span, Spans};

/// Spans in one message, at most, and how long the first of them waits for others.
const SPANS_MAX: usize = 512;
const WAIT: Duration = Duration::from_secs(1);
/// For one message; also what a stop may wait for.
const PATIENCE: Duration = Duration::from_millis(500);
/// OTLP's name for a span on the side of the server.
const KIND_SERVER: u8 = 2;
const STATUS_ERROR: u8 = 2;
/// gRPC's codes that are the server's fault, by the conventions: UNKNOWN, DEADLINE_EXCEEDED,
/// UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
const FAULTS: [i32; 6] = [2, 4, 12, 13, 14, 15];

/// A running export. Dropping it sends what is left and ends it.
#[derive(Debug)]
pub(crate) struct Export {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Exporter {
    endpoint: String,
    agent: ureq::Agent,
    spans: Arc<Spans>,
    lines: LineLimit,
}

/// Sends the spans that are left there to `endpoint`, an address such as
/// `http://127.0.0.1:4318/v1/traces`.
pub(crate) fn start(endpoint: &str) -> io::Result<(Arc<Spans>, Export)> {
    let (spans, receiver) = Spans::new();
    let spans = Arc::new(spans);
    let export = Export::start(endpoint, Arc::clone(&spans), receiver)?;
    Ok((spans, export))
}

impl Export {
    fn start(endpoint: &str, spans: Arc<Spans>, receiver: Receiver<Span>) -> io::Result<Self> {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE));
        let agent = config.build().new_agent();
        let endpoint = endpoint.to_owned();
        let exporter = Exporter { endpoint, agent, spans, lines: LineLimit::default() };
        let (stop, stopped) = bounded(0);
        let thread = std::thread::Builder::new()
            .name("spans".to_owned())
            .spawn(move || exporter.run(&receiver, &stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has ended the process already.
            let _ended = thread.join();
        }
    }
}

impl Exporter {
    fn run(&self, receiver: &Receiver<Span>, stopped: &Receiver<()>) {
        loop {
            select! {
                recv(receiver) -> first => match first {
                    Ok(first) => self.export(&gather(first, receiver, stopped)),
                    Err(_) => return,
                },
                recv(stopped) -> _ => {
                    let left: Vec<Span> = receiver.try_iter().take(SPANS_MAX).collect();
                    if !left.is_empty() {
                        self.export(&left);
                    }
                    return;
                },
            }
        }
    }

    fn export(&self, spans: &[Span]) {
        let sent = self
            .agent
            .post(&self.endpoint)
            .header("content-type", "application/json")
            .send(message(spans).to_string());
        let dropped = self.spans.take_dropped();
        let lost = sent.as_ref().err().map_or(0, |_| spans.len());
        if (lost > 0 || dropped > 0)
            && let Some(untold) = self.lines.line()
        {
            let error = sent.err().map(|error| error.to_string()).unwrap_or_default();
            log::warn!(
                endpoint = self.endpoint.as_str(), lost, dropped, error = error.as_str(), untold;
                "spans_lost"
            );
        }
    }
}

/// `first` and what comes soon after it.
fn gather(first: Span, receiver: &Receiver<Span>, stopped: &Receiver<()>) -> Vec<Span> {
    let deadline = Instant::now() + WAIT;
    let mut spans = vec![first];
    while spans.len() < SPANS_MAX {
        select! {
            recv(receiver) -> span => match span {
                Ok(span) => spans.push(span),
                Err(_) => break,
            },
            recv(stopped) -> _ => break,
            default(deadline.saturating_duration_since(Instant::now())) => break,
        }
    }
    spans
}

fn message(spans: &[Span]) -> Value {
    let resource =
        [text("service.name", "varve"), text("service.version", env!("CARGO_PKG_VERSION"))];
    let spans: Vec<Value> = spans.iter().map(span).collect();
    json!({"resourceSpans": [{
        "resource": {"attributes": resource},
        "scopeSpans": [{"scope": {"name": "varve"}, "spans": spans}],
    }]})
}

fn span(span: &Span) -> Value {
    let ended = span.ended.duration_since(UNIX_EPOCH).unwrap_or_default();
    let began = ended.saturating_sub(span.took);
    let (service, method) = span.method.split_once('/').unwrap_or((span.method, ""));
    let status =
        if FAULTS.contains(&span.code) { json!({"code": STATUS_ERROR}) } else { json!({}) };
    json!({
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_id,
        "name": span.method,
        "kind": KIND_SERVER,
        "startTimeUnixNano": began.as_nanos().to_string(),
        "endTimeUnixNano": ended.as_nanos().to_string(),
        "attributes": [
            text("rpc.system", "grpc"),
            text("rpc.service", service),
            text("rpc.method", method),
            {"key": "rpc.grpc.status_code", "value": {"intValue": span.code.to_string()}},
            text("enduser.id", &span.subject),
        ],
        "status": status,
    })
}

fn text(key: &str, value: &str) -> Value {
    json!({"key": key, "value": {"stringValue": value}})
}
