//! How records and gaps are written.

use std::io::{self, Write};

use clap::ValueEnum;
use openssl::base64;
use serde::Serialize;

use crate::cli::human::Time;
use crate::cli::varint;
use crate::proto::log_service::GapCause;
use crate::proto::record::{Header, Record};

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// Its bytes and a newline
    Lines,
    /// Its bytes
    Raw,
    /// A line of JSON with its offset, time, key and headers
    Json,
    /// Its bytes behind their number, a protobuf varint
    Delimited,
}

/// Offsets without records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Gap {
    pub(super) from: u64,
    pub(super) to: u64,
    pub(super) cause: &'static str,
}

/// A record in JSON. Bytes are text if they are UTF-8, so that a person can read them, else base64.
#[derive(Serialize)]
struct Line<'a> {
    offset: u64,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<HeaderLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

#[derive(Serialize)]
struct HeaderLine<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

#[derive(Serialize)]
struct GapLine {
    gap: Gap,
}

impl Gap {
    pub(super) fn new(from: u64, to: u64, cause: GapCause) -> Self {
        let cause = match cause {
            GapCause::GAP_CAUSE_TRIMMED => "trimmed",
            GapCause::GAP_CAUSE_DAMAGED => "damaged",
            GapCause::GAP_CAUSE_UNSPECIFIED => "unknown",
        };
        Self { from, to, cause }
    }
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.cause {
            "trimmed" => "were trimmed",
            "damaged" => "are damaged",
            _ => "are not there any more",
        };
        let last = self.to.saturating_sub(1);
        write!(f, "the records from offset {} to {last} {what} and left out", self.from)
    }
}

impl Format {
    /// Writes one record.
    pub(in crate::cli) fn write(
        self,
        out: &mut impl Write,
        offset: u64,
        time_us: u64,
        record: &Record,
    ) -> io::Result<()> {
        let value = &record.value;
        match self {
            Self::Raw => out.write_all(value),
            Self::Lines => {
                out.write_all(value)?;
                out.write_all(b"\n")
            }
            Self::Json => {
                serde_json::to_writer(&mut *out, &line(offset, time_us, record))?;
                out.write_all(b"\n")
            }
            Self::Delimited => {
                let length = u64::try_from(value.len()).map_err(io::Error::other)?;
                out.write_all(&varint::encode(length))?;
                out.write_all(value)
            }
        }
    }

    /// Writes a gap where the format has a form for it.
    pub(super) fn write_gap(self, out: &mut impl Write, gap: Gap) -> io::Result<()> {
        if self != Self::Json {
            return Ok(());
        }
        serde_json::to_writer(&mut *out, &GapLine { gap })?;
        out.write_all(b"\n")
    }
}

fn line(offset: u64, time_us: u64, record: &Record) -> Line<'_> {
    let (key, key_base64) = match record.key.is_empty() {
        true => (None, None),
        false => text_or_base64(&record.key),
    };
    let (value, value_base64) = text_or_base64(&record.value);
    let headers = record.headers.iter().map(header).collect();
    let time = format!("{:.6}", Time(time_us));
    Line { offset, time, key, key_base64, headers, value, value_base64 }
}

fn header(header: &Header) -> HeaderLine<'_> {
    let (value, value_base64) = text_or_base64(&header.value);
    HeaderLine { name: &header.name, value, value_base64 }
}

fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(base64::encode_block(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, record: &Record) -> Vec<u8> {
        let mut out = Vec::new();
        format.write(&mut out, 7, 1_795_375_000_000_001, record).unwrap();
        out
    }

    fn record(value: &'static [u8]) -> Record {
        Record { value: value.into(), ..Record::default() }
    }

    #[test]
    fn each_format_keeps_the_bytes() {
        assert_eq!(written(Format::Raw, &record(b"a\n")), b"a\n");
        assert_eq!(written(Format::Lines, &record(b"")), b"\n");
        assert_eq!(written(Format::Delimited, &record(b"a\n")), b"\x02a\n");
        let begin = r#"{"offset":7,"time":"2026-11-22T19:16:40.000001Z","#;
        let text = String::from_utf8(written(Format::Json, &record(b"a\n\"\0"))).unwrap();
        assert_eq!(text, format!("{begin}{}\n", r#""value":"a\n\"\u0000"}"#));
        let text = String::from_utf8(written(Format::Json, &record(b"\xff\0"))).unwrap();
        assert_eq!(text, format!("{begin}{}\n", r#""value_base64":"/wA="}"#));
    }

    #[test]
    fn json_has_key_and_headers_if_there_are_any() {
        let header = |name: &str, value: &'static [u8]| Header {
            name: name.to_owned(),
            value: value.into(),
            ..Header::default()
        };
        let headers = vec![header("a", b"b"), header("a", b"\xff")];
        let record = Record { key: "k".into(), headers, ..Record::default() };
        let text = String::from_utf8(written(Format::Json, &record)).unwrap();
        let rest = concat!(
            r#","key":"k","headers":[{"name":"a","value":"b"},"#,
            r#"{"name":"a","value_base64":"/w=="}],"#,
            r#""value":""}"#,
            "\n"
        );
        assert!(text.ends_with(rest), "{text}");
    }

    #[test]
    fn a_gap_is_told_in_words_and_in_json() {
        let gap = Gap::new(5, 10, GapCause::GAP_CAUSE_TRIMMED);
        assert_eq!(gap.to_string(), "the records from offset 5 to 9 were trimmed and left out");
        let mut out = Vec::new();
        Format::Json.write_gap(&mut out, gap).unwrap();
        assert_eq!(out, b"{\"gap\":{\"from\":5,\"to\":10,\"cause\":\"trimmed\"}}\n");
        out.clear();
        Format::Lines.write_gap(&mut out, gap).unwrap();
        assert!(out.is_empty());
    }
}
