//! The messages of `varve.v1.Readers`, read from a request's bytes and written as a reply's.

use protobuf::{Message, MessageField};

use crate::log::{LogId, Offset, ReaderAction, ReaderName};
use crate::proto::readers_service as form;
use crate::service::guard::ReaderStanding;
use crate::service::message::Reply;
use crate::service::refusal::BadRequest;
use crate::service::wire::{self, Fields, Value};

/// The log that a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    pub(super) log: &'a str,
    /// The id that it must have, if the client said.
    pub(super) id: Option<LogId>,
}

/// A `CommitReaderRequest`: where its reader is to stand.
pub(super) fn commit_request(
    message: &[u8],
) -> Result<(Target<'_>, (ReaderName, ReaderAction)), BadRequest> {
    let (mut log, mut id, mut reader): (&[u8], &[u8], &[u8]) = (b"", b"", b"");
    let (mut offset, mut force) = (0, false);
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(bytes)) => log = bytes,
            (2, Value::Bytes(bytes)) => id = bytes,
            (3, Value::Bytes(bytes)) => reader = bytes,
            (4, Value::Varint(number)) => offset = number,
            (5, Value::Varint(number)) => force = number != 0,
            _ => {}
        }
    }
    let target = Target { log: log_name(log)?, id: log_id(id)? };
    let action = ReaderAction::Commit { offset: Offset::new(offset), force };
    Ok((target, (reader_name(reader)?, action)))
}

/// A `DeleteReaderRequest`.
pub(super) fn delete_request(
    message: &[u8],
) -> Result<(Target<'_>, (ReaderName, ReaderAction)), BadRequest> {
    let (target, name) = get_request(message)?;
    Ok((target, (name, ReaderAction::Delete)))
}

/// A `GetReaderRequest`.
pub(super) fn get_request(message: &[u8]) -> Result<(Target<'_>, ReaderName), BadRequest> {
    let (target, ()) = list_request(message)?;
    let reader = wire::last_bytes(message, 2)?.unwrap_or_default();
    Ok((target, reader_name(reader)?))
}

/// A `ListReadersRequest`.
pub(super) fn list_request(message: &[u8]) -> Result<(Target<'_>, ()), BadRequest> {
    let log = log_name(wire::last_bytes(message, 1)?.unwrap_or_default())?;
    Ok((Target { log, id: None }, ()))
}

/// A `CommitReaderResponse`.
pub(super) fn commit_response(standing: ReaderStanding) -> Reply {
    let reader = MessageField::some(reader(standing));
    reply(&form::CommitReaderResponse { reader, ..Default::default() })
}

/// A `DeleteReaderResponse`.
pub(super) fn delete_response() -> Reply {
    reply(&form::DeleteReaderResponse::default())
}

/// A `GetReaderResponse`.
pub(super) fn get_response(standing: ReaderStanding, id: LogId) -> Reply {
    let reader = MessageField::some(reader(standing));
    let log_id = id.bytes().to_vec().into();
    reply(&form::GetReaderResponse { reader, log_id, ..Default::default() })
}

/// A `ListReadersResponse`.
pub(super) fn list_response(standing: Vec<ReaderStanding>, id: LogId) -> Reply {
    let readers = standing.into_iter().map(reader).collect();
    let log_id = id.bytes().to_vec().into();
    reply(&form::ListReadersResponse { readers, log_id, ..Default::default() })
}

/// A reader, as several replies have it.
pub(in crate::service) fn reader(standing: ReaderStanding) -> form::Reader {
    let ReaderStanding { reader, lag_records, lag_us } = standing;
    form::Reader {
        name: reader.name.to_string(),
        offset: reader.offset.get(),
        owner: reader.owner,
        commit_time_us: reader.commit_time_us,
        lag_records,
        lag_us,
        ..Default::default()
    }
}

fn reply(message: &impl Message) -> Reply {
    // The generated code fails beyond 2 GiB only, and readers are few.
    Reply::new(message.write_to_bytes().unwrap_or_default())
}

