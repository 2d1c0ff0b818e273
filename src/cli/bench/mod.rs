//! `varve bench`: measures a server, and the ceilings of the wire and the disk beside it.
//!
//! Files: `flags`, `plan` (what a run is to do), `batch` (what producers send), `wire` (calls as
//! bytes), `walk` (what consumers check), `pace` (when requests are due), `meter` (what all count),
//! `producing`, `consuming`, `process` (CPU and memory), `run`, `report`, `plot`, `error`; beside
//! them `disk`, which needs no server, and `null`, a server that keeps nothing.

mod batch;
mod consuming;
mod disk;
mod error;
mod flags;
mod meter;
mod null;
mod pace;
mod plan;
mod plot;
mod process;
mod producing;
mod report;
mod run;
mod walk;
mod wire;

use std::fs;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use self::flags::{Batching, Records, Spread, Target, bounded};
use self::plan::{Consuming, Plan, Producing, What};
use self::report::Report;
use self::run::{Measured, Run};
use super::error::CliError;
use super::output;

pub(super) use self::disk::synced_write;
pub(super) use self::error::BenchError;

const NOTES: &str = "\
Examples:
  varve log create bench
  varve bench produce --log bench                     how many records a second go in
  varve bench produce --log bench --rate 100000       how long batches take at this load
  varve bench consume --log bench                     how many go out
  varve bench latency --log bench --callers 64        how long one record takes
  varve bench fanout --log bench --consumers 100      how soon a record is with many consumers
  varve bench null --plaintext                        a server that keeps nothing, to compare with
  varve bench disk /var/lib/varve                     how fast the disk syncs

produce, latency, fanout and mixed APPEND REAL RECORDS to the log that --log names, and nothing
takes them out again: measure on a log of its own, and delete it afterwards.

With --rate a batch counts from the time it was due, also if it could not be sent then. Latencies
are in microseconds. The server's CPU and memory are told if it runs on this host and its process
can be looked at. Ctrl-C ends a run early and shows what was measured.";

/// Measure a server's speed; appends real records to the log it is pointed at
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub(super) struct BenchCommand {
    #[command(subcommand)]
    command: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    Produce(Produce),
    Consume(Consume),
    Latency(Latency),
    Fanout(Fanout),
    Mixed(Mixed),
    Null(null::Null),
    Disk(disk::DiskBench),
}

/// Append batches and measure how many are acknowledged and how soon; the records stay in the log
#[derive(Debug, Args)]
struct Produce {
    #[command(flatten)]
    records: Records,
    #[command(flatten)]
    batching: Batching,
    /// Connections
    #[arg(long, value_name = "N", default_value = "1")]
    connections: usize,
    /// Streams on each connection
    #[arg(long, value_name = "N", default_value = "1")]
    streams: usize,
    /// Batches that each stream sends before the first of them is answered; 64, or 1 with --unary
    #[arg(long, value_name = "N")]
    in_flight: Option<usize>,
    /// A call for each batch instead of streams
    #[arg(long)]
    unary: bool,
    #[command(flatten)]
    spread: Spread,
    #[command(flatten)]
    target: Target,
}

/// Read a log from its start, again and again, checking that each record is there
#[derive(Debug, Args)]
struct Consume {
    /// Connections
    #[arg(long, value_name = "N", default_value = "1")]
    connections: usize,
    /// Streams on each connection
    #[arg(long, value_name = "N", default_value = "1")]
    streams: usize,
    /// A call for each reply instead of streams
    #[arg(long)]
    unary: bool,
    /// End when all was read, without a warm-up
    #[arg(long, conflicts_with = "warmup")]
    once: bool,
    #[command(flatten)]
    target: Target,
}

