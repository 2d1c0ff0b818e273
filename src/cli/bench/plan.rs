//! What a run is to do, as the commands put it together from their flags.

use std::ops::Range;

use serde::Serialize;

use super::batch::Shape;
use super::flags::Target;
use crate::cli::produce::Level;

/// A run.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) scenario: &'static str,
    pub(super) target: Target,
    pub(super) producing: Option<Producing>,
    pub(super) consuming: Option<Consuming>,
}

/// What producers do.
#[derive(Clone, Debug)]
pub(super) struct Producing {
    pub(super) shape: Shape,
    /// Where to; producers, or calls of theirs, take turns among them.
    pub(super) logs: Vec<String>,
    pub(super) durability: Level,
    pub(super) connections: usize,
    /// Those who send on their own: streams, or callers that each wait for their answer.
    pub(super) producers: usize,
    /// Batches that each of them has unanswered at most.
    pub(super) in_flight: usize,
    pub(super) unary: bool,
    /// Records per second in all.
    pub(super) rate: Option<u64>,
}

/// What consumers do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Consuming {
    pub(super) connections: usize,
    pub(super) consumers: usize,
    pub(super) what: What,
}

/// What consumers read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// What the log holds.
    Held { unary: bool, once: bool },
    /// What this run appends.
    Coming,
}

/// A run's settings for programs.
#[derive(Debug, Serialize)]
pub(super) struct Settings {
    logs: usize,
    record_bytes: Option<usize>,
    batch_records: Option<u32>,
    durability: Option<&'static str>,
    rate: Option<u64>,
    producers: usize,
    consumers: usize,
    connections: usize,
    in_flight: Option<usize>,
    unary: bool,
}

impl Plan {
    /// The connections of producers and those of consumers.
    pub(super) fn connections(&self) -> (Range<usize>, Range<usize>) {
        let produce = self.producing.as_ref().map_or(0, |producing| producing.connections);
        let consume = self.consuming.map_or(0, |consuming| consuming.connections);
        (0..produce, produce..produce + consume)
    }

    /// The log, or those that take turns.
    pub(super) fn log_names(&self) -> String {
        match self.producing.as_ref().map_or(&[][..], |producing| &producing.logs) {
            [first, .., last] => format!("{first} to {last}"),
            [only] => only.clone(),
            [] => self.target.log.clone(),
        }
    }

    pub(super) fn settings(&self) -> Settings {
        let producing = self.producing.as_ref();
        let unary_reads = self
            .consuming
            .is_some_and(|consuming| matches!(consuming.what, What::Held { unary: true, .. }));
        Settings {
            logs: producing.map_or(1, |producing| producing.logs.len()),
            record_bytes: producing.map(|producing| producing.shape.record_bytes),
            batch_records: producing.map(|producing| producing.shape.records),
            durability: producing.map(|producing| producing.durability.name()),
            rate: producing.and_then(|producing| producing.rate),
            producers: producing.map_or(0, |producing| producing.producers),
            consumers: self.consuming.map_or(0, |consuming| consuming.consumers),
            connections: self.connections().1.end,
            in_flight: producing.map(|producing| producing.in_flight),
            unary: producing.is_some_and(|producing| producing.unary) || unary_reads,
        }
    }
}
