//! The time that ages are counted to when records are dropped for their age.
//!
//! It is the wall clock, but for jumps: a wall clock that is suddenly ahead, at a start or later,
//! may be wrong, and what is dropped does not come back. So this time goes on as if nothing had
//! happened for ten minutes, in which the clock may be corrected, and then catches up by a minute a
//! second. What it has come to is kept in the file `clock` of the data directory, so that a server
//! that was down, or a host that starts with a wrong clock, begins from there. A wall clock that
//! is behind is followed at once: that drops nothing; and when one that was behind at the start
//! comes back to what was known before, it is followed at once too. If it does not come back within
//! a day, it was right, and what was known is forgotten: else each jump up to there would be
//! believed, by this server and all later ones.

use std::path::Path;
use std::time::Duration;

use super::clock::microseconds;
use super::disk::Disk;
use super::error::{IoError, SYNC};
use super::lines::{self, Lines};
use super::names;

const FORMAT: &str = "1";
/// A wall clock that is ahead by no more is right.
const AGREES: Duration = Duration::from_secs(60);
/// How long a wall clock that is ahead is not believed.
const HOLD: Duration = Duration::from_secs(10 * 60);
/// How long after a start a wall clock may come back to what was known before.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);
/// How much faster than time this time goes while it catches up.
const PACE: u32 = 60;

/// Turns looks at the clocks into the time that ages are counted to.
#[derive(Debug)]
pub(crate) struct AgeClock {
    /// What it came to at the last look, since the Unix epoch.
    at: Duration,
    /// The clocks at the last look.
    wall: Duration,
    running: Duration,
    /// Since when the wall clock is ahead by so much.
    ahead_since: Option<Duration>,
    /// What it had come to before a start at which the wall clock was behind, and goes on to be.
    known: Option<Duration>,
    /// When that is forgotten.
    known_until: Duration,
}

impl AgeClock {
    /// Begins at `known`, at most: what it came to before, or when the newest record was appended.
    pub(crate) fn start(known: Option<Duration>, wall: Duration, running: Duration) -> Self {
        let at = known.map_or(wall, |known| known.min(wall));
        let known = known.filter(|known| *known > wall);
        let known_until = running.saturating_add(KNOWN_FOR);
        Self { at, wall, running, ahead_since: None, known, known_until }
    }

    /// Takes a look at the clocks.
    pub(crate) fn look(&mut self, wall: Duration, running: Duration) {
        let ran = running.saturating_sub(self.running);
        self.running = running;
        let has_jumped = wall > self.wall.saturating_add(ran).saturating_add(AGREES);
        self.wall = wall;
        self.known = self.known.filter(|_| running < self.known_until);
        self.known = self.known.map(|known| known.saturating_add(ran));
        let undisturbed = self.at.saturating_add(ran);
        let was_there = self.known.is_some_and(|known| wall <= known.saturating_add(AGREES));
        if was_there || wall <= undisturbed.saturating_add(AGREES) {
            (self.at, self.ahead_since) = (wall, None);
            self.known = self.known.filter(|known| *known > wall);
            return;
        }
        if has_jumped {
            // It is another doubt than before, if there was one.
            self.ahead_since = None;
        }
        let since = *self.ahead_since.get_or_insert_with(|| {
            let ahead_s = wall.saturating_sub(undisturbed).as_secs();
            log::warn!(ahead_s, retention = "waits, then catches up"; "clock_ahead");
            running
        });
        let is_held = running.saturating_sub(since) < HOLD;
        self.at = if is_held { undisturbed } else { wall.min(self.at.saturating_add(ran * PACE)) };
    }

    pub(crate) fn at_us(&self) -> u64 {
        microseconds(self.at)
    }

    /// What a later start is to know.
    pub(crate) fn kept_us(&self) -> u64 {
        microseconds(self.known.map_or(self.at, |known| known.max(self.at)))
    }
}

/// What the time came to before, if it was kept.
pub(crate) fn read(disk: &dyn Disk, data: &Path) -> Result<Option<Duration>, IoError> {
    let Some(lines) = lines::read(disk, &names::clock(data))? else {
        return Ok(None);
    };
    let at_us = lines.get("age_time_us").and_then(|at| at.parse().ok());
    Ok(at_us.filter(|_| lines.first() == Some(("format", FORMAT))).map(Duration::from_micros))
}

