//! Which segments a log's retention drops: a rule over plain values, without files and locks.

use std::time::Duration;

use super::clock::microseconds;
use super::offset::Offset;
use super::settings::LogSettings;

/// A sealed segment, as retention sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    /// The offset after its last record.
    pub(crate) end: Offset,
    /// What its store has.
    pub(crate) bytes: u64,
    /// When its newest record was appended; `None` if the segment is too damaged to tell.
    pub(crate) last_time_us: Option<u64>,
}

/// What retention goes by beside the sealed segments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) settings: &'a LogSettings,
    /// The time that ages are counted to.
    pub(crate) now_us: u64,
    /// What the store of the active segment has.
    pub(crate) active_bytes: u64,
    /// The lowest offset that a reader of the log has yet to read; `None` without readers.
    pub(crate) readers_lowest: Option<Offset>,
}

/// How many of `sealed`, which are all the log's sealed segments from the oldest on, are to be
/// dropped.
pub(crate) fn overdue(sealed: &[Held], terms: &Terms<'_>) -> usize {
    let sealed_bytes = sealed.iter().fold(0, |sum: u64, held| sum.saturating_add(held.bytes));
    let mut bytes_from_here = sealed_bytes.saturating_add(terms.active_bytes);
    for (n, held) in sealed.iter().enumerate() {
        // A segment is no newer than the one after it.
        let newest = sealed.iter().skip(n).find_map(|held| held.last_time_us);
        let is_due = terms.is_over_bytes(bytes_from_here) || terms.is_over_age(newest);
        if !is_due || terms.is_left_for_readers(held, bytes_from_here) {
            return n;
        }
        bytes_from_here = bytes_from_here.saturating_sub(held.bytes);
    }
    sealed.len()
}

impl Terms<'_> {
    fn is_over_bytes(&self, bytes_from_here: u64) -> bool {
        self.settings.retention_bytes.is_some_and(|bytes_max| bytes_from_here > bytes_max)
    }

    fn is_over_age(&self, newest_us: Option<u64>) -> bool {
        let (Some(age_max), Some(newest_us)) = (self.settings.retention_age, newest_us) else {
            return false;
        };
        // A record from the future has no age.
        self.now_us.saturating_sub(newest_us) >= microseconds(age_max) && self.now_us >= newest_us
    }

    fn is_left_for_readers(&self, held: &Held, bytes_from_here: u64) -> bool {
        let (Some(bytes_max), Some(lowest)) =
            (self.settings.retain_for_readers_bytes, self.readers_lowest)
        else {
            return false;
        };
        held.end > lowest && bytes_from_here <= bytes_max
    }
}

