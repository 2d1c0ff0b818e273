//! Looks at a log's stores and says what is valid, without changing anything.

use super::Site;
use super::clean::{ends_as_marked, open_store};
use crate::log::checkpoint::{Checkpoint, Mark};
use crate::log::error::OpenError;
use crate::log::frame::FrameHeader;
use crate::log::offset::Offset;
use crate::log::reached::{Reached, bounds};
use crate::log::scan::{Found, Scan};
use crate::log::store::Store;
use crate::log::store_header::STORE_HEADER_BYTES;
use crate::log::width::wide;

/// Valid frames of one store that follow each other without a gap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) from: Offset,
    /// Where the piece ends, and what the segment amounts to up to there.
    pub(super) mark: Mark,
    /// Whether bytes that are no valid frame stand before it in its store.
    pub(super) after_break: bool,
}

impl Piece {
    pub(super) fn to(&self) -> Offset {
        self.mark.durable_end
    }
}

/// One store.
#[derive(Debug)]
pub(super) struct Surveyed {
    pub(super) base: Offset,
    /// Whether its header is whole; else nothing in it can be checked.
    pub(super) readable: bool,
    /// Where its footer says that it ends, if it is sealed.
    pub(super) sealed_at: Option<Offset>,
    /// Where the next store begins whose header is whole.
    pub(super) bound: Option<Offset>,
    /// In the order of their offsets; the first may be one without frames, at the base.
    pub(super) pieces: Vec<Piece>,
    /// From where on its bytes may not be on the disk.
    pub(super) unsure_from: Option<u64>,
}

/// All stores.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) stores: Vec<Surveyed>,
    /// Files with names of stores that cannot be read as this log's, at offsets that another has.
    pub(super) strays: Vec<Offset>,
    /// The highest durable end that anything valid names and can know of.
    pub(super) durable_end: Offset,
    /// The highest incarnation that anything valid names.
    pub(super) incarnation: u64,
}

pub(super) fn survey(
    site: &Site<'_>,
    checkpoint: Option<&Checkpoint>,
) -> Result<Survey, OpenError> {
    let mark = checkpoint.map(|held| held.mark).unwrap_or_default();
    let mut survey = Survey {
        stores: Vec::new(),
        strays: Vec::new(),
        durable_end: mark.durable_end.max(site.start).max(site.producers_from),
        incarnation: mark.incarnation,
    };
    let is_whole = |base| Ok::<_, OpenError>(open_store(site, base)?.is_some());
    let bounds = bounds(site.bases.iter().copied(), is_whole)?;
    for (&base, &bound) in site.bases.iter().zip(&bounds) {
        let marked = checkpoint.is_some().then_some(mark);
        site.engine.options.progress.store_read();
        let surveyed = match open_store(site, base)? {
            Some(store) => survey.look_at((base, bound), &store, marked)?,
            None => Surveyed {
                base,
                readable: false,
                sealed_at: None,
                bound,
                pieces: vec![],
                unsure_from: None,
            },
        };
        survey.stores.push(surveyed);
    }
    survey.leave_out_strays(site.start);
    Ok(survey)
}

