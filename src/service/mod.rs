//! The services: from a call to the log and back.
//!
//! A handler runs on a poll thread and never waits there: a unary append parks its reply, a read
//! goes to a reading thread, a stream gets a thread of its own. It reaches a log only with a permit
//! of the guard.
//!
//! Files, lowest first: `wire`, `records`, `message` (bytes in and out), `refusal`, `event`, `tag`
//! (how calls and lines about them are named), `details`, `status` (what clients are told),
//! `methods`, `identity`, `rules`, `caller`, `session`, `guard`, `calls`, `spans`, `measured` (what
//! became of calls), `checker` (who may what), `limits`, `bucket`, `rates` (how much, how fast),
//! `audit`, `detach`, `wait`, `crew`, `reads`, `errands`, `inbox`, `outbox` (means), `backend`
//! (what the services share), `answer`, `ending`, `producing` and `consuming` (what interfaces
//! have in common), then the services `log_v1`, `varve_v1`, `readers_v1`, `admin`, `health` and
//! `reflection`, and `null`, which has no log.

pub(crate) mod admin;
mod answer;
pub(crate) mod audit;
pub(crate) mod backend;
mod bucket;
mod caller;
pub(crate) mod calls;
pub(crate) mod checker;
mod consuming;
mod crew;
mod detach;
mod details;
mod ending;
pub(crate) mod errands;
mod event;
#[cfg(feature = "floors")]
#[doc(hidden)]
pub mod floors;
pub(crate) mod guard;
pub(crate) mod health;
pub(crate) mod identity;
mod inbox;
mod limits;
pub(crate) mod log_v1;
pub(crate) mod measured;
mod message;
mod methods;
pub(crate) mod null;
mod outbox;
mod producing;
mod rates;
pub(crate) mod readers_v1;
pub(crate) mod reads;
mod records;
pub(crate) mod reflection;
pub(crate) mod refusal;
mod rules;
pub(crate) mod session;
pub(crate) mod spans;
pub(crate) mod status;
mod tag;
pub(crate) mod varve_v1;
pub(crate) mod wait;
pub(crate) mod wire;

pub use limits::Limits;
pub use rules::Rules;
