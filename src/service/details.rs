//! The bytes of a rich error: `google.rpc.Status` with the details that go into the trailer
//! `grpc-status-details-bin`.

use std::time::Duration;

use grpcio::{RpcStatus, RpcStatusCode};
use protobuf::well_known_types::any::Any;
use protobuf::well_known_types::duration::Duration as ProtoDuration;
use protobuf::{Message as _, MessageField, MessageFull};

use super::tag::Tag;
use crate::proto::error_details::{ErrorInfo, LocalizedMessage, RequestInfo, RetryInfo};
use crate::proto::status::Status;

/// Whose the reasons in `ErrorInfo` are.
const DOMAIN: &str = "varve";
/// Above this much metadata the C core would drop the whole answer.
const DETAILS_BYTES_MAX: usize = 8 * 1024;

/// An error as a client gets it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) code: RpcStatusCode,
    pub(crate) message: String,
    /// For programs; never changes its meaning.
    pub(crate) reason: &'static str,
    /// What the message says, as values.
    pub(crate) metadata: Vec<(&'static str, String)>,
    /// When trying again makes sense; `None` if it does not.
    pub(crate) retry_after: Option<Duration>,
    /// For the end user, in American English.
    pub(crate) localized: Option<String>,
    /// By which the call can be found in the server's own log.
    pub(crate) request_id: Option<String>,
}

impl Answer {
    pub(crate) fn new(code: RpcStatusCode, reason: &'static str, message: String) -> Self {
        let (metadata, retry_after, localized, request_id) = (Vec::new(), None, None, None);
        Self { code, message, reason, metadata, retry_after, localized, request_id }
    }

    pub(crate) fn with(mut self, key: &'static str, value: impl ToString) -> Self {
        self.metadata.push((key, value.to_string()));
        self
    }

    /// Says which call it answers.
    pub(crate) fn about(mut self, tag: &Tag) -> Self {
        self.request_id = Some(tag.request_id());
        self
    }

    pub(crate) fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}

impl From<Answer> for RpcStatus {
    fn from(answer: Answer) -> Self {
        let details = encode(&answer).filter(|bytes| bytes.len() <= DETAILS_BYTES_MAX);
        Self::with_details(answer.code, answer.message, details.unwrap_or_default())
    }
}

/// `None` if the generated code cannot write it, which only a message beyond 2 GiB brings about.
fn encode(answer: &Answer) -> Option<Vec<u8>> {
    let mut details = vec![any(&ErrorInfo {
        reason: answer.reason.to_owned(),
        domain: DOMAIN.to_owned(),
        metadata: answer.metadata.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect(),
        ..ErrorInfo::default()
    })?];
    if let Some(delay) = answer.retry_after {
        let retry_delay = ProtoDuration {
            seconds: i64::try_from(delay.as_secs()).ok()?,
            nanos: i32::try_from(delay.subsec_nanos()).ok()?,
            ..ProtoDuration::default()
        };
        let retry_delay = MessageField::some(retry_delay);
        details.push(any(&RetryInfo { retry_delay, ..RetryInfo::default() })?);
    }
    if let Some(message) = answer.localized.clone() {
        let locale = "en-US".to_owned();
        details.push(any(&LocalizedMessage { locale, message, ..LocalizedMessage::default() })?);
    }
    if let Some(request_id) = answer.request_id.clone() {
        details.push(any(&RequestInfo { request_id, ..RequestInfo::default() })?);
    }
    let code = answer.code.into();
    let message = answer.message.clone();
    Status { code, message, details, ..Status::default() }.write_to_bytes().ok()
}

fn any<M: MessageFull>(message: &M) -> Option<Any> {
    Any::pack(message).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_details_repeat_code_and_message() {
        let answer = Answer::new(RpcStatusCode::OUT_OF_RANGE, "WHY", "because".to_owned());
        let status = RpcStatus::from(answer.with("end", 7));
        let details = Status::parse_from_bytes(status.details()).unwrap();
        assert_eq!(details.code, i32::from(status.code()));
        assert_eq!(details.message, status.message());
        assert_eq!(details.details[0].type_url, "type.googleapis.com/google.rpc.ErrorInfo");
        let info: ErrorInfo = details.details[0].unpack().unwrap().unwrap();
        assert_eq!((info.reason.as_str(), info.domain.as_str()), ("WHY", "varve"));
        assert_eq!(info.metadata["end"], "7");
    }

    #[test]
    fn a_delay_and_a_message_for_people_are_details_of_their_own() {
        let mut answer = Answer::new(RpcStatusCode::UNAVAILABLE, "WHY", String::new())
            .retry_after(Duration::from_millis(1500));
        answer.localized = Some("Later.".to_owned());
        let status = Status::parse_from_bytes(RpcStatus::from(answer).details()).unwrap();
        let retry: RetryInfo = status.details[1].unpack().unwrap().unwrap();
        assert_eq!((retry.retry_delay.seconds, retry.retry_delay.nanos), (1, 500_000_000));
        let localized: LocalizedMessage = status.details[2].unpack().unwrap().unwrap();
        assert_eq!((localized.locale.as_str(), localized.message.as_str()), ("en-US", "Later."));
    }

    #[test]
    fn details_that_would_not_fit_are_left_out() {
        let answer = Answer::new(RpcStatusCode::INTERNAL, "WHY", "short".to_owned())
            .with("long", "x".repeat(DETAILS_BYTES_MAX));
        let status = RpcStatus::from(answer);
        assert_eq!((status.message(), status.details()), ("short", &[][..]));
    }
}
