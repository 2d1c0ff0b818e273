//! How a record is written.

use std::io::{self, Write};

use clap::ValueEnum;
use openssl::base64;
use serde::Serialize;

use crate::cli::varint;

/// How a record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Its bytes and a newline
    Lines,
    /// Its bytes
    Raw,
    /// A line of JSON with its offset
    Json,
    /// Its bytes behind their number, a protobuf varint
    Delimited,
}

/// A record in JSON: text if it is UTF-8, so that a person can read it, else base64.
#[derive(Serialize)]
struct Line<'a> {
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl Format {
    /// Writes one record.
    pub(super) fn write(self, out: &mut impl Write, offset: u64, value: &[u8]) -> io::Result<()> {
        match self {
            Self::Raw => out.write_all(value),
            Self::Lines => {
                out.write_all(value)?;
                out.write_all(b"\n")
            }
            Self::Json => {
                let text = str::from_utf8(value).ok();
                let value_base64 = text.is_none().then(|| base64::encode_block(value));
                serde_json::to_writer(&mut *out, &Line { offset, value: text, value_base64 })?;
                out.write_all(b"\n")
            }
            Self::Delimited => {
                let length = u64::try_from(value.len()).map_err(io::Error::other)?;
                out.write_all(&varint::encode(length))?;
                out.write_all(value)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        format.write(&mut out, 7, value).unwrap();
        out
    }

    #[test]
    fn each_format_keeps_the_bytes() {
        assert_eq!(written(Format::Raw, b"a\n"), b"a\n");
        assert_eq!(written(Format::Lines, b""), b"\n");
        assert_eq!(written(Format::Delimited, b"a\n"), b"\x02a\n");
        assert_eq!(
            written(Format::Json, b"a\n\"\0"),
            b"{\"offset\":7,\"value\":\"a\\n\\\"\\u0000\"}\n"
        );
        assert_eq!(written(Format::Json, b"\xff\0"), b"{\"offset\":7,\"value_base64\":\"/wA=\"}\n");
    }
}
