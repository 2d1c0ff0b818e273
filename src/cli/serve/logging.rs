//! The server's own log: one line per event on standard error, `key=value` with quoted text.
//!
//! Under systemd the journal knows the time, and a line begins with its priority instead. Control
//! bytes are escaped, so that no text from outside can begin a line of its own.

use std::env;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use env_logger::{Builder, Env, Logger};
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::cli::escape::Escaped;
use crate::server::handshakes;
use crate::tls::Moment;

/// Which events are written: `warn`, `info`, `debug`, or by module as in `info,varve::log=debug`.
const LEVEL_VARIABLE: &str = "VARVE_LOG";
/// The C core as a module. What it says below an error is for its own developers.
const CORE: &str = "grpc";
/// Longer events are cut.
const EVENT_CHARS_MAX: usize = 2048;

/// The log, which gives the C core's events the name of their module.
struct Named(Logger);

/// Where the lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A terminal or a file: lines begin with the time.
    Anyone,
    /// journald, which reads `<N>` at a line's begin as its priority.
    Journal,
}

impl Log for Named {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if record.target().is_empty() {
            handshakes::note(&record.args().to_string());
            self.0.log(&record.to_builder().target(CORE).build());
        } else {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

/// Starts the log. The C core writes to it as well.
pub(super) fn start() {
    let reader = if is_journal() { Reader::Journal } else { Reader::Anyone };
    let logger = Builder::new()
        .filter_module(CORE, LevelFilter::Error)
        .parse_env(Env::new().filter_or(LEVEL_VARIABLE, "info"))
        .format(move |out, record| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            writeln!(out, "{}", line(reader, record, since_epoch))
        })
        .build();
    log::set_max_level(logger.filter());
    // There is no other log in this process; if there were, it would go on.
    let _ = log::set_boxed_logger(Box::new(Named(logger)));
    grpcio::redirect_log();
}

/// Whether standard error is what systemd connected to the journal.
fn is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

fn line(reader: Reader, record: &Record<'_>, since_epoch: Duration) -> String {
    let mut line = match reader {
        Reader::Anyone => {
            let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
            let moment = Moment::from_unix_s(seconds).to_string();
            let micros = since_epoch.subsec_micros();
            format!("time={}.{micros:06}Z ", moment.trim_end_matches('Z'))
        }
        Reader::Journal => format!("<{}>", priority(record.level())),
    };
    let level = record.level().as_str().to_lowercase();
    let event = cut(&record.args().to_string());
    // Writing to a string does not fail.
    let _ = write!(line, "level={level} ");
    if event.starts_with("event=") {
        let _ = write!(line, "{}", Escaped(&event));
    } else {
        let _ = write!(line, "event=message from={} text={event:?}", record.target());
    }
    line
}

/// syslog's numbers.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

fn cut(event: &str) -> String {
    let mut rest = event.chars();
    let kept: String = rest.by_ref().take(EVENT_CHARS_MAX).collect();
    if rest.next().is_some() { kept + "..." } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reader: Reader, level: Level, text: &str) -> String {
        let args = format_args!("{text}");
        let record = Record::builder().level(level).target("varve::log").args(args).build();
        line(reader, &record, Duration::from_micros(1_500_000))
    }

    #[test]
    fn a_line_begins_with_the_time_or_its_priority() {
        assert_eq!(
            written(Reader::Anyone, Level::Info, "event=listening port=1"),
            "time=1970-01-01T00:00:01.500000Z level=info event=listening port=1"
        );
        assert_eq!(
            written(Reader::Journal, Level::Error, "event=fatal"),
            "<3>level=error event=fatal"
        );
    }

    #[test]
    fn an_event_is_one_line_whatever_it_holds() {
        let line = written(Reader::Journal, Level::Warn, "event=denied subject=a\n<0>\u{1b}[2J");
        assert_eq!(line, "<4>level=warn event=denied subject=a\\n<0>\\u{1b}[2J");
        let line = written(Reader::Journal, Level::Warn, "of others\n\"text\"");
        assert_eq!(
            line,
            "<4>level=warn event=message from=varve::log text=\"of others\\n\\\"text\\\"\""
        );
    }

    #[test]
    fn an_endless_event_is_cut() {
        let line = written(Reader::Journal, Level::Warn, &format!("event={}", "x".repeat(9999)));
        assert!(line.ends_with("xxx...") && line.len() < 2100, "{line}");
    }
}
