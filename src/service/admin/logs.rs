//! Making, deleting, listing and describing logs.

use super::{named, settings};
use crate::log::{LogId, LogName, Offset, ReadError, ReaderError, Summary};
use crate::proto::admin_service::{
    CreateLogRequest, CreateLogResponse, DeleteLogRequest, DeleteLogResponse, DescribeLogRequest,
    DescribeLogResponse, ListLogsRequest, ListLogsResponse, LogSummary,
};
use crate::proto::readers_service::Reader;
use crate::service::backend::Backend;
use crate::service::caller::Caller;
use crate::service::guard::{Administer, Permit};
use crate::service::readers_v1;
use crate::service::refusal::{BadRequest, Refusal};

/// Logs on a page, at most and unless fewer are asked for.
const PAGE_SIZE_MAX: usize = 1000;

pub(super) fn create(
    backend: &Backend,
    caller: &Caller,
    request: &CreateLogRequest,
) -> Result<CreateLogResponse, Refusal> {
    let name = LogName::parse(named(&request.log)?).map_err(BadRequest::from)?;
    let overrides = settings::read(&request.settings, &backend.limits())?;
    let permit = backend.guard.create(caller, &name, overrides)?;
    let mut what = vec![("id", permit.log_id().to_string())];
    what.extend(settings::shown(&permit.overrides()));
    backend.changed(caller, "log_created", permit.log_name(), what);
    let described = permit.describe()?;
    let log = summary(permit.log_name(), permit.log_id(), &described.summary);
    Ok(CreateLogResponse { log: Some(log).into(), ..CreateLogResponse::default() })
}

pub(super) fn delete(
    backend: &Backend,
    caller: &Caller,
    request: &DeleteLogRequest,
) -> Result<DeleteLogResponse, Refusal> {
    let name = named(&request.log)?;
    let field = "expected_end_offset";
    let expected = request.expected_end_offset.ok_or(BadRequest::Missing { field })?;
    let id = read_id(&request.log_id)?;
    let permit = backend.guard.permit_to_change(caller, name)?;
    backend.guard.delete(&permit, Offset::new(expected), id)?;
    let what = vec![("id", permit.log_id().to_string()), ("end", expected.to_string())];
    backend.changed(caller, "log_deleted", name, what);
    Ok(DeleteLogResponse::default())
}

pub(super) fn list(
    backend: &Backend,
    caller: &Caller,
    request: &ListLogsRequest,
) -> Result<ListLogsResponse, Refusal> {
    let asked = usize::try_from(request.page_size).unwrap_or(PAGE_SIZE_MAX);
    let page_size = if asked == 0 { PAGE_SIZE_MAX } else { asked.min(PAGE_SIZE_MAX) };
    // The token is the last name of the page before.
    let mut seen = backend.guard.seen(caller, &request.prefix, &request.page_token);
    let mut response = ListLogsResponse::default();
    let mut last = String::new();
    for log in seen.by_ref().take(page_size) {
        match log.summary() {
            // That was a moment ago.
            Err(ReadError::Deleted) => {}
            told => response.logs.push(summary(log.name(), log.id(), &told?)),
        }
        log.name().clone_into(&mut last);
    }
    if seen.next().is_some() {
        response.next_page_token = last;
    }
    Ok(response)
}

pub(super) fn describe(
    backend: &Backend,
    caller: &Caller,
    request: &DescribeLogRequest,
) -> Result<DescribeLogResponse, Refusal> {
    let permit: Permit<Administer> = backend.guard.permit(caller, named(&request.log)?)?;
    let told = permit.describe()?;
    let readers = readers(&permit)?;
    let in_force = settings::in_force(&permit.settings(), &backend.limits());
    Ok(DescribeLogResponse {
        log: Some(summary(permit.log_name(), permit.log_id(), &told.summary)).into(),
        settings: Some(in_force).into(),
        own_settings: Some(settings::written(&permit.overrides())).into(),
        segments: u32::try_from(told.segments).unwrap_or(u32::MAX),
        oldest_time_us: told.oldest_time_us.unwrap_or_default(),
        newest_time_us: told.newest_time_us.unwrap_or_default(),
        records_per_s: told.records_per_s,
        bytes_per_s: told.bytes_per_s,
        readers_damaged: readers.is_none(),
        readers: readers.unwrap_or_default(),
        ..DescribeLogResponse::default()
    })
}

/// A log's readers; none if they are damaged, which hides nothing else of the log.
fn readers(permit: &Permit<Administer>) -> Result<Option<Vec<Reader>>, Refusal> {
    let readers = match permit.readers() {
        Ok(readers) => readers.into_iter().map(|reader| permit.standing(reader)),
        Err(ReaderError::Damaged) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let message = |standing: Result<_, ReadError>| standing.map(readers_v1::messages::reader);
    Ok(Some(readers.map(message).collect::<Result<_, _>>()?))
}

fn summary(log: &str, id: LogId, summary: &Summary) -> LogSummary {
    LogSummary {
        log: log.to_owned(),
        log_id: id.bytes().to_vec().into(),
        start_offset: summary.bounds.start.get(),
        end_offset: summary.bounds.end.get(),
        stored_bytes: summary.stored_bytes,
        damaged: summary.is_damaged,
        ..LogSummary::default()
    }
}

/// The id that a log must have, if one was given.
fn read_id(bytes: &[u8]) -> Result<Option<LogId>, BadRequest> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let no_id = |_| BadRequest::NotAnId { field: "log_id", bytes: bytes.len() };
    bytes.try_into().map(|bytes| Some(LogId::from_bytes(bytes))).map_err(no_id)
}
