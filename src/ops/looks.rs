//! One look at all logs and their readers, bounded in what it brings back.

use crate::log::{Log, Logs, Observation, Reader, ReaderError};

/// How much one look brings back at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesMax {
    /// Logs, by name; the readers of others are left out as well.
    pub logs_max: usize,
    /// Readers, by the names of their logs and theirs.
    pub readers_max: usize,
}

impl Default for SeriesMax {
    fn default() -> Self {
        Self { logs_max: 1000, readers_max: 1000 }
    }
}

/// What a look at all logs brings back.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// All logs there are, and how many of them have damaged records.
    pub(super) logs_in_all: usize,
    pub(super) logs_damaged: usize,
    pub(super) logs: Vec<LogLook>,
    pub(super) readers: Vec<ReaderLook>,
    /// Beyond the bounds, or not to be read this time.
    pub(super) logs_left_out: usize,
    /// Of the logs that were looked at; of the others nobody counted them.
    pub(super) readers_left_out: usize,
    /// Logs whose readers are damaged.
    pub(super) readers_damaged: usize,
}

#[derive(Debug)]
pub(super) struct LogLook {
    pub(super) name: String,
    pub(super) seen: Observation,
}

#[derive(Debug)]
pub(super) struct ReaderLook {
    pub(super) log: String,
    pub(super) name: String,
    pub(super) lag_records: u64,
    /// None if the record that it will read next could not be found this time.
    pub(super) lag_us: Option<u64>,
}

impl Looks {
    /// Looks at `logs`. Blocks on the disk, for readers that lag and the first time.
    pub(super) fn at(logs: &Logs, series_max: SeriesMax) -> Self {
        let all = logs.list();
        let mut looks = Self {
            logs_in_all: all.len(),
            logs_damaged: all.iter().filter(|log| log.has_damage()).count(),
            logs_left_out: all.len().saturating_sub(series_max.logs_max),
            ..Self::default()
        };
        for log in all.iter().take(series_max.logs_max) {
            match log.observe() {
                Ok(seen) => looks.logs.push(LogLook { name: log.name().to_owned(), seen }),
                // It was deleted, or its files cannot be read this time.
                Err(_) => looks.logs_left_out += 1,
            }
            looks.look_at_readers(log, series_max.readers_max);
        }
        looks
    }

    fn look_at_readers(&mut self, log: &Log, readers_max: usize) {
        let readers = match log.watch_readers() {
            Ok(readers) => readers,
            Err(ReaderError::Damaged) => {
                self.readers_damaged += 1;
                return;
            }
            // The log is gone, or its readers cannot be read this time.
            Err(_) => return,
        };
        let room = readers_max.saturating_sub(self.readers.len());
        self.readers_left_out += readers.len().saturating_sub(room);
        let look = |reader: Reader| ReaderLook {
            log: log.name().to_owned(),
            name: reader.name.to_string(),
            lag_records: log.lag_records(reader.offset),
            lag_us: log.lag_us(reader.offset).ok(),
        };
        self.readers.extend(readers.into_iter().take(room).map(look));
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::log::{
        Durability, LogName, LogOverrides, Offset, Options, ReaderAction, ReaderName, ReaderOrder,
        SimDisk,
    };

    /// Logs `a`, `b` and `default`, of which `a` has two records and the readers `x` and `y`.
    fn logs() -> Arc<Logs> {
        let options = Options { flushers: 0, min_free_bytes: 0, ..Options::default() };
        let logs = Logs::open(Path::new("/data"), Arc::new(SimDisk::new()), options).unwrap();
        let [a, _b] = ["a", "b"].map(|name| {
            logs.create(&LogName::parse(name).unwrap(), LogOverrides::default()).unwrap()
        });
        for _ in 0..2 {
            let _acked = a.append(b"\x0a\x00", NonZeroU32::MIN, Durability::Synced).unwrap();
            logs.work();
        }
        for (name, offset) in [("x", 0), ("y", 2)] {
            let order = ReaderOrder {
                name: ReaderName::parse(name).unwrap(),
                subject: "me".to_owned(),
                any_owner: false,
                action: ReaderAction::Commit { offset: Offset::new(offset), force: false },
            };
            assert!(a.change_readers(&[order])[0].is_ok());
        }
        logs
    }

    fn names(looks: &Looks) -> (Vec<&str>, Vec<(&str, u64)>) {
        let readers = looks.readers.iter().map(|reader| (reader.name.as_str(), reader.lag_records));
        (looks.logs.iter().map(|log| log.name.as_str()).collect(), readers.collect())
    }

    #[test]
    fn a_look_sees_logs_and_the_lag_of_their_readers() {
        let looks = Looks::at(&logs(), SeriesMax::default());
        assert_eq!(names(&looks), (vec!["a", "b", "default"], vec![("x", 2), ("y", 0)]));
        assert_eq!((looks.logs_in_all, looks.logs_damaged, looks.logs_left_out), (3, 0, 0));
        let seen = looks.logs[0].seen;
        assert_eq!((seen.summary.bounds.end, seen.segments), (Offset::new(2), 1));
        assert!(seen.oldest_age_us.is_some() && looks.logs[1].seen.oldest_age_us.is_none());
        assert_eq!(looks.readers[1].lag_us, Some(0));
    }

    #[test]
    fn what_is_beyond_the_bounds_is_counted_and_not_brought() {
        let looks = Looks::at(&logs(), SeriesMax { logs_max: 1, readers_max: 1 });
        assert_eq!(names(&looks), (vec!["a"], vec![("x", 2)]));
        assert_eq!((looks.logs_in_all, looks.logs_left_out, looks.readers_left_out), (3, 2, 1));
    }
}
