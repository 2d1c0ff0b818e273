//! What administrators are told.

use grpcio::RpcStatusCode;

use super::{SERVER_DELAY, deleted, stopping, storage_failed};
use crate::log::{
    BackUpError, DeleteError, IoError, OpenError, ReaderError, SettingError, TrimError,
};
use crate::service::details::Answer;
use crate::service::refusal::BadRequest;

/// Of the requests that only administrators make.
pub(super) fn bad_request(bad: &BadRequest) -> Answer {
    let answer = |reason| Answer::new(RpcStatusCode::INVALID_ARGUMENT, reason, bad.to_string());
    match bad {
        BadRequest::LogName(_) => answer("LOG_NAME_INVALID").with("field", "log"),
        BadRequest::BackupName(_) => answer("BACKUP_NAME_INVALID").with("field", "name"),
        BadRequest::Setting(SettingError::OutOfRange { name, actual, min, max }) => {
            answer("SETTING_INVALID")
                .with("field", format!("settings.{name}"))
                .with("limit", if actual < min { min } else { max })
                .with("actual", actual)
        }
        BadRequest::Setting(SettingError::NoArchive) => {
            answer("SETTING_INVALID").with("field", "settings.archive")
        }
        BadRequest::NoSetting { place, .. } => {
            answer("SETTING_INVALID").with("field", format!("reset[{place}]"))
        }
        BadRequest::SetAndReset { name } => {
            answer("SETTING_INVALID").with("field", format!("settings.{name}"))
        }
        BadRequest::Missing { field } => answer("FIELD_MISSING").with("field", field),
        _ => answer("REQUEST_MALFORMED"),
    }
}

