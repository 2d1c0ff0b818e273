//! What is on its way: batches that were sent and not acknowledged, in their order, and those that
//! the input has ready.
//!
//! A call takes the requests from here and brings the answers. When it breaks the next call begins
//! with what was not answered, under the same numbers.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker, ready};

use futures_channel::mpsc::Receiver;
use futures_util::StreamExt as _;

use super::batches::Batch;
use super::input::Taken;
use super::producer::Producer;
use super::records::InputError;
use super::report::{Acknowledged, Unfinished};
use crate::proto::log_service::{Durability, ProduceRequest, ProduceResponse};

/// Batches that may be unanswered. The server remembers no more of a producer than 1,024.
const IN_FLIGHT_MAX: usize = 1_000;
/// The bytes of those; one batch may be larger.
const IN_FLIGHT_BYTES_MAX: u64 = 32 << 20;

/// A batch, or why there is no other.
pub(super) type Ready = Result<Batch, InputError>;

/// How batches are to be appended.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) log: String,
    pub(super) durability: Durability,
    /// The offset that the next batch is to get.
    pub(super) expected: Option<u64>,
    pub(super) producer: Option<Producer>,
    /// Whether the user named that one.
    pub(super) is_named: bool,
    /// Whether the same input is cut into the same batches again.
    pub(super) is_repeatable: bool,
}

/// What is on its way.
#[derive(Debug)]
pub(super) struct Delivery {
    terms: Terms,
    queue: Receiver<Ready>,
    in_flight: VecDeque<InFlight>,
    in_flight_bytes: u64,
    /// How many of those this call has taken.
    taken: usize,
    /// How many of those an earlier call has taken.
    taken_before: usize,
    acknowledged: Acknowledged,
    /// How much of the input is acknowledged.
    input_done: Taken,
    /// The input has ended, or is not read on.
    is_over: bool,
    failed: Option<InputError>,
    sender: Option<Waker>,
}

#[derive(Debug)]
struct InFlight {
    request: ProduceRequest,
    records: u64,
    bytes: u64,
    before: Taken,
    after: Taken,
}

/// The answer to nothing, or to something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unfitting(pub(super) &'static str);

impl Delivery {
    /// `skipped` is what was left out of the input.
    pub(super) fn new(terms: Terms, queue: Receiver<Ready>, skipped: Taken) -> Self {
        Self {
            terms,
            queue,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
            taken: 0,
            taken_before: 0,
            acknowledged: Acknowledged::default(),
            input_done: skipped,
            is_over: false,
            failed: None,
            sender: None,
        }
    }

    /// A new call begins: it takes what was not answered once more.
    pub(super) fn begin(&mut self) {
        self.taken_before = self.taken.max(self.taken_before);
        self.taken = 0;
    }

    /// The next request of the call; `None` once there is none to come.
    pub(super) fn poll_request(&mut self, cx: &mut Context<'_>) -> Poll<Option<ProduceRequest>> {
        self.sender = Some(cx.waker().clone());
        if let Some(again) = self.in_flight.get(self.taken) {
            self.taken += 1;
            return Poll::Ready(Some(again.request.clone()));
        }
        if self.is_over {
            return Poll::Ready(None);
        }
        let is_full =
            self.in_flight.len() >= IN_FLIGHT_MAX || self.in_flight_bytes >= IN_FLIGHT_BYTES_MAX;
        if is_full {
            return Poll::Pending;
        }
        match ready!(self.queue.poll_next_unpin(cx)) {
            Some(Ok(batch)) => Poll::Ready(Some(self.send(batch))),
            Some(Err(error)) => {
                (self.is_over, self.failed) = (true, Some(error));
                Poll::Ready(None)
            }
            None => {
                self.is_over = true;
                Poll::Ready(None)
            }
        }
    }

    fn send(&mut self, batch: Batch) -> ProduceRequest {
        let Batch { records, bytes, before, after } = batch;
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let request = ProduceRequest {
            records,
            log: self.terms.log.clone(),
            durability: self.terms.durability.into(),
            expected_offset: self.terms.expected,
            producer: self.terms.producer.as_mut().map(Producer::count).into(),
            ..ProduceRequest::default()
        };
        self.terms.expected = self.terms.expected.map(|expected| expected.saturating_add(count));
        let sent = InFlight { request: request.clone(), records: count, bytes, before, after };
        self.in_flight.push_back(sent);
        self.in_flight_bytes = self.in_flight_bytes.saturating_add(bytes);
        self.taken += 1;
        request
    }

