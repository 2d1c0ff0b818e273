//! A `ConsumeRequest`, read from its bytes.

use std::time::Duration;

use crate::log::{LogId, Offset, ReaderName};
use crate::service::consuming::{Ask, OnGap, Start};
use crate::service::refusal::BadRequest;
use crate::service::wire::{Fields, Value};

/// The most that a reply with records may be asked to carry, in bytes: with one record more it
/// stays below what clients take by default.
pub(super) const BYTES_LIMIT: usize = 2 << 20;
/// What it carries unless the request says.
const BYTES_DEFAULT: usize = 1 << 20;
/// How often a heartbeat comes, in milliseconds.
const HEARTBEAT_MS_DEFAULT: u64 = 10_000;
const HEARTBEAT_MS: (u64, u64) = (100, 600_000);

pub(super) fn read(message: &[u8]) -> Result<Ask, BadRequest> {
    let mut ask = unset();
    for field in Fields::of(message) {
        match field? {
            (1, Value::Bytes(name)) => ask.log = text("log", name)?,
            (2, Value::Bytes(id)) => ask.log_id = log_id(id)?,
            (3, Value::Varint(offset)) => ask.start = Start::Offset(Offset::new(offset)),
            (4, Value::Varint(time_us)) => ask.start = Start::Time(time_us),
            (5, Value::Varint(value)) => ask.start = edge(value)?,
            (6, Value::Bytes(name)) => ask.start = Start::Reader(reader_name(name)?),
            (7, Value::Varint(value)) => ask.on_trimmed = on_gap("on_trimmed", value)?,
            (8, Value::Varint(value)) => ask.on_damaged = on_gap("on_damaged", value)?,
            (9, Value::Varint(records)) => ask.records_max = set(records).unwrap_or(u64::MAX),
            (10, Value::Varint(bytes)) => ask.bytes_max = bytes_max(bytes)?,
            (11, Value::Varint(wait_ms)) => ask.wait = Some(wait(wait_ms)?),
            (12, Value::Varint(every_ms)) => ask.heartbeat = Some(heartbeat(every_ms)?),
            _ => {}
        }
    }
    Ok(ask)
}

/// What a request that sets nothing asks for.
fn unset() -> Ask {
    Ask {
        log: String::new(),
        log_id: None,
        start: Start::Earliest,
        on_trimmed: OnGap::Fail,
        on_damaged: OnGap::Fail,
        records_max: u64::MAX,
        bytes_max: BYTES_DEFAULT,
        wait: None,
        heartbeat: Some(Duration::from_millis(HEARTBEAT_MS_DEFAULT)),
    }
}

/// Proto3 does not tell a zero from a field that is not set.
fn set(value: u64) -> Option<u64> {
    Some(value).filter(|value| *value != 0)
}

fn text(field: &'static str, bytes: &[u8]) -> Result<String, BadRequest> {
    str::from_utf8(bytes).map(str::to_owned).map_err(|_| BadRequest::NotText { field })
}

fn log_id(id: &[u8]) -> Result<Option<LogId>, BadRequest> {
    if id.is_empty() {
        return Ok(None);
    }
    let bytes = id.try_into().map_err(|_| BadRequest::NotAnId { field: "log_id", bytes: id.len() });
    bytes.map(|bytes| Some(LogId::from_bytes(bytes)))
}

fn edge(value: u64) -> Result<Start, BadRequest> {
    match value {
        1 => Ok(Start::Earliest),
        2 => Ok(Start::Latest),
        value => Err(BadRequest::NotInEnum { field: "edge", value }),
    }
}

fn reader_name(bytes: &[u8]) -> Result<ReaderName, BadRequest> {
    let name = text("reader", bytes)?;
    ReaderName::parse(&name).map_err(|fault| BadRequest::NotAReaderName { field: "reader", fault })
}

fn on_gap(field: &'static str, value: u64) -> Result<OnGap, BadRequest> {
    match value {
        0 | 1 => Ok(OnGap::Fail),
        2 => Ok(OnGap::Skip),
        value => Err(BadRequest::NotInEnum { field, value }),
    }
}

fn bytes_max(bytes: u64) -> Result<usize, BadRequest> {
    let Some(bytes) = set(bytes) else {
        return Ok(BYTES_DEFAULT);
    };
    let taken = usize::try_from(bytes).ok().filter(|bytes| *bytes <= BYTES_LIMIT);
    let max = u64::try_from(BYTES_LIMIT).unwrap_or(u64::MAX);
    taken.ok_or(BadRequest::OutOfBounds { field: "max_bytes", value: bytes, min: 1, max })
}

fn wait(wait_ms: u64) -> Result<Duration, BadRequest> {
    milliseconds("max_wait_ms", wait_ms, (0, u64::from(u32::MAX)))
}

fn heartbeat(every_ms: u64) -> Result<Duration, BadRequest> {
    milliseconds("heartbeat_ms", set(every_ms).unwrap_or(HEARTBEAT_MS_DEFAULT), HEARTBEAT_MS)
}

