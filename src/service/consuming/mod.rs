//! Reading for clients, whatever the interface: once, and on and on.
//!
//! Files, lowest first: `ask` (what a client asks for, and how an interface says it), `reading`
//! (where a client is in a log, and what it finds there), then `call` and `stream`.

mod ask;
pub(crate) mod call;
mod reading;
pub(crate) mod stream;

pub(crate) use ask::{Ask, Dialect, Gap, GapCause, OnGap, Part, Standing, Start};
