//! `varve dump`: reads a store file alone, such as a copy in the archive, without a server.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use protobuf::Message as _;
use serde::Serialize;

use super::consume::format::Format;
use super::error::CliError;
use super::output;
use crate::log::{ArchivedBatch, ArchivedError, ArchivedSegment, OsDisk};
use crate::proto::record::Batch;

const EXAMPLES: &str = "\
Examples:
  varve dump 00000000000000000000.store            all records, one per line
  varve dump --json FILE | jq -r .value            with offsets, as JSON lines
  varve dump --headers FILE                        a line per batch: place, offsets, time
  varve dump --verify ARCHIVE/orders-*/*.store     check every byte, and say what is there

Records are written as `varve consume` writes them. Damage is told on standard error; what is
readable behind it is written all the same, and the command ends with 65.";

/// Print or check store files, as the archive has them
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Dump {
    /// The store files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the batches' headers instead of their records
    #[arg(long, conflicts_with_all = ["verify", "format"])]
    headers: bool,
    /// Print what each file holds instead of its records
    #[arg(long, conflicts_with = "format")]
    verify: bool,
    /// How records are written; lines, or json with --json
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// A batch's header.
#[derive(Serialize)]
struct Header {
    position: u64,
    offset: u64,
    records: u32,
    append_time_us: u64,
    incarnation: u64,
    durable_end: u64,
    payload_bytes: usize,
}

/// What a file holds.
#[derive(Serialize)]
struct Verified {
    file: String,
    log_id: String,
    start: u64,
    end: u64,
    batches: u64,
    sealed: bool,
    damaged_places: usize,
}

impl Dump {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let mut out = BufWriter::new(io::stdout().lock());
        let mut first: Option<CliError> = None;
        for path in &self.files {
            let read = self.file(path, is_json, &mut out);
            out.flush().map_err(CliError::Output)?;
            match read {
                Ok(()) => {}
                Err(error @ CliError::Output(_)) => return Err(error),
                // Said at the end; the other files are read all the same.
                Err(error) if first.is_none() => first = Some(error),
                Err(error) => output::note(format_args!("varve: error: {}", output::chain(&error))),
            }
        }
        first.map_or(Ok(ExitCode::SUCCESS), Err)
    }

    fn file(&self, path: &Path, is_json: bool, out: &mut impl Write) -> Result<(), CliError> {
        let unreadable = |source| CliError::Dump { path: path.to_owned(), source };
        let segment = ArchivedSegment::open(&OsDisk::new(), path).map_err(unreadable)?;
        let mut batches = segment.batches().map_err(|error| unreadable(error.into()))?;
        let (mut count, mut places) = (0, 0);
        for batch in batches.by_ref() {
            match batch {
                Ok(batch) => {
                    count += 1;
                    if !self.batch(&batch, is_json, out).map_err(CliError::Output)? {
                        places += 1;
                        out.flush().map_err(CliError::Output)?;
                        let (path, base) = (path.display(), batch.base_offset);
                        output::note(format_args!(
                            "{path}: the batch at offset {base} is no batch"
                        ));
                    }
                }
                Err(error @ ArchivedError::Damaged { .. }) => {
                    places += 1;
                    out.flush().map_err(CliError::Output)?;
                    output::note(format_args!("{}: {error}", path.display()));
                }
                Err(error) => return Err(unreadable(error)),
            }
        }
        let verified = Verified {
            file: path.display().to_string(),
            log_id: segment.log_id().to_string(),
            start: segment.base_offset().get(),
            end: batches.end().get(),
            batches: count,
            sealed: batches.is_sealed(),
            damaged_places: places,
        };
        if self.verify {
            verified.write(is_json, out).map_err(CliError::Output)?;
        }
        if places > 0 { Err(CliError::Damaged { path: path.to_owned(), places }) } else { Ok(()) }
    }

    /// Writes what is asked for of `batch`; `false` if its records cannot be told apart, although
    /// they are what was stored.
    fn batch(
        &self,
        batch: &ArchivedBatch,
        is_json: bool,
        out: &mut impl Write,
    ) -> io::Result<bool> {
        let Ok(parsed) = Batch::parse_from_bytes(&batch.payload) else {
            return Ok(false);
        };
        if self.headers {
            Header::of(batch).write(is_json, out)?;
        } else if !self.verify {
            let format = self.format.unwrap_or(if is_json { Format::Json } else { Format::Lines });
            for (offset, record) in (batch.base_offset.get()..).zip(parsed.records) {
                format.write(out, offset, batch.append_time_us, &record)?;
            }
        }
        Ok(true)
    }
}

impl Header {
    fn of(batch: &ArchivedBatch) -> Self {
        Self {
            position: batch.position,
            offset: batch.base_offset.get(),
            records: batch.records,
            append_time_us: batch.append_time_us,
            incarnation: batch.incarnation,
            durable_end: batch.durable_end.get(),
            payload_bytes: batch.payload.len(),
        }
    }

    fn write(&self, is_json: bool, out: &mut impl Write) -> io::Result<()> {
        if is_json {
            serde_json::to_writer(&mut *out, self)?;
            return out.write_all(b"\n");
        }
        let Self { position, offset, records, append_time_us, .. } = self;
        let Self { incarnation, durable_end, payload_bytes, .. } = self;
        writeln!(
            out,
            "position={position} offset={offset} records={records} append_time_us={append_time_us} \
             incarnation={incarnation} durable_end={durable_end} payload_bytes={payload_bytes}"
        )
    }
}

impl Verified {
    fn write(&self, is_json: bool, out: &mut impl Write) -> io::Result<()> {
        if is_json {
            serde_json::to_writer(&mut *out, self)?;
            return out.write_all(b"\n");
        }
        let state = if self.sealed { "sealed" } else { "not sealed" };
        let damage = match self.damaged_places {
            0 => "every byte checked".to_owned(),
            places => format!("damaged places: {places}"),
        };
        writeln!(
            out,
            "{}: log {}, offsets {} up to but not including {}, {} batches, {state}, {damage}",
            self.file, self.log_id, self.start, self.end, self.batches
        )
    }
}