pub(super) fn delete(error: &DeleteError) -> Answer {
    let answer = |code, reason| Answer::new(code, reason, error.to_string());
    let unmet = RpcStatusCode::FAILED_PRECONDITION;
    match error {
        DeleteError::NotFound { name } => {
            answer(RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND").with("log", name)
        }
        DeleteError::Protected { name } => answer(unmet, "LOG_PROTECTED").with("log", name),
        DeleteError::Replaced { id, .. } => answer(unmet, "LOG_REPLACED").with("log_id", id),
        DeleteError::NotAtEnd { expected, end } => {
            answer(unmet, "NOT_AT_END").with("expected", expected).with("end", end)
        }
        DeleteError::Closed => stopping(),
        DeleteError::Failed => storage_failed().with("outcome", "unknown"),
        DeleteError::Io(error) => files(error),
    }
}

pub(super) fn trim(error: &TrimError) -> Answer {
    match error {
        TrimError::BeyondEnd { before, end } => {
            let message = error.to_string();
            Answer::new(RpcStatusCode::OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE", message)
                .with("offset", before)
                .with("end", end)
        }
        TrimError::Unavailable => stopping(),
        TrimError::Deleted => deleted(),
        TrimError::Archive(_) => {
            let message = "a segment could not be archived, so it and those after it are kept";
            Answer::new(RpcStatusCode::UNAVAILABLE, "ARCHIVE_FAILED", message.to_owned())
                .retry_after(SERVER_DELAY)
        }
        TrimError::Io(error) => files(error),
    }
}

pub(super) fn back_up(error: &BackUpError) -> Answer {
    match error {
        BackUpError::Exists { path } => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let message = format!("there is a backup {name} already");
            Answer::new(RpcStatusCode::ALREADY_EXISTS, "BACKUP_EXISTS", message).with("name", name)
        }
        BackUpError::Busy => {
            Answer::new(RpcStatusCode::UNAVAILABLE, "BACKUP_RUNNING", error.to_string())
                .retry_after(SERVER_DELAY)
        }
        BackUpError::NotFound { name } => {
            Answer::new(RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND", error.to_string())
                .with("log", name)
        }
        BackUpError::Failed { .. } => storage_failed(),
        BackUpError::Closed => stopping(),
        BackUpError::Io(error) | BackUpError::Open(OpenError::Io(error)) => files(error),
        BackUpError::Readers { source: ReaderError::NoSpace, .. } => disk_is_full(),
        BackUpError::Readers { .. }
        | BackUpError::Misplaced { .. }
        | BackUpError::Unfinished { .. }
        | BackUpError::Open(_) => files_failed(),
    }
}

pub(super) fn files(error: &IoError) -> Answer {
    if error.is_no_space() { disk_is_full() } else { files_failed() }
}

fn disk_is_full() -> Answer {
    let message = "the disk is full".to_owned();
    Answer::new(RpcStatusCode::RESOURCE_EXHAUSTED, "DISK_RESERVE", message)
        .retry_after(SERVER_DELAY)
}

fn files_failed() -> Answer {
    let message = "the server could not use its files".to_owned();
    Answer::new(RpcStatusCode::UNAVAILABLE, "FILES_FAILED", message).retry_after(SERVER_DELAY)
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;

    use super::*;
    use crate::log::{LogId, LogName, NameError, Offset};
    use crate::service::refusal::Refusal;

    fn io_error(kind: io::ErrorKind) -> IoError {
        IoError { op: "rename", path: "/secret/place".into(), source: kind.into() }
    }

    /// Those of administration, with what they are answered by.
    pub(in super::super) fn every_refusal() -> Vec<(Refusal, RpcStatusCode, &'static str)> {
        let others = others().into_iter().chain(backups());
        requests().into_iter().chain(deletions()).chain(others).collect()
    }

    fn requests() -> Vec<(Refusal, RpcStatusCode, &'static str)> {
        let range = |actual| SettingError::OutOfRange { name: "x", actual, min: 1, max: 5 };
        [
            (BadRequest::LogName(LogName::parse("_x").unwrap_err()), "LOG_NAME_INVALID"),
            (BadRequest::BackupName(NameError::Part), "BACKUP_NAME_INVALID"),
            (BadRequest::Setting(range(0)), "SETTING_INVALID"),
            (BadRequest::Setting(range(6)), "SETTING_INVALID"),
            (BadRequest::Setting(SettingError::NoArchive), "SETTING_INVALID"),
            (BadRequest::NoSetting { place: 1, name: "x".into() }, "SETTING_INVALID"),
            (BadRequest::SetAndReset { name: "x" }, "SETTING_INVALID"),
            (BadRequest::Missing { field: "x" }, "FIELD_MISSING"),
        ]
        .map(|(bad, reason)| (bad.into(), RpcStatusCode::INVALID_ARGUMENT, reason))
        .into()
    }

    fn deletions() -> Vec<(Refusal, RpcStatusCode, &'static str)> {
        let name = || String::from("orders");
        let (expected, end) = (Offset::new(2), Offset::new(5));
        let id = LogId::from_bytes([1; 16]);
        let unmet = RpcStatusCode::FAILED_PRECONDITION;
        let away = RpcStatusCode::UNAVAILABLE;
        let denied = io_error(io::ErrorKind::PermissionDenied);
        [
            (DeleteError::NotFound { name: name() }, RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND"),
            (DeleteError::Protected { name: name() }, unmet, "LOG_PROTECTED"),
            (DeleteError::Replaced { name: name(), id }, unmet, "LOG_REPLACED"),
            (DeleteError::NotAtEnd { expected, end }, unmet, "NOT_AT_END"),
            (DeleteError::Closed, away, "STOPPING"),
            (DeleteError::Failed, away, "STORAGE_FAILED"),
            (denied.into(), away, "FILES_FAILED"),
        ]
        .map(|(error, code, reason)| (Refusal::Delete(error), code, reason))
        .into()
    }

    fn backups() -> Vec<(Refusal, RpcStatusCode, &'static str)> {
        let (name, path) = (|| String::from("orders"), || "/secret/monday".into());
        let away = RpcStatusCode::UNAVAILABLE;
        let readers = |source| BackUpError::Readers { name: name(), source };
        let full = io_error(io::ErrorKind::StorageFull);
        let denied = io_error(io::ErrorKind::PermissionDenied);
        [
            (BackUpError::Exists { path: path() }, RpcStatusCode::ALREADY_EXISTS, "BACKUP_EXISTS"),
            (BackUpError::Misplaced { path: path(), backups: path() }, away, "FILES_FAILED"),
            (BackUpError::Unfinished { path: path() }, away, "FILES_FAILED"),
            (BackUpError::Busy, away, "BACKUP_RUNNING"),
            (BackUpError::NotFound { name: name() }, RpcStatusCode::NOT_FOUND, "LOG_NOT_FOUND"),
            (BackUpError::Failed { name: name() }, away, "STORAGE_FAILED"),
            (BackUpError::Closed, away, "STOPPING"),
            (readers(ReaderError::Failed), away, "FILES_FAILED"),
            (readers(ReaderError::NoSpace), RpcStatusCode::RESOURCE_EXHAUSTED, "DISK_RESERVE"),
            (full.into(), RpcStatusCode::RESOURCE_EXHAUSTED, "DISK_RESERVE"),
            (OpenError::Io(denied).into(), away, "FILES_FAILED"),
        ]
        .map(|(error, code, reason)| (Refusal::BackUp(error), code, reason))
        .into()
    }

    fn others() -> Vec<(Refusal, RpcStatusCode, &'static str)> {
        let (end, before) = (Offset::new(2), Offset::new(5));
        let full = || io_error(io::ErrorKind::StorageFull);
        let away = RpcStatusCode::UNAVAILABLE;
        let beyond = TrimError::BeyondEnd { before, end };
        let exhausted = RpcStatusCode::RESOURCE_EXHAUSTED;
        let exists = Refusal::LogExists { name: "orders".into() };
        let denied = Refusal::Files(io_error(io::ErrorKind::PermissionDenied));
        vec![
            (exists, RpcStatusCode::ALREADY_EXISTS, "LOG_EXISTS"),
            (Refusal::Trim(beyond), RpcStatusCode::OUT_OF_RANGE, "OFFSET_OUT_OF_RANGE"),
            (Refusal::Trim(TrimError::Unavailable), away, "STOPPING"),
            (Refusal::Trim(TrimError::Deleted), RpcStatusCode::NOT_FOUND, "LOG_DELETED"),
            (Refusal::Trim(TrimError::Archive(full())), away, "ARCHIVE_FAILED"),
            (Refusal::Trim(full().into()), exhausted, "DISK_RESERVE"),
            (denied, away, "FILES_FAILED"),
        ]
    }
}
