//! Appending for clients, whatever the interface: a call with one batch, and a stream of them.
//!
//! Files, lowest first: `order` (what a client asks for, and how an interface says it), `window`
//! (what a stream has in flight), then `call` and `stream`.

pub(crate) mod call;
mod order;
pub(crate) mod stream;
mod window;

pub(crate) use order::{Appended, Dialect, Order};
