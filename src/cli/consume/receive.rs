//! One stream: what it brings, and what else a consumer may have to do meanwhile.
//!
//! Receiving runs on the thread that owns the connection, so that a message costs no change of
//! threads; a short queue leads from there to the writing.

use std::future::{Future, poll_fn};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_channel::mpsc::{self, Receiver, Sender};
use futures_executor::block_on;
use futures_timer::Delay;
use futures_util::{FutureExt as _, StreamExt as _};
use grpcio::ClientSStreamReceiver;

use crate::cli::client::connection::Connection;
use crate::cli::client::error::ClientError;
use crate::cli::interrupt::{Interrupt, Signal};
use crate::proto::log_service::{ConsumeRequest, ConsumeResponse};

/// Messages that were received and not yet written. Each may have some MiB.
const QUEUED_MESSAGES_MAX: usize = 4;
/// How often the server sends a sign of life while it has nothing else to say.
pub(super) const HEARTBEAT_MS: u32 = 10_000;
/// Without one for so long the connection is taken for broken.
const SILENCE_MAX: Duration = Duration::from_secs(35);

/// An open stream.
pub(super) struct Stream {
    queued: Receiver<Result<ConsumeResponse, grpcio::Error>>,
    heard: Instant,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    Message(Box<ConsumeResponse>),
    /// The server has ended the stream in order.
    End,
    Broken(ClientError),
    Interrupted(Signal),
    /// The time that the consumer had something to do at.
    Due,
}

impl Stream {
    /// Opens a stream; a failure comes with its first message.
    pub(super) fn open(
        connection: &Connection,
        request: &ConsumeRequest,
    ) -> Result<Self, ClientError> {
        let client = connection.log();
        let stream = client.consume_stream(request).map_err(|error| connection.explain(error))?;
        let (queue, queued) = mpsc::channel(QUEUED_MESSAGES_MAX);
        client.spawn(receive(stream, queue));
        Ok(Self { queued, heard: Instant::now() })
    }

    /// What has come already; `None` if that would take waiting.
    pub(super) fn at_hand(
        &mut self,
        connection: &Connection,
        interrupt: &mut Interrupt,
    ) -> Option<Next> {
        if let Some(signal) = interrupt.fired() {
            return Some(Next::Interrupted(signal));
        }
        let next = self.queued.next().now_or_never()?;
        Some(self.hear(connection, next))
    }

    /// Waits for what comes next, but not beyond `due`.
    pub(super) fn wait(
        &mut self,
        connection: &Connection,
        interrupt: &mut Interrupt,
        due: Option<Instant>,
    ) -> Next {
        let silent = self.heard + SILENCE_MAX;
        let end = due.map_or(silent, |due| due.min(silent));
        let mut end = Delay::new(end.saturating_duration_since(Instant::now()));
        let waited = block_on(poll_fn(|cx| {
            if let Poll::Ready(signal) = interrupt.poll(cx) {
                return Poll::Ready(Err(Next::Interrupted(signal)));
            }
            if let Poll::Ready(next) = self.queued.poll_next_unpin(cx) {
                return Poll::Ready(Ok(next));
            }
            poll_end(&mut end, cx).map(|()| Err(Next::Due))
        }));
        match waited {
            Ok(next) => self.hear(connection, next),
            Err(Next::Due) if Instant::now() >= silent => {
                Next::Broken(ClientError::Silent { patience: SILENCE_MAX })
            }
            Err(other) => other,
        }
    }

    fn hear(
        &mut self,
        connection: &Connection,
        next: Option<Result<ConsumeResponse, grpcio::Error>>,
    ) -> Next {
        self.heard = Instant::now();
        match next {
            Some(Ok(message)) => Next::Message(message.into()),
            Some(Err(error)) => Next::Broken(connection.explain(error)),
            None => Next::End,
        }
    }
}

fn poll_end(end: &mut Delay, cx: &mut Context<'_>) -> Poll<()> {
    std::pin::Pin::new(end).poll(cx)
}

/// Queues what the stream brings until it ends or nobody wants it any more.
async fn receive(
    mut stream: ClientSStreamReceiver<ConsumeResponse>,
    mut queue: Sender<Result<ConsumeResponse, grpcio::Error>>,
) {
    while let Some(response) = stream.next().await {
        let is_last = response.is_err();
        let queued = poll_fn(|context| queue.poll_ready(context)).await;
        if queued.and_then(|()| queue.start_send(response)).is_err() || is_last {
            return;
        }
    }
}
