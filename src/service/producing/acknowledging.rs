//! Answering the batches of a produce stream, on whichever thread makes them durable.
//!
//! That is a flusher, or the poll thread that it leaves many answers to. Were it the stream's own
//! thread, each lone record would have it scheduled twice, which costs more than the answer. With
//! 64 streams of single records that gave a quarter more of them, for a third less CPU each.

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};

use futures_channel::oneshot;

use super::order::Dialect;
use super::window::{Next, Window};
use crate::fail_points::fail_point;
use crate::service::detach::detach;
use crate::service::ending::Ending;
use crate::service::measured::Part;
use crate::service::outbox::Outbox;
use crate::service::refusal::Refusal;

/// Answers what comes into `window` by way of `outbox`, and counts that in `messages`. Resolves
/// with the outbox and with how the stream ends, once nothing is left to be answered.
pub(super) fn start<D: Dialect>(
    window: &Arc<Window>,
    outbox: Outbox,
    messages: Part,
) -> oneshot::Receiver<(Outbox, Ending)> {
    let window = Arc::clone(window);
    let (done, ended) = oneshot::channel();
    detach(async move {
        let Err(ending) = answer_all::<D>(&window, &outbox, &messages).await;
        // The stream's thread waits for it.
        let _told = done.send((outbox, ending));
    });
    ended
}

async fn answer_all<D: Dialect>(
    window: &Window,
    outbox: &Outbox,
    messages: &Part,
) -> Result<Infallible, Ending> {
    loop {
        let next = poll_fn(|cx| {
            if outbox.poll_room(cx)?.is_pending() {
                // A cut waits for replies to be made, but not for a client that takes none.
                return Poll::Ready(Err(ready!(window.poll_cut(cx))));
            }
            if let Poll::Ready(next) = window.poll_next(cx) {
                return Poll::Ready(Ok(next));
            }
            // Nothing more to say for now: what was said goes out.
            outbox.flush();
            outbox.poll_gone(cx).map(|gone| Err(Ending::from(gone)))
        })
        .await?;
        match next {
            Next::Acknowledged(appended, began) => {
                fail_point!("acknowledging::answer");
                outbox.push(D::reply(&appended));
                messages.took(began.elapsed());
            }
            Next::Lost(error) => return Err(Refusal::from(error).into()),
            Next::Ended(ending) => return Err(ending),
        }
    }
}
