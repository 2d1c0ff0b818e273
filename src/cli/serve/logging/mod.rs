//! The server's own log: one line per event on standard error, as `key=value` or JSON.
//!
//! Where standard error is the journal's, events go there by its own protocol, with each field
//! beside the text. Files: `event` (what is told), `form` (how), `journal`.

mod event;
mod form;
mod journal;

use std::env;
use std::io::{self, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use env_logger::{Builder, Env, Logger};
use log::kv::Source;
use log::{Level, LevelFilter, Log, Metadata, Record};

use self::event::Event;
use self::journal::Journal;
use crate::config::LogForm;
use crate::line_limit::LineLimit;
use crate::server::handshakes;
use crate::tls::Moment;

/// Which events are written: `warn`, `info`, `debug`, or by module as in `info,varve::log=debug`.
const LEVEL_VARIABLE: &str = "VARVE_LOG";
/// The C core as a module. What it says below an error is for its own developers.
const CORE: &str = "grpc";

/// The log, which gives the C core's events the name of their module.
struct Named {
    lines: Logger,
    of_core: LineLimit,
    /// Where events go instead of lines, as long as they are taken.
    journal: Option<Journal>,
}

/// Who reads standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    /// A terminal or a file: lines begin with the time.
    Anyone,
    /// journald, which knows the time, and reads `<N>` at a line's begin as its priority.
    Journal,
}

impl Named {
    fn write(&self, record: &Record<'_>) {
        let is_sent = self.journal.as_ref().is_some_and(|journal| {
            !self.lines.matches(record) || journal.send(&Event::of(record), record.target()).is_ok()
        });
        if !is_sent {
            self.lines.log(record);
        }
    }
}

impl Log for Named {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.lines.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if record.target().is_empty() {
            handshakes::note(&record.args().to_string());
            // Strangers can bring most of them about as often as they like.
            if let Some(untold) = self.of_core.line() {
                let untold: &dyn Source = &("untold", untold);
                self.write(&record.to_builder().target(CORE).key_values(&untold).build());
            }
        } else {
            self.write(record);
        }
    }

    fn flush(&self) {
        self.lines.flush();
    }
}

/// Starts the log. The C core writes to it as well.
pub(super) fn start(form: LogForm) {
    let reader = if is_journal() { Reader::Journal } else { Reader::Anyone };
    let has_fields = form == LogForm::Auto && reader == Reader::Journal;
    let lines = Builder::new()
        .filter_module(CORE, LevelFilter::Error)
        .parse_env(Env::new().filter_or(LEVEL_VARIABLE, "info"))
        .format(move |out, record| {
            let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            writeln!(out, "{}", line(form, reader, &Event::of(record), since_epoch))
        })
        .build();
    log::set_max_level(lines.filter());
    let journal = has_fields.then(Journal::connect).and_then(Result::ok);
    // There is no other log in this process; if there were, it would go on.
    let _ =
        log::set_boxed_logger(Box::new(Named { lines, of_core: LineLimit::default(), journal }));
    grpcio::redirect_log();
}

/// Whether standard error is what systemd connected to the journal.
fn is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    let Ok(stat) = rustix::fs::fstat(io::stderr()) else { return false };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

fn line(form: LogForm, reader: Reader, event: &Event, since_epoch: Duration) -> String {
    let time = (reader == Reader::Anyone).then(|| time(since_epoch));
    let line = match (form, &time) {
        (LogForm::Json, _) => form::json(time.as_deref(), event),
        (_, Some(time)) => format!("time={time} {}", form::text(event)),
        (_, None) => form::text(event),
    };
    match reader {
        Reader::Anyone => line,
        Reader::Journal => format!("<{}>{line}", priority(event.level)),
    }
}

fn time(since_epoch: Duration) -> String {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    let moment = Moment::from_unix_s(seconds).to_string();
    format!("{}.{:06}Z", moment.trim_end_matches('Z'), since_epoch.subsec_micros())
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

#[cfg(test)]
mod tests {
    use super::event::tests::event;
    use super::*;

    #[test]
    fn a_line_begins_with_the_time_or_its_priority() {
        let written = |form, reader| {
            let event = event(Level::Error, "fatal", &[("port", 1.into())]);
            line(form, reader, &event, Duration::from_micros(1_500_000))
        };
        assert_eq!(
            written(LogForm::Auto, Reader::Anyone),
            "time=1970-01-01T00:00:01.500000Z level=error event=fatal port=1"
        );
        assert_eq!(written(LogForm::Text, Reader::Journal), "<3>level=error event=fatal port=1");
        assert_eq!(
            written(LogForm::Json, Reader::Anyone),
            r#"{"time":"1970-01-01T00:00:01.500000Z","level":"error","event":"fatal","port":1}"#
        );
        assert_eq!(
            written(LogForm::Json, Reader::Journal),
            r#"<3>{"level":"error","event":"fatal","port":1}"#
        );
    }
}
