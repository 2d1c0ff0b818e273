//! Appending for clients, whatever the interface: a call with one batch, and a stream of them.
//!
//! Files, lowest first: `claim` (who says to have made a batch), `order` (what a client asks for,
//! and how an interface says it), `window` (what a stream has in flight), `acknowledging` (how that
//! is answered), then `call` and `stream`.

mod acknowledging;
pub(crate) mod call;
mod claim;
mod order;
pub(crate) mod stream;
mod window;

pub(crate) use claim::Claim;
pub(crate) use order::{Appended, Dialect, Order};
