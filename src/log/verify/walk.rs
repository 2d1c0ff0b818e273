//! Walks through one store, header to footer, and says what stands there.

use std::path::Path;

use super::VerifyProgress;
use super::entries::Entries;
use super::fault::{Fault, Meaning};
use crate::log::disk::Disk;
use crate::log::error::IoError;
use crate::log::footer::Footer;
use crate::log::frame::FrameHeader;
use crate::log::names;
use crate::log::offset::{LogId, Offset};
use crate::log::reached::Reached;
use crate::log::scan::{Found, Scan};
use crate::log::store::{Store, StoreFault};
use crate::log::store_header::{STORE_HEADER_BYTES, StoreHeader};
use crate::log::width::wide;

/// Progress is told after so many bytes.
const TELL_BYTES: u64 = 4 << 20;

/// A store that is to be walked through.
#[derive(Debug)]
pub(super) struct Task<'a> {
    pub(super) directory: &'a Path,
    pub(super) log_id: Option<LogId>,
    pub(super) base: Offset,
    /// Where the next store begins whose header is whole.
    pub(super) bound: Option<Offset>,
    /// Frames from here on are not looked at.
    pub(super) limit: Option<Offset>,
    pub(super) file_bytes: u64,
}

/// What must never go back from one frame of a log to the next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Course {
    append_time_us: u64,
    incarnation: u64,
    durable_end: Offset,
}

impl Course {
    fn of(header: &FrameHeader) -> Self {
        let FrameHeader { append_time_us, incarnation, durable_end, .. } = *header;
        Self { append_time_us, incarnation, durable_end }
    }

    /// What goes back if `next` follows.
    pub(super) fn goes_back(&self, next: &Self) -> Option<&'static str> {
        if next.incarnation < self.incarnation {
            Some("the incarnation goes back")
        } else if next.durable_end < self.durable_end {
            Some("the durable end goes back")
        } else if next.append_time_us < self.append_time_us {
            Some("the append time goes back")
        } else {
            None
        }
    }
}

/// Valid frames that follow each other without a gap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) from: Offset,
    pub(super) to: Offset,
    /// Where its frames begin and end in the store.
    pub(super) begins_at: u64,
    pub(super) ends_at: u64,
    /// Of its first and its last frame; `None` where there is no frame.
    pub(super) course: Option<(Course, Course)>,
    /// What stands before it that is no valid frame, and where.
    pub(super) after: Option<(u64, &'static str)>,
}

/// A store as it was found.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) base: Offset,
    pub(super) file_bytes: u64,
    /// Whether the file was not there.
    pub(super) is_absent: bool,
    /// Whether a part of it could not be read, which is told as such.
    pub(super) is_cut_short: bool,
    /// Whether its header is whole; else nothing in it can be checked.
    pub(super) is_readable: bool,
    pub(super) pieces: Vec<Piece>,
    pub(super) footer: Option<Footer>,
    /// Where the footer says that the segment ends, as far as it can know of it.
    pub(super) sealed_at: Option<Offset>,
    /// What stands behind the last piece that is neither frame nor footer, and where.
    pub(super) ends_in: Option<(u64, &'static str)>,
    /// Bytes behind the last piece that are not zero, where there is no footer.
    pub(super) tail_bytes: u64,
    /// The highest durable end that a valid header or footer names and can know of.
    pub(super) durable_end: Offset,
    pub(super) batches: u64,
    pub(super) records: u64,
    pub(super) faults: Vec<Fault>,
}

