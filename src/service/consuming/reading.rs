//! Where a client is in a log, and what it finds there.

use super::ask::{Ask, Gap, GapCause, OnGap, Part, Standing, Start};
use crate::log::{Chunk, Offset, Past, ReadError, ReaderError};
use crate::service::guard::{Consume, Permit, ReaderScope};
use crate::service::refusal::{OutOfRange, Refusal};

/// One client's way through a log.
#[derive(Debug)]
pub(super) struct Reading {
    permit: Permit<Consume>,
    /// Whose readers the client may begin at.
    scope: ReaderScope,
    ask: Ask,
    /// The offset to read next, once it is known.
    next: Option<Offset>,
    /// How many records may still be sent.
    left: u64,
}

/// What is at the offset to read next.
#[derive(Debug)]
pub(super) enum Found {
    Records(Chunk),
    Gap(Gap),
    /// Nothing yet.
    End,
}

impl Reading {
    /// # Errors
    ///
    /// `LogReplaced` if the log is not the one that was asked for.
    pub(super) fn new(
        permit: Permit<Consume>,
        scope: ReaderScope,
        ask: Ask,
    ) -> Result<Self, Refusal> {
        let actual = permit.log_id();
        if let Some(expected) = ask.log_id.filter(|expected| *expected != actual) {
            let name = permit.log_name().to_owned();
            return Err(Refusal::LogReplaced { name, expected, actual });
        }
        let left = ask.records_max;
        Ok(Self { permit, scope, ask, next: None, left })
    }

    pub(super) fn ask(&self) -> &Ask {
        &self.ask
    }

    /// Whether all records that were asked for are sent.
    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Whether `look` may have to wait for the disk.
    pub(super) fn needs_disk(&self) -> bool {
        let bounds = self.permit.bounds();
        let holds = |offset: Offset| bounds.start <= offset && offset < bounds.end;
        match (self.next, &self.ask.start) {
            (Some(next), _) => holds(next),
            (None, Start::Offset(next)) => holds(*next),
            (None, Start::Earliest) => holds(bounds.start),
            (None, Start::Latest) => false,
            (None, Start::Time(_) | Start::Reader(_)) => true,
        }
    }

    /// Finds what comes next, at most about `bytes_max` bytes of it. Blocks on the disk.
    pub(super) fn look(&mut self, bytes_max: usize) -> Result<Found, Refusal> {
        let next = self.locate()?;
        loop {
            let bounds = self.permit.bounds();
            if next < bounds.start && self.ask.on_trimmed == OnGap::Skip {
                return Ok(self.skip(bounds.start, GapCause::Trimmed));
            }
            if next < bounds.start || next > bounds.end {
                return Err(OutOfRange::new(next, bounds).into());
            }
            if next == bounds.end && !self.permit.ends_damaged() {
                return Ok(Found::End);
            }
            match self.permit.read(next, bytes_max.min(self.ask.bytes_max)) {
                Ok(chunk) => return Ok(Found::Records(chunk)),
                // A trim overtook it.
                Err(ReadError::OutOfRange { start, .. }) if next < start => {}
                Err(ReadError::Damaged { resume: Some(resume), .. })
                    if self.ask.on_damaged == OnGap::Skip =>
                {
                    return Ok(self.skip(resume, GapCause::Damaged));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The offset to read next, or to go on with later.
    pub(super) fn locate(&mut self) -> Result<Offset, Refusal> {
        if let Some(next) = self.next {
            return Ok(next);
        }
        let bounds = self.permit.bounds();
        let next = match &self.ask.start {
            Start::Offset(offset) => *offset,
            Start::Time(time_us) => self.permit.offset_at_time(*time_us)?,
            Start::Earliest => bounds.start,
            Start::Latest => bounds.end,
            Start::Reader(name) => {
                let reader = self.permit.reader(&self.scope, name)?;
                reader.ok_or(ReaderError::NotFound)?.offset
            }
        };
        Ok(*self.next.insert(next))
    }

    /// What of `chunk`, which was found, is to be sent.
    pub(super) fn part<'a>(&self, chunk: &'a Chunk) -> Part<'a> {
        Part {
            chunk,
            from: self.next.unwrap_or_default(),
            records_max: self.left,
            bytes_max: self.ask.bytes_max,
            standing: self.standing(),
        }
    }

    /// All of `chunk` that is to be sent is sent.
    pub(super) fn passed(&mut self, chunk: &Chunk) {
        let next = self.next.unwrap_or_default();
        let held = chunk.next_offset().get().saturating_sub(next.get());
        let sent = held.min(self.left);
        self.left -= sent;
        self.next = Some(next.plus(sent));
    }

    pub(super) fn standing(&self) -> Standing {
        let (log_id, bounds) = (self.permit.log_id(), self.permit.bounds());
        Standing { log_id, bounds, now_us: self.permit.now_us() }
    }

    /// Resolves when there is something at the offset to read next.
    pub(super) fn more(&self) -> Past {
        self.permit.past(self.next.unwrap_or_default())
    }

    fn skip(&mut self, to: Offset, cause: GapCause) -> Found {
        let from = self.next.replace(to).unwrap_or_default();
        Found::Gap(Gap { from, to, cause })
    }
}
