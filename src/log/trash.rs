//! Removes files in two steps, so that a crash leaves them wholly in place or wholly condemned.
//!
//! A file is renamed into the trash, both directories are synced, and only then is it unlinked. A
//! start empties the trash.

use std::path::{Path, PathBuf};

use super::disk::Disk;
use super::error::{IoError, SYNC};
use crate::fail_points::fail_point;

/// Removes files of one directory; absent ones are passed over.
pub(crate) fn discard(
    disk: &dyn Disk,
    trash: &Path,
    directory: &Path,
    files: impl Iterator<Item = PathBuf>,
) -> Result<(), IoError> {
    let mut condemned = Vec::new();
    for path in files {
        let target = trash.join(unique_name(directory, &path));
        match disk.rename(&path, &target) {
            Ok(()) => condemned.push(target),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(IoError::at("rename", &path)(e)),
        }
    }
    if condemned.is_empty() {
        return Ok(());
    }
    fail_point!("trash::renamed");
    for synced in [directory, trash] {
        disk.sync_directory(synced).map_err(IoError::at(SYNC, synced))?;
    }
    fail_point!("trash::synced");
    condemned.iter().try_for_each(|path| disk.remove(path).map_err(IoError::at("remove", path)))
}

/// Removes what an interrupted removal or creation left. What cannot be removed is no log's, and no
/// reason not to start.
pub(crate) fn empty(disk: &dyn Disk, trash: &Path) -> Result<(), IoError> {
    for name in disk.list(trash).map_err(IoError::at("list", trash))? {
        let path = trash.join(name);
        if let Err(error) = remove_all(disk, &path, &|| true) {
            log::warn!(path:% = path.display(), error:err; "trash_not_removed");
        }
    }
    Ok(())
}

/// Removes a file, or a directory with all in it, as long as it `may_go_on`; a start does the rest.
pub(crate) fn remove_all(
    disk: &dyn Disk,
    path: &Path,
    may_go_on: &dyn Fn() -> bool,
) -> Result<(), IoError> {
    // First as a file: what a link leads to is somebody else's.
    let Err(error) = disk.remove(path) else {
        return Ok(());
    };
    let Ok(inner) = disk.list(path) else {
        return Err(IoError::at("remove", path)(error));
    };
    for name in inner {
        if !may_go_on() {
            return Ok(());
        }
        remove_all(disk, &path.join(name), may_go_on)?;
    }
    if may_go_on() {
        disk.remove_directory(path).map_err(IoError::at("remove", path))
    } else {
        Ok(())
    }
}

/// A name that files of several logs do not share: that of the directory and of the file.
fn unique_name(directory: &Path, path: &Path) -> String {
    let part = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    format!("{}~{}", part(directory), part(path))
}
