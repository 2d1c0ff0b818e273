//! How a stream ends, and the farewell to its client.

use std::future::poll_fn;
use std::time::Duration;

use futures_timer::Delay;

use crate::service::backend::Backend;
use crate::service::inbox::Last;
use crate::service::measured::Measured;
use crate::service::outbox::{Gone, Outbox};
use crate::service::refusal::Refusal;
use crate::service::session::{Cut, Session};

/// How long a client may take to receive its stream's end once the stream must not go on; one that
/// reads nothing is cut off then.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);
/// How long a client may take nothing of what is left otherwise. The C core tells of a reply once
/// all of it is out, so a link with 20 KiB/s still gets the largest usual one, of 1 MiB. Meanwhile
/// the stream holds its slot, as that of any slow client does.
const PATIENCE: Duration = Duration::from_secs(60);

/// How a stream ends.
#[derive(Debug)]
pub(crate) enum Ending {
    /// The client said that it was done, and all its answers are in the outbox.
    Done,
    /// The client is gone: there is nobody to tell anything.
    Gone,
    /// The client is told why.
    Refused(Refusal),
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Last> for Ending {
    fn from(last: Last) -> Self {
        match last {
            Last::Done => Self::Done,
            Last::Gone => Self::Gone,
        }
    }
}

impl From<Gone> for Ending {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<Cut> for Ending {
    fn from(cut: Cut) -> Self {
        Self::Refused(cut.into())
    }
}

/// Sends what the outbox still holds and then the status that `ending` comes to. Blocks until that
/// is out, or the client has no more time: as much as it needs while it takes something, and little
/// once `session` is cut.
pub(crate) fn farewell(
    backend: &Backend,
    measured: Measured,
    outbox: Outbox,
    ending: Ending,
    session: &Session,
) {
    let time_is_up = async {
        poll_fn(|cx| session.poll_cut(cx)).await;
        Delay::new(FAREWELL).await;
    };
    match ending {
        Ending::Gone => drop(outbox),
        Ending::Done => {
            if outbox.finish(None, PATIENCE, time_is_up) {
                measured.done();
            }
        }
        Ending::Refused(refusal) => {
            let status = backend.refuse(measured, &refusal);
            let _told = outbox.finish(Some(status), PATIENCE, time_is_up);
        }
    }
}