/// After which age the active segment is sealed, so that retention by age can drop it: as the
/// settings say, else so that no record stays an eighth longer than its time.
pub(crate) fn roll_age(settings: &LogSettings) -> Option<Duration> {
    const ROLL_AGE_MIN: Duration = Duration::from_secs(1);
    let by_retention = settings.retention_age.map(|age| (age / 8).max(ROLL_AGE_MIN));
    settings.segment_age_max.or(by_retention)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(list: &[(u64, u64)]) -> Vec<Held> {
        let held = |(n, (bytes, last)): (usize, &(u64, u64))| Held {
            end: Offset::new(u64::try_from(n).unwrap() * 10 + 10),
            bytes: *bytes,
            last_time_us: Some(*last),
        };
        list.iter().enumerate().map(held).collect()
    }

    fn overdue_at(now_us: u64, settings: &LogSettings, list: &[(u64, u64)]) -> usize {
        let terms = Terms { settings, now_us, active_bytes: 5, readers_lowest: None };
        overdue(&segments(list), &terms)
    }

    #[test]
    fn nothing_is_overdue_unless_something_is_set() {
        assert_eq!(overdue_at(u64::MAX, &LogSettings::default(), &[(1 << 60, 0), (1, 1)]), 0);
    }

    #[test]
    fn by_bytes_the_oldest_go_until_the_rest_fits_with_the_active_one() {
        let list = [(100, 0), (100, 0), (100, 0)];
        for (bytes_max, dropped) in
            [(305, 0), (304, 1), (205, 1), (204, 2), (105, 2), (104, 3), (1, 3)]
        {
            let settings =
                LogSettings { retention_bytes: Some(bytes_max), ..LogSettings::default() };
            assert_eq!(overdue_at(0, &settings, &list), dropped, "{bytes_max}");
        }
    }

    #[test]
    fn by_age_a_segment_goes_once_its_newest_record_is_that_old() {
        let settings = LogSettings {
            retention_age: Some(Duration::from_micros(50)),
            ..LogSettings::default()
        };
        let list = [(1, 100), (1, 120), (1, 200)];
        for (now, dropped) in [(0, 0), (149, 0), (150, 1), (169, 1), (170, 2), (249, 2), (250, 3)] {
            assert_eq!(overdue_at(now, &settings, &list), dropped, "at {now}");
        }
    }

    #[test]
    fn either_reason_is_enough_and_only_the_oldest_go() {
        let settings = LogSettings {
            retention_bytes: Some(150),
            retention_age: Some(Duration::from_micros(50)),
            ..LogSettings::default()
        };
        // The second is old enough as well, and would leave a gap if the first stayed.
        assert_eq!(overdue_at(100, &settings, &[(10, 90), (10, 20), (10, 99)]), 0);
        assert_eq!(overdue_at(100, &settings, &[(100, 90), (100, 95), (10, 99)]), 1);
        assert_eq!(overdue_at(100, &settings, &[(10, 10), (100, 95), (100, 99)]), 2);
    }

    #[test]
    fn a_segment_that_cannot_tell_its_time_is_as_old_as_the_next() {
        let settings = LogSettings {
            retention_age: Some(Duration::from_micros(50)),
            ..LogSettings::default()
        };
        let mut held = segments(&[(1, 0), (1, 100)]);
        held[0].last_time_us = None;
        let at = |now_us, held: &[Held]| {
            let terms =
                Terms { settings: &settings, now_us, active_bytes: 0, readers_lowest: None };
            overdue(held, &terms)
        };
        assert_eq!((at(149, &held), at(150, &held)), (0, 2));
        held[1].last_time_us = None;
        assert_eq!(at(u64::MAX, &held), 0);
    }

    #[test]
    fn what_a_reader_has_yet_to_read_stays_up_to_its_bytes() {
        let settings = |bytes| LogSettings {
            retention_bytes: Some(0),
            retain_for_readers_bytes: Some(bytes),
            ..LogSettings::default()
        };
        let held = segments(&[(100, 0), (100, 0), (100, 0)]);
        let dropped = |bytes, lowest: u64| {
            let settings = settings(bytes);
            let readers_lowest = Some(Offset::new(lowest));
            let terms = Terms { settings: &settings, now_us: 0, active_bytes: 5, readers_lowest };
            overdue(&held, &terms)
        };
        assert_eq!([0, 9, 10, 19, 20, 30].map(|lowest| dropped(1000, lowest)), [0, 0, 1, 1, 2, 3]);
        assert_eq!([305, 304, 204, 104].map(|bytes| dropped(bytes, 0)), [0, 1, 2, 3]);
    }

    #[test]
    fn segments_roll_so_that_retention_by_age_can_follow() {
        let hour = Duration::from_secs(3600);
        let settings = LogSettings { retention_age: Some(hour * 8), ..LogSettings::default() };
        assert_eq!(roll_age(&settings), Some(hour));
        let set = LogSettings { segment_age_max: Some(hour * 5), ..settings };
        assert_eq!(roll_age(&set), Some(hour * 5));
        assert_eq!(roll_age(&LogSettings::default()), None);
    }
}
