//! Backups.

use jiff::Timestamp;
use protobuf::EnumOrUnknown;

use super::{named, wide};
use crate::log::{
    BackedUp, BackupName, Fault, IoError, LogName, MadeBackup, Meaning, OpenError, Verified,
};
use crate::proto::admin_service::backup_fault::Meaning as Told;
use crate::proto::admin_service::{BackUpRequest, BackUpResponse, BackedUpLog, BackupFault};
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::refusal::{BadRequest, Refusal};

pub(super) fn back_up(
    backend: &Backend,
    caller: &Caller,
    request: &BackUpRequest,
) -> Result<BackUpResponse, Refusal> {
    request.logs.iter().try_for_each(|log| named(log).map(|_| ()))?;
    // Before the name: nothing is told to those who may not.
    let logs = backend.guard.admit_backup(caller, &request.logs)?;
    let name = name(&request.name)?;
    let made = backend.guard.back_up(&logs, &name, !request.skip_check);
    let MadeBackup { logs: made, took, checked } = made.map_err(Refusal::BackUp)?;
    let elapsed_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let bytes: u64 = made.iter().map(|log| log.store_bytes).sum();
    let of = if let [one] = made.as_slice() { &one.log } else { "*" };
    let (name, logs) = (name.as_str(), made.len());
    let numbers = [("logs", wide(logs)), ("bytes", bytes), ("elapsed_us", elapsed_us)];
    let mut what = vec![("backup", name.to_owned())];
    what.extend(numbers.map(|(key, number)| (key, number.to_string())));
    backend.changed(caller, "backed_up", of, what);
    let mut response = BackUpResponse {
        name: name.to_owned(),
        path: format!("backups/{name}"),
        logs: made.iter().map(told).collect(),
        elapsed_us,
        checked: checked.is_some(),
        ..BackUpResponse::default()
    };
    if let Some(checked) = checked {
        response.faults = faults(checked)?;
    }
    Ok(response)
}

/// The name that was asked for, or else the time.
fn name(asked: &str) -> Result<BackupName, BadRequest> {
    if !asked.is_empty() {
        return BackupName::parse(asked).map_err(BadRequest::BackupName);
    }
    let now = Timestamp::now().strftime("%Y%m%dt%H%M%Sz").to_string();
    BackupName::parse(&now).map_err(BadRequest::BackupName)
}

fn faults(checked: Result<Verified, OpenError>) -> Result<Vec<BackupFault>, Refusal> {
    match checked {
        Ok(verified) => Ok(verified.faults.iter().map(fault).collect()),
        Err(OpenError::Io(error)) if error.source.kind() == std::io::ErrorKind::Interrupted => {
            Err(Refusal::Stopping)
        }
        Err(OpenError::Io(error)) => Err(Refusal::Files(error)),
        // It was made a moment ago, so somebody has laid hands on it.
        Err(error) => {
            let source = std::io::Error::other(error);
            Err(Refusal::Files(IoError { op: "check", path: "the backup".into(), source }))
        }
    }
}

fn told(log: &BackedUp) -> BackedUpLog {
    let small = |count: usize| u32::try_from(wide(count)).unwrap_or(u32::MAX);
    BackedUpLog {
        log: log.log.clone(),
        log_id: log.id.bytes().to_vec().into(),
        start_offset: log.start.get(),
        end_offset: log.end.get(),
        segments: small(log.segments),
        store_bytes: log.store_bytes,
        linked: small(log.linked),
        ..BackedUpLog::default()
    }
}

fn fault(fault: &Fault) -> BackupFault {
    let meaning = match fault.meaning {
        Meaning::Damage => Told::MEANING_DAMAGE,
        Meaning::Unreadable => Told::MEANING_UNREADABLE,
        Meaning::Derived => Told::MEANING_DERIVED,
        Meaning::TornTail => Told::MEANING_TORN_TAIL,
        Meaning::LeftOver => Told::MEANING_LEFT_OVER,
    };
    let file = fault.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (from, to) = fault.offsets.map_or((0, 0), |(from, to)| (from.get(), to.get()));
    BackupFault {
        meaning: EnumOrUnknown::new(meaning),
        log: fault.log.as_ref().map(LogName::to_string).unwrap_or_default(),
        file,
        from_offset: from,
        to_offset: to,
        what: fault.what.clone(),
        ..BackupFault::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_without_a_name_is_called_by_the_time() {
        let name = name("").unwrap();
        let digits = name.as_str().bytes().filter(u8::is_ascii_digit).count();
        assert_eq!((name.as_str().len(), digits), (16, 14), "{name:?}");
        assert!(matches!(super::name("x.part"), Err(BadRequest::BackupName(_))));
    }
}
