//! A client's requests on their way into a stream.
//!
//! The poll thread that receives them puts them in, a few ahead of the stream's thread, which then
//! finds many at once and not each at the price of a wake-up.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::{Stream, StreamExt as _};
use parking_lot::Mutex;

use super::detach::detach;
use super::wait::wake;

/// What may wait to be handled, in bytes; beyond that nothing is received, which the client feels
/// as flow control.
const WAITING_BYTES_MAX: usize = 256 * 1024;

/// Why there are no more requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Last {
    /// The client said that it was done.
    Done,
    /// The client is gone.
    Gone,
}

/// The way into one stream, for the one task that empties it. To be kept until the call has ended.
pub(crate) struct Inbox<T>(Arc<Shared<T>>);

struct Shared<T> {
    bytes_of: fn(&T) -> usize,
    state: Mutex<State<T>>,
}

struct State<T> {
    requests: VecDeque<T>,
    bytes: usize,
    last: Option<Last>,
    closed: bool,
    /// Whoever receives, and whether that waits for room.
    receiver: Option<Waker>,
    receiver_wants_room: bool,
    owner: Option<Waker>,
}

impl<T: Send + 'static> Inbox<T> {
    /// Receives from `requests`, each of which takes `bytes_of` it.
    pub(crate) fn open<E: 'static>(
        requests: impl Stream<Item = Result<T, E>> + Unpin + Send + 'static,
        bytes_of: fn(&T) -> usize,
    ) -> Self {
        let state = State {
            requests: VecDeque::new(),
            bytes: 0,
            last: None,
            closed: false,
            receiver: None,
            receiver_wants_room: false,
            owner: None,
        };
        let shared = Arc::new(Shared { bytes_of, state: Mutex::new(state) });
        detach(receive(Arc::clone(&shared), requests));
        Self(shared)
    }

    /// Waits for the next request.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Result<T, Last>> {
        let (request, receiver) = {
            let state = &mut *self.0.state.lock();
            let Some(request) = state.requests.pop_front() else {
                state.owner = Some(cx.waker().clone());
                return state.last.map_or(Poll::Pending, |last| Poll::Ready(Err(last)));
            };
            state.bytes -= (self.0.bytes_of)(&request);
            // Not for each request: once there is room for many.
            let roomy = state.bytes <= WAITING_BYTES_MAX / 2;
            let wanted = roomy && std::mem::take(&mut state.receiver_wants_room);
            (request, if wanted { state.receiver.take() } else { None })
        };
        wake(receiver);
        Poll::Ready(Ok(request))
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        let receiver = {
            let state = &mut *self.0.state.lock();
            state.closed = true;
            state.receiver.take()
        };
        wake(receiver);
    }
}

impl<T> Shared<T> {
    /// Waits for room and then for the next of `requests`; `None` once no more is wanted.
    fn poll_receive<S: Stream + Unpin>(
        &self,
        cx: &mut Context<'_>,
        requests: &mut S,
    ) -> Poll<Option<Option<S::Item>>> {
        {
            let state = &mut *self.state.lock();
            if state.closed {
                return Poll::Ready(None);
            }
            state.receiver = Some(cx.waker().clone());
            state.receiver_wants_room = state.bytes >= WAITING_BYTES_MAX;
            if state.receiver_wants_room {
                return Poll::Pending;
            }
        }
        requests.poll_next_unpin(cx).map(Some)
    }

    fn put(&self, request: T) {
        let owner = {
            let state = &mut *self.state.lock();
            state.bytes += (self.bytes_of)(&request);
            state.requests.push_back(request);
            state.owner.take()
        };
        wake(owner);
    }

    fn end(&self, last: Last) {
        let owner = {
            let state = &mut *self.state.lock();
            state.last = Some(last);
            state.owner.take()
        };
        wake(owner);
    }
}

async fn receive<T, E>(
    shared: Arc<Shared<T>>,
    mut requests: impl Stream<Item = Result<T, E>> + Unpin,
) {
    while let Some(received) = poll_fn(|cx| shared.poll_receive(cx, &mut requests)).await {
        match received {
            Some(Ok(request)) => shared.put(request),
            Some(Err(_gone)) => return shared.end(Last::Gone),
            None => return shared.end(Last::Done),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::stream;

    use super::*;

    fn next(inbox: &Inbox<usize>) -> Poll<Result<usize, Last>> {
        inbox.poll_next(&mut Context::from_waker(Waker::noop()))
    }

    /// Requests of one size without end, and how many were received.
    fn counted(
        size: usize,
    ) -> (impl Stream<Item = Result<usize, ()>> + Unpin + Send, Arc<AtomicUsize>) {
        let received = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&received);
        let requests = stream::repeat_with(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(size)
        });
        (requests, received)
    }

    #[test]
    fn requests_come_in_order_and_then_the_end() {
        let inbox = Inbox::open(stream::iter([Ok::<_, ()>(1), Ok(2)]), |size| *size);
        assert_eq!([next(&inbox), next(&inbox)], [Poll::Ready(Ok(1)), Poll::Ready(Ok(2))]);
        assert_eq!(next(&inbox), Poll::Ready(Err(Last::Done)));
    }

    #[test]
    fn a_client_that_left_is_told_from_one_that_is_done() {
        let inbox = Inbox::open(stream::iter([Ok(1), Err(())]), |size| *size);
        assert_eq!(
            [next(&inbox), next(&inbox)],
            [Poll::Ready(Ok(1)), Poll::Ready(Err(Last::Gone))]
        );
    }

    #[test]
    fn nothing_is_received_beyond_what_may_wait_until_half_of_it_is_taken() {
        let (requests, received) = counted(WAITING_BYTES_MAX / 8);
        let inbox = Inbox::open(requests, |size| *size);
        let ahead = received.load(Ordering::SeqCst);
        assert_eq!(ahead, 8);
        assert!(next(&inbox).is_ready());
        assert_eq!(received.load(Ordering::SeqCst), ahead);
        for _ in 0..4 {
            assert!(next(&inbox).is_ready());
        }
        assert!(received.load(Ordering::SeqCst) > ahead);
    }

    /// Dropped, the stream of requests cancels a call that has not ended.
    #[test]
    fn a_dropped_inbox_drops_the_stream_it_waits_for() {
        let waited_for = Arc::new(());
        let held = Arc::clone(&waited_for);
        let requests = stream::poll_fn(move |_| {
            let _held = &held;
            Poll::<Option<Result<usize, ()>>>::Pending
        });
        let inbox = Inbox::open(requests, |size| *size);
        assert_eq!(Arc::strong_count(&waited_for), 2);
        drop(inbox);
        assert_eq!(Arc::strong_count(&waited_for), 1);
    }

    #[test]
    fn a_dropped_inbox_receives_no_more() {
        let (requests, received) = counted(WAITING_BYTES_MAX);
        let inbox = Inbox::open(requests, |size| *size);
        drop(inbox);
        assert_eq!((received.load(Ordering::SeqCst), Arc::strong_count(&received)), (1, 1));
    }
}
