//! A call while it goes on: how long it takes, and what becomes of it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use grpcio::{Metadata, RpcStatus, RpcStatusCode};
use log::Level;

use super::caller::Caller;
use super::calls::{MethodCalls, code_name};
use super::event;
use super::spans::{Span, Spans};
use super::tag::Tag;
use crate::line_limit::LineLimit;
use crate::tls::Subject;

/// A call that goes on. Dropped without an end it counts as cancelled: its client is gone.
#[derive(Debug)]
pub(crate) struct Measured {
    part: Part,
    began: Instant,
    /// For so long it waited because it was told to.
    waited: Duration,
    is_stream: bool,
    is_ended: bool,
}

/// What measures the messages of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    calls: Arc<MethodCalls>,
    /// `None` if no checker let the call in; then it ends at once.
    subject: Option<Subject>,
    tag: Tag,
}

/// Which calls are told of one by one, and how. All calls may run concurrently.
#[derive(Debug, Default)]
pub(crate) struct Telling {
    /// A call that takes longer has a line in the log; `None` is none.
    pub(crate) slow_after: Option<Duration>,
    /// Where calls of a trace leave their spans; `None` if nobody wants them.
    pub(crate) spans: Option<Arc<Spans>>,
    lines: LineLimit,
}

impl Telling {
    pub(crate) fn new(slow_after: Option<Duration>, spans: Option<Arc<Spans>>) -> Self {
        Self { slow_after, spans, lines: LineLimit::default() }
    }
}

impl Measured {
    pub(super) fn begin(calls: &Arc<MethodCalls>, is_stream: bool) -> Self {
        let (subject, tag) = Caller::waiting();
        let part = Part { calls: Arc::clone(calls), subject, tag };
        let (began, waited) = (Instant::now(), Duration::ZERO);
        Self { part, began, waited, is_stream, is_ended: false }
    }

    /// The names of the call.
    pub(crate) fn tag(&self) -> &Tag {
        &self.part.tag
    }

    /// What the client has to be told before anything else.
    pub(crate) fn headers(&self) -> Option<Metadata> {
        self.part.tag.headers()
    }

    /// The call has waited for `time` because it was told to, which does not make it slow.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    /// The call ended well.
    pub(crate) fn done(self) {
        self.end(RpcStatusCode::OK);
    }

    /// The call ended with `status`, which is handed back.
    pub(crate) fn failed(self, status: RpcStatus) -> RpcStatus {
        self.end(status.code());
        status
    }

    /// What measures the messages of the stream.
    pub(crate) fn messages(&self) -> Part {
        self.part.clone()
    }

    fn end(mut self, code: RpcStatusCode) {
        self.is_ended = true;
        let took = self.began.elapsed();
        self.part.end(code, took);
        if !self.is_stream {
            self.part.calls.took(took);
            self.part.tell_if_slow(took.saturating_sub(self.waited), code);
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if !self.is_ended {
            self.part.end(RpcStatusCode::CANCELLED, self.began.elapsed());
        }
    }
}

impl Part {
    /// One of a stream's messages was done within `time`.
    pub(crate) fn took(&self, time: Duration) {
        self.calls.took(time);
        self.tell_if_slow(time, RpcStatusCode::OK);
    }

    fn end(&self, code: RpcStatusCode, took: Duration) {
        self.calls.end(code);
        if let (Some(spans), Some(trace)) = (&self.calls.telling().spans, self.tag.sampled()) {
            spans.leave(Span {
                trace_id: trace.id.clone(),
                parent_id: trace.parent.clone(),
                span_id: self.tag.span(),
                method: self.calls.method(),
                subject: self.subject.as_ref().map(Subject::to_string).unwrap_or_default(),
                ended: SystemTime::now(),
                took,
                code: code.into(),
            });
        }
    }

    fn tell_if_slow(&self, took: Duration, code: RpcStatusCode) {
        let telling = self.calls.telling();
        if telling.slow_after.is_none_or(|after| took <= after) {
            return;
        }
        if let Some(untold) = telling.lines.line() {
            let mut fields = vec![
                ("method", self.calls.method().to_owned()),
                ("code", code_name(code).to_owned()),
                ("took_ms", took.as_millis().to_string()),
            ];
            fields.extend(self.subject.iter().map(|subject| ("subject", subject.to_string())));
            fields.extend(self.tag.fields());
            fields.push(("untold", untold.to_string()));
            event::write(Level::Warn, module_path!(), "slow_call", &fields);
        }
    }
}
