//! Opening a data directory of any files: it ends, and what is served then was stored.
//!
//! The first byte: bit 0 strict, bit 1 whether the end is a power cut or a kill. The rest are the
//! files, see `directory`.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU32;
use std::path::Path;
use std::task::Poll;

use super::counted;
use super::directory::{self, Piece, SLOT_BYTES};
use super::format::{self, Batch};
use super::opening::{open, options};
use super::rig::{Rig, poll};
use super::whole::{Whole, whole};
use varve::log::{
    AckError, AppendError, Bounds, Durability, Offset, OpenError, Options, Producer, ProducerId,
    ReadError, ReaderAction, ReaderName, ReaderOrder, SimDisk, Tear,
};

/// Batches by the offset that they were found at.
type Seen = BTreeMap<u64, Batch>;

/// Opens the directory that `input` describes, uses it, and opens it twice more.
///
/// # Panics
///
/// If anything is not as it should be.
pub fn check(input: &[u8]) {
    let Some((flags, input)) = input.split_first() else { return };
    let pieces = directory::pieces(input);
    let disk = directory::disk(&pieces);
    let stores = pieces.iter().filter(|piece| piece.path.extension() == Some("store".as_ref()));
    let stored: HashSet<Batch> = stores.flat_map(|store| format::batches(&store.bytes)).collect();
    let options = Options { strict: flags & 1 == 1, ..options() };
    match Rig::open(&disk, options) {
        Ok(rig) => {
            if let Some(whole) = whole(&pieces) {
                complete(&rig, &whole, &stored);
            }
            use_it(rig, stored, flags & 2 == 2, &pieces);
        }
        Err(OpenError::NewerFormat { .. } | OpenError::Damaged { .. }) => unchanged(&disk, &pieces),
        Err(OpenError::Invalid { .. } | OpenError::Io(_)) => {}
        Err(error @ (OpenError::Owned { .. } | OpenError::Absent { .. })) => panic!("{error}"),
    }
}

/// Whether what is read can be held to. If whole frames contradict each other, an index that is
/// made anew may go by others than the one before. Below what a checkpoint vouches for a start
/// looks at no frame; there also those may contradict each other of which the header alone is
/// valid.
fn is_believed(pieces: &[Piece]) -> bool {
    let ends_in = |piece: &&Piece, name: &str| piece.path.to_string_lossy().ends_with(name);
    let mut checkpoints = pieces.iter().filter(|piece| ends_in(piece, "checkpoint"));
    let mut stores = pieces.iter().filter(|piece| ends_in(piece, ".store"));
    let is_vouched = checkpoints.any(|file| file.bytes.chunks(SLOT_BYTES).any(format::is_slot));
    stores.all(|store| format::is_in_order(&store.bytes, !is_vouched))
}

/// A refusal to open says that nothing of the log was changed.
fn unchanged(disk: &SimDisk, pieces: &[Piece]) {
    for piece in pieces {
        let now = disk.bytes(&piece.path).ok();
        assert_eq!(now.as_ref(), Some(&piece.bytes), "{:?} was changed", piece.path);
    }
}

/// Of a log that nothing is wrong with everything is there (R5, R6, R9).
fn complete(rig: &Rig, whole: &Whole, stored: &HashSet<Batch>) {
    let Bounds { start, end } = rig.log.bounds();
    assert!(whole.starts.contains(&start.get()), "{start} is none of {:?}", whole.starts);
    assert!(end.get() >= whole.end, "{end} is not {}", whole.end);
    let seen = look(rig, stored);
    for batch in whole.batches.iter().filter(|batch| batch.0 >= start.get()) {
        assert_eq!(seen.get(&batch.0), Some(batch), "a record that was stored");
    }
    counted::compared();
}

fn use_it(rig: Rig, mut stored: HashSet<Batch>, cut: bool, pieces: &[Piece]) {
    let is_believed = is_believed(pieces);
    let before = look(&rig, &stored);
    ask(&rig);
    let mut acked = Seen::new();
    for payload in [&b"one"[..], b"two"] {
        if let Some(batch) = append(&rig, payload) {
            stored.insert(batch.clone());
            acked.insert(batch.0, batch);
        }
    }
    let Bounds { start, end } = rig.log.bounds();
    let tear = if cut { Tear::LoseAll } else { Tear::KeepAll };
    let disk = rig.disk.after_power_cut(tear);
    drop(rig);
    let rig = match open(&disk) {
        Err(OpenError::NewerFormat { path, .. }) => return vouched_for(&path, pieces),
        opened => opened.expect("what was opened once opens again"),
    };
    assert!(rig.log.bounds().end >= end, "an end that was told is the end no more");
    assert_eq!(rig.log.bounds().start, start, "nothing was trimmed");
    let now = look(&rig, &stored);
    if is_believed {
        kept(&rig, &now, &before, &acked);
    }
    rig.logs.close().expect("nothing failed");
    let rig = open(&disk).expect("what was closed in order opens again");
    assert_eq!(rig.log.bounds().start, start, "nothing was trimmed");
    let now = look(&rig, &stored);
    if is_believed {
        kept(&rig, &now, &before, &acked);
    }
}