/// Append one record at a time and measure how long each takes; the records stay in the log
#[derive(Debug, Args)]
struct Latency {
    #[command(flatten)]
    records: Records,
    /// Those who call at the same time, each waiting for its answer
    #[arg(long, value_name = "N", default_value = "1")]
    callers: usize,
    /// Connections that the callers share
    #[arg(long, value_name = "N", default_value = "1")]
    connections: usize,
    /// Each caller sends over a stream of its own instead of call by call
    #[arg(long)]
    over_streams: bool,
    #[command(flatten)]
    spread: Spread,
    #[command(flatten)]
    target: Target,
}

/// Append at a rate and measure how soon waiting consumers have it; the records stay in the log
#[derive(Debug, Args)]
struct Fanout {
    #[command(flatten)]
    records: Records,
    #[command(flatten)]
    batching: Batching,
    /// Consumers that wait at the end of the log
    #[arg(long, value_name = "N", default_value = "100")]
    consumers: usize,
    /// Connections of the consumers; the producer has its own
    #[arg(long, value_name = "N", default_value = "4")]
    connections: usize,
    #[command(flatten)]
    target: Target,
}

/// Append with several producers while consumers follow; the records stay in the log
#[derive(Debug, Args)]
struct Mixed {
    #[command(flatten)]
    records: Records,
    #[command(flatten)]
    batching: Batching,
    /// Producers, with a stream each
    #[arg(long, value_name = "N", default_value = "1")]
    producers: usize,
    /// Consumers that follow the end of the log
    #[arg(long, value_name = "N", default_value = "1")]
    consumers: usize,
    /// Connections of the producers, and as many of the consumers
    #[arg(long, value_name = "N", default_value = "1")]
    connections: usize,
    /// Batches that each producer sends before the first of them is answered
    #[arg(long, value_name = "N", default_value = "64")]
    in_flight: usize,
    #[command(flatten)]
    target: Target,
}

/// More connections, streams or callers than these are a slip of the finger.
const MANY: usize = 100_000;
/// What a fan-out appends unless it is told otherwise.
const FANOUT_RATE: u64 = 100;

impl BenchCommand {
    /// Runs the command.
    pub(super) fn run(self, is_json: bool) -> Result<ExitCode, CliError> {
        let plan = match self.command {
            Bench::Null(null) => return null.run(is_json),
            Bench::Disk(disk) => return disk.run(is_json),
            Bench::Produce(flags) => flags.plan(),
            Bench::Consume(flags) => flags.plan(),
            Bench::Latency(flags) => flags.plan(),
            Bench::Fanout(flags) => flags.plan(),
            Bench::Mixed(flags) => flags.plan(),
        };
        measure(&plan?, is_json)
    }
}

