//! What became of calls, counted per method, and of callers who reached none.
//!
//! A handler holds its method's counters since it was registered, so a call looks nothing up: it
//! reads the clock twice and adds to a few numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use grpcio::RpcStatusCode;

use super::guard::Unadmitted;
use super::identity::Unidentified;
use super::measured::{Measured, Telling};
use super::methods;
use super::refusal::Denied;
use crate::acl::Action;
use crate::histogram::{Counted, Histogram};

/// gRPC's codes by number, and a place for any other status.
const CODES: [&str; 18] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
    "OTHER",
];

/// Why callers reach no method; the order is that of `reason_place`.
const REASONS: [&str; 8] = [
    "plaintext",
    "no_certificate",
    "unreadable",
    "expired",
    "no_subject",
    "no_method",
    "stopping",
    "revoked",
];

/// All counters of calls. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Calls {
    methods: Vec<Arc<MethodCalls>>,
    /// By the place of the reason.
    unadmitted: [AtomicU64; REASONS.len()],
    /// By the place of the action.
    denied: [AtomicU64; Action::ALL.len()],
    consumed_bytes: AtomicU64,
}

/// The counters of one method.
#[derive(Debug)]
pub(crate) struct MethodCalls {
    method: &'static str,
    telling: Arc<Telling>,
    begun: AtomicU64,
    ended: [AtomicU64; CODES.len()],
    took: Histogram,
}

