//! What fuzzing starts from and what it found: the seeds of `tests/fuzz`, and the inputs that once
//! failed there, each by its name.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use varve::log::{
    Disk, Fault, Offset, RepairOptions, SimDisk, Tear, VerifyProgress, repair, verify,
};

use crate::rig::{self, Batch, DATA};

#[path = "../fuzz/src/counted.rs"]
mod counted;
#[path = "../fuzz/src/directory.rs"]
mod directory;
#[path = "../fuzz/src/format.rs"]
mod format;
#[path = "../fuzz/src/model.rs"]
mod model;
#[path = "../fuzz/src/opening.rs"]
mod opening;
#[path = "../fuzz/src/recovery.rs"]
mod recovery;
#[path = "../fuzz/src/whole.rs"]
mod whole;

/// Has `check` look at every file of the folder `below` in `tests/fuzz`.
fn each(below: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(below);
    let mut inputs = 0;
    for entry in fs::read_dir(folder).unwrap() {
        check(&fs::read(entry.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0);
    println!("cases: {inputs} inputs of {below}");
}

#[test]
fn the_seeds_of_recovery_are_opened_and_served() {
    each("seeds/recovery", recovery::check);
}

/// What fuzzing starts from are logs of which everything has to be read; a name or a number that
/// the targets understand otherwise than the seeds' maker would leave them without one.
#[test]
fn fuzzing_starts_from_logs_that_nothing_is_wrong_with() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds/recovery");
    for (name, batches) in [("killed", 12), ("closed", 12), ("trimmed", 6)] {
        for ending in ["", "-mended"] {
            let input = fs::read(seeds.join(format!("{name}{ending}"))).unwrap();
            let whole = whole::whole(&directory::pieces(&input[1..]));
            assert_eq!(whole.map(|whole| whole.batches.len()), Some(batches), "{name}{ending}");
        }
    }
}

#[test]
fn the_seeds_of_the_model_do_what_a_vec_does() {
    each("seeds/model", model::check);
}

/// A frame with right checksums whose offset its segment's index cannot hold was reported as lost
/// from the record behind it on, so that whoever asked for it was told of damage elsewhere.
#[test]
fn r6_an_offset_that_is_refused_lies_in_the_damage_it_is_refused_for() {
    recovery::check(include_bytes!("../fuzz/found/recovery/frame-out-of-its-segment"));
}

/// A frame in a sealed segment claimed offsets far behind the log's end, under right checksums, and
/// passed for where reading goes on behind damage: all segments behind were skipped.
#[test]
fn r6_reading_goes_on_behind_damage_at_the_next_segment_at_the_latest() {
    recovery::check(include_bytes!("../fuzz/found/recovery/frame-beyond-its-segment"));
}

/// A frame that was not whole stood before a break, and the whole one with its offset behind. An
/// index that was made anew led to the first: the look for headers that contradict each other ended
/// at the break, where there were as many as the index had entries.
#[test]
fn r9_a_frame_behind_a_break_is_not_hidden_by_a_broken_one_before() {
    recovery::check(include_bytes!("../fuzz/found/recovery/copies-behind-a-break"));
}

/// Before a strict start refused a log whose producers were lost, its damaged meta file had been
/// written anew and a segment thrown away, though a refusal says that nothing was changed.
#[test]
fn r6_a_log_that_is_refused_is_left_as_it_is() {
    recovery::check(include_bytes!("../fuzz/found/recovery/refused-and-changed"));
}

/// A checkpoint with a right checksum and a start offset above its durable end was believed.
#[test]
fn r6_no_log_starts_behind_its_end() {
    recovery::check(include_bytes!("../fuzz/found/recovery/start-behind-its-end"));
}

/// Behind a damaged store that was not sealed stood one that had to go. The damage passed for that
/// of a sealed segment, so appends went on in it, and its index had no room for the new records:
/// acknowledged, they could not be read.
#[test]
fn r6_damage_in_what_appends_would_go_on_in_stops_them() {
    recovery::check(include_bytes!("../fuzz/found/recovery/damage-before-a-store-that-goes"));
}

/// A checkpoint with a right checksum named the last incarnation there is, and the next append
/// counted beyond it.
#[test]
fn a_log_whose_incarnations_are_used_up_is_read_and_not_written() {
    recovery::check(include_bytes!("../fuzz/found/recovery/last-incarnation"));
}

/// A store with a right header had the largest offset as its base. Both appends that followed got
/// that offset and were acknowledged, and neither could be read.
#[test]
fn a_log_whose_offsets_are_used_up_is_read_and_not_written() {
    let input = include_bytes!("../fuzz/found/recovery/offsets-used-up");
    recovery::check(input);
    let disk = directory::disk(&directory::pieces(&input[1..]));
    let found = verify(&disk, Path::new(DATA), &[], 1, &VerifyProgress::default()).unwrap();
    let is_told = |fault: &Fault| fault.what.contains("its offsets are used up");
    assert!(found.faults.iter().any(is_told), "{:?}", found.faults);
}

/// A checkpoint with a right checksum gave the last segment a capacity that no disk has, and each
/// append failed for want of space. No segment outgrows the settings, so no more is asked for.
#[test]
fn a_segment_takes_no_more_space_than_the_settings_allow() {
    recovery::check(include_bytes!("../fuzz/found/recovery/capacity-out-of-bounds"));
}

/// In an unsealed store there were broken frames, and copies of them behind: no offset was missing,
/// so appends went on. A broken frame claimed the offsets that they got, and after the next start
/// an index that was made anew led to it: acknowledged, they could not be read.
#[test]
fn r6_frames_behind_broken_ones_in_what_appends_would_go_on_in_stop_them() {
    let input = include_bytes!("../fuzz/found/recovery/copies-behind-broken-frames");
    recovery::check(input);
    let pieces = directory::pieces(&input[1..]);
    let mend = |disk: &SimDisk| {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let options = RepairOptions { dry_run: false, threads: 1, now_us: 7 };
        repair(&shared, Path::new(DATA), &[], options).unwrap()
    };
    // A store that nobody can read has its name from the end of all offsets.
    let left = mend(&directory::disk(&pieces)).left;
    assert!(left[0].1.contains("that no append reaches"), "{left:?}");
    let is_first = |piece: &&directory::Piece| !piece.path.ends_with("18446744073709551615.store");
    let disk = directory::disk(&pieces.iter().filter(is_first).cloned().collect::<Vec<_>>());
    assert!(opening::open(&disk).unwrap().log.is_damaged());
    assert_eq!(mend(&disk).left, []);
    let repaired = opening::open(&disk).unwrap();
    let base = repaired.append(&Batch::of(1));
    let rig = opening::open(&repaired.disk.after_power_cut(Tear::LoseAll)).unwrap();
    assert_eq!(rig.read_from(base).unwrap(), [(base, Batch::of(1))]);
    assert_eq!(rig.read_from(Offset::new(1)).unwrap()[0].1.records.get(), 2);
}