impl Survey {
    /// The pieces of a store that count, where the log has come to `end` before it: up to the first
    /// break at or above the highest durable end.
    pub(super) fn kept<'a>(&self, store: &'a Surveyed, mut end: Offset) -> &'a [Piece] {
        let breaks = |piece: &Piece| {
            let gap = piece.after_break || piece.from != end;
            let is_over = end >= self.durable_end;
            end = end.max(piece.to());
            gap && is_over
        };
        let kept = store.pieces.iter().position(breaks).unwrap_or(store.pieces.len());
        store.pieces.get(..kept).unwrap_or_default()
    }

    fn leave_out_strays(&mut self, start: Offset) {
        let (mut end, mut reached) = (start, start);
        for store in std::mem::take(&mut self.stores) {
            if !store.readable && store.base < reached {
                self.strays.push(store.base);
                continue;
            }
            end = self.kept(&store, end).iter().map(Piece::to).fold(end, Offset::max);
            reached = reached.max(end).max(store.sealed_at.unwrap_or(end));
            self.stores.push(store);
        }
    }

    fn look_at(
        &mut self,
        (base, bound): (Offset, Option<Offset>),
        store: &Store,
        marked: Option<Mark>,
    ) -> Result<Surveyed, OpenError> {
        let begin =
            Mark { base, durable_end: base, position: wide(STORE_HEADER_BYTES), ..Mark::default() };
        // It has its name only since all before it was durable.
        self.durable_end = self.durable_end.max(base);
        let footer = store.footer()?;
        let bounded = Reached::nothing(base).before(bound);
        let sealed_at = footer.map(|footer| bounded.at_most(footer.end));
        if let Some(footer) = footer {
            self.durable_end = self.durable_end.max(bounded.at_most(footer.end));
            self.incarnation = self.incarnation.max(footer.incarnation);
            let before_mark = marked.is_some_and(|mark| base < mark.base);
            if before_mark && Some(footer.end) == bound {
                let mark = Mark {
                    durable_end: footer.end,
                    incarnation: footer.incarnation,
                    last_time_us: footer.last_time_us,
                    position: footer.position,
                    first_time_us: footer.first_time_us,
                    frames: footer.frames,
                    segment_crc: footer.segment_crc,
                    ..begin
                };
                let pieces = vec![Piece { from: base, mark, after_break: false }];
                return Ok(Surveyed {
                    base,
                    readable: true,
                    sealed_at,
                    bound,
                    pieces,
                    unsure_from: None,
                });
            }
        }
        let known = match marked.filter(|mark| mark.base == base) {
            Some(mark)
                if bounded.at_most(mark.durable_end) == mark.durable_end
                    && ends_as_marked(store, &mark)? =>
            {
                mark
            }
            _ => begin,
        };
        let mut walk = Walk { survey: self, bound, pieces: Vec::new(), broken: false };
        walk.pieces.push(Piece { from: base, mark: known, after_break: false });
        walk.run(Scan::verified(store, known.position)?, known)?;
        let pieces = walk.pieces;
        let unsure_from = Some(known.position);
        Ok(Surveyed { base, readable: true, sealed_at, bound, pieces, unsure_from })
    }
}

/// Collects the pieces of one store.
struct Walk<'a> {
    survey: &'a mut Survey,
    bound: Option<Offset>,
    pieces: Vec<Piece>,
    broken: bool,
}

impl Walk<'_> {
    fn run(&mut self, mut scan: Scan<'_>, known: Mark) -> Result<(), OpenError> {
        let mut mark = known;
        loop {
            match scan.next()? {
                Found::Frame { position, header, intact } => {
                    let reached =
                        Reached::so_far(mark.durable_end, mark.incarnation).before(self.bound);
                    // Its header is valid, so what it says of the past holds even if the frame is
                    // not whole or stands where it should not.
                    let told = reached.durable_end(&header);
                    self.survey.durable_end = self.survey.durable_end.max(told);
                    if intact && reached.refusal(&header).is_none() {
                        self.accept(&mut mark, &header, position);
                    } else {
                        self.broken = true;
                    }
                }
                Found::Footer { .. } => return Ok(()),
                Found::Nothing { .. } => {
                    self.broken = true;
                    if !scan.resync()? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn accept(&mut self, mark: &mut Mark, header: &FrameHeader, position: u64) {
        let new_piece = self.broken || header.base != mark.durable_end;
        if mark.frames == 0 {
            mark.first_time_us = header.append_time_us;
        }
        *mark = Mark {
            durable_end: header.next_offset(),
            incarnation: header.incarnation,
            last_time_us: header.append_time_us,
            position: position + wide(header.frame_bytes()),
            last_frame_at: position,
            frames: mark.frames + 1,
            segment_crc: crc32c::crc32c_append(mark.segment_crc, &header.crc.to_le_bytes()),
            ..*mark
        };
        self.survey.incarnation = self.survey.incarnation.max(header.incarnation);
        match self.pieces.last_mut().filter(|_| !new_piece) {
            Some(piece) => piece.mark = *mark,
            None => {
                let after_break = std::mem::take(&mut self.broken);
                self.pieces.push(Piece { from: header.base, mark: *mark, after_break });
            }
        }
    }
}
