//! Who but the service may read a private key's file.
//!
//! The owner must be the service's user or root, others must have no access at all, and the group
//! may read only if it is the service's own. Files that systemd passes in its credentials
//! directory are the service manager's business and are fine as they are: it guards the directory,
//! and shows as group access what is an access control entry for the service's user.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The variable in which systemd names the folder of a service's credentials.
pub(crate) const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
const GROUP_READ: u32 = 0o040;
const GROUP_ANY: u32 = 0o070;
const OTHERS_ANY: u32 = 0o007;

/// How a private key lies open to strangers. Modes show as `chmod` takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Exposure {
    /// Another user owns it, and so can read and replace it.
    #[error("user {owner} owns it: `chown` it to the service's user {user}, or to root")]
    Owner {
        /// The file's owner.
        owner: u32,
        /// The user who runs the service.
        user: u32,
    },
    /// Every user of the host has some access to it.
    #[error("every user has access to it (mode {mode:04o}): `chmod 600` it, and replace the key")]
    Others {
        /// The file's permission bits.
        mode: u32,
    },
    /// A group that is not the service's own has access, or the service's own may write.
    #[error(
        "group {group} has access to it (mode {mode:04o}): `chmod 600` it, or give it to the \
         service's group {own} with mode 0640"
    )]
    Group {
        /// The file's permission bits.
        mode: u32,
        /// The file's group.
        group: u32,
        /// The service's group.
        own: u32,
    },
}

/// The process as the owner of files.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) user: u32,
    pub(crate) group: u32,
    /// Where systemd passes credentials, without links in its path.
    pub(crate) credentials: Option<PathBuf>,
}

impl Reader {
    /// This process: its effective user and group, and `$CREDENTIALS_DIRECTORY`.
    pub(crate) fn this_process() -> Self {
        let directory = std::env::var_os(CREDENTIALS_DIRECTORY).map(PathBuf::from);
        Self {
            user: rustix::process::geteuid().as_raw(),
            group: rustix::process::getegid().as_raw(),
            credentials: directory.and_then(|path| path.canonicalize().ok()),
        }
    }

    /// Checks an open file that was found at `path`.
    pub(crate) fn check(&self, path: &Path, file: &Metadata) -> Result<(), Exposure> {
        if self.is_credential(path) {
            return Ok(());
        }
        let mode = file.mode() & 0o7777;
        if file.uid() != self.user && file.uid() != 0 {
            return Err(Exposure::Owner { owner: file.uid(), user: self.user });
        }
        if mode & OTHERS_ANY != 0 {
            return Err(Exposure::Others { mode });
        }
        let allowed = if file.gid() == self.group { GROUP_READ } else { 0 };
        if mode & GROUP_ANY & !allowed != 0 {
            return Err(Exposure::Group { mode, group: file.gid(), own: self.group });
        }
        Ok(())
    }

    fn is_credential(&self, path: &Path) -> bool {
        match (&self.credentials, path.canonicalize()) {
            (Some(directory), Ok(path)) => path.starts_with(directory),
            (None, _) | (_, Err(_)) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    struct Key {
        _folder: tempfile::TempDir,
        path: PathBuf,
    }

    impl Key {
        fn with_mode(mode: u32) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("key.pem");
            fs::write(&path, "key").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            Self { _folder: folder, path }
        }

        fn check(&self, reader: &Reader) -> Result<(), Exposure> {
            reader.check(&self.path, &fs::metadata(&self.path).unwrap())
        }
    }

    fn reader() -> Reader {
        Reader { credentials: None, ..Reader::this_process() }
    }

    #[test]
    fn the_owner_and_the_services_own_group_may_read() {
        for mode in [0o400, 0o600, 0o440, 0o640, 0o700] {
            assert_eq!(Key::with_mode(mode).check(&reader()), Ok(()), "{mode:o}");
        }
    }

    #[test]
    fn others_may_have_no_access_at_all() {
        for mode in [0o604, 0o602, 0o601, 0o644] {
            assert_eq!(Key::with_mode(mode).check(&reader()), Err(Exposure::Others { mode }));
        }
    }

    #[test]
    fn another_group_may_not_read_and_the_own_may_not_write() {
        let stranger = Reader { group: reader().group + 1, ..reader() };
        let key = Key::with_mode(0o640);
        assert!(matches!(key.check(&stranger), Err(Exposure::Group { mode: 0o640, .. })));
        assert_eq!(Key::with_mode(0o600).check(&stranger), Ok(()));
        let writable = Key::with_mode(0o660);
        assert!(matches!(writable.check(&reader()), Err(Exposure::Group { mode: 0o660, .. })));
    }

    #[test]
    fn another_owner_than_the_service_and_root_is_refused() {
        let key = Key::with_mode(0o600);
        let owner = fs::metadata(&key.path).unwrap().uid();
        let other = Reader { user: owner + 1, ..reader() };
        let expected =
            if owner == 0 { Ok(()) } else { Err(Exposure::Owner { owner, user: owner + 1 }) };
        assert_eq!(key.check(&other), expected);
        if owner == 0 {
            std::os::unix::fs::chown(&key.path, Some(12_345), None).unwrap();
            let expected = Err(Exposure::Owner { owner: 12_345, user: reader().user });
            assert_eq!(key.check(&reader()), expected);
        }
    }

    #[test]
    fn a_credential_of_the_service_manager_is_fine_as_it_is() {
        let key = Key::with_mode(0o444);
        let folder = key.path.parent().unwrap().canonicalize().unwrap();
        let inside = Reader { credentials: Some(folder.clone()), ..reader() };
        assert_eq!(key.check(&inside), Ok(()));
        let outside = Reader { credentials: Some(folder.join("other")), ..reader() };
        assert!(key.check(&outside).is_err());
        let dotted = folder.join("none/../key.pem");
        assert!(inside.check(&dotted, &fs::metadata(&key.path).unwrap()).is_err());
    }
}
