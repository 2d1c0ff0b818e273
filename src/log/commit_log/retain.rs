//! Retention: the oldest segments go when they are too many bytes or too old.
//!
//! The housekeeper looks every second and only counts; what is to be done a thread of its own does,
//! so that no sync waits for it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Log;
use crate::log::checkpoint::Mark;
use crate::log::engine::Job;
use crate::log::error::{IoError, ReadError, TrimError};
use crate::log::offset::Offset;
use crate::log::retention::{self, Held, Terms};
use crate::log::segment::{Facts, Segment};
use crate::log::settings::LogSettings;
use crate::log::store_header::STORE_HEADER_BYTES;
use crate::log::width::wide;

/// How many segments are looked into, and how many dropped, before other logs have their turn.
const SEGMENTS_AT_ONCE: usize = 16;

impl Log {
    /// Has `retain` called if there is something for it to do. Reads no file, and waits for nobody:
    /// a log that is written all the time has to drop segments too.
    pub(super) fn retain_if_due(self: &Arc<Self>) {
        if self.retention_is_due() {
            self.queue_retain();
        }
    }

    fn queue_retain(self: &Arc<Self>) {
        if !self.retain_queued.swap(true, Ordering::Relaxed) {
            self.engine.queue_chore(Job::Retain(Arc::clone(self)));
        }
    }

    fn retention_is_due(&self) -> bool {
        let settings = self.settings.load();
        if !has_retention(&settings) || self.archive_must_wait(&settings) {
            return false;
        }
        if self.intake.lock().refusal.is_some() {
            // Damaged, failed, or about to go.
            return false;
        }
        let segments = self.segments.load();
        let sealed = segments.iter().filter(|segment| segment.is_sealed());
        let known: Option<Vec<Held>> =
            sealed.map(|segment| Some(held(segment, segment.known_facts()?))).collect();
        // What is not known has to be found out first, and where readers are is asked then.
        known.is_none_or(|held| self.overdue(&settings, &segments, &held, None) > 0)
    }

    /// Drops what the settings say, a few segments at a time, and queues the log again if there is
    /// more, behind other chores.
    pub(crate) fn retain(self: &Arc<Self>) {
        self.retain_queued.store(false, Ordering::Relaxed);
        if self.must_hurry() {
            return;
        }
        let Some(_drops) = self.drops.try_lock() else {
            return;
        };
        match self.retain_some() {
            Ok(is_all) => {
                self.retention_fails.store(false, Ordering::Relaxed);
                if !is_all {
                    self.queue_retain();
                }
            }
            // Said once, until it works again.
            Err(error) if !self.must_hurry() => {
                if !self.retention_fails.swap(true, Ordering::Relaxed) {
                    log::warn!(log:% = self.name(), error:err; "retention_failed");
                }
            }
            Err(_) => {}
        }
    }

    /// Whether that was all.
    fn retain_some(self: &Arc<Self>) -> Result<bool, TrimError> {
        let segments = self.segments.load_full();
        let mut looked_into = 0;
        let mut sealed = Vec::new();
        for segment in segments.iter().filter(|segment| segment.is_sealed()) {
            if looked_into == SEGMENTS_AT_ONCE {
                return Ok(false);
            }
            let was_known = segment.known_facts().is_some();
            sealed.push(held(segment, segment.facts_or_size()?));
            // One that cannot be read would be looked into for ever.
            looked_into += usize::from(!was_known && segment.known_facts().is_some());
        }
        // An update, or a reader that came or was set back, may have changed what is to be kept
        // by the time that all is archived.
        let overdue_before = || {
            let settings = self.settings();
            let lowest = self.lowest_to_keep(&settings);
            let overdue = self.overdue(&settings, &segments, &sealed, lowest).min(SEGMENTS_AT_ONCE);
            overdue.checked_sub(1).and_then(|last| sealed.get(last)).map(|last| last.end)
        };
        let Some(before) = overdue_before() else {
            return Ok(true);
        };
        let dropped = match self.drop_before(before, || overdue_before().unwrap_or(Offset::ZERO)) {
            // It was told of already, and is tried again later.
            Err(TrimError::Archive(_)) => return Ok(true),
            dropped => dropped?,
        };
        if dropped.segments > 0 {
            log::info!(
                log:% = self.name(), start = dropped.start.get(), segments = dropped.segments,
                bytes = dropped.bytes;
                "segments_dropped"
            );
        }
        Ok(dropped.segments == 0)
    }

    fn overdue(
        &self,
        settings: &LogSettings,
        segments: &[Arc<Segment>],
        held: &[Held],
        readers_lowest: Option<Offset>,
    ) -> usize {
        let active = segments.last().and_then(|segment| self.active_mark(segment));
        let terms = Terms {
            settings,
            now_us: self.engine.age_us(),
            active_bytes: active.map_or(0, |mark| mark.position),
            readers_lowest,
        };
        retention::overdue(held, &terms)
    }

    /// From where on the log's readers have yet to read, if that matters.
    fn lowest_to_keep(&self, settings: &LogSettings) -> Option<Offset> {
        settings.retain_for_readers_bytes?;
        // Where readers stand that cannot be read is not known: they may have read nothing.
        self.readers_lowest().unwrap_or(Some(Offset::ZERO))
    }

    /// How far `segment` is durable, if it is the one that takes frames.
    pub(super) fn active_mark(&self, segment: &Segment) -> Option<Mark> {
        if segment.is_sealed() {
            return None;
        }
        let mark = *self.mark.lock();
        // It may have begun without anything durable in it yet.
        let begun = Mark { position: wide(STORE_HEADER_BYTES), ..Mark::default() };
        Some(if mark.base == segment.base() { mark } else { begun })
    }

    /// What the log's stores have, and when its oldest record was appended. Blocks on the disk the
    /// first time.
    pub(super) fn sizes(&self) -> Result<(u64, Option<u64>), ReadError> {
        loop {
            let segments = self.segments.load_full();
            let sizes = self.sizes_of(&segments);
            if self.is_gone() {
                return Err(ReadError::Deleted);
            }
            // A trim may have taken a segment away in between, and replaced the list before.
            if sizes.is_ok() || Arc::ptr_eq(&segments, &self.segments.load()) {
                return Ok(sizes?);
            }
        }
    }

    fn sizes_of(&self, segments: &[Arc<Segment>]) -> Result<(u64, Option<u64>), IoError> {
        let (mut bytes, mut oldest_us) = (0_u64, None);
        for segment in segments {
            let (segment_bytes, first_us) = match self.active_mark(segment) {
                Some(mark) => (mark.position, (mark.frames > 0).then_some(mark.first_time_us)),
                None => {
                    let facts = segment.facts_or_size()?;
                    (facts.store_bytes, facts.times_us.map(|(first, _)| first))
                }
            };
            bytes = bytes.saturating_add(segment_bytes);
            oldest_us = oldest_us.or(first_us);
        }
        Ok((bytes, oldest_us))
    }
}

fn has_retention(settings: &LogSettings) -> bool {
    settings.retention_bytes.is_some() || settings.retention_age.is_some()
}

fn held(segment: &Segment, facts: Facts) -> Held {
    let last_time_us = facts.times_us.map(|(_, last)| last);
    Held { end: segment.end(), bytes: facts.store_bytes, last_time_us }
}