    /// The answer to the oldest request that has none.
    pub(super) fn answer(&mut self, response: &ProduceResponse) -> Result<(), Unfitting> {
        let oldest = self.taken.checked_sub(1).and_then(|taken| {
            self.taken = taken;
            self.taken_before = self.taken_before.saturating_sub(1);
            self.in_flight.pop_front()
        });
        let batch = oldest.ok_or(Unfitting("it answers no request"))?;
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(batch.bytes);
        if response.next_offset.checked_sub(response.base_offset) != Some(batch.records) {
            return Err(Unfitting("it is about another number of records"));
        }
        self.acknowledged.add(batch.records, response);
        self.input_done = batch.after;
        self.wake();
        Ok(())
    }

    /// Goes on without a producer, if the user named none and nothing was appended under its id.
    pub(super) fn drop_producer(&mut self) -> bool {
        let is_known = self.acknowledged.batches > 0;
        if self.terms.is_named || is_known || self.terms.producer.take().is_none() {
            return false;
        }
        for sent in &mut self.in_flight {
            sent.request.producer.take();
        }
        true
    }

    /// Sends no more than was sent.
    pub(super) fn stop(&mut self) {
        self.is_over = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
    }

    /// Whether everything was acknowledged.
    pub(super) fn is_done(&self) -> bool {
        self.is_over && self.in_flight.is_empty()
    }

    /// Whether what was not answered can be sent again without appending it twice.
    pub(super) fn can_repeat(&self) -> bool {
        self.terms.producer.is_some() || self.in_flight.is_empty()
    }

    pub(super) fn acknowledged(&self) -> Acknowledged {
        self.acknowledged
    }

    /// Bytes of the input whose records are acknowledged.
    pub(super) fn input_bytes_done(&self) -> u64 {
        self.input_done.bytes
    }

    /// Who counts, and the number of the first batch that is not acknowledged.
    pub(super) fn producer(&self) -> Option<Producer> {
        let in_flight = u64::try_from(self.in_flight.len()).unwrap_or(u64::MAX);
        self.terms.producer.map(|producer| Producer {
            sequence: producer.sequence.saturating_sub(in_flight),
            ..producer
        })
    }

    /// What is wrong with the input, told once.
    pub(super) fn take_failed(&mut self) -> Option<InputError> {
        self.failed.take()
    }

    /// Records that an earlier call sent, and that nobody has acknowledged.
    pub(super) fn sent_before(&self) -> u64 {
        self.in_flight.iter().take(self.taken_before).map(|batch| batch.records).sum()
    }

