//! How `varve.v1` says "append": a batch a request.

use super::{Batches, messages};
use crate::service::message::Reply;
use crate::service::producing::{Appended, Dialect, Order};
use crate::service::refusal::BadRequest;

impl Dialect for Batches {
    const LOG: Option<&'static str> = None;

    fn order(message: &[u8]) -> Result<Order<'_>, BadRequest> {
        messages::produce_request(message)
    }

    fn reply(appended: &Appended) -> Reply {
        messages::produce_response(appended)
    }
}