fn measure(plan: &Plan, is_json: bool) -> Result<ExitCode, CliError> {
    let (measured, ended) = Run::open(plan)?.measure();
    let failed = ended.is_err();
    let has_figures = measured.produced.done.messages + measured.consumed.done.messages > 0;
    if !failed || has_figures {
        let report = Report::new(plan, &measured, failed);
        match is_json {
            true => output::json(&report)?,
            false => output::line(report.text())?,
        }
        draw(plan, &measured)?;
    }
    ended?;
    match measured.interrupted {
        Some(signal) => Err(CliError::Stopped { signal }),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn draw(plan: &Plan, measured: &Measured) -> Result<(), CliError> {
    let Some(path) = &plan.target.plot else {
        return Ok(());
    };
    let lines = [
        ("to the acknowledgement", plan.producing.is_some(), &measured.produced.latencies),
        ("to the consumer", plan.consuming.is_some(), &measured.consumed.latencies),
    ];
    let lines =
        lines.iter().filter(|(_, is_wanted, latencies)| *is_wanted && !latencies.is_empty());
    let lines: Vec<_> = lines.map(|(name, _, latencies)| (*name, *latencies)).collect();
    let title = format!("varve bench {}", plan.scenario);
    let failed = |source| BenchError::Plot { path: path.clone(), source };
    Ok(fs::write(path, plot::svg(&title, &lines)).map_err(failed)?)
}

impl Produce {
    fn plan(self) -> Result<Plan, BenchError> {
        let shape = self.records.shape(Some(&self.batching), 1000)?;
        let in_flight = self.in_flight.unwrap_or(if self.unary { 1 } else { 64 });
        bounded("connections", self.connections, MANY)?;
        bounded("streams", self.streams, MANY)?;
        bounded("in-flight", in_flight, MANY)?;
        let streams = self.connections * self.streams;
        let producing = Producing {
            shape,
            logs: self.spread.names(&self.target.log, (!self.unary).then_some(streams))?,
            durability: self.records.durability,
            connections: self.connections,
            // A caller has one batch in flight, so it takes as many callers.
            producers: streams * if self.unary { in_flight } else { 1 },
            in_flight: if self.unary { 1 } else { in_flight },
            unary: self.unary,
            rate: self.records.rate,
        };
        let (scenario, producing) = ("produce", Some(producing));
        Ok(Plan { scenario, target: self.target, producing, consuming: None })
    }
}

impl Consume {
    fn plan(self) -> Result<Plan, BenchError> {
        bounded("connections", self.connections, MANY)?;
        bounded("streams", self.streams, MANY)?;
        let consuming = Consuming {
            connections: self.connections,
            consumers: self.connections * self.streams,
            what: What::Held { unary: self.unary, once: self.once },
        };
        let (scenario, consuming) = ("consume", Some(consuming));
        Ok(Plan { scenario, target: self.target, producing: None, consuming })
    }
}

impl Latency {
    fn plan(self) -> Result<Plan, BenchError> {
        let shape = self.records.shape(None, 1)?;
        bounded("callers", self.callers, MANY)?;
        bounded("connections", self.connections, self.callers)?;
        let producing = Producing {
            shape,
            logs: self.spread.names(&self.target.log, self.over_streams.then_some(self.callers))?,
            durability: self.records.durability,
            connections: self.connections,
            producers: self.callers,
            in_flight: 1,
            unary: !self.over_streams,
            rate: self.records.rate,
        };
        let (scenario, producing) = ("latency", Some(producing));
        Ok(Plan { scenario, target: self.target, producing, consuming: None })
    }
}

impl Fanout {
    fn plan(mut self) -> Result<Plan, BenchError> {
        self.records.rate.get_or_insert(FANOUT_RATE);
        let mixed = Mixed {
            records: self.records,
            batching: self.batching,
            producers: 1,
            consumers: self.consumers,
            connections: self.connections,
            in_flight: 64,
            target: self.target,
        };
        let mut plan = mixed.plan_of("fanout", 1)?;
        if let Some(producing) = &mut plan.producing {
            producing.connections = 1;
        }
        Ok(plan)
    }
}

impl Mixed {
    fn plan(self) -> Result<Plan, BenchError> {
        bounded("connections", self.connections, self.producers.min(self.consumers))?;
        self.plan_of("mixed", 1000)
    }

    fn plan_of(self, scenario: &'static str, batch_records: u64) -> Result<Plan, BenchError> {
        let shape = self.records.shape(Some(&self.batching), batch_records)?;
        self.records.check_stamped()?;
        bounded("producers", self.producers, MANY)?;
        bounded("consumers", self.consumers, MANY)?;
        bounded("in-flight", self.in_flight, MANY)?;
        bounded("connections", self.connections, self.consumers)?;
        let producing = Producing {
            shape,
            logs: vec![self.target.log.clone()],
            durability: self.records.durability,
            connections: self.connections,
            producers: self.producers,
            in_flight: self.in_flight,
            unary: false,
            rate: self.records.rate,
        };
        let (connections, consumers) = (self.connections, self.consumers);
        let consuming = Some(Consuming { connections, consumers, what: What::Coming });
        Ok(Plan { scenario, target: self.target, producing: Some(producing), consuming })
    }
}
