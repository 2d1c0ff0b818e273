//! Trimming.

use super::{named, wide};
use crate::log::{AppendError, Offset, TrimError};
use crate::proto::admin_service::{TrimRequest, TrimResponse};
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::refusal::Refusal;

pub(super) fn trim(
    backend: &Backend,
    caller: &Caller,
    request: &TrimRequest,
) -> Result<TrimResponse, Refusal> {
    let name = named(&request.log)?;
    let permit = backend.guard.permit_to_change(caller, name)?;
    let start = permit.start();
    let trimmed = permit.trim(Offset::new(request.before_offset), request.dry_run);
    if let (Err(error), moved) = (&trimmed, permit.start())
        && moved > start
    {
        // It came some of the way.
        let what = vec![("start", moved.to_string()), ("unfinished", error.to_string())];
        backend.changed(caller, "log_trimmed", name, what);
    }
    let trimmed = trimmed.map_err(|error| match error {
        // Trimming would take away what a repair may need.
        TrimError::Unavailable if permit.is_damaged() => AppendError::Damaged.into(),
        TrimError::Unavailable if !backend.guard.storage_works() => AppendError::Failed.into(),
        error => Refusal::Trim(error),
    })?;
    let (start_offset, segments) = (trimmed.start.get(), wide(trimmed.segments));
    if !request.dry_run {
        let what = [("start", start_offset), ("segments", segments), ("bytes", trimmed.bytes)];
        let what = what.into_iter().map(|(key, value)| (key, value.to_string())).collect();
        backend.changed(caller, "log_trimmed", name, what);
    }
    Ok(TrimResponse {
        start_offset,
        segments: u32::try_from(segments).unwrap_or(u32::MAX),
        bytes: trimmed.bytes,
        ..TrimResponse::default()
    })
}