/// Keeps what the time has come to.
pub(crate) fn write(disk: &dyn Disk, data: &Path, at_us: u64) -> Result<(), IoError> {
    let mut lines = Lines::default();
    lines.put("format", FORMAT);
    lines.put("age_time_us", at_us);
    lines::replace(disk, &names::clock(data), &lines.sealed())?;
    disk.sync_directory(data).map_err(IoError::at(SYNC, data))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(2_000_000_000);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    /// Looks every second for `seconds` at a wall clock that is `ahead` of the right one.
    fn run(clock: &mut AgeClock, from: u32, seconds: u32, ahead: Duration) -> Duration {
        for n in from..from + seconds {
            let ran = Duration::from_secs(u64::from(n) + 1);
            clock.look(START + ran + ahead, ran);
        }
        clock.at - START
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn r15_a_clock_that_is_right_is_followed() {
        let mut clock = AgeClock::start(None, START, Duration::ZERO);
        assert_eq!(run(&mut clock, 0, 5000, Duration::ZERO), seconds(5000));
        assert_eq!(run(&mut clock, 5000, 1, AGREES), seconds(5001) + AGREES);
        assert_eq!(run(&mut clock, 5001, 1, Duration::ZERO), seconds(5002), "also back");
    }

    #[test]
    fn r15_a_jump_ahead_that_is_corrected_has_no_effect() {
        let mut clock = AgeClock::start(None, START, Duration::ZERO);
        run(&mut clock, 0, 100, Duration::ZERO);
        assert_eq!(run(&mut clock, 100, 600, YEAR), seconds(700), "for ten minutes");
        assert_eq!(run(&mut clock, 700, 1, Duration::ZERO), seconds(701));
        assert_eq!(run(&mut clock, 701, 600, YEAR), seconds(1301), "and for ten more");
    }

    #[test]
    fn r15_a_second_jump_is_doubted_as_long_as_the_first() {
        let mut clock = AgeClock::start(None, START, Duration::ZERO);
        run(&mut clock, 0, 590, YEAR);
        assert_eq!(run(&mut clock, 590, 600, YEAR * 2), seconds(1190), "ten minutes from then");
        assert_eq!(run(&mut clock, 1190, 10, YEAR * 2), seconds(1190 + 10 * 60));
    }

    #[test]
    fn r15_a_clock_that_was_behind_at_the_start_is_followed_when_it_comes_back() {
        let behind = START - YEAR;
        let mut clock = AgeClock::start(Some(START), behind, Duration::ZERO);
        clock.look(behind + seconds(1), seconds(1));
        assert_eq!(clock.at, behind + seconds(1));
        assert_eq!(clock.kept_us(), microseconds(START + seconds(1)), "it is not forgotten");
        clock.look(START + seconds(30), seconds(2));
        assert_eq!(clock.at, START + seconds(30));
        clock.look(START + YEAR, seconds(3));
        assert_eq!(clock.at, START + seconds(31), "but no further");
    }

    /// A time that the clock never came to was known for good, and so no jump ahead was doubted any
    /// more, by no later start either.
    #[test]
    fn r15_what_was_known_is_forgotten_if_a_day_does_not_confirm_it() {
        let day = 86_400;
        for known in [START + YEAR * 66, Duration::from_micros(u64::MAX)] {
            let mut clock = AgeClock::start(Some(known), START, Duration::ZERO);
            run(&mut clock, 0, day - 1, Duration::ZERO);
            assert!(clock.kept_us() >= microseconds(known), "it may still come back");
            let right = run(&mut clock, day - 1, 1, Duration::ZERO);
            assert_eq!(right, seconds(day.into()));
            assert_eq!(clock.kept_us(), clock.at_us());
            let held = run(&mut clock, day, 600, YEAR);
            assert_eq!(held, right + seconds(600));
            let kept = Duration::from_micros(clock.kept_us());
            let mut later = AgeClock::start(Some(kept), START + YEAR, Duration::ZERO);
            assert_eq!(run(&mut later, 0, 600, YEAR), held + seconds(600));
        }
    }

    #[test]
    fn r15_a_clock_that_stays_ahead_is_approached_by_a_minute_a_second() {
        let mut clock = AgeClock::start(None, START, Duration::ZERO);
        let held = run(&mut clock, 0, 600, YEAR);
        assert_eq!(held, seconds(600));
        assert_eq!(run(&mut clock, 600, 100, YEAR), held + seconds(100 * 60));
        let after = run(&mut clock, 700, 10_000, seconds(86_400));
        assert_eq!(after, seconds(10_700 + 86_400), "a day is caught up and then followed");
    }

    #[test]
    fn r15_a_start_with_a_clock_that_is_ahead_begins_where_it_was() {
        let mut clock = AgeClock::start(Some(START), START + YEAR, Duration::ZERO);
        assert_eq!(run(&mut clock, 0, 599, YEAR), seconds(599));
        let behind = AgeClock::start(Some(START), START - YEAR, Duration::ZERO);
        assert_eq!(behind.at, START - YEAR);
    }

    #[test]
    fn the_time_is_kept_in_its_file() {
        let disk = crate::log::disk::SimDisk::new();
        let data = Path::new("/d");
        disk.create_directory(data).unwrap();
        assert_eq!(read(&disk, data).unwrap(), None);
        for at_us in [7, 9] {
            write(&disk, data, at_us).unwrap();
            assert_eq!(read(&disk, data).unwrap(), Some(Duration::from_micros(at_us)));
        }
        disk.damage(&names::clock(data), b"format = 1\nage_time_us = 99\ncrc32c = 00000000\n")
            .unwrap();
        assert_eq!(read(&disk, data).unwrap(), None);
    }
}
