//! File descriptors that are held back for the logs.
//!
//! Connections take descriptors too, also those of strangers who never finish a handshake. Once
//! none is left a log could begin no segment, so some are kept open for nothing and given up when a
//! file is to be opened. A file that is closed becomes a spare one without ever being free, so that
//! no connection comes in between.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use parking_lot::Mutex;
use rustix::io::Errno;

const NOTHING: &str = "/dev/null";

/// Open descriptors of nothing. All calls may run concurrently.
#[derive(Debug, Default)]
pub(super) struct Spares {
    wanted: usize,
    held: Mutex<Vec<OwnedFd>>,
    /// What a descriptor is of that stands for none; it is never given up.
    nothing: Option<OwnedFd>,
}

impl Spares {
    /// Takes `wanted` descriptors, or as many as there are.
    pub(super) fn take(wanted: usize) -> Self {
        let open = || fs::File::open(NOTHING).ok().map(OwnedFd::from);
        let held = (0..wanted).map_while(|_| open()).collect();
        Self { wanted, held: Mutex::new(held), nothing: open() }
    }

    /// Opens something by `open`, and gives up spare ones for it if there is no other descriptor.
    pub(super) fn open<T>(&self, open: impl Fn() -> io::Result<T>) -> io::Result<T> {
        loop {
            match open() {
                Err(error) if is_lack(&error) => {
                    // Closed here. Another may be faster to take it, and then it is the next one's
                    // turn.
                    self.held.lock().pop().ok_or(error)?;
                }
                done => return done,
            }
        }
    }

    /// Closes `file`; if a spare one is missing its descriptor becomes one.
    pub(super) fn close(&self, file: fs::File) {
        let mut held = self.held.lock();
        if held.len() == self.wanted {
            return;
        }
        let mut descriptor = OwnedFd::from(file);
        if let Some(nothing) = &self.nothing
            && rustix::io::dup2(nothing, &mut descriptor).is_ok()
        {
            held.push(descriptor);
        }
    }
}

fn is_lack(error: &io::Error) -> bool {
    let lacking = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|number| lacking.contains(&number))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn held(spares: &Spares) -> usize {
        spares.held.lock().len()
    }

    /// Fails that many times for lack of descriptors.
    fn lacking(times: usize) -> impl Fn() -> io::Result<&'static str> {
        let left = Cell::new(times);
        move || match left.get() {
            0 => Ok("open"),
            more => {
                left.set(more - 1);
                Err(Errno::MFILE.into())
            }
        }
    }

    #[test]
    fn a_file_that_finds_no_descriptor_gets_a_spare_one() {
        let spares = Spares::take(3);
        assert_eq!(spares.open(lacking(0)).unwrap(), "open");
        assert_eq!(held(&spares), 3);
        assert_eq!(spares.open(lacking(2)).unwrap(), "open");
        assert_eq!(held(&spares), 1);
        assert!(is_lack(&spares.open(lacking(2)).unwrap_err()));
        assert_eq!(held(&spares), 0);
        let other = spares.open(|| Err::<(), _>(Errno::NOSPC.into())).unwrap_err();
        assert_eq!(other.raw_os_error(), Some(Errno::NOSPC.raw_os_error()));
    }

    #[test]
    fn a_closed_file_makes_up_for_a_spare_one_and_is_really_closed() {
        let spares = Spares::take(1);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for expected in [1, 1] {
            fs::write(&path, "x").unwrap();
            let file = fs::File::open(&path).unwrap();
            let number = std::os::fd::AsRawFd::as_raw_fd(&file);
            spares.open(lacking(1)).unwrap();
            spares.close(file);
            assert_eq!(held(&spares), expected);
            let target = fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
            assert_eq!(target.to_str(), Some(NOTHING));
        }
        // None is missing now, so this one is closed like any other.
        spares.close(fs::File::open(&path).unwrap());
        assert_eq!(held(&spares), 1);
    }

    #[test]
    fn without_spare_ones_a_lack_is_told() {
        let spares = Spares::default();
        assert!(is_lack(&spares.open(lacking(1)).unwrap_err()));
        spares.close(fs::File::open(NOTHING).unwrap());
        assert_eq!(held(&spares), 0);
    }
}
