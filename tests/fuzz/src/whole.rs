//! Logs that nothing is wrong with, by `docs/FORMAT.md` alone: all of their records have to be
//! read, whatever the files say that are made anew of the stores.

use super::directory::{Piece, SLOT_BYTES, of_the_log};
use super::format::{self, Batch, FIRST_FRAME, u32_at, u64_at};

/// A log that gets here takes no more appends.
const OFFSETS_END: u64 = 1 << 63;

/// The stores of a log, each frame behind the one before from the first offset to the last.
#[derive(Debug, Default)]
pub struct Whole {
    /// Where it may start, by its checkpoint or by its stores.
    pub starts: Vec<u64>,
    pub end: u64,
    pub batches: Vec<Batch>,
    log_id: Vec<u8>,
    /// The base offsets of the stores.
    bases: Vec<u64>,
    places: Vec<Place>,
}

/// A place between two frames, or before the first.
#[derive(Clone, Copy, Debug)]
struct Place {
    base: u64,
    frames: u32,
    last_frame_at: u64,
    position: u64,
    end: u64,
    incarnation: u64,
    append_time_us: u64,
}

/// The log that `pieces` are, or `None` if anything of it contradicts anything else.
pub fn whole(pieces: &[Piece]) -> Option<Whole> {
    let mut stores: Vec<(u64, &[u8])> = Vec::new();
    for piece in pieces.iter().filter(|piece| piece.path.extension() == Some("store".as_ref())) {
        stores.push((piece.path.file_stem()?.to_str()?.parse().ok()?, &piece.bytes));
    }
    stores.sort_unstable();
    let mut whole = Whole { end: stores.first()?.0, ..Whole::default() };
    whole.starts.push(whole.end);
    for (n, (base, store)) in stores.iter().enumerate() {
        whole.take(*base, store, n + 1 == stores.len())?;
    }
    let log = of_the_log();
    let named = |name| pieces.iter().find(|piece| piece.path == log.join(name));
    if let Some(meta) = named("meta") {
        whole.is_of(&meta.bytes)?;
    }
    if let Some(checkpoint) = named("checkpoint") {
        for slot in checkpoint.bytes.chunks(SLOT_BYTES) {
            whole.agrees_with(slot)?;
        }
    }
    (whole.end < OFFSETS_END).then_some(whole)
}

impl Whole {
    /// Takes in the store that should follow.
    fn take(&mut self, base: u64, store: &[u8], is_last: bool) -> Option<()> {
        let (id, seed) = format::store_header(store).filter(|_| base == self.end)?;
        let is_anothers = !self.bases.is_empty() && self.log_id != id;
        if is_anothers || u64_at(store, 40)? != base || format::is_newer(store) {
            return None;
        }
        self.log_id = id.to_vec();
        self.bases.push(base);
        let mut place = Place {
            base,
            frames: 0,
            last_frame_at: 0,
            position: u64::try_from(FIRST_FRAME).ok()?,
            end: base,
            incarnation: 0,
            append_time_us: 0,
        };
        self.places.push(place);
        let mut at = FIRST_FRAME;
        while let Some(frame) = format::frame(store.get(at..)?, seed) {
            let incarnation = u64_at(store, at + 32)?;
            let goes_back = incarnation < place.incarnation
                || frame.append_time_us < place.append_time_us
                || u64_at(store, at + 40)? > frame.base;
            if frame.base != place.end || goes_back {
                return None;
            }
            let payload = store.get(at..)?.get(frame.payload.clone())?;
            let end = frame.base.checked_add(frame.records.into())?;
            self.batches.push((frame.base, frame.records, frame.append_time_us, payload.to_vec()));
            let next = (at + frame.payload.end).next_multiple_of(8);
            place = Place {
                frames: place.frames + 1,
                last_frame_at: u64::try_from(at).ok()?,
                position: u64::try_from(next).ok()?,
                end,
                incarnation,
                append_time_us: frame.append_time_us,
                ..place
            };
            self.places.push(place);
            at = next;
        }
        self.end = place.end;
        let rest = store.get(at..)?;
        match format::footer(rest, seed) {
            Some((frames, end)) => {
                let is_true =
                    (frames, end, u64_at(rest, 48)?) == (place.frames, place.end, place.position);
                is_true.then_some(())
            }
            None => (is_last && rest.iter().all(|byte| *byte == 0)).then_some(()),
        }
    }

    /// Whether a meta file, if it counts, is this log's.
    fn is_of(&self, meta: &[u8]) -> Option<()> {
        let id: String = self.log_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let text = String::from_utf8_lossy(meta);
        let mut ids = text.lines().filter(|line| line.trim_start().starts_with("id"));
        ids.all(|line| line == format!("id = {id}")).then_some(())
    }

    /// Whether a slot of the checkpoint, if it counts, tells the truth.
    fn agrees_with(&mut self, slot: &[u8]) -> Option<()> {
        if !format::is_slot(slot) || slot.get(24..40)? != self.log_id {
            return Some(());
        }
        let (start, incarnation) = (u64_at(slot, 40)?, u64_at(slot, 56)?);
        // Before the first segment there is no position yet.
        let position = u64_at(slot, 80)?.max(u64::try_from(FIRST_FRAME).ok()?);
        let told = |place: &&Place| {
            u64_at(slot, 72) == Some(place.base)
                && u32_at(slot, 104) == Some(place.frames)
                && u64_at(slot, 88) == Some(place.last_frame_at)
                && position == place.position
                && u64_at(slot, 48) == Some(place.end)
        };
        let at = self.places.iter().find(told)?;
        let later = |place: &&Place| place.base == at.base && place.position > at.position;
        let is_raised = at.incarnation <= incarnation
            && at.append_time_us <= u64_at(slot, 64)?
            && self.places.iter().filter(later).all(|place| place.incarnation >= incarnation);
        self.starts.push(start);
        (is_raised && self.bases.contains(&start)).then_some(())
    }
}
