//! `varve consume`: reads records to standard output.
//!
//! Files: `begin` (where), `receive` (one stream), `copy` (streams until all is written), `commit`
//! (a reader that follows), `format` (how records are written).

pub(super) mod begin;
mod commit;
mod copy;
pub(super) mod format;
mod receive;

use std::io::{self, IsTerminal as _};
use std::num::NonZeroU64;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::{Args, ValueEnum};
use rustix::fs::{FileType, fstat};

use self::commit::Committer;
use self::copy::{Copy, Wish, wait_ms};
use self::format::Format;
use super::client::args::ClientArgs;
use super::client::connection::Connection;
use super::client::retry::RetryArgs;
use super::error::CliError;
use super::human;
use super::interrupt::Interrupt;
use super::progress::{Progress, Unit};
use crate::proto::log_service::consume_request::Start;
use crate::proto::log_service::{ConsumeRequest, GapPolicy};

const EXAMPLES: &str = "\
Examples:
  varve consume                                  all records, one per line
  varve consume --log audit --offset 42 -n 1     one record
  varve consume --from latest --follow           what comes from now on
  varve consume --from 5m                        what came within the last five minutes
  varve consume --from 2026-11-22T19:00:00Z      what came since
  varve consume --json | jq -r .value            with offset, time, key and headers
  varve consume --format raw -n 1 > photo.jpg
  varve consume --reader billing --from earliest --commit --follow

Formats:
  lines      the record's bytes and a newline
  raw        the records' bytes, nothing between them
  json       {\"offset\":7,\"time\":\"2026-11-22T19:16:40.000000Z\",\"value\":\"text\"}, with key
             and headers if it has any; key_base64 and value_base64 if bytes are not UTF-8
  delimited  each record behind its length, a protobuf varint

The command ends at the end that the log had when it began. With --follow it goes on; with
--max-wait it goes on until nothing has come for so long. A connection that breaks is made anew for
as long as --retry-for says, and reading goes on where it was.

With --commit the reader moves behind what was written out, a little later: after a crash the last
records come again, and none is left out.

The certificate, key and CA come from flags or from VARVE_CERT, VARVE_KEY and VARVE_CA.";

/// Read records to standard output
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Consume {
    /// The log to read
    #[arg(long, value_name = "NAME", default_value = "default")]
    log: String,
    /// How records are written; lines, or json with --json
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    beginning: Beginning,
    #[command(flatten)]
    ending: Ending,
    #[command(flatten)]
    gaps: Gaps,
    #[command(flatten)]
    retry: RetryArgs,
    #[command(flatten)]
    client: ClientArgs,
}

/// Where to begin.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where to begin")]
struct Beginning {
    /// An offset, `start` (the oldest record held, which is the default) or `end`
    #[arg(long, value_name = "OFFSET", conflicts_with = "from")]
    offset: Option<begin::Place>,
    /// `earliest`, `latest`, or the first record since a time: RFC 3339, microseconds since 1970,
    /// or how long ago by this host's clock, such as 5m
    #[arg(long, value_name = "TIME")]
    from: Option<begin::From>,
    /// Where this reader stands; --offset or --from say where it begins if it is new
    #[arg(long, value_name = "NAME")]
    reader: Option<String>,
    /// Move the reader behind what was written out
    #[arg(long, requires = "reader")]
    commit: bool,
}

/// When to end.
#[derive(Debug, Args)]
#[command(next_help_heading = "When to end")]
struct Ending {
    /// Wait at the end for what is appended
    #[arg(long, short)]
    follow: bool,
    /// Wait at the end, and end once nothing has come for so long
    #[arg(long, value_name = "DURATION", value_parser = human::duration)]
    max_wait: Option<Duration>,
    /// End after this many records
    #[arg(long, short = 'n', value_name = "N", visible_alias = "count")]
    max_records: Option<NonZeroU64>,
}

/// What to do about records that are not there any more.
#[derive(Debug, Args)]
#[command(next_help_heading = "Gaps")]
struct Gaps {
    /// About records that were trimmed
    #[arg(long, value_enum, default_value = "fail", value_name = "WHAT")]
    on_trimmed: OnGap,
    /// About records that are damaged
    #[arg(long, value_enum, default_value = "fail", value_name = "WHAT")]
    on_damaged: OnGap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum OnGap {
    /// End, and say where reading can go on
    Fail,
    /// Say so, and go on behind them
    Skip,
}

impl Consume {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let connection = Connection::open(&self.client)?;
        let interrupt = Interrupt::watch()?;
        let progress = Progress::new(None, Unit::Records, is_stdout_a_file());
        let commits = self.beginning.reader.clone().filter(|_| self.beginning.commit);
        let committer = commits.map(|reader| Committer::new(self.log.clone(), reader));
        let retry = self.retry.into();
        let format = self.format.unwrap_or(if is_json { Format::Json } else { Format::Lines });
        let tools = (retry, interrupt, progress);
        Copy::new(self.wish(format), connection, tools, committer, io::stdout().lock()).run()?;
        Ok(ExitCode::SUCCESS)
    }

    fn wish(self, format: Format) -> Wish {
        let (start, instead) = self.beginning.start();
        let Ending { follow, max_wait, max_records } = self.ending;
        // The end that the log has now comes with the first message, and if there is none to come
        // the stream ends at once.
        let max_wait = if follow || max_wait.is_some() { max_wait } else { Some(Duration::ZERO) };
        let request = ConsumeRequest {
            log: self.log,
            start: Some(start),
            on_trimmed: self.gaps.on_trimmed.policy().into(),
            on_damaged: self.gaps.on_damaged.policy().into(),
            max_wait_ms: max_wait.map(wait_ms),
            heartbeat_ms: receive::HEARTBEAT_MS,
            ..ConsumeRequest::default()
        };
        Wish {
            request,
            instead,
            is_bounded: max_wait == Some(Duration::ZERO),
            is_ending: max_wait.is_some(),
            records_max: max_records.map_or(u64::MAX, NonZeroU64::get),
            format,
        }
    }
}

impl Beginning {
    /// Where to begin, and where instead if that is a reader that is new.
    fn start(&self) -> (Start, Option<Start>) {
        let place = self.offset.map(begin::Place::start);
        let typed = place.or_else(|| self.from.map(|from| from.start(SystemTime::now())));
        match &self.reader {
            Some(reader) => (Start::Reader(reader.clone()), typed),
            None => (typed.unwrap_or_else(|| begin::Place::Start.start()), None),
        }
    }
}

impl OnGap {
    fn policy(self) -> GapPolicy {
        match self {
            Self::Fail => GapPolicy::GAP_POLICY_FAIL,
            Self::Skip => GapPolicy::GAP_POLICY_SKIP,
        }
    }
}

/// On a terminal the records themselves show how far it is, and a pipe's reader may.
fn is_stdout_a_file() -> bool {
    let stdout = io::stdout();
    let is_file = fstat(&stdout)
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile);
    is_file && !stdout.is_terminal()
}
