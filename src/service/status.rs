//! What clients are told: the one map from our reasons to gRPC's codes.
//!
//! Each answer has a reason that never changes its meaning, and the values that its message names.
//! Nothing here shows a path: those are for operators.

mod administration;

use std::time::Duration;

use grpcio::{RpcStatus, RpcStatusCode};

use super::details::Answer;
use super::records::BadRecord;
use super::refusal::{BadRequest, Denied, OutOfRange, OverLimit, OverRate, Refusal};
use super::tag::Tag;
use crate::log::{
    AckError, AppendError, IoError, PRODUCER_BATCHES_MAX, ReadError, ReaderError, SequenceError,
    Stopped,
};

/// A queue drains within a few syncs.
const QUEUE_DELAY: Duration = Duration::from_millis(100);
/// A slot is free once another call ends.
const SLOT_DELAY: Duration = Duration::from_secs(1);
/// Appends work again within this time of space returning; a restart takes about as long.
const SERVER_DELAY: Duration = Duration::from_secs(5);
/// The numeric status that the first clients of `log.v1` know for an offset out of range.
const LEGACY_NOT_FOUND: i32 = 404;

/// Turns refusals into statuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statuses {
    /// Whether an offset out of range is the numeric status 404 instead of `OUT_OF_RANGE`.
    pub(crate) legacy_404: bool,
}

impl Statuses {
    /// What the client of the call that `tag` names is told.
    pub(crate) fn of(self, refusal: &Refusal, tag: &Tag) -> RpcStatus {
        self.answer(refusal).about(tag).into()
    }

