//! The files of a log's directory, made of a target's bytes.
//!
//! Files stand one after the other, each with four bytes before it: `ff 56 46`, then what it is:
//! the kind (low three bits), whether its checksums are made right (bit 3), and a number (high four
//! bits), which is the base offset of its segment or its slot. So a change in the middle of one
//! file leaves the others as they are. A store that is not sealed, a checkpoint and its readers are
//! filled up with zeros, which would only be in the way of a fuzzer.

use std::path::{Path, PathBuf};

use varve::log::{DEFAULT_LOG, Disk as _, SimDisk};

use super::format;
use super::rig::DATA;

/// What each file begins with.
pub const LINE: &[u8] = b"\xffVF";
/// Kinds of files. A store that is not sealed is followed by zeros, which nobody has to write.
pub const OPEN_STORE: u8 = 0;
/// A store that ends with its footer.
pub const SEALED_STORE: u8 = 1;
/// An index.
pub const INDEX: u8 = 2;
/// One of the two slots of the checkpoint.
pub const SLOT: u8 = 3;
/// The meta file.
pub const META: u8 = 4;
/// The producers.
pub const PRODUCERS: u8 = 5;
/// The readers.
pub const READERS: u8 = 6;
/// The clock of ages, beside the logs.
pub const CLOCK: u8 = 7;
/// Has the checksums made right.
pub const MENDED: u8 = 8;
/// The length of a slot of the checkpoint.
pub const SLOT_BYTES: usize = 4096;
/// The least length of a file of readers.
const READERS_BYTES: usize = 16 << 10;
/// What follows the frames of a store that is not sealed.
const ZEROS: usize = 256;
/// More than this is not on the disk, so what claims to be larger is refused its space.
const CAPACITY_BYTES: u64 = 4 << 20;

/// One file.
#[derive(Clone, Debug)]
pub struct Piece {
    pub path: PathBuf,
    pub bytes: Vec<u8>,
}

/// The directory of the log `default`.
pub fn of_the_log() -> PathBuf {
    Path::new(DATA).join("logs").join(DEFAULT_LOG)
}

/// The base offset of the segment with this number; two stand at the end of all offsets. The
/// second segment of the seeds' logs begins at 15.
fn base(number: u8) -> u64 {
    match number {
        13 => u64::MAX - 3,
        14 => u64::MAX,
        _ => number.into(),
    }
}

/// The files that `input` describes. Of two with one path the last counts, but for slots.
pub fn pieces(input: &[u8]) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut starts: Vec<usize> =
        (0..input.len()).filter(|at| input[*at..].starts_with(LINE)).collect();
    starts.push(input.len());
    for pair in starts.windows(2) {
        let Some((what, bytes)) = input[pair[0] + LINE.len()..pair[1]].split_first() else {
            continue;
        };
        put(&mut pieces, *what, bytes.to_vec());
    }
    pieces
}

fn put(pieces: &mut Vec<Piece>, what: u8, mut bytes: Vec<u8>) {
    let (kind, mends, number) = (what & 7, what & MENDED != 0, what >> 4);
    let mend = |bytes: &mut Vec<u8>, mend: fn(&mut [u8])| {
        if mends {
            mend(bytes);
        }
    };
    let log = of_the_log();
    let segment = |ending| log.join(format!("{:020}.{ending}", base(number)));
    match kind {
        OPEN_STORE | SEALED_STORE => {
            if kind == OPEN_STORE {
                bytes.resize(bytes.len() + ZEROS, 0);
            }
            mend(&mut bytes, format::mend_store);
            file(pieces, segment("store"), bytes);
        }
        INDEX => file(pieces, segment("index"), bytes),
        SLOT => {
            mend(&mut bytes, format::mend_slot);
            slot(pieces, usize::from(number & 1), &bytes);
        }
        META | CLOCK => {
            if mends {
                format::mend_lines(&mut bytes);
            }
            let clock = Path::new(DATA).join("clock");
            file(pieces, if kind == META { log.join("meta") } else { clock }, bytes);
        }
        PRODUCERS => {
            mend(&mut bytes, format::mend_producers);
            file(pieces, log.join("producers"), bytes);
        }
        READERS.. => {
            mend(&mut bytes, format::mend_readers);
            bytes.resize(bytes.len().max(READERS_BYTES), 0);
            file(pieces, log.join("readers"), bytes);
        }
    }
}

fn file(pieces: &mut Vec<Piece>, path: PathBuf, bytes: Vec<u8>) {
    pieces.retain(|piece| piece.path != path);
    pieces.push(Piece { path, bytes });
}

fn slot(pieces: &mut Vec<Piece>, number: usize, bytes: &[u8]) {
    let path = of_the_log().join("checkpoint");
    let held = pieces.iter().find(|piece| piece.path == path);
    let mut whole = held.map_or_else(|| vec![0; 2 * SLOT_BYTES], |piece| piece.bytes.clone());
    let bytes = &bytes[..bytes.len().min(SLOT_BYTES)];
    whole[number * SLOT_BYTES..][..bytes.len()].copy_from_slice(bytes);
    file(pieces, path, whole);
}

/// A disk with these files and nothing else.
pub fn disk(pieces: &[Piece]) -> SimDisk {
    let disk = SimDisk::new();
    let log = of_the_log();
    let above: Vec<_> = log.ancestors().filter(|path| *path != Path::new("/")).collect();
    for directory in above.into_iter().rev() {
        disk.create_directory(directory).expect("the disk is empty");
    }
    for piece in pieces {
        disk.create(&piece.path).expect("each path comes once");
        disk.damage(&piece.path, &piece.bytes).expect("the file was just made");
    }
    for directory in log.ancestors() {
        disk.sync_directory(directory).expect("the directory is there");
    }
    disk.set_capacity(Some(CAPACITY_BYTES));
    disk
}