fn milliseconds(
    field: &'static str,
    value: u64,
    (min, max): (u64, u64),
) -> Result<Duration, BadRequest> {
    if (min..=max).contains(&value) {
        Ok(Duration::from_millis(value))
    } else {
        Err(BadRequest::OutOfBounds { field, value, min, max })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protobuf::{Enum as _, EnumOrUnknown, Message as _};

    use super::*;
    use crate::log::NameError;
    use crate::proto::log_service::{ConsumeRequest, Edge, GapPolicy, consume_request};

    fn asked(request: &ConsumeRequest) -> Result<Ask, BadRequest> {
        read(&request.write_to_bytes().unwrap())
    }

    #[test]
    fn a_request_that_sets_nothing_reads_from_the_start_and_fails_at_gaps() {
        assert_eq!(asked(&ConsumeRequest::default()), Ok(unset()));
    }

    #[test]
    fn every_way_to_begin_is_read() {
        use consume_request::Start as Wire;
        for (wire, start) in [
            (Wire::Offset(0), Start::Offset(Offset::ZERO)),
            (Wire::TimeUs(0), Start::Time(0)),
            (Wire::Edge(EnumOrUnknown::new(Edge::EDGE_EARLIEST)), Start::Earliest),
            (Wire::Edge(EnumOrUnknown::new(Edge::EDGE_LATEST)), Start::Latest),
            (
                Wire::Reader("billing".to_owned()),
                Start::Reader(ReaderName::parse("billing").unwrap()),
            ),
        ] {
            let request = ConsumeRequest { start: Some(wire), ..ConsumeRequest::default() };
            assert_eq!(asked(&request).unwrap().start, start);
        }
    }

    #[test]
    fn what_means_nothing_is_told_with_its_field() {
        let out = |field, value, min, max| BadRequest::OutOfBounds { field, value, min, max };
        for (message, fault) in [
            (&[0x0a, 1, 0xff][..], BadRequest::NotText { field: "log" }),
            (&[0x12, 1, 0], BadRequest::NotAnId { field: "log_id", bytes: 1 }),
            (&[0x28, 0], BadRequest::NotInEnum { field: "edge", value: 0 }),
            (&[0x28, 3], BadRequest::NotInEnum { field: "edge", value: 3 }),
            (&[0x32, 0], BadRequest::NotAReaderName { field: "reader", fault: NameError::Empty }),
            (&[0x38, 3], BadRequest::NotInEnum { field: "on_trimmed", value: 3 }),
            (&[0x40, 9], BadRequest::NotInEnum { field: "on_damaged", value: 9 }),
            (&[0x50, 0x81, 0x80, 0x80, 1], out("max_bytes", (2 << 20) + 1, 1, 2 << 20)),
            (&[0x60, 99], out("heartbeat_ms", 99, 100, 600_000)),
            (
                &[0x58, 0x80, 0x80, 0x80, 0x80, 0x10],
                out("max_wait_ms", 1 << 32, 0, u64::from(u32::MAX)),
            ),
            (&[0x08], BadRequest::Malformed),
        ] {
            assert_eq!(read(message), Err(fault), "{message:x?}");
        }
    }

    proptest! {
        #[test]
        fn requests_are_read_as_the_generated_code_writes_them(
            log: String,
            id: Option<[u8; 16]>,
            (trimmed, damaged) in (0_i32..3, 0_i32..3),
            max_records: u64,
            max_bytes in 0_u32..=2 << 20,
            max_wait_ms: Option<u32>,
            heartbeat_ms in prop_oneof![Just(0_u32), 100_u32..=600_000],
        ) {
            let request = ConsumeRequest {
                log: log.clone(),
                log_id: id.map(|id| id.to_vec()).unwrap_or_default().into(),
                on_trimmed: EnumOrUnknown::from_i32(trimmed),
                on_damaged: EnumOrUnknown::from_i32(damaged),
                max_records,
                max_bytes,
                max_wait_ms,
                heartbeat_ms,
                ..ConsumeRequest::default()
            };
            let policy = |value| match GapPolicy::from_i32(value) {
                Some(GapPolicy::GAP_POLICY_SKIP) => OnGap::Skip,
                _ => OnGap::Fail,
            };
            let ms = |ms: u32| Duration::from_millis(ms.into());
            let or = |value: u32, default: u32| if value == 0 { default } else { value };
            let expected = Ask {
                log,
                log_id: id.map(LogId::from_bytes),
                start: Start::Earliest,
                on_trimmed: policy(trimmed),
                on_damaged: policy(damaged),
                records_max: if max_records == 0 { u64::MAX } else { max_records },
                bytes_max: usize::try_from(or(max_bytes, 1 << 20)).unwrap(),
                wait: max_wait_ms.map(ms),
                heartbeat: Some(ms(or(heartbeat_ms, 10_000))),
            };
            prop_assert_eq!(asked(&request), Ok(expected));
        }

        #[test]
        fn any_request_is_read_without_a_panic(message: Vec<u8>) {
            let _read = read(&message);
        }
    }
}