    fn answer(self, refusal: &Refusal) -> Answer {
        match refusal {
            Refusal::BadRequest(bad) => bad_request(bad),
            Refusal::Denied(denied) => permission_denied(denied),
            Refusal::NoLog { name } => {
                Answer::new(RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND", refusal.to_string())
                    .with("log", name)
            }
            Refusal::LogReplaced { actual, .. } => {
                Answer::new(RpcStatusCode::FAILED_PRECONDITION, "LOG_REPLACED", refusal.to_string())
                    .with("log_id", actual)
            }
            Refusal::OverLimit(over) => over_limit(*over),
            Refusal::OverRate(over) => over_rate(*over),
            Refusal::Append(error) => append(error),
            Refusal::Ack(error) => ack(*error),
            Refusal::LogExists { name } => {
                Answer::new(RpcStatusCode::ALREADY_EXISTS, "LOG_EXISTS", refusal.to_string())
                    .with("log", name)
            }
            Refusal::OwnLog { name } => {
                let code = RpcStatusCode::FAILED_PRECONDITION;
                Answer::new(code, "LOG_PROTECTED", refusal.to_string()).with("log", name)
            }
            Refusal::Delete(error) => administration::delete(error),
            Refusal::Trim(error) => administration::trim(error),
            Refusal::BackUp(error) => administration::back_up(error),
            Refusal::Files(error) => administration::files(error),
            Refusal::OutOfRange(range) => self.out_of_range(*range),
            Refusal::Reader(error) => self.reader(error),
            Refusal::Read(error) => self.read(error),
            Refusal::Unreadable { base_offset } => {
                Answer::new(RpcStatusCode::DATA_LOSS, "LOG_DAMAGED", refusal.to_string())
                    .with("from", base_offset)
            }
            Refusal::Stopped(Stopped::Closed) | Refusal::Stopping => stopping(),
            Refusal::Stopped(Stopped::Failed) => storage_failed(),
            Refusal::Stopped(Stopped::Deleted) => deleted(),
            Refusal::CertificateExpired => Answer::new(
                RpcStatusCode::UNAUTHENTICATED,
                "CERTIFICATE_EXPIRED",
                refusal.to_string(),
            ),
            Refusal::CertificateRevoked(_) => Answer::new(
                RpcStatusCode::UNAUTHENTICATED,
                "CERTIFICATE_REVOKED",
                refusal.to_string(),
            ),
            Refusal::NotAdmitted => {
                Answer::new(RpcStatusCode::PERMISSION_DENIED, "NOT_ADMITTED", refusal.to_string())
            }
        }
    }

    fn out_of_range(self, range: OutOfRange) -> Answer {
        let code = match self.legacy_404 {
            true => LEGACY_NOT_FOUND.into(),
            false => RpcStatusCode::OUT_OF_RANGE,
        };
        let localized = format!(
            "The log holds offsets {} up to but not including {}; {} is outside.",
            range.start, range.end, range.offset
        );
        Answer {
            localized: Some(localized),
            ..Answer::new(code, "OFFSET_OUT_OF_RANGE", range.to_string())
                .with("offset", range.offset)
                .with("start", range.start)
                .with("end", range.end)
        }
    }

    fn reader(self, error: &ReaderError) -> Answer {
        let answer = |code, reason| Answer::new(code, reason, error.to_string());
        match error {
            ReaderError::OutOfRange { offset, start, end } => {
                let (offset, start, end) = (*offset, *start, *end);
                self.out_of_range(OutOfRange { offset, start, end })
            }
            ReaderError::Ahead { offset, current } => {
                answer(RpcStatusCode::FAILED_PRECONDITION, "READER_AHEAD")
                    .with("offset", offset)
                    .with("current", current)
            }
            ReaderError::Owned => answer(RpcStatusCode::PERMISSION_DENIED, "READER_OWNED"),
            ReaderError::NotFound => answer(RpcStatusCode::NOT_FOUND, "READER_NOT_FOUND"),
            ReaderError::TooMany { readers, limit } => {
                answer(RpcStatusCode::RESOURCE_EXHAUSTED, "READERS_MAX")
                    .with("limit", limit)
                    .with("actual", readers)
            }
            // No subject is that long.
            ReaderError::OwnerTooLong { .. } => {
                answer(RpcStatusCode::PERMISSION_DENIED, "NOT_ADMITTED")
            }
            ReaderError::NoSpace => {
                answer(RpcStatusCode::RESOURCE_EXHAUSTED, "DISK_RESERVE").retry_after(SERVER_DELAY)
            }
            ReaderError::Damaged => answer(RpcStatusCode::DATA_LOSS, "READERS_DAMAGED"),
            ReaderError::Failed => answer(RpcStatusCode::UNAVAILABLE, "READERS_FAILED")
                .with("outcome", "not attempted")
                .retry_after(SLOT_DELAY),
            ReaderError::Unknown => answer(RpcStatusCode::UNAVAILABLE, "READERS_FAILED")
                .with("outcome", "unknown")
                .retry_after(SLOT_DELAY),
            ReaderError::Closed => stopping(),
            ReaderError::Deleted => deleted(),
        }
    }

    fn read(self, error: &ReadError) -> Answer {
        match error {
            ReadError::OutOfRange { offset, start, end } => {
                let (offset, start, end) = (*offset, *start, *end);
                self.out_of_range(OutOfRange { offset, start, end })
            }
            ReadError::Damaged { from, resume } => {
                let answer =
                    Answer::new(RpcStatusCode::DATA_LOSS, "LOG_DAMAGED", error.to_string())
                        .with("from", from);
                match resume {
                    Some(resume) => answer.with("resume", resume),
                    None => answer,
                }
            }
            ReadError::Deleted => deleted(),
            ReadError::Io(io) => read_io(io),
        }
    }
}

fn bad_request(bad: &BadRequest) -> Answer {
    let answer = |reason| Answer::new(RpcStatusCode::INVALID_ARGUMENT, reason, bad.to_string());
    match bad {
        BadRequest::Malformed => answer("REQUEST_MALFORMED"),
        BadRequest::NoRecord { field } => answer("RECORD_MISSING").with("field", field),
        BadRequest::Record { place, fault } => {
            let field = match fault {
                BadRecord::Malformed(_) => format!("records[{place}]"),
                BadRecord::HeaderName { header } => {
                    format!("records[{place}].headers[{header}].name")
                }
            };
            answer("RECORD_MALFORMED").with("field", field)
        }
        BadRequest::NotText { field } => answer("TEXT_MALFORMED").with("field", field),
        BadRequest::NotInEnum { field, value } => {
            answer("VALUE_UNKNOWN").with("field", field).with("actual", value)
        }
        BadRequest::RecordTooLarge { field, bytes, limit } => answer("RECORD_TOO_LARGE")
            .with("field", field)
            .with("limit", limit)
            .with("actual", bytes),
        BadRequest::NotAnId { field, bytes } => {
            answer("ID_MALFORMED").with("field", field).with("limit", 16).with("actual", bytes)
        }
        BadRequest::ZeroId { field } => answer("ID_MALFORMED").with("field", field),
        BadRequest::OutOfBounds { field, value, min, max } => answer("VALUE_OUT_OF_BOUNDS")
            .with("field", field)
            .with("min", min)
            .with("limit", max)
            .with("actual", value),
        BadRequest::NotAReaderName { field, .. } => {
            answer("READER_NAME_INVALID").with("field", field)
        }
        BadRequest::NoLog => answer("LOG_NOT_NAMED").with("field", "log"),
        BadRequest::LogName(_)
        | BadRequest::BackupName(_)
        | BadRequest::Setting(_)
        | BadRequest::NoSetting { .. }
        | BadRequest::SetAndReset { .. }
        | BadRequest::Missing { .. } => administration::bad_request(bad),
        BadRequest::OtherLog { .. } => answer("LOG_CHANGED").with("field", "log"),
    }
}

fn permission_denied(denied: &Denied) -> Answer {
    Answer::new(RpcStatusCode::PERMISSION_DENIED, "NOT_PERMITTED", denied.to_string())
        .with("subject", &denied.subject)
        .with("action", denied.action)
        .with("object", &denied.object)
}

fn over_limit(over: OverLimit) -> Answer {
    Answer::new(RpcStatusCode::RESOURCE_EXHAUSTED, "OVER_LIMIT", over.to_string())
        .with("limit_name", over.limited.name())
        .with("limit", over.limit)
        .with("actual", over.actual)
        .retry_after(SLOT_DELAY)
}

fn over_rate(over: OverRate) -> Answer {
    Answer::new(RpcStatusCode::RESOURCE_EXHAUSTED, "RATE_LIMITED", over.to_string())
        .with("limit_name", over.paced.name())
        .with("limit", over.limit)
        .with("actual", over.actual)
        .retry_after(over.wait)
}

fn append(error: &AppendError) -> Answer {
    let message = error.to_string();
    match error {
        AppendError::TooLarge { bytes, limit } => {
            Answer::new(RpcStatusCode::INVALID_ARGUMENT, "BATCH_TOO_LARGE", message)
                .with("limit", limit)
                .with("actual", bytes)
        }
        AppendError::Busy { pending_bytes, limit } => {
            Answer::new(RpcStatusCode::RESOURCE_EXHAUSTED, "BUSY", message)
                .with("limit", limit)
                .with("actual", pending_bytes)
                .retry_after(QUEUE_DELAY)
        }
        AppendError::NoSpace { free_bytes, reserve_bytes } => {
            Answer::new(RpcStatusCode::RESOURCE_EXHAUSTED, "DISK_RESERVE", message)
                .with("limit", reserve_bytes)
                .with("actual", free_bytes)
                .retry_after(SERVER_DELAY)
        }
        AppendError::PredecessorDropped => {
            Answer::new(RpcStatusCode::RESOURCE_EXHAUSTED, "DISK_RESERVE", message)
                .retry_after(SERVER_DELAY)
        }
        AppendError::NotAtEnd { expected, end } => {
            Answer::new(RpcStatusCode::FAILED_PRECONDITION, "NOT_AT_END", message)
                .with("expected", expected)
                .with("end", end)
        }
        AppendError::Sequence(error) => sequence(*error),
        AppendError::Damaged => {
            Answer::new(RpcStatusCode::FAILED_PRECONDITION, "LOG_DAMAGED", message)
        }
        AppendError::Failed => storage_failed().with("outcome", "not attempted"),
        AppendError::Closed => stopping(),
        AppendError::Deleted => deleted(),
    }
}

fn sequence(error: SequenceError) -> Answer {
    let answer = |code, reason| Answer::new(code, reason, error.to_string());
    let refused = |reason| answer(RpcStatusCode::FAILED_PRECONDITION, reason);
    match error {
        SequenceError::Fenced { epoch, current } => {
            refused("PRODUCER_FENCED").with("epoch", epoch).with("current", current)
        }
        SequenceError::Gap { expected, actual } => {
            refused("SEQUENCE_GAP").with("expected", expected).with("actual", actual)
        }
        SequenceError::Reused { sequence } => refused("SEQUENCE_REUSED").with("sequence", sequence),
        SequenceError::TooOld { sequence, oldest } => {
            refused("DUPLICATE_TOO_OLD").with("sequence", sequence).with("oldest", oldest)
        }
        SequenceError::Busy { batches } => {
            answer(RpcStatusCode::RESOURCE_EXHAUSTED, "PRODUCER_BUSY")
                .with("limit", PRODUCER_BATCHES_MAX)
                .with("actual", batches.saturating_add(1))
                .retry_after(QUEUE_DELAY)
        }
        SequenceError::TooManyProducers { limit } => {
            answer(RpcStatusCode::RESOURCE_EXHAUSTED, "PRODUCERS_MAX")
                .with("limit_name", "producers_per_log_max")
                .with("limit", limit)
        }
    }
}

fn ack(error: AckError) -> Answer {
    match error {
        AckError::NoSpace => {
            Answer::new(RpcStatusCode::RESOURCE_EXHAUSTED, "DISK_RESERVE", error.to_string())
                .retry_after(SERVER_DELAY)
        }
        AckError::Failed => {
            Answer { message: error.to_string(), ..storage_failed().with("outcome", "unknown") }
        }
    }
}

fn stopping() -> Answer {
    let message = Refusal::Stopping.to_string();
    Answer::new(RpcStatusCode::UNAVAILABLE, "STOPPING", message).retry_after(SLOT_DELAY)
}

fn deleted() -> Answer {
    Answer::new(RpcStatusCode::NOT_FOUND, "LOG_DELETED", "the log was deleted".to_owned())
}

fn storage_failed() -> Answer {
    let message = "the server's storage failed, and the server is about to restart".to_owned();
    Answer::new(RpcStatusCode::UNAVAILABLE, "STORAGE_FAILED", message).retry_after(SERVER_DELAY)
}

fn read_io(error: &IoError) -> Answer {
    let message = "the records could not be read from the disk".to_owned();
    // A medium that cannot give back what it took has lost it; anything else, such as too many open
    // files, may pass.
    let is_medium = error.source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    if is_medium {
        return Answer::new(RpcStatusCode::DATA_LOSS, "READ_FAILED", message);
    }
    Answer::new(RpcStatusCode::UNAVAILABLE, "READ_FAILED", message).retry_after(SLOT_DELAY)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::PathBuf;

    use super::*;
    use crate::acl::Action;
    use crate::log::{LogId, NameError, Offset};
    use crate::service::refusal::{Limited, Paced};
    use crate::tls::Subject;

    const OURS: Statuses = Statuses { legacy_404: false };

    fn read_error(errno: i32) -> Refusal {
        Refusal::Read(ReadError::Io(IoError {
            op: "read",
            path: PathBuf::from("/secret/place"),
            source: io::Error::from_raw_os_error(errno),
        }))
    }

    fn every_refusal() -> Vec<(Refusal, RpcStatusCode, &'static str)> {
        let (offset, id) = (Offset::new(9), LogId::from_bytes([7; 16]));
        let (start, end) = (Offset::new(2), Offset::new(5));
        let over = OverLimit { limited: Limited::Streams, limit: 1, actual: 2 };
        let denied = Denied {
            subject: Subject::new("nobody").unwrap(),
            action: Action::Produce,
            object: "default".into(),
        };
        vec![
            (BadRequest::Malformed.into(), RpcStatusCode::INVALID_ARGUMENT, "REQUEST_MALFORMED"),
            (
                BadRequest::NoRecord { field: "record" }.into(),
                RpcStatusCode::INVALID_ARGUMENT,
                "RECORD_MISSING",
            ),
            (
                BadRequest::RecordTooLarge { field: "record", bytes: 2, limit: 1 }.into(),
                RpcStatusCode::INVALID_ARGUMENT,
                "RECORD_TOO_LARGE",
            ),
            (
                BadRequest::Record { place: 1, fault: BadRecord::HeaderName { header: 2 } }.into(),
                RpcStatusCode::INVALID_ARGUMENT,
                "RECORD_MALFORMED",
            ),
            (
                BadRequest::NotText { field: "log" }.into(),
                RpcStatusCode::INVALID_ARGUMENT,
                "TEXT_MALFORMED",
            ),
            (
                BadRequest::NotInEnum { field: "durability", value: 9 }.into(),
                RpcStatusCode::INVALID_ARGUMENT,
                "VALUE_UNKNOWN",
            ),
            (
                BadRequest::NotAnId { field: "log_id", bytes: 3 }.into(),
                RpcStatusCode::INVALID_ARGUMENT,
                "ID_MALFORMED",
            ),
            (
                BadRequest::OutOfBounds { field: "max_bytes", value: 9, min: 1, max: 8 }.into(),
                RpcStatusCode::INVALID_ARGUMENT,
                "VALUE_OUT_OF_BOUNDS",
            ),
            (
                BadRequest::ZeroId { field: "producer.id" }.into(),
                RpcStatusCode::INVALID_ARGUMENT,
                "ID_MALFORMED",
            ),
            (BadRequest::NoLog.into(), RpcStatusCode::INVALID_ARGUMENT, "LOG_NOT_NAMED"),
            (
                BadRequest::NotAReaderName { field: "reader", fault: NameError::Empty }.into(),
                RpcStatusCode::INVALID_ARGUMENT,
                "READER_NAME_INVALID",
            ),
            (
                ReaderError::Ahead { offset: start, current: end }.into(),
                RpcStatusCode::FAILED_PRECONDITION,
                "READER_AHEAD",
            ),
            (ReaderError::Owned.into(), RpcStatusCode::PERMISSION_DENIED, "READER_OWNED"),
            (ReaderError::NotFound.into(), RpcStatusCode::NOT_FOUND, "READER_NOT_FOUND"),
            (
                ReaderError::TooMany { readers: 1, limit: 1 }.into(),
                RpcStatusCode::RESOURCE_EXHAUSTED,
                "READERS_MAX",
            ),
            (
                ReaderError::OwnerTooLong { bytes: 256 }.into(),
                RpcStatusCode::PERMISSION_DENIED,
                "NOT_ADMITTED",
            ),
            (ReaderError::NoSpace.into(), RpcStatusCode::RESOURCE_EXHAUSTED, "DISK_RESERVE"),
            (ReaderError::Damaged.into(), RpcStatusCode::DATA_LOSS, "READERS_DAMAGED"),
            (ReaderError::Failed.into(), RpcStatusCode::UNAVAILABLE, "READERS_FAILED"),
            (ReaderError::Unknown.into(), RpcStatusCode::UNAVAILABLE, "READERS_FAILED"),
            (ReaderError::Closed.into(), RpcStatusCode::UNAVAILABLE, "STOPPING"),
            (
                ReaderError::OutOfRange { offset, start, end }.into(),
                RpcStatusCode::OUT_OF_RANGE,
                "OFFSET_OUT_OF_RANGE",
            ),
            (
                BadRequest::OtherLog { first: "a".into(), other: "b".into() }.into(),
                RpcStatusCode::INVALID_ARGUMENT,
                "LOG_CHANGED",
            ),
            (denied.into(), RpcStatusCode::PERMISSION_DENIED, "NOT_PERMITTED"),
            (Refusal::NoLog { name: "x".into() }, RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND"),
            (
                Refusal::LogReplaced { name: "x".into(), expected: id, actual: id },
                RpcStatusCode::FAILED_PRECONDITION,
                "LOG_REPLACED",
            ),
            (over.into(), RpcStatusCode::RESOURCE_EXHAUSTED, "OVER_LIMIT"),
            (
                OverRate { paced: Paced::Appends, limit: 1, actual: 2, wait: SLOT_DELAY }.into(),
                RpcStatusCode::RESOURCE_EXHAUSTED,
                "RATE_LIMITED",
            ),
            (
                AppendError::TooLarge { bytes: 2, limit: 1 }.into(),
                RpcStatusCode::INVALID_ARGUMENT,
                "BATCH_TOO_LARGE",
            ),
            (
                AppendError::NotAtEnd { expected: start, end }.into(),
                RpcStatusCode::FAILED_PRECONDITION,
                "NOT_AT_END",
            ),
            (
                AppendError::Busy { pending_bytes: 2, limit: 1 }.into(),
                RpcStatusCode::RESOURCE_EXHAUSTED,
                "BUSY",
            ),
            (
                AppendError::NoSpace { free_bytes: 1, reserve_bytes: 2 }.into(),
                RpcStatusCode::RESOURCE_EXHAUSTED,
                "DISK_RESERVE",
            ),
            sequence_refusal(SequenceError::Fenced { epoch: 1, current: 2 }, "PRODUCER_FENCED"),
            sequence_refusal(SequenceError::Gap { expected: 1, actual: 2 }, "SEQUENCE_GAP"),
            sequence_refusal(SequenceError::Reused { sequence: 1 }, "SEQUENCE_REUSED"),
            sequence_refusal(SequenceError::TooOld { sequence: 1, oldest: 2 }, "DUPLICATE_TOO_OLD"),
            (
                AppendError::Sequence(SequenceError::Busy { batches: 1024 }).into(),
                RpcStatusCode::RESOURCE_EXHAUSTED,
                "PRODUCER_BUSY",
            ),
            (
                AppendError::Sequence(SequenceError::TooManyProducers { limit: 1 }).into(),
                RpcStatusCode::RESOURCE_EXHAUSTED,
                "PRODUCERS_MAX",
            ),
            (AppendError::Damaged.into(), RpcStatusCode::FAILED_PRECONDITION, "LOG_DAMAGED"),
            (AppendError::Failed.into(), RpcStatusCode::UNAVAILABLE, "STORAGE_FAILED"),
            (AppendError::Closed.into(), RpcStatusCode::UNAVAILABLE, "STOPPING"),
            (AppendError::Deleted.into(), RpcStatusCode::NOT_FOUND, "LOG_DELETED"),
            (ReadError::Deleted.into(), RpcStatusCode::NOT_FOUND, "LOG_DELETED"),
            (Stopped::Deleted.into(), RpcStatusCode::NOT_FOUND, "LOG_DELETED"),
            (AckError::NoSpace.into(), RpcStatusCode::RESOURCE_EXHAUSTED, "DISK_RESERVE"),
            (
                AppendError::PredecessorDropped.into(),
                RpcStatusCode::RESOURCE_EXHAUSTED,
                "DISK_RESERVE",
            ),
            (AckError::Failed.into(), RpcStatusCode::UNAVAILABLE, "STORAGE_FAILED"),
            (
                ReadError::OutOfRange { offset, start, end }.into(),
                RpcStatusCode::OUT_OF_RANGE,
                "OFFSET_OUT_OF_RANGE",
            ),
            (
                ReadError::Damaged { from: start, resume: Some(end) }.into(),
                RpcStatusCode::DATA_LOSS,
                "LOG_DAMAGED",
            ),
            (read_error(5), RpcStatusCode::DATA_LOSS, "READ_FAILED"),
            (read_error(24), RpcStatusCode::UNAVAILABLE, "READ_FAILED"),
            (Refusal::Unreadable { base_offset: start }, RpcStatusCode::DATA_LOSS, "LOG_DAMAGED"),
            (Stopped::Closed.into(), RpcStatusCode::UNAVAILABLE, "STOPPING"),
            (Stopped::Failed.into(), RpcStatusCode::UNAVAILABLE, "STORAGE_FAILED"),
            (Refusal::Stopping, RpcStatusCode::UNAVAILABLE, "STOPPING"),
            (Refusal::CertificateExpired, RpcStatusCode::UNAUTHENTICATED, "CERTIFICATE_EXPIRED"),
            (
                crate::tls::Revoked::Denied.into(),
                RpcStatusCode::UNAUTHENTICATED,
                "CERTIFICATE_REVOKED",
            ),
            (Refusal::NotAdmitted, RpcStatusCode::PERMISSION_DENIED, "NOT_ADMITTED"),
        ]
        .into_iter()
        .chain(administration::tests::every_refusal())
        .collect()
    }

    fn sequence_refusal(
        error: SequenceError,
        reason: &'static str,
    ) -> (Refusal, RpcStatusCode, &'static str) {
        (AppendError::Sequence(error).into(), RpcStatusCode::FAILED_PRECONDITION, reason)
    }

    #[test]
    fn every_refusal_has_its_code_and_reason() {
        for (refusal, code, reason) in every_refusal() {
            let answer = OURS.answer(&refusal);
            assert_eq!((answer.code, answer.reason), (code, reason), "{refusal:?}");
            assert!(!answer.message.is_empty());
        }
    }

    /// Each row of the manual is a code with a reason, and names the values that come with it.
    #[test]
    fn the_manual_lists_every_code_with_its_reasons_and_nothing_else() {
        let manual = std::fs::read_to_string("docs/ERRORS.md").unwrap();
        let row_of = |code: RpcStatusCode, reason: &str| {
            let code = code.to_string();
            let (_, name) = code.split_once('-').unwrap();
            format!("| `{reason}` | {name} |")
        };
        let mut rows: Vec<&str> = manual.lines().filter(|line| line.starts_with("| `")).collect();
        let mut told = Vec::new();
        for (refusal, code, reason) in every_refusal() {
            let begin = row_of(code, reason);
            let row = manual.lines().find(|line| line.starts_with(&begin));
            let row = row.unwrap_or_else(|| panic!("no row {begin}"));
            let answer = OURS.answer(&refusal);
            for (key, _) in &answer.metadata {
                assert!(row.contains(&format!("`{key}`")), "{reason}: `{key}` is not in {row}");
            }
            assert_eq!(answer.retry_after.is_some(), row.ends_with("| yes |"), "{row}");
            told.push(begin);
        }
        rows.retain(|row| !told.iter().any(|begin| row.starts_with(begin)));
        assert_eq!(rows, Vec::<&str>::new(), "nothing fails for that");
    }

    #[test]
    fn clients_never_see_a_path() {
        for (refusal, ..) in every_refusal() {
            let answer = OURS.answer(&refusal);
            assert!(!format!("{answer:?}").contains("secret"), "{answer:?}");
        }
    }

    #[test]
    fn what_may_pass_says_when_to_try_again_and_the_rest_does_not() {
        for (refusal, code, reason) in every_refusal() {
            // Only an operator, or the client's own doing, ends these.
            let may_pass = !["PRODUCERS_MAX", "READERS_MAX"].contains(&reason)
                && [RpcStatusCode::RESOURCE_EXHAUSTED, RpcStatusCode::UNAVAILABLE].contains(&code);
            let answer = OURS.answer(&refusal);
            assert_eq!(answer.retry_after.is_some(), may_pass, "{answer:?}");
        }
    }

    #[test]
    fn out_of_range_names_the_bounds_also_as_404() {
        let range =
            OutOfRange { offset: Offset::new(9), start: Offset::new(2), end: Offset::new(5) };
        let values =
            vec![("offset", "9".to_owned()), ("start", "2".to_owned()), ("end", "5".to_owned())];
        let answer = OURS.answer(&range.into());
        assert_eq!(answer.metadata, values);
        assert!(answer.localized.is_some());
        let legacy = Statuses { legacy_404: true }.answer(&range.into());
        assert_eq!((i32::from(legacy.code), legacy.metadata), (404, values));
    }

    #[test]
    fn the_text_of_a_denial_is_fixed() {
        let denied = Denied {
            subject: Subject::new("nobody").unwrap(),
            action: Action::Produce,
            object: "default".into(),
        };
        let answer = OURS.answer(&denied.into());
        assert_eq!(answer.message, "nobody not permitted to produce to default");
    }
}
