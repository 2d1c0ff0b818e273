//! The user who runs the server, and what the modes of files let that user do.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::tls::exposure::Reader;

/// A user with the groups that the host's files give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Servant {
    pub(super) name: String,
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) groups: Vec<u32>,
}

/// What somebody may do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Right {
    Read,
    Write,
    /// To pass through, of a folder.
    Pass,
}

/// Owner and mode of a file, as `stat` tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) user: u32,
    pub(super) group: u32,
    pub(super) mode: u32,
}

impl From<&Metadata> for Owned {
    fn from(file: &Metadata) -> Self {
        Self { user: file.uid(), group: file.gid(), mode: file.mode() & 0o7777 }
    }
}

impl Servant {
    /// The user of this process.
    pub(super) fn this_process() -> Self {
        let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
        let groups = rustix::process::getgroups().unwrap_or_default();
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let number = user.as_raw().to_string();
        let mut rows = passwd.lines().map(|row| row.split(':').collect::<Vec<_>>());
        let row = rows.find(|row| row.get(2) == Some(&number.as_str()));
        let name = row.and_then(|row| row.first().copied()).unwrap_or(&number).to_owned();
        let groups = groups.into_iter().map(rustix::process::Gid::as_raw).collect();
        Self { name, user: user.as_raw(), group: group.as_raw(), groups }
    }

    /// The user `name`, if the host's own files have it.
    pub(super) fn named(name: &str) -> Option<Self> {
        let passwd = fs::read_to_string("/etc/passwd").ok()?;
        let group = fs::read_to_string("/etc/group").unwrap_or_default();
        Self::parse(name, &passwd, &group)
    }

    /// From the text of `passwd(5)` and `group(5)`.
    fn parse(name: &str, passwd: &str, group: &str) -> Option<Self> {
        let mut rows = passwd.lines().map(|row| row.split(':').collect::<Vec<_>>());
        let row = rows.find(|row| row.first() == Some(&name))?;
        let number = |at: usize| row.get(at).and_then(|digits| digits.parse().ok());
        let groups = group.lines().filter_map(|row| {
            let fields: Vec<&str> = row.split(':').collect();
            let is_member = fields.get(3)?.split(',').any(|member| member == name);
            is_member.then(|| fields.get(2)?.parse().ok()).flatten()
        });
        let (user, own) = (number(2)?, number(3)?);
        Some(Self { name: name.to_owned(), user, group: own, groups: groups.collect() })
    }

    /// As the one who reads private keys. `credentials` are those of this process, if it is the
    /// service itself.
    pub(super) fn reader(&self) -> Reader {
        Reader { user: self.user, group: self.group, ..Reader::this_process() }
    }

    pub(super) fn is_root(&self) -> bool {
        self.user == 0
    }

    /// Whether the mode of a file gives the right. Access control lists of the file system, which
    /// may give more, are not looked at.
    pub(super) fn may(&self, right: Right, file: Owned) -> bool {
        let bit = match right {
            Right::Read => 0o4,
            Right::Write => 0o2,
            Right::Pass => 0o1,
        };
        if self.is_root() {
            return true;
        }
        let shift = if file.user == self.user {
            6
        } else if file.group == self.group || self.groups.contains(&file.group) {
            3
        } else {
            0
        };
        file.mode >> shift & bit != 0
    }

    /// The first folder on the way to `path` that keeps the user out; none if none does.
    ///
    /// # Errors
    ///
    /// A folder cannot be looked at.
    pub(super) fn stopped_at(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let above: Vec<&Path> = path.ancestors().skip(1).collect();
        for folder in above.into_iter().rev().filter(|folder| !folder.as_os_str().is_empty()) {
            if !self.may(Right::Pass, Owned::from(&fs::metadata(folder)?)) {
                return Ok(Some(folder.to_owned()));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli::doctor) fn varve() -> Servant {
        Servant { name: "varve".to_owned(), user: 100, group: 200, groups: vec![300] }
    }

    #[test]
    fn a_user_is_read_from_the_hosts_files() {
        let passwd = "root:x:0:0::/root:/bin/sh\nvarve:x:100:200::/var/lib/varve:/bin/false\n";
        let group = "root:x:0:\nvarve:x:200:\nkeys:x:300:bob,varve\nother:x:301:varvel\n";
        assert_eq!(Servant::parse("varve", passwd, group), Some(varve()));
        assert_eq!(Servant::parse("var", passwd, group), None);
        assert!(Servant::named("root").unwrap().is_root());
    }

    #[test]
    fn modes_give_rights_to_the_owner_the_groups_and_the_others() {
        let file = |user, group, mode| Owned { user, group, mode };
        let may = |right, file| varve().may(right, file);
        assert!(may(Right::Read, file(100, 0, 0o400)) && !may(Right::Write, file(100, 0, 0o400)));
        assert!(may(Right::Read, file(0, 200, 0o040)) && may(Right::Write, file(0, 300, 0o020)));
        assert!(may(Right::Pass, file(0, 0, 0o001)) && !may(Right::Read, file(0, 0, 0o771)));
        // The owner's bits hold for the owner, whatever others may.
        assert!(!may(Right::Read, file(100, 200, 0o077)));
        let root = Servant { user: 0, ..varve() };
        assert!(root.may(Right::Read, file(1, 1, 0)));
    }

    #[test]
    fn a_folder_on_the_way_stops_who_may_not_pass() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().canonicalize().unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        let nobody = Servant { user: 65_000, group: 65_000, groups: vec![], ..varve() };
        assert_eq!(nobody.stopped_at(&closed.join("file")).unwrap(), Some(closed.clone()));
        let own = Servant { user: fs::metadata(&closed).unwrap().uid(), ..nobody };
        assert_eq!(own.stopped_at(&closed.join("file")).unwrap(), None);
    }
}
