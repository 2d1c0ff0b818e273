//! A record as a line of JSON: what `varve consume --json` writes.
//!
//! Its offset and time are passed over, because the log gives new ones; so is a line that tells of
//! a gap.

use openssl::base64;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::proto::record::{Header, Record};

/// A line, as it is typed. Bytes are text, or base64 under the other name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: Option<String>,
    key_base64: Option<String>,
    #[serde(default)]
    headers: Vec<HeaderLine>,
    value: Option<String>,
    value_base64: Option<String>,
    #[serde(rename = "offset")]
    _offset: Option<IgnoredAny>,
    #[serde(rename = "time")]
    _time: Option<IgnoredAny>,
    gap: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    name: String,
    value: Option<String>,
    value_base64: Option<String>,
}

/// Reads a line; `None` if it tells of a gap. An error is the text of what is wrong.
pub(super) fn read(line: &[u8]) -> Result<Option<Record>, String> {
    let line: Line = serde_json::from_slice(line).map_err(|error| without_line(&error))?;
    if line.gap.is_some() {
        return Ok(None);
    }
    let value = bytes("value", line.value, line.value_base64)?
        .ok_or("it has neither `value` nor `value_base64`")?;
    let key = bytes("key", line.key, line.key_base64)?.unwrap_or_default();
    let headers = line.headers.into_iter().map(header).collect::<Result<_, _>>()?;
    Ok(Some(Record { value: value.into(), key: key.into(), headers, ..Record::default() }))
}

fn header(line: HeaderLine) -> Result<Header, String> {
    let value = bytes("value", line.value, line.value_base64)?.unwrap_or_default();
    Ok(Header { name: line.name, value: value.into(), ..Header::default() })
}

fn bytes(
    name: &str,
    text: Option<String>,
    encoded: Option<String>,
) -> Result<Option<Vec<u8>>, String> {
    match (text, encoded) {
        (Some(_), Some(_)) => Err(format!("it has both `{name}` and `{name}_base64`")),
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(encoded)) => base64::decode_block(&encoded)
            .map(Some)
            .map_err(|_| format!("its `{name}_base64` is not base64")),
        (None, None) => Ok(None),
    }
}

/// What is wrong and in which column; the parser counts lines anew for each record.
fn without_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(what) => format!("{what}, in column {}", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_base64_are_the_same_bytes() {
        let line = br#"{"offset":7,"time":"2026-11-22T19:16:40.000000Z","key_base64":"AP8=",
            "headers":[{"name":"a","value":"b"},{"name":"a","value_base64":"/w=="},{"name":"c"}],
            "value":"\u00fc\n"}"#;
        let record = read(line).unwrap().unwrap();
        assert_eq!((&record.key[..], &record.value[..]), (&b"\0\xff"[..], "\u{fc}\n".as_bytes()));
        let headers: Vec<_> =
            record.headers.iter().map(|header| (&header.name[..], &header.value[..])).collect();
        assert_eq!(headers, [("a", &b"b"[..]), ("a", b"\xff"), ("c", b"")]);
        assert_eq!(read(br#"{"value":""}"#).unwrap().unwrap(), Record::default());
    }

    #[test]
    fn a_gap_is_no_record() {
        assert_eq!(read(br#"{"gap":{"from":0,"to":5,"cause":"trimmed"}}"#), Ok(None));
    }

    #[test]
    fn what_is_no_record_says_why() {
        for (line, parts) in [
            (&b""[..], &["EOF", "column 0"][..]),
            (b"hello", &["expected value", "column 1"]),
            (b"[1]", &["invalid type"]),
            (br#"{"vlaue":"x"}"#, &["vlaue", "`value`", "column 8"]),
            (br#"{"key":"x"}"#, &["neither `value` nor `value_base64`"]),
            (br#"{"value":"x","value_base64":""}"#, &["both `value` and `value_base64`"]),
            (br#"{"value_base64":"*"}"#, &["`value_base64` is not base64"]),
            (br#"{"value":7}"#, &["invalid type", "string"]),
            (br#"{"value":"x","headers":[{"value":"x"}]}"#, &["`name`"]),
        ] {
            let said = read(line).unwrap_err();
            for part in parts {
                assert!(said.contains(part), "{part:?} is not in {said}");
            }
        }
    }
}