/// What became of calls since the server began.
#[derive(Debug)]
pub(crate) struct CallsSeen {
    pub(crate) methods: Vec<MethodSeen>,
    /// Calls that reached no method, by reason.
    pub(crate) unadmitted: Vec<(&'static str, u64)>,
    /// Denials, by action.
    pub(crate) denied: Vec<(&'static str, u64)>,
    pub(crate) consumed_bytes: u64,
}

/// What became of one method's calls.
#[derive(Debug)]
pub(crate) struct MethodSeen {
    /// Such as `log.v1.Log/Produce`.
    pub(crate) method: &'static str,
    pub(crate) begun: u64,
    /// How many ended with which code; codes that none ended with are left out, but for `OK`.
    pub(crate) ended: Vec<(&'static str, u64)>,
    pub(crate) took: Counted,
}

impl Calls {
    pub(crate) fn new(telling: Telling) -> Self {
        let zero = || AtomicU64::new(0);
        let telling = Arc::new(telling);
        let methods = methods::paths().map(|path| Arc::new(MethodCalls::new(path, &telling)));
        let methods = methods.collect();
        Self {
            methods,
            unadmitted: std::array::from_fn(|_| zero()),
            denied: std::array::from_fn(|_| zero()),
            consumed_bytes: zero(),
        }
    }

    /// The counters of the method at `path`, to be looked up once.
    pub(crate) fn of(&self, path: &str) -> Arc<MethodCalls> {
        let method = path.trim_start_matches('/');
        let found = self.methods.iter().find(|calls| calls.method == method);
        // A test holds every method against the table; counters of any other are seen by nobody.
        found.map_or_else(|| Arc::new(MethodCalls::new("", &Arc::default())), Arc::clone)
    }

    pub(crate) fn unadmitted(&self, why: &Unadmitted) {
        if let Some(count) = self.unadmitted.get(reason_place(why)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn denied(&self, denied: &Denied) {
        let place = Action::ALL.iter().position(|action| *action == denied.action);
        if let Some(count) = place.and_then(|place| self.denied.get(place)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Replies of so many bytes with records go to a client.
    pub(crate) fn consumed(&self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.consumed_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn seen(&self) -> CallsSeen {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let actions = Action::ALL.iter().map(|action| action.as_str());
        CallsSeen {
            methods: self.methods.iter().map(|calls| calls.seen()).collect(),
            unadmitted: REASONS.into_iter().zip(self.unadmitted.iter().map(load)).collect(),
            denied: actions.zip(self.denied.iter().map(load)).collect(),
            consumed_bytes: load(&self.consumed_bytes),
        }
    }
}

impl MethodCalls {
    fn new(path: &'static str, telling: &Arc<Telling>) -> Self {
        Self {
            method: path.trim_start_matches('/'),
            telling: Arc::clone(telling),
            begun: AtomicU64::new(0),
            ended: std::array::from_fn(|_| AtomicU64::new(0)),
            took: Histogram::of_latencies(),
        }
    }

    /// A unary call begins.
    pub(crate) fn begin(self: &Arc<Self>) -> Measured {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Measured::begin(self, false)
    }

    /// A stream begins, whose messages are measured one by one.
    pub(crate) fn begin_stream(self: &Arc<Self>) -> Measured {
        self.begun.fetch_add(1, Ordering::Relaxed);
        Measured::begin(self, true)
    }

    /// Such as `log.v1.Log/Produce`.
    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    pub(super) fn telling(&self) -> &Telling {
        &self.telling
    }

    pub(super) fn took(&self, time: Duration) {
        self.took.note_time(time);
    }

    pub(super) fn end(&self, code: RpcStatusCode) {
        if let Some(count) = self.ended.get(code_place(code)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn seen(&self) -> MethodSeen {
        let ended = CODES.into_iter().zip(self.ended.iter().map(|n| n.load(Ordering::Relaxed)));
        MethodSeen {
            method: self.method,
            begun: self.begun.load(Ordering::Relaxed),
            ended: ended.filter(|(code, count)| *code == "OK" || *count > 0).collect(),
            took: self.took.counted(),
        }
    }
}

fn code_place(code: RpcStatusCode) -> usize {
    usize::try_from(i32::from(code)).unwrap_or(usize::MAX).min(CODES.len() - 1)
}

/// Such as `OK`.
pub(super) fn code_name(code: RpcStatusCode) -> &'static str {
    CODES.get(code_place(code)).copied().unwrap_or_default()
}

fn reason_place(why: &Unadmitted) -> usize {
    match why {
        Unadmitted::Nobody(Unidentified::Plaintext) => 0,
        Unadmitted::Nobody(Unidentified::NoCertificate) => 1,
        Unadmitted::Nobody(Unidentified::Unreadable(_)) => 2,
        Unadmitted::Nobody(Unidentified::Expired) => 3,
        Unadmitted::Nobody(Unidentified::NoSubject(_)) => 4,
        Unadmitted::Unmapped => 5,
        Unadmitted::Stopping => 6,
        Unadmitted::Nobody(Unidentified::Revoked(_)) => 7,
    }
}

#[cfg(test)]
mod tests {
    use grpcio::RpcStatus;

    use super::*;
    use crate::tls::Subject;

    fn of(calls: &Calls, path: &str) -> MethodSeen {
        let method = path.trim_start_matches('/');
        calls.seen().methods.into_iter().find(|seen| seen.method == method).unwrap()
    }

    #[test]
    fn a_call_counts_once_whatever_its_end() {
        let calls = Calls::new(Telling::default());
        let method = calls.of(methods::PRODUCE);
        method.begin().done();
        let busy = RpcStatus::with_message(RpcStatusCode::RESOURCE_EXHAUSTED, String::new());
        method.begin().failed(busy);
        method.begin().failed(RpcStatus::with_message(404, String::new()));
        drop(method.begin());
        let seen = of(&calls, methods::PRODUCE);
        let ended = [("OK", 1), ("CANCELLED", 1), ("RESOURCE_EXHAUSTED", 1), ("OTHER", 1)];
        assert_eq!((seen.begun, seen.ended), (4, ended.to_vec()));
        assert_eq!(seen.took.count, 3);
        assert_eq!(of(&calls, methods::CONSUME).begun, 0);
    }

    #[test]
    fn of_a_stream_the_messages_are_measured() {
        let calls = Calls::new(Telling::default());
        let stream = calls.of(methods::PRODUCE_STREAM).begin_stream();
        stream.messages().took(Duration::from_micros(70));
        stream.done();
        let seen = of(&calls, methods::PRODUCE_STREAM);
        assert_eq!((seen.took.count, seen.took.sum), (1, 70));
        assert_eq!(seen.ended, [("OK", 1)]);
    }

    #[test]
    fn those_who_reach_no_method_count_by_reason() {
        let calls = Calls::new(Telling::default());
        calls.unadmitted(&Unadmitted::Unmapped);
        calls.unadmitted(&Unadmitted::Nobody(Unidentified::Expired));
        let (subject, object) = (Subject::new("eve").unwrap(), "orders".to_owned());
        calls.denied(&Denied { subject, action: Action::Consume, object });
        let seen = calls.seen();
        let told = |counts: Vec<(&'static str, u64)>| -> Vec<&str> {
            counts.into_iter().filter(|(_, count)| *count > 0).map(|(name, _)| name).collect()
        };
        assert_eq!(told(seen.unadmitted), ["expired", "no_method"]);
        assert_eq!(told(seen.denied), ["consume"]);
    }
}
