//! Whether a file is locked, told from what the kernel lists: to try the lock would be to take it
//! for a moment, in which a server that starts would find it taken.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

const LIST: &str = "/proc/locks";

/// Whether a process has an exclusive `flock` on the file.
pub(super) fn is_locked(path: &Path) -> io::Result<bool> {
    let file = match fs::metadata(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    };
    match fs::read_to_string(LIST) {
        Ok(list) => Ok(is_listed(&list, file.ino())),
        // It may be hidden from this process.
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// A line is `1: FLOCK ADVISORY WRITE <pid> <major>:<minor>:<inode> <from> <to>`. The device is not
/// looked at: some file systems show another one here than to those who ask for the file's.
fn is_listed(list: &str, inode: u64) -> bool {
    list.lines().any(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word != "FLOCK");
        let is_exclusive = words.nth(2) == Some("WRITE");
        let place = words.nth(1).and_then(|place| place.rsplit(':').next());
        is_exclusive && place.and_then(|digits| digits.parse().ok()) == Some(inode)
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
                    4: FLOCK  ADVISORY  WRITE 12 00:2a:80 0 EOF\n";
        let seen: Vec<u64> = (76..82).filter(|inode| is_listed(list, *inode)).collect();
        assert_eq!(seen, [79, 80]);

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("LOCK");
        assert!(!is_locked(&path).unwrap());
        let disk = crate::log::OsDisk::new();
        let lock = crate::log::Disk::lock(&disk, &path).unwrap();
        assert!(is_locked(&path).unwrap());
        drop(lock);
        assert!(!is_locked(&path).unwrap());
    }
}
