//! Calls as spans of the traces that their clients began, on their way to whoever exports them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

/// Spans that wait to be exported; beyond it they are dropped and counted.
const WAITING_MAX: usize = 4096;

/// A call that is over.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    /// 32 hex digits.
    pub(crate) trace_id: String,
    /// The client's span, 16 hex digits.
    pub(crate) parent_id: String,
    /// The call's own.
    pub(crate) span_id: String,
    /// Such as `log.v1.Log/Produce`.
    pub(crate) method: &'static str,
    /// Who called.
    pub(crate) subject: String,
    pub(crate) ended: SystemTime,
    pub(crate) took: Duration,
    /// gRPC's number.
    pub(crate) code: i32,
}

/// Where calls leave their spans. All calls may run concurrently.
#[derive(Debug)]
pub(crate) struct Spans {
    sender: Sender<Span>,
    dropped: AtomicU64,
}

impl Spans {
    /// With the end at which they come out.
    pub(crate) fn new() -> (Self, Receiver<Span>) {
        let (sender, receiver) = bounded(WAITING_MAX);
        (Self { sender, dropped: AtomicU64::new(0) }, receiver)
    }

    /// Never waits.
    pub(super) fn leave(&self, span: Span) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(span) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many were dropped since this was asked last.
    pub(crate) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_takes_is_dropped_and_counted() {
        let (spans, receiver) = Spans::new();
        let text = String::new;
        let span = || Span {
            trace_id: text(),
            parent_id: text(),
            span_id: text(),
            method: "",
            subject: text(),
            ended: SystemTime::now(),
            took: Duration::ZERO,
            code: 0,
        };
        for _ in 0..WAITING_MAX + 3 {
            spans.leave(span());
        }
        assert_eq!(
            (receiver.len(), spans.take_dropped(), spans.take_dropped()),
            (WAITING_MAX, 3, 0)
        );
    }
}
