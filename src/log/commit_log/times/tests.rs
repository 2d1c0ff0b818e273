//! The times of batches are set by hand here, on a log of four batches to a segment.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::log::disk::{Op, SimDisk};
use crate::log::logs::{DEFAULT_LOG, Logs};
use crate::log::offset::Durability;
use crate::log::settings::{LogSettings, Options, SEGMENT_BYTES_MIN};

/// Later than any clock will say, so that append times are those that the test sets.
const T: u64 = 1 << 60;
/// Batches per segment: as many as its index holds.
const PER_SEGMENT: u64 = 4;
const FIRST: usize = 128;

/// What happens to the bytes of a file.
type Damage<'a> = &'a dyn Fn(&mut Vec<u8>);

struct Site {
    disk: SimDisk,
    logs: Arc<Logs>,
    log: Arc<Log>,
}

impl Site {
    fn open(disk: &SimDisk) -> Self {
        let defaults = LogSettings {
            segment_bytes_max: SEGMENT_BYTES_MIN,
            index_bytes_max: 12 * PER_SEGMENT,
            ..LogSettings::default()
        };
        let options = Options {
            flushers: 0,
            min_free_bytes: 0,
            // Files are opened and closed all the time.
            open_segments_max: 16,
            defaults,
            ..Options::default()
        };
        let logs = Logs::open(Path::new("/d"), Arc::new(disk.clone()), options).unwrap();
        let log = logs.get(DEFAULT_LOG).unwrap();
        Self { disk: disk.clone(), logs, log }
    }

    /// A log of batches of two records each, appended at these times after `T`.
    fn with_times(times: &[u64]) -> Self {
        let site = Self::open(&SimDisk::new());
        for time in times {
            site.append(*time, Durability::Synced);
        }
        site
    }

    fn append(&self, time: u64, level: Durability) {
        self.log.intake.lock().last_time_us = T + time;
        let _pending = self.log.append(b"a payload", NonZeroU32::new(2).unwrap(), level).unwrap();
        self.logs.work();
    }

    fn find(&self, time: u64) -> Result<u64, ReadError> {
        self.log.offset_at_time(T + time).map(Offset::get)
    }

    /// Closes the log in order, has its file damaged, and opens it again.
    fn damaged(self, file: &str, damage: impl Fn(&mut Vec<u8>)) -> Self {
        self.logs.close().unwrap();
        let path = self.path(file);
        let mut bytes = self.disk.bytes(&path).unwrap();
        damage(&mut bytes);
        self.disk.damage(&path, &bytes).unwrap();
        Self::open(&self.disk)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.log.directory().join(file)
    }
}

/// Ten batches, 10 apart, in three segments: those of the offsets 0, 8 and 16.
fn ten() -> Site {
    Site::with_times(&(1..=10).map(|n| n * 10).collect::<Vec<_>>())
}

fn store(base: u64) -> String {
    format!("{base:020}.store")
}

#[test]
fn a_time_leads_to_the_first_record_at_or_after_it() {
    let site = ten();
    assert_eq!(site.log.segments.load().len(), 3);
    for batch in 0..10 {
        let time = (batch + 1) * 10;
        assert_eq!(site.find(time).unwrap(), batch * 2, "just then");
        assert_eq!(site.find(time - 1).unwrap(), batch * 2, "between two batches");
        assert_eq!(site.find(time - 9).unwrap(), batch * 2, "right after the one before");
        let at = site.log.time_at_us(Offset::new(batch * 2 + 1)).unwrap();
        assert_eq!(at, Some(T + time), "and a record in a batch to its time");
    }
    assert_eq!(site.log.offset_at_time(0).unwrap(), Offset::ZERO, "before the first");
    assert_eq!(site.find(101).unwrap(), 20, "after the last: the end");
    assert_eq!(site.log.offset_at_time(u64::MAX).unwrap(), Offset::new(20));
    assert_eq!(site.log.time_at_us(Offset::new(20)).unwrap(), None);
    let beyond = site.log.time_at_us(Offset::new(21));
    assert!(matches!(beyond, Err(ReadError::OutOfRange { .. })), "{beyond:?}");
}

#[test]
fn of_equal_times_the_first_record_is_found_also_across_segments() {
    let site = Site::with_times(&[5, 5, 5, 7, 7, 7, 7, 7, 7, 9, 9, 9]);
    assert_eq!(site.log.segments.load().len(), 3);
    let found: Vec<_> = [4, 5, 6, 7, 8, 9, 10].map(|time| site.find(time).unwrap()).into();
    assert_eq!(found, [0, 0, 6, 6, 18, 18, 24]);
}

#[test]
fn an_empty_log_and_a_trimmed_one_answer_with_what_they_hold() {
    let site = Site::open(&SimDisk::new());
    assert_eq!(site.find(0).unwrap(), 0);
    assert_eq!(site.log.time_at_us(Offset::ZERO).unwrap(), None);
    let site = ten();
    assert_eq!(site.log.trim(Offset::new(15)).unwrap().start, Offset::new(8));
    assert_eq!((site.find(10).unwrap(), site.find(55).unwrap()), (8, 10));
    let below = site.log.time_at_us(Offset::new(7));
    assert!(matches!(below, Err(ReadError::OutOfRange { .. })), "{below:?}");
    assert_eq!(site.log.trim(Offset::new(20)).unwrap().start, Offset::new(20));
    assert_eq!(site.find(10).unwrap(), 20, "all of it is gone");
    site.logs.close().unwrap();
    let site = Site::open(&site.disk);
    assert_eq!(site.find(10).unwrap(), 20);
    site.append(200, Durability::Synced);
    assert_eq!((site.find(10).unwrap(), site.find(201).unwrap()), (20, 22));
}