fn log_name(bytes: &[u8]) -> Result<&str, BadRequest> {
    match str::from_utf8(bytes) {
        Ok("") => Err(BadRequest::NoLog),
        Ok(name) => Ok(name),
        Err(_) => Err(BadRequest::NotText { field: "log" }),
    }
}

fn log_id(bytes: &[u8]) -> Result<Option<LogId>, BadRequest> {
    if bytes.is_empty() {
        return Ok(None);
    }
    match bytes.try_into() {
        Ok(id) => Ok(Some(LogId::from_bytes(id))),
        Err(_) => Err(BadRequest::NotAnId { field: "log_id", bytes: bytes.len() }),
    }
}

fn reader_name(bytes: &[u8]) -> Result<ReaderName, BadRequest> {
    let text = str::from_utf8(bytes).map_err(|_| BadRequest::NotText { field: "reader" })?;
    ReaderName::parse(text).map_err(|fault| BadRequest::NotAReaderName { field: "reader", fault })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::log::NameError;

    fn commit() -> form::CommitReaderRequest {
        let (log, reader) = ("orders".to_owned(), "billing".to_owned());
        form::CommitReaderRequest { log, reader, ..Default::default() }
    }

    fn bytes(message: &impl Message) -> Vec<u8> {
        message.write_to_bytes().unwrap()
    }

    #[test]
    fn a_request_says_what_is_wrong_with_it() {
        let fault = |change: fn(&mut form::CommitReaderRequest)| {
            let mut request = commit();
            change(&mut request);
            commit_request(&bytes(&request)).unwrap_err()
        };
        assert_eq!(fault(|r| r.log.clear()), BadRequest::NoLog);
        let empty = BadRequest::NotAReaderName { field: "reader", fault: NameError::Empty };
        assert_eq!(fault(|r| r.reader.clear()), empty);
        let upper = NameError::Character { at: 1, found: 'B' };
        let upper = BadRequest::NotAReaderName { field: "reader", fault: upper };
        assert_eq!(fault(|r| r.reader = "aB".to_owned()), upper);
        let short = BadRequest::NotAnId { field: "log_id", bytes: 3 };
        assert_eq!(fault(|r| r.log_id = vec![1; 3].into()), short);
        for (message, fault) in [
            (&[0x0a][..], BadRequest::Malformed),
            (&[0x0a, 1, 0xff], BadRequest::NotText { field: "log" }),
            (&[0x0a, 1, b'a', 0x12, 1, 0xff], BadRequest::NotText { field: "reader" }),
        ] {
            assert_eq!(get_request(message).unwrap_err(), fault, "{message:x?}");
        }
        assert_eq!(list_request(&[]).unwrap_err(), BadRequest::NoLog);
    }

    #[test]
    fn names_are_read_where_each_message_has_them() {
        let target = Target { log: "orders", id: None };
        let get = form::GetReaderRequest {
            log: "orders".to_owned(),
            reader: "billing".to_owned(),
            ..Default::default()
        };
        let billing = ReaderName::parse("billing").unwrap();
        assert_eq!(get_request(&bytes(&get)), Ok((target, billing.clone())));
        assert_eq!(list_request(&bytes(&get)), Ok((target, ())));
        let delete = (billing, ReaderAction::Delete);
        assert_eq!(delete_request(&bytes(&get)), Ok((target, delete)));
    }

    proptest! {
        #[test]
        fn commits_are_read_as_the_generated_code_writes_them(
            offset: u64,
            force: bool,
            id in prop::option::of(any::<[u8; 16]>()),
        ) {
            let mut request = commit();
            (request.offset, request.force) = (offset, force);
            request.log_id = id.map(|id| id.to_vec()).unwrap_or_default().into();
            let message = bytes(&request);
            let (target, (name, action)) = commit_request(&message).unwrap();
            let expected = Target { log: "orders", id: id.map(LogId::from_bytes) };
            prop_assert_eq!((target, name.as_str()), (expected, "billing"));
            let offset = Offset::new(offset);
            prop_assert_eq!(action, ReaderAction::Commit { offset, force });
        }

        #[test]
        fn any_request_is_read_without_a_panic(message: Vec<u8>) {
            let _read = commit_request(&message);
            let _read = delete_request(&message);
        }
    }
}