    /// How far it came.
    pub(super) fn unfinished(&self) -> Unfinished {
        let front = self.in_flight.front();
        let expected = front.and_then(|front| front.request.expected_offset);
        Unfinished {
            acknowledged: self.acknowledged,
            unknown: self.in_flight.iter().map(|batch| batch.records).sum(),
            next: front.map(|front| (front.before.records.saturating_add(1), front.after.records)),
            skip: self.input_done.records,
            producer: self.producer().filter(|_| self.terms.is_repeatable),
            expected: expected.or(self.terms.expected),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_channel::mpsc::{self, Sender};
    use futures_util::task::noop_waker;

    use super::*;
    use crate::proto::record::Record;

    fn delivery() -> (Sender<Ready>, Delivery) {
        let id = "000000000000000000000000000000a1".parse().unwrap();
        let terms = Terms {
            log: "orders".to_owned(),
            durability: Durability::DURABILITY_SYNCED,
            expected: Some(10),
            producer: Some(Producer { id, epoch: 0, sequence: 5 }),
            is_named: false,
            is_repeatable: true,
        };
        let (sender, queue) = mpsc::channel(2_000);
        (sender, Delivery::new(terms, queue, Taken::default()))
    }

    fn batch(before: u64, records: u64) -> Ready {
        let taken = |records| Taken { records, bytes: records * 10 };
        let (before, after) = (taken(before), taken(before + records));
        let records = vec![Record::default(); usize::try_from(records).unwrap()];
        Ok(Batch { records, bytes: 100, before, after })
    }

    fn request(delivery: &mut Delivery) -> Poll<Option<(u64, Option<u64>)>> {
        let waker = noop_waker();
        let request = delivery.poll_request(&mut Context::from_waker(&waker));
        request.map(|request| request.map(|sent| (sent.producer.sequence, sent.expected_offset)))
    }

    fn response(base_offset: u64, next_offset: u64) -> ProduceResponse {
        ProduceResponse { base_offset, next_offset, ..ProduceResponse::default() }
    }

    #[test]
    fn batches_follow_on_and_go_again_under_their_numbers() {
        let (mut sender, mut delivery) = delivery();
        sender.try_send(batch(0, 2)).unwrap();
        sender.try_send(batch(2, 3)).unwrap();
        assert_eq!(request(&mut delivery), Poll::Ready(Some((5, Some(10)))));
        assert_eq!(request(&mut delivery), Poll::Ready(Some((6, Some(12)))));
        assert_eq!(request(&mut delivery), Poll::Pending);
        delivery.answer(&response(10, 12)).unwrap();
        let unfinished = delivery.unfinished();
        assert_eq!((unfinished.unknown, unfinished.next), (3, Some((3, 5))));
        assert_eq!((unfinished.skip, unfinished.expected), (2, Some(12)));
        assert_eq!(unfinished.producer.unwrap().sequence, 6);

        assert_eq!(delivery.sent_before(), 0);
        delivery.begin();
        assert_eq!(delivery.sent_before(), 3);
        sender.try_send(batch(5, 1)).unwrap();
        drop(sender);
        assert_eq!(request(&mut delivery), Poll::Ready(Some((6, Some(12)))));
        assert_eq!(request(&mut delivery), Poll::Ready(Some((7, Some(15)))));
        assert_eq!(request(&mut delivery), Poll::Ready(None));
        assert_eq!(delivery.sent_before(), 3);
        delivery.answer(&response(12, 15)).unwrap();
        assert_eq!(delivery.sent_before(), 0);
        assert!(!delivery.is_done());
        delivery.answer(&response(15, 16)).unwrap();
        assert!(delivery.is_done());
        let unfinished = delivery.unfinished();
        assert_eq!((unfinished.unknown, unfinished.next), (0, None));
        assert_eq!((unfinished.skip, unfinished.expected), (6, Some(16)));
    }

    #[test]
    fn a_producer_that_nobody_named_can_be_done_without() {
        let (mut sender, mut delivery) = delivery();
        sender.try_send(batch(0, 1)).unwrap();
        assert!(request(&mut delivery).is_ready());
        assert!(delivery.can_repeat() && delivery.drop_producer());
        assert!(!delivery.can_repeat());
        delivery.begin();
        let waker = noop_waker();
        let again = delivery.poll_request(&mut Context::from_waker(&waker));
        assert!(matches!(again, Poll::Ready(Some(request)) if request.producer.is_none()));
        assert!(!delivery.drop_producer());
    }

    #[test]
    fn a_producer_that_the_log_knows_stays() {
        let (mut sender, mut delivery) = delivery();
        sender.try_send(batch(0, 1)).unwrap();
        assert!(request(&mut delivery).is_ready());
        delivery.answer(&response(10, 11)).unwrap();
        assert!(!delivery.drop_producer());
    }

    #[test]
    fn an_answer_must_fit() {
        let (mut sender, mut delivery) = delivery();
        assert!(delivery.answer(&response(0, 1)).is_err());
        sender.try_send(batch(0, 2)).unwrap();
        request(&mut delivery).is_ready();
        assert!(delivery.answer(&response(0, 1)).is_err());
    }

    #[test]
    fn only_so_much_is_in_flight() {
        let (mut sender, mut delivery) = delivery();
        for place in 0..=1_000 {
            sender.try_send(batch(place, 1)).unwrap();
        }
        let sent = (0..2_000).take_while(|_| request(&mut delivery).is_ready()).count();
        assert_eq!(sent, IN_FLIGHT_MAX);
        delivery.answer(&response(10, 11)).unwrap();
        assert!(request(&mut delivery).is_ready());
        assert!(request(&mut delivery).is_pending());
    }

    #[test]
    fn a_fault_of_the_input_ends_it_after_what_came_before() {
        let (mut sender, mut delivery) = delivery();
        sender.try_send(batch(0, 1)).unwrap();
        sender.try_send(Err(InputError::NoLength { record: 2 })).unwrap();
        assert!(request(&mut delivery).is_ready());
        assert_eq!(request(&mut delivery), Poll::Ready(None));
        assert!(delivery.take_failed().is_some() && !delivery.is_done());
    }
}