#[test]
fn a_trim_at_the_same_time_makes_no_search_and_no_description_fail() {
    let site = Site::with_times(&(1..=200).collect::<Vec<_>>());
    let searches = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let trimming = scope.spawn(|| {
            for n in 0..=50 {
                while searches.load(Ordering::Relaxed) < n {
                    std::thread::yield_now();
                }
                site.log.trim(Offset::new(n * 8)).unwrap();
            }
        });
        let mut before = Offset::ZERO;
        while !trimming.is_finished() {
            let found = site.log.offset_at_time(0).unwrap();
            assert!(found >= before && found.get().is_multiple_of(8), "the start, as it grows");
            before = found;
            assert!(site.log.describe().unwrap().summary.bounds.start >= found);
            searches.fetch_add(1, Ordering::Relaxed);
        }
    });
    assert_eq!(site.find(0).unwrap(), 400);
    println!("cases: {} searches beside 50 trims", searches.into_inner());
}

#[test]
fn what_is_not_durable_is_not_found() {
    let site = ten();
    site.append(110, Durability::Written);
    assert_eq!(site.log.segments.load().last().unwrap().end(), Offset::new(22));
    assert_eq!(site.find(105).unwrap(), 20, "the watermark");
    site.append(120, Durability::Synced);
    assert_eq!((site.find(105).unwrap(), site.find(115).unwrap()), (20, 22));
}

#[test]
fn answers_are_the_same_whatever_the_index_holds() {
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes.fill(0),
        |bytes| bytes.reverse(),
        |bytes| bytes[12..24].fill(0xff),
        // Entries that name other frames than they should.
        |bytes| bytes.copy_within(24..36, 0),
    ];
    for (n, damage) in damages.iter().enumerate() {
        for base in [0, 8, 16] {
            let site = ten().damaged(&format!("{base:020}.index"), damage);
            for time in 0..=101 {
                let expected = ten().find(time).unwrap();
                assert_eq!(site.find(time).unwrap(), expected, "{n}, segment {base}, {time}");
                let offset = Offset::new(expected.min(19));
                let at = site.log.time_at_us(offset).unwrap();
                assert_eq!(at, Some(T + (offset.get() / 2 + 1) * 10));
            }
        }
    }
}

#[test]
fn damage_is_told_where_the_answer_may_lie_in_it_and_nowhere_else() {
    // The third frame of the first segment: the records 4 and 5, of the time 30.
    let frame_bytes = 88 + 16;
    let flip = |bytes: &mut Vec<u8>| bytes[FIRST + 2 * frame_bytes + 20] ^= 1;
    let site = ten().damaged(&store(0), flip);
    for _again in 0..2 {
        for time in 0..=101 {
            match site.find(time) {
                Ok(offset) => {
                    assert!(!(21..=40).contains(&time), "{time}");
                    assert_eq!(offset, ten().find(time).unwrap());
                }
                Err(ReadError::Damaged { from, resume }) => {
                    assert!((21..=40).contains(&time), "{time}");
                    assert_eq!((from, resume), (Offset::new(4), Some(Offset::new(6))));
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    let lost = site.log.time_at_us(Offset::new(5));
    assert!(matches!(lost, Err(ReadError::Damaged { .. })), "{lost:?}");
}

#[test]
fn a_segment_that_cannot_be_read_is_passed_over_where_it_does_not_matter() {
    let both_headers = |bytes: &mut Vec<u8>| bytes[..FIRST].fill(7);
    let first_frame = |bytes: &mut Vec<u8>| bytes[FIRST] ^= 1;
    let cases: [(u64, Damage<'_>, _, _); 5] = [
        (0, &both_headers, 0..=50, (0, 8)),
        (8, &both_headers, 41..=90, (8, 16)),
        (0, &first_frame, 0..=20, (0, 2)),
        (8, &first_frame, 41..=60, (8, 10)),
        (16, &first_frame, 81..=100, (16, 18)),
    ];
    for (base, damage, unsure, range) in cases {
        let site = ten().damaged(&store(base), damage);
        for time in 0..=100 {
            match site.find(time) {
                Ok(offset) => {
                    assert!(!unsure.contains(&time), "{base}: {time}");
                    assert_eq!(offset, ten().find(time).unwrap(), "{base}: {time}");
                }
                Err(ReadError::Damaged { from, resume }) => {
                    assert!(unsure.contains(&time), "{base}: {time}, {from}, {resume:?}");
                    assert_eq!((from.get(), resume.unwrap().get()), range, "{base}: {time}");
                }
                Err(error) => panic!("{error:?}"),
            }
        }
    }
}

#[test]
fn a_store_that_cannot_be_read_fails_that_call_only() {
    let site = ten();
    site.disk.fail(Op::Read, 0, std::io::ErrorKind::Other);
    assert!(matches!(site.find(55), Err(ReadError::Io(_))));
    assert_eq!(site.find(55).unwrap(), 10);
}

#[test]
fn a_search_in_a_long_log_reads_a_few_headers() {
    let site = Site::with_times(&(1..=400).collect::<Vec<_>>());
    assert_eq!(site.log.segments.load().len(), 100);
    // Opened once, so that what is counted is the search.
    assert_eq!(site.find(200).unwrap(), 398);
    let reads = (0..).find(|reads| {
        site.disk.fail(Op::Read, *reads, std::io::ErrorKind::Other);
        site.find(200).is_ok()
    });
    assert!(reads.unwrap() <= 7 + 2 + 3, "{reads:?}");
}
