//! A certificate and its key as two files.
//!
//! Each is written beside its place, synced and renamed into it, so that nobody ever sees half a
//! file. The key's is for its owner alone from its creation on, whatever the umask.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::error::CertsError;

const CERTIFICATE_MODE: u32 = 0o644;
const KEY_MODE: u32 = 0o600;

/// Where a certificate and its key go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    folder: PathBuf,
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
    /// Whether older files are replaced.
    force: bool,
}

impl Pair {
    /// `NAME.pem` and `NAME-key.pem` in `folder`, neither of which may be there yet unless it is
    /// to be replaced.
    pub(super) fn new(folder: &Path, name: &str, force: bool) -> Result<Self, CertsError> {
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
            return Err(CertsError::Name { name: name.to_owned() });
        }
        let certificate = folder.join(format!("{name}.pem"));
        let key = folder.join(format!("{name}-key.pem"));
        for path in [&certificate, &key] {
            if !force && path.symlink_metadata().is_ok() {
                return Err(CertsError::Exists { path: path.clone() });
            }
        }
        Ok(Self { folder: folder.to_owned(), certificate, key, force })
    }

    /// Writes both files, or neither.
    pub(super) fn write(&self, certificate: &[u8], key: &[u8]) -> Result<(), CertsError> {
        let new_key = Draft::write(&self.key, key, KEY_MODE)?;
        let new_certificate = Draft::write(&self.certificate, certificate, CERTIFICATE_MODE)?;
        new_key.publish(&self.key, self.force)?;
        if let Err(error) = new_certificate.publish(&self.certificate, self.force) {
            if !self.force {
                // The error that follows says more than a failure here could.
                let _ = fs::remove_file(&self.key);
            }
            return Err(error);
        }
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(failed("sync", &self.folder))
    }
}

/// A file beside its place; dropping it removes it.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn write(target: &Path, bytes: &[u8], mode: u32) -> Result<Self, CertsError> {
        let path = target.with_extension(format!("new.{}", std::process::id()));
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .map_err(failed("create", &path))?;
        let draft = Self { path };
        file.set_permissions(Permissions::from_mode(mode))
            .and_then(|()| file.write_all(bytes))
            .and_then(|()| file.sync_all())
            .map_err(failed("write", &draft.path))?;
        Ok(draft)
    }

    fn publish(self, target: &Path, force: bool) -> Result<(), CertsError> {
        let flags = if force { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        renameat_with(CWD, &self.path, CWD, target, flags).map_err(|error| match error {
            rustix::io::Errno::EXIST => CertsError::Exists { path: target.to_owned() },
            other => failed("create", target)(other.into()),
        })
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Renamed or already gone is as good.
        let _ = fs::remove_file(&self.path);
    }
}

fn failed(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CertsError {
    move |source| CertsError::Write { op, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_key_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let pair = Pair::new(folder.path(), "a", false).unwrap();
        pair.write(b"certificate", b"key").unwrap();
        assert_eq!((mode(&pair.key), mode(&pair.certificate)), (0o600, 0o644));
        assert_eq!(fs::read(&pair.key).unwrap(), b"key");
        assert_eq!(fs::read(&pair.certificate).unwrap(), b"certificate");
        assert_eq!(names(folder.path()), ["a-key.pem", "a.pem"]);
    }

    #[test]
    fn older_files_stay_unless_forced() {
        for name in ["a.pem", "a-key.pem"] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(name);
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
            let found = Pair::new(folder.path(), "a", false);
            assert!(matches!(found, Err(CertsError::Exists { path: found }) if found == path));
            let forced = Pair::new(folder.path(), "a", true).unwrap();
            forced.write(b"certificate", b"key").unwrap();
            assert_ne!(fs::read(&path).unwrap(), b"old");
            assert_eq!(mode(&forced.key), 0o600);
        }
    }

    #[test]
    fn files_that_appear_meanwhile_stay_and_nothing_is_left_beside_them() {
        for name in ["a.pem", "a-key.pem"] {
            let folder = tempfile::tempdir().unwrap();
            let pair = Pair::new(folder.path(), "a", false).unwrap();
            fs::write(folder.path().join(name), "old").unwrap();
            let found = pair.write(b"certificate", b"key");
            assert!(matches!(found, Err(CertsError::Exists { .. })));
            assert_eq!(names(folder.path()), [name]);
            assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"old");
        }
    }

    #[test]
    fn a_link_to_nowhere_counts_as_a_file() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/none", folder.path().join("a-key.pem")).unwrap();
        let found = Pair::new(folder.path(), "a", false);
        assert!(matches!(found, Err(CertsError::Exists { .. })));
    }

    #[test]
    fn names_lead_nowhere_else() {
        for name in ["", ".", "..", ".a", "../a", "a/b", "/a", "a\0b"] {
            let found = Pair::new(Path::new("."), name, false);
            assert!(matches!(found, Err(CertsError::Name { .. })), "{name:?}");
        }
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let pair = Pair::new(Path::new("/none"), "a", false).unwrap();
        let found = pair.write(b"", b"").unwrap_err();
        assert!(found.to_string().starts_with("cannot create /none/a-key."), "{found}");
    }
}
