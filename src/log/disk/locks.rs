//! Whether a file is locked, told from what the kernel lists: to try the lock would be to take it
//! for a moment, in which a server that starts would find it taken.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const LIST: &str = "/proc/locks";

/// Who has an exclusive `flock` on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The process; `None` if this process may not know its number.
    pub pid: Option<u32>,
}

/// Whether a process has an exclusive `flock` on the file.
pub(super) fn is_locked(path: &Path) -> io::Result<bool> {
    owner(path).map(|owner| owner.is_some())
}

/// Which process has an exclusive `flock` on the file, without taking it; `None` if nobody has, or
/// the file is absent.
pub(crate) fn owner(path: &Path) -> io::Result<Option<Owner>> {
    let file = match fs::metadata(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    match fs::read_to_string(LIST) {
        Ok(list) => Ok(listed(&list, file.ino())),
        // It may be hidden from this process.
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// A line is `1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> <from> <to>`. The device is not
/// looked at: some file systems show another one here than to those who ask for the file's. The
/// number of a process in another container is none.
fn listed(list: &str, inode: u64) -> Option<Owner> {
    list.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "FLOCK");
        let is_exclusive = words.nth(2) == Some("WRITE");
        let pid = words.next().and_then(|digits| digits.parse().ok()).filter(|pid| *pid > 0);
        let place = words.next().and_then(|place| place.rsplit(':').next());
        let is_it = place.and_then(|digits| digits.parse().ok()) == Some(inode);
        (is_exclusive && is_it).then_some(Owner { pid })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_seen_while_it_is_held_and_others_are_not() {
        let list = "1: POSIX  ADVISORY  WRITE 12 fd:01:77 0 EOF\n\
                    2: FLOCK  ADVISORY  READ  12 fd:01:78 0 EOF\n\
                    3: -> FLOCK  ADVISORY  WRITE 13 fd:01:79 0 EOF\n\
                    4: FLOCK  ADVISORY  WRITE -1 00:2a:80 0 EOF\n";
        let seen: Vec<_> = (76..82).map(|inode| listed(list, inode)).collect();
        let (known, unknown) = (Some(Owner { pid: Some(13) }), Some(Owner { pid: None }));
        assert_eq!(seen, [None, None, None, known, unknown, None]);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("LOCK");
        assert!(!is_locked(&path).unwrap());
        let disk = crate::log::OsDisk::new();
        let lock = crate::log::Disk::lock(&disk, &path).unwrap();
        let this_process = Some(std::process::id());
        assert_eq!(owner(&path).unwrap().map(|owner| owner.pid), Some(this_process));
        drop(lock);
        assert!(!is_locked(&path).unwrap());
    }
}
