//! Any bytes in an index give the answers of a rebuilt one (R9).
//!
//! The first byte chooses whose index it is, and whether a whole log is opened with it or, most of
//! the time and much faster, its segment alone; the rest are the index.

#![no_main]

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use varve::log::floors::LoneSegment;
use varve::log::{Disk, LogId, Offset, SimDisk, Tear};
use varve_fuzz::directory;
use varve_fuzz::opening::open;
use varve_fuzz::rig::{Batch, files};

struct Example {
    id: LogId,
    killed: SimDisk,
    closed: SimDisk,
    all: Vec<(Offset, Batch)>,
    segments: Vec<Part>,
}

/// A segment, and a disk with nothing else.
struct Part {
    disk: SimDisk,
    index: PathBuf,
    offsets: (Offset, Offset),
    batches: Vec<(Offset, Batch)>,
}

/// A log of three segments, the last one unsealed.
static EXAMPLE: LazyLock<Example> = LazyLock::new(|| {
    let rig = open(&SimDisk::new()).expect("the disk is empty");
    let all = rig.fill(19);
    let killed = rig.disk.after_power_cut(Tear::KeepAll);
    rig.logs.close().expect("nothing failed");
    let closed = rig.disk.after_power_cut(Tear::KeepAll);
    let segments = parts(&closed, &all, rig.log.bounds().end);
    assert_eq!(segments.len(), 3);
    Example { id: rig.log.id(), killed, closed, all, segments }
});

fn parts(whole: &SimDisk, all: &[(Offset, Batch)], end: Offset) -> Vec<Part> {
    let (stores, indexes) = (files(whole, ".store"), files(whole, ".index"));
    let base = |path: &PathBuf| {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a plain name");
        Offset::new(name.parse().expect("a base offset"))
    };
    let mut ends: Vec<Offset> = stores.iter().skip(1).map(base).collect();
    ends.push(end);
    let each = stores.iter().zip(indexes).zip(ends).map(|((store, index), end)| {
        let pieces = [store, &index].map(|path| {
            let bytes = whole.bytes(path).expect("the file is there");
            directory::Piece { path: path.clone(), bytes }
        });
        let offsets = (base(store), end);
        let within = |(at, _): &&(Offset, Batch)| (offsets.0..offsets.1).contains(at);
        let batches = all.iter().filter(within).cloned().collect();
        Part { disk: directory::disk(&pieces), index, offsets, batches }
    });
    each.collect()
}

fuzz_target!(|input: &[u8]| {
    let Some((what, bytes)) = input.split_first() else { return };
    match what >> 4 {
        0xf => in_a_log(usize::from(*what), bytes),
        _ => alone(usize::from(*what), bytes),
    }
});

fn alone(what: usize, bytes: &[u8]) {
    let part = &EXAMPLE.segments[what % EXAMPLE.segments.len()];
    let disk = part.disk.after_power_cut(Tear::KeepAll);
    disk.damage(&part.index, bytes).expect("the file is there");
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let log = directory::of_the_log();
    let segment = LoneSegment::new(&disk, &log, EXAMPLE.id, part.offsets);
    // From the end, so that each look-up is one of its own.
    for (base, batch) in part.batches.iter().rev() {
        let last = base.plus(u64::from(batch.records.get()) - 1);
        let chunk = segment.read(last, 1).expect("the record is there");
        let first = chunk.batches().next().expect("a chunk has a batch");
        assert_eq!((first.base_offset, first.payload), (*base, &batch.payload[..]));
    }
}

fn in_a_log(what: usize, bytes: &[u8]) {
    let original = if what & 1 == 0 { &EXAMPLE.killed } else { &EXAMPLE.closed };
    let disk = original.after_power_cut(Tear::KeepAll);
    let paths = files(&disk, ".index");
    disk.damage(&paths[(what >> 1) % paths.len()], bytes).expect("the file is there");
    let rig = open(&disk).expect("an index never stops a start");
    assert!(!rig.log.is_damaged());
    assert_eq!(rig.read_all(), EXAMPLE.all);
    let more = Batch::of(99);
    let base = rig.append(&more);
    let rig = open(&rig.disk.after_power_cut(Tear::LoseAll)).expect("it opens again");
    assert_eq!(rig.read_from(base).expect("it was acknowledged"), [(base, more)]);
}