impl Task<'_> {
    /// The store before anything of it was read.
    fn unread(&self) -> Walked {
        let begin = Piece {
            from: self.base,
            to: self.base,
            begins_at: wide(STORE_HEADER_BYTES),
            ends_at: wide(STORE_HEADER_BYTES),
            course: None,
            after: None,
        };
        Walked {
            base: self.base,
            file_bytes: self.file_bytes,
            is_absent: false,
            is_cut_short: false,
            is_readable: false,
            pieces: vec![begin],
            footer: None,
            sealed_at: None,
            ends_in: None,
            tail_bytes: 0,
            durable_end: Offset::ZERO,
            batches: 0,
            records: 0,
            faults: Vec::new(),
        }
    }

    /// Walks through it. What cannot be read is a fault in the answer.
    pub(super) fn walk(&self, disk: &dyn Disk, progress: &VerifyProgress) -> Walked {
        let mut walked = self.unread();
        let path = names::store(self.directory, self.base);
        let mut told = 0;
        match open(disk, &path, self.log_id, self.base) {
            Ok(store) => {
                (walked.is_readable, walked.durable_end) = (true, self.base);
                let mut walk = Walk {
                    task: self,
                    walked: &mut walked,
                    reached: Reached::nothing(self.base).before(self.bound),
                    broken: None,
                    segment_crc: 0,
                };
                let done = walk.run(disk, &store, |bytes| {
                    progress.advance(bytes - told);
                    told = bytes;
                    progress.go_on(&path)
                });
                if let Err(error) = done {
                    walked.faults.push(Fault::unreadable(&error));
                }
            }
            Err(StoreFault::Io(e)) => {
                walked.is_absent = super::is_absent(&e);
                walked.faults.push(Fault::unreadable(&e));
            }
            Err(StoreFault::Header) => {}
            Err(StoreFault::Newer(found)) => {
                let what = format!("it has format {found}, of a newer release");
                walked.faults.push(Fault::of(&path, Meaning::Unreadable, what));
            }
        }
        progress.advance(self.file_bytes.saturating_sub(told));
        walked.is_cut_short =
            walked.faults.iter().any(|fault| fault.path == path && fault.is_unreadable());
        walked
    }
}

/// Opens the store of the segment that begins at `base`, of whatever log if that is not known.
pub(super) fn open(
    disk: &dyn Disk,
    path: &Path,
    log_id: Option<LogId>,
    base: Offset,
) -> Result<Store, StoreFault> {
    match log_id {
        Some(log_id) => Store::open(disk, path, log_id, base),
        None => match Store::open_alone(disk, path)? {
            (store, header) if header.base == base => Ok(store),
            _ => Err(StoreFault::Header),
        },
    }
}

/// A walk on its way.
struct Walk<'a> {
    task: &'a Task<'a>,
    walked: &'a mut Walked,
    reached: Reached,
    /// What broke the frames since the last one that was accepted.
    broken: Option<(u64, &'static str)>,
    /// Of the frames that were accepted.
    segment_crc: u32,
}

