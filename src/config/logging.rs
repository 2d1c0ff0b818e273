//! `[logging]` and `[traces]`: what the server tells of calls one by one.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::ConfigError;
use super::typed::Typed;

const ANY_TIME: RangeInclusive<Duration> = Duration::from_micros(1)..=Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

/// What the server tells of calls one by one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// How the lines of its own log look.
    pub form: LogForm,
    /// A call that takes longer has a line; `None` is none.
    pub slow_call: Option<Duration>,
    /// A sync that takes longer has a line; `None` is none.
    pub slow_sync: Option<Duration>,
    /// Where calls go as spans, a URL; `None` is nowhere.
    pub traces: Option<String>,
}

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogForm {
    /// With its fields if the journal takes it, and else as text.
    Auto,
    /// `key=value` on one line.
    Text,
    /// An object on one line.
    Json,
}

impl fmt::Display for LogForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl LogForm {
    fn parse(text: &str) -> Option<Self> {
        [Self::Auto, Self::Text, Self::Json].into_iter().find(|form| form.to_string() == text)
    }
}

fn endpoint(text: &str) -> Option<String> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    let has_host = text.strip_prefix("http://").is_some_and(|rest| !rest.is_empty() && is_plain);
    (text == "off" || has_host).then(|| text.to_owned())
}

/// Reads the sections.
pub(super) fn read(typed: &mut Typed<'_>) -> Result<Logging, ConfigError> {
    let expected = "\"auto\", \"text\" or \"json\"";
    let form = typed.text("logging.form", None, LogForm::Auto, expected, LogForm::parse)?;
    let slow_call = typed.duration_or_never("logging.slow_call", Some(SECOND), ANY_TIME)?;
    let slow_sync = typed.duration_or_never("logging.slow_sync", Some(SECOND), ANY_TIME)?;
    let expected =
        "\"off\", or a URL such as \"http://127.0.0.1:4318/v1/traces\"; https is not spoken";
    let endpoint = typed.text("traces.endpoint", None, "off".to_owned(), expected, endpoint)?;
    let traces = Some(endpoint).filter(|endpoint| endpoint != "off");
    Ok(Logging { form, slow_call, slow_sync, traces })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_off_or_a_plain_url() {
        for good in ["off", "http://127.0.0.1:4318/v1/traces", "http://collector"] {
            assert_eq!(endpoint(good), Some(good.to_owned()));
        }
        for bad in ["", "on", "http://", "https://collector", "127.0.0.1:4318", "http://a b"] {
            assert_eq!(endpoint(bad), None, "{bad:?}");
        }
    }
}