/// A checkpoint that vouched for a store of a newer release is none that a release writes. It was
/// believed, and after a kill the store is looked at.
fn vouched_for(store: &Path, pieces: &[Piece]) {
    let bytes = &pieces.iter().find(|piece| piece.path == store).expect("it was there").bytes;
    assert!(format::is_newer(bytes), "{store:?} is of this release");
}

/// All that can be read, each batch one that was stored there.
fn look(rig: &Rig, stored: &HashSet<Batch>) -> Seen {
    let mut seen = Seen::new();
    let Bounds { start, end } = rig.log.bounds();
    assert!(start <= end);
    let mut offset = start;
    while offset < end {
        match rig.log.read(offset, 2000) {
            Ok(chunk) => {
                for found in chunk.batches() {
                    let (base, payload) = (found.base_offset.get(), found.payload.to_vec());
                    let batch = (base, found.records, found.append_time_us, payload);
                    assert!(stored.contains(&batch), "{batch:?} was never stored");
                    seen.insert(base, batch);
                }
                assert!(chunk.next_offset() > offset, "a read moves on");
                offset = chunk.next_offset();
            }
            Err(ReadError::Damaged { from, resume }) => {
                assert!(from <= offset, "{offset} is not in the damage from {from}");
                let Some(resume) = resume else { break };
                assert!(resume > offset, "reading goes on behind the damage");
                offset = resume;
            }
            Err(error) => panic!("{offset} of {start} to {end}: {error:?}"),
        }
    }
    seen
}

/// What was seen, and what was acknowledged, is there as it was (R2, R5).
fn kept(rig: &Rig, now: &Seen, before: &Seen, acked: &Seen) {
    let start = rig.log.bounds().start.get();
    for (base, batch) in before.iter().chain(acked).filter(|(base, _)| **base >= start) {
        assert_eq!(now.get(base), Some(batch), "a record that was seen");
    }
}

/// Asks everything else that can be asked; any answer will do.
fn ask(rig: &Rig) {
    let log = &rig.log;
    let Bounds { start, end } = log.bounds();
    let _any = (log.summary(), log.describe(), log.time_at_us(start), log.time_at_us(end));
    for time_us in [0, 1 << 50, u64::MAX] {
        let _any = log.offset_at_time(time_us);
    }
    for reader in log.readers().unwrap_or_default() {
        let _any = log.lag_us(reader.offset);
    }
    let order = ReaderOrder {
        name: ReaderName::parse("reader").expect("a name"),
        subject: "fuzzer".to_owned(),
        any_owner: true,
        action: ReaderAction::Commit { offset: end, force: true },
    };
    let _any = log.change_readers(&[order]);
    let _any = log.trim_preview(Offset::new(start.get() / 2 + end.get() / 2));
    rig.logs.look_around();
}

/// Appends a batch of a producer, then a plain one, and returns it if it was acknowledged.
fn append(rig: &Rig, payload: &[u8]) -> Option<Batch> {
    let id = ProducerId::from_bytes([9; 16]).expect("it is not zero");
    let producer = Producer { id, epoch: u32::MAX, sequence: 0 };
    let _known = rig.log.has_appended(&producer, payload, NonZeroU32::MIN);
    let pending = match rig.log.append(payload, NonZeroU32::MIN, Durability::Synced) {
        Ok(pending) => pending,
        Err(AppendError::Damaged) if rig.log.is_damaged() => return None,
        // As the log's settings say.
        Err(AppendError::TooLarge { bytes, limit }) if bytes > limit => return None,
        Err(error) => panic!("{error:?}"),
    };
    let (base, time_us) = (pending.base_offset().get(), pending.append_time_us());
    rig.logs.work();
    match poll(pending) {
        Poll::Ready(Ok(_)) => Some((base, 1, time_us, payload.to_vec())),
        Poll::Ready(Err(AckError::NoSpace)) => None,
        other => panic!("{other:?}"),
    }
}