impl Walk<'_> {
    fn run(
        &mut self,
        disk: &dyn Disk,
        store: &Store,
        mut tell: impl FnMut(u64) -> Result<(), IoError>,
    ) -> Result<(), IoError> {
        let base = self.task.base;
        self.look_at_header(store)?;
        tell(0)?;
        let mut entries = Entries::open(disk, names::index(self.task.directory, base), base);
        let mut told = 0;
        let mut scan = Scan::verified(store, wide(STORE_HEADER_BYTES))?;
        loop {
            match scan.next()? {
                Found::Frame { header, .. }
                    if self.task.limit.is_some_and(|limit| header.base >= limit) =>
                {
                    break;
                }
                Found::Frame { position, header, intact } => {
                    if self.reached.refusal(&header).is_none() {
                        entries.expect(header.base, position, self.broken.is_some());
                    }
                    self.take(&header, (position, intact), store.path());
                    if position >= told + TELL_BYTES {
                        told = position;
                        tell(told)?;
                    }
                }
                Found::Footer { footer, .. } => {
                    self.finish(footer, store.path());
                    break;
                }
                Found::Nothing { position } => {
                    self.broken.get_or_insert((position, NOTHING));
                    if self.is_over() || !scan.resync()? {
                        break;
                    }
                }
            }
        }
        self.walked.ends_in = self.broken;
        self.walked.faults.extend(entries.fault());
        if self.walked.footer.is_none() && self.task.limit.is_none() {
            self.look_at_tail(&mut scan, store.path())?;
        }
        Ok(())
    }

    fn look_at_header(&mut self, store: &Store) -> Result<(), IoError> {
        let header = store.read(0, STORE_HEADER_BYTES)?;
        if let Some(at) = StoreHeader::damaged_copy(&header) {
            let what = "one copy of the header is damaged; the other stands in for it";
            let fault = Fault::of(store.path(), Meaning::Derived, what);
            self.walked.faults.push(fault.at(wide(at)));
        }
        Ok(())
    }

    /// A frame with a valid header: it is accepted, or it breaks the frames.
    fn take(&mut self, header: &FrameHeader, (position, intact): (u64, bool), path: &Path) {
        let durable_end = &mut self.walked.durable_end;
        *durable_end = self.reached.durable_end(header).max(*durable_end);
        match if intact { self.reached.refusal(header) } else { Some(PAYLOAD) } {
            None => {
                let crc = header.crc.to_le_bytes();
                self.segment_crc = crc32c::crc32c_append(self.segment_crc, &crc);
                self.accept(header, position, path);
            }
            Some(what) => _ = self.broken.get_or_insert((position, what)),
        }
    }

    /// Whether all was seen that is to be judged.
    fn is_over(&self) -> bool {
        self.task.limit.is_some_and(|limit| self.reached.end >= limit)
    }

    fn accept(&mut self, header: &FrameHeader, position: u64, path: &Path) {
        let (course, to) = (Course::of(header), header.next_offset());
        let end = self.reached.end;
        self.reached.take(header);
        let mut what = (header.durable_end > header.base).then_some("its durable end is too high");
        if let Some((_, last)) = self.walked.pieces.iter().rev().find_map(|piece| piece.course) {
            what = what.or(last.goes_back(&course));
        }
        if let Some(what) = what {
            let fault = Fault::of(path, Meaning::Damage, format!("the header of a batch: {what}"));
            self.walked.faults.push(fault.at(position).over(header.base, to));
        }
        self.walked.batches += 1;
        self.walked.records += u64::from(header.records);
        let ends_at = position + wide(header.frame_bytes());
        let after = self.broken.take();
        match self.walked.pieces.last_mut().filter(|_| after.is_none() && header.base == end) {
            Some(piece) => {
                (piece.to, piece.ends_at) = (to, ends_at);
                piece.course = Some((piece.course.map_or(course, |(first, _)| first), course));
            }
            None => self.walked.pieces.push(Piece {
                from: header.base,
                to,
                begins_at: position,
                ends_at,
                course: Some((course, course)),
                after,
            }),
        }
    }

    /// A footer that tells of other frames, where none is missing, is damage of its own.
    fn finish(&mut self, footer: Footer, path: &Path) {
        let walked = &mut *self.walked;
        walked.footer = Some(footer);
        let end = self.reached.at_most(footer.end);
        walked.sealed_at = Some(end);
        walked.durable_end = walked.durable_end.max(end);
        let [piece] = walked.pieces.as_slice() else {
            return;
        };
        // Then it is told that frames are missing, and the footer may be right.
        if self.broken.is_some() || end > piece.to {
            return;
        }
        let times = piece.course.map(|(first, last)| (first.append_time_us, last.append_time_us));
        let vouched = (u64::from(footer.frames), footer.end, footer.segment_crc);
        let is_right = vouched == (walked.batches, piece.to, self.segment_crc)
            && times.is_none_or(|times| times == (footer.first_time_us, footer.last_time_us));
        if !is_right {
            let what = "the footer tells of other batches than there are";
            let fault = Fault::of(path, Meaning::Damage, what).at(footer.position);
            walked.faults.push(fault.over(piece.from, piece.to.max(end)));
        }
    }

    fn look_at_tail(&mut self, scan: &mut Scan<'_>, path: &Path) -> Result<(), IoError> {
        let ends_at = self.walked.pieces.last().map_or(0, |piece| piece.ends_at);
        self.walked.tail_bytes = scan.bytes_until_zeros(ends_at)?;
        if self.task.bound.is_some() {
            let what = "the footer is missing or damaged; the batches tell all that it would";
            self.walked.faults.push(Fault::of(path, Meaning::Derived, what).at(ends_at));
        }
        Ok(())
    }
}

const PAYLOAD: &str = "a batch does not match its checksum";
const NOTHING: &str = "there is neither a batch nor a footer";
