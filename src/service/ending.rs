//! How a stream ends, and the farewell to its client.

use std::time::Duration;

use crate::service::backend::Backend;
use crate::service::inbox::Last;
use crate::service::measured::Measured;
use crate::service::outbox::{Gone, Outbox};
use crate::service::refusal::Refusal;
use crate::service::session::Cut;

/// How long a client may take to receive its stream's end; one that reads nothing is cut off then.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

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

/// Sends what the outbox still holds and then the status that `ending` comes to.
pub(crate) fn farewell(backend: &Backend, measured: Measured, outbox: Outbox, ending: Ending) {
    match ending {
        Ending::Gone => drop(outbox),
        Ending::Done => {
            measured.done();
            outbox.finish(None, FAREWELL);
        }
        Ending::Refused(refusal) => {
            outbox.finish(Some(backend.refuse(measured, &refusal)), FAREWELL);
        }
    }
}
