//! Writes the seeds that are no text: frames, directories, indexes and steps, from real logs.
//!
//! usage: seeds DIRECTORY

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use varve::log::floors::encode_frame;
use varve::log::{
    Append, Disk as _, Durability, Offset, Producer, ProducerId, ReaderAction, ReaderName,
    ReaderOrder, SimDisk, Tear,
};
use varve_fuzz::directory::{CLOCK, INDEX, MENDED, META, OPEN_STORE, PRODUCERS, READERS};
use varve_fuzz::directory::{LINE, SEALED_STORE, SLOT, of_the_log};
use varve_fuzz::opening::open;
use varve_fuzz::rig::Rig;

fn main() {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).expect("usage: seeds DIRECTORY");
    frames(&directory.join("frame"));
    directories(&directory.join("recovery"));
    indexes(&directory.join("index"));
    steps(&directory.join("model"));
}

fn write(directory: &Path, name: &str, bytes: &[u8]) {
    fs::create_dir_all(directory).expect("a directory for seeds");
    fs::write(directory.join(name), bytes).expect("a seed");
}

fn frames(directory: &Path) {
    for (name, payload) in [("empty", &b""[..]), ("short", b"payload"), ("long", &[7; 300])] {
        let mut bytes = vec![1, 0];
        encode_frame(payload, 3, &mut bytes);
        write(directory, name, &bytes);
    }
}

/// A log with all that a log can have.
fn example() -> Rig {
    let rig = open(&SimDisk::new()).expect("the disk is empty");
    rig.fill(9);
    let id = ProducerId::from_bytes([9; 16]).expect("it is not zero");
    for sequence in 0..3 {
        let pending = rig.log.append_batch(Append {
            payload: b"produced",
            records: NonZeroU32::MIN,
            durability: Durability::Synced,
            expected: None,
            producer: Some(Producer { id, epoch: 1, sequence }),
        });
        drop(pending.expect("the producer begins"));
        rig.logs.work();
    }
    for name in ["charts", "radio"] {
        let name = ReaderName::parse(name).expect("a name");
        let action = ReaderAction::Commit { offset: Offset::new(2), force: false };
        let subject = "skipper".to_owned();
        let order = ReaderOrder { name, subject, any_owner: false, action };
        rig.log.change_readers(&[order]).remove(0).expect("the reader stands there");
    }
    rig
}

fn directories(directory: &Path) {
    let rig = example();
    put(directory, "killed", &rig.disk.after_power_cut(Tear::KeepAll));
    rig.logs.close().expect("nothing failed");
    put(directory, "closed", &rig.disk);
    let rig = open(&rig.disk).expect("it opens again");
    rig.log.trim(Offset::new(16)).expect("it is not beyond the end");
    rig.fill(2);
    put(directory, "trimmed", &rig.disk.after_power_cut(Tear::LoseAll));
    let end = rig.log.bounds().end;
    rig.log.trim(end).expect("it is the end");
    rig.logs.close().expect("nothing failed");
    put(directory, "emptied", &rig.disk);
}

/// The log's files as `directory` reads them, with their checksums as they are and mended.
fn put(directory: &Path, name: &str, disk: &SimDisk) {
    for (ending, mended) in [("", 0), ("-mended", MENDED)] {
        let mut input = vec![0];
        let mut names = disk.list(&of_the_log()).expect("the log is there");
        names.sort();
        for name in names {
            let bytes = disk.bytes(&of_the_log().join(&name)).expect("the file is there");
            let base = name.bytes().take(20).fold(0, |n, digit| {
                if digit.is_ascii_digit() { n * 10 + u64::from(digit - b'0') } else { n }
            });
            let number = u8::try_from(base).expect("a small log") << 4;
            let mut line = |what: u8, bytes: &[u8]| {
                input.extend_from_slice(LINE);
                input.push(what | mended);
                input.extend_from_slice(bytes);
            };
            match name.rsplit('.').next() {
                _ if name.starts_with("next.") => {}
                Some("store") if bytes.ends_with(b"VEND") => line(SEALED_STORE | number, &bytes),
                Some("store") => line(OPEN_STORE | number, without_zeros(&bytes)),
                Some("index") => line(INDEX | number, without_zeros(&bytes)),
                Some("checkpoint") => {
                    for (slot, bytes) in (0..).zip(bytes.chunks(4096)) {
                        line(SLOT | slot << 4, &bytes[..160]);
                    }
                }
                Some("meta") => line(META, &bytes),
                Some("clock") => line(CLOCK, &bytes),
                Some("producers") => line(PRODUCERS, &bytes),
                Some("readers") => line(READERS, without_zeros(&bytes)),
                _ => panic!("{name} is no file of a log"),
            }
        }
        write(directory, &format!("{name}{ending}"), &input);
    }
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &bytes[..used.next_multiple_of(8).min(bytes.len())]
}

/// The index of each segment of the log that the target makes, as it is.
fn indexes(directory: &Path) {
    let rig = open(&SimDisk::new()).expect("the disk is empty");
    rig.fill(19);
    for (n, path) in (0..).zip(rig.files(".index")) {
        let bytes = rig.disk.bytes(&path).expect("the file is there");
        write(directory, &format!("segment-{n}"), &[&[n], without_zeros(&bytes)].concat());
        write(directory, &format!("log-{n}"), &[&[0xf0 | n << 1], &bytes[..]].concat());
    }
}

fn steps(directory: &Path) {
    let append = [0, 1, 0, 2];
    let few = [&append[..], &append, &[4, 5, 0, 1, 9, 0]].concat();
    let rolled = [&append[..]; 12].concat();
    let cut = [&rolled[..], &[4], &append, &[3, 10, 9, 1, 7, 3, 4, 11, 1, 90]].concat();
    let trimmed = [&rolled[..], &[4, 6, 0, 9, 8, 3, 4, 3, 9, 5, 3, 4]].concat();
    for (name, bytes) in [("few", &few), ("cut", &cut), ("trimmed", &trimmed)] {
        write(directory, name, bytes);
    }
}
