//! What the commands share that talk to a server.
//!
//! Files: `args` (the flags), `identity` (the client's certificate files), `connection` (the
//! channel), `refusal` (what a server answers), `diagnosis` (why there is no answer), `retry` (when
//! to try again), `error`.

pub(super) mod args;
pub(super) mod connection;
mod diagnosis;
pub(super) mod error;
mod identity;
pub(super) mod refusal;
pub(super) mod retry;
