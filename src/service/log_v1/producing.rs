//! How `log.v1` says "append": one record, to one log, acknowledged once it is synced.

use std::num::NonZeroU32;

use super::{LOG, messages};
use crate::log::Durability;
use crate::service::message::Reply;
use crate::service::producing::{Appended, Dialect, Order};
use crate::service::records;
use crate::service::refusal::BadRequest;

/// One record a request.
#[derive(Debug)]
pub(super) enum OneRecord {}

impl Dialect for OneRecord {
    const LOG: Option<&'static str> = Some(LOG);

    fn order(message: &[u8]) -> Result<Order<'_>, BadRequest> {
        let value = messages::produce_request(message)?;
        Ok(Order {
            log: LOG,
            payload: records::encode_one(value),
            records: NonZeroU32::MIN,
            durability: Durability::Synced,
            expected: None,
            producer: None,
            largest_record: ("record.value", value.len()),
        })
    }

    fn reply(appended: &Appended) -> Reply {
        messages::produce_response(appended.base)
    }
}
