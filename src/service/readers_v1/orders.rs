//! `CommitReader` and `DeleteReader`: those for one log that come while one sync runs share the
//! next.
//!
//! A reading thread takes all that wait for a log and has them done with one write and one sync. So
//! many consumers that commit often cost few syncs, and no more than one thread per log.

use std::collections::HashMap;
use std::sync::Arc;

use grpcio::UnarySink;
use parking_lot::Mutex;

use super::messages::{self, Target};
use super::{Call, begin};
use crate::log::{LogId, Reader, ReaderAction, ReaderError, ReaderName, ReaderOrder};
use crate::service::backend::Backend;
use crate::service::measured::Measured;
use crate::service::message::{Reply, Request};
use crate::service::reads::Read;
use crate::service::refusal::{BadRequest, OverLimit, Refusal};

/// The orders that wait. All calls may run concurrently.
pub(super) struct Orders {
    backend: Arc<Backend>,
    /// By log; a log with an entry has a turn in the queue of the reading threads or is served by
    /// one. The calls are bounded by their slots.
    waiting: Mutex<HashMap<LogId, Vec<Waiting>>>,
}

/// A call with what it asks for.
struct Waiting {
    call: Call,
    order: ReaderOrder,
}

/// A log's turn.
struct Turn {
    orders: Arc<Orders>,
    log: LogId,
}

pub(super) fn handle(
    orders: &Arc<Orders>,
    arrived: (Measured, Request, UnarySink<Reply>),
    read: impl FnOnce(&[u8]) -> Result<(Target<'_>, (ReaderName, ReaderAction)), BadRequest>,
) {
    if let Some((call, (name, action))) = begin(&orders.backend, arrived, read) {
        let order = call.scope.clone().order(name, action);
        orders.add(Waiting { call, order });
    }
}

impl Orders {
    pub(super) fn new(backend: &Arc<Backend>) -> Self {
        Self { backend: Arc::clone(backend), waiting: Mutex::default() }
    }

    fn add(self: &Arc<Self>, waiting: Waiting) {
        let log = waiting.call.permit.log_id();
        let has_turn = {
            let mut all = self.waiting.lock();
            let has_turn = all.contains_key(&log);
            all.entry(log).or_default().push(waiting);
            has_turn
        };
        if !has_turn {
            self.take_turn(log);
        }
    }

    fn take_turn(self: &Arc<Self>, log: LogId) {
        self.backend.reads.submit(Box::new(Turn { orders: Arc::clone(self), log }));
    }

    /// Takes what waits for `log`, which keeps its entry.
    fn take(&self, log: LogId) -> Vec<Waiting> {
        self.waiting.lock().get_mut(&log).map(std::mem::take).unwrap_or_default()
    }

    /// Whether more came while `log` had its turn; if not, its entry goes.
    fn has_more(&self, log: LogId) -> bool {
        let mut all = self.waiting.lock();
        let has_more = all.get(&log).is_some_and(|waiting| !waiting.is_empty());
        if !has_more {
            all.remove(&log);
        }
        has_more
    }
}

impl Read for Turn {
    fn run(self: Box<Self>) {
        let (calls, asked): (Vec<_>, Vec<_>) =
            self.orders.take(self.log).into_iter().map(|w| (w.call, w.order)).unzip();
        let answers = match calls.first() {
            Some(call) => call.permit.change_readers(&asked),
            None => Vec::new(),
        };
        let done = calls.into_iter().zip(&asked).zip(answers);
        for ((call, order), answer) in done {
            let outcome = reply(&call, order.action, answer);
            call.answer(&self.orders.backend, outcome);
        }
        if self.orders.has_more(self.log) {
            // Behind the others, so that a busy log does not keep a thread.
            self.orders.take_turn(self.log);
        }
    }

    fn refuse(self: Box<Self>, over: OverLimit) {
        let refused = self.orders.waiting.lock().remove(&self.log);
        for waiting in refused.into_iter().flatten() {
            waiting.call.answer(&self.orders.backend, Err(over.into()));
        }
    }
}

fn reply(
    call: &Call,
    action: ReaderAction,
    answer: Result<Reader, ReaderError>,
) -> Result<Reply, Refusal> {
    let reader = answer?;
    if action == ReaderAction::Delete {
        return Ok(messages::delete_response());
    }
    Ok(messages::commit_response(call.permit.standing_moved(reader)))
}
