//! Notices when a file that a reload would read was replaced, if the configuration asks for that.
//!
//! It looks at the files by their names, because secrets are often replaced by a link to another
//! folder, which a watch on the old file would never hear of.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use signal_hook::consts::SIGHUP;

use super::looking::Looking;

/// The files, and the thread that looks at them; it ends with this value.
pub(super) struct Watch {
    files: Arc<Mutex<Vec<PathBuf>>>,
    _looking: Looking,
}

/// Files, and what was seen of them before they were read.
pub(super) struct Seen {
    files: Vec<PathBuf>,
    stamps: Vec<Stamp>,
}

/// What tells a file from the one that had its name before; `None` if it cannot be looked at.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl Seen {
    /// As they are now.
    pub(super) fn now(files: Vec<PathBuf>) -> Self {
        let stamps = look(&files);
        Self { files, stamps }
    }
}

impl Watch {
    /// Raises SIGHUP in this process after the files changed, since they were `seen` or later, and
    /// then stayed the same for `every`: several that belong together are replaced one after the
    /// other.
    pub(super) fn start(seen: Seen, every: Duration) -> io::Result<Self> {
        let files = Arc::new(Mutex::new(seen.files));
        let watched = Arc::clone(&files);
        let mut changes = Changes::since(seen.stamps);
        let looking = Looking::start("watch", every, move || {
            if changes.settled(look(&watched.lock()))
                && let Err(error) = signal_hook::low_level::raise(SIGHUP)
            {
                log::warn!(error:% = error.to_string(); "watch_failed");
            }
        })?;
        Ok(Self { files, _looking: looking })
    }

    /// Looks at these from now on.
    pub(super) fn look_at(&self, files: Vec<PathBuf>) {
        *self.files.lock() = files;
    }
}

fn look(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|file| stamp(file)).collect()
}

fn stamp(file: &Path) -> Stamp {
    let meta = fs::metadata(file).ok()?;
    Some((meta.dev(), meta.ino(), meta.len(), meta.mtime(), meta.mtime_nsec()))
}

/// What was seen.
struct Changes {
    told: Vec<Stamp>,
    last: Vec<Stamp>,
}

impl Changes {
    fn since(seen: Vec<Stamp>) -> Self {
        Self { told: seen.clone(), last: seen }
    }

    /// Whether it is time to tell: what is seen is new, and was the same the last time.
    fn settled(&mut self, seen: Vec<Stamp>) -> bool {
        let is_settled = seen == self.last && seen != self.told;
        if is_settled {
            self.told.clone_from(&seen);
        }
        self.last = seen;
        is_settled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_once_and_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let files = ["a", "b"].map(|name| directory.path().join(name)).to_vec();
        fs::write(&files[0], "1").unwrap();
        let mut changes = Changes::since(look(&files));
        assert!(!changes.settled(look(&files)));
        fs::write(&files[1], "1").unwrap();
        assert!(!changes.settled(look(&files)), "it may go on changing");
        let next = directory.path().join("next");
        fs::write(&next, "2").unwrap();
        fs::rename(&next, &files[0]).unwrap();
        assert!(!changes.settled(look(&files)), "it went on changing");
        assert!(changes.settled(look(&files)));
        assert!(!changes.settled(look(&files)));
        fs::remove_file(&files[0]).unwrap();
        assert!(!changes.settled(look(&files)));
        assert!(changes.settled(look(&files)));
    }
}
