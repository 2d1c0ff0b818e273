//! What `produce` and `consume` share: the way to a server.
//!
//! Files: `args` (the flags), `identity` (the client's certificate files), `connection` (the
//! channel), `refusal` (what a server answers), `diagnosis` (why there is no answer), `error`.

pub(super) mod args;
pub(super) mod connection;
mod diagnosis;
pub(super) mod error;
mod identity;
pub(super) mod refusal;
