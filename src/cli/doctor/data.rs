//! The data directory: whether it can be used, by whom, in which format, and what space is left.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfs;

use super::case::Case;
use super::finding::Finding;
use super::servant::{Owned, Right, Servant};
use crate::cli::exit::{DAMAGED, IO};
use crate::cli::human::about_bytes;
use crate::cli::output::chain;
use crate::config::Config;
use crate::log::{Glance, LogSettings, OpenError, glance};

const FOLDER: &str = "data_directory";
const FORMAT: &str = "data_format";
const SPACE: &str = "space";
/// Logs of which the format is looked at, and files and folders of which the owner is.
const LOOKS_MAX: usize = 10_000;
/// What a log has beside its segments, and the files of two segments.
const FILES_PER_LOG: u64 = 10;

/// What was found in the data directory.
pub(super) struct Data {
    /// The folder itself, or the nearest above it if it is yet to be made; without links.
    pub(super) folder: PathBuf,
    /// None if it could not be read.
    pub(super) glance: Option<Glance>,
    pub(super) findings: Vec<Finding>,
}

/// Looks at the data directory of `case`.
pub(super) fn look(case: &Case) -> Data {
    let path = &case.config.data_dir;
    let existing = path.ancestors().find(|folder| fs::exists(folder).unwrap_or(true));
    let existing = existing.filter(|folder| !folder.as_os_str().is_empty());
    let folder = existing.unwrap_or(Path::new(".")).canonicalize();
    let folder = folder.unwrap_or_else(|_| path.clone());
    let mut findings = vec![directory(case, path, &folder)];
    let seen = glance(path, LOOKS_MAX);
    let glance = match seen {
        Ok(glance) => {
            findings.push(format(&glance));
            Some(glance)
        }
        Err(error) => {
            findings.push(unreadable(case, &error));
            None
        }
    };
    if let Ok(space) = rustix::fs::statvfs(&folder) {
        let logs = glance.as_ref().map_or(1, |glance| glance.logs.max(1));
        findings.push(judge_space(&case.config, Space::from(space), logs));
    }
    Data { folder, glance, findings }
}

fn directory(case: &Case, path: &Path, folder: &Path) -> Finding {
    let servant = &case.servant;
    let file = match fs::metadata(folder) {
        Ok(file) => file,
        Err(error) if !case.is_servant() => {
            return Finding::not_looked_at(FOLDER, format!("{} ({error})", case.needs()));
        }
        Err(error) => return unusable(format!("{}: {error}", folder.display()), "check data_dir"),
    };
    if !file.is_dir() {
        return unusable(format!("{} is no folder", folder.display()), "name another data_dir");
    }
    let owned = Owned::from(&file);
    let is_there = path.canonicalize().is_ok_and(|path| path == folder);
    if !is_there && case.state_directory.as_deref() == Some(path) {
        return Finding::ok(FOLDER, format!("{} is absent; systemd makes it", path.display()));
    }
    inaccessible(servant, path, folder, owned).unwrap_or_else(|| match is_there {
        true => judge_directory(servant, path, owned, strangers(path, servant)),
        false => absent(servant, path, folder),
    })
}

fn unusable(found: String, remedy: impl Into<String>) -> Finding {
    Finding::fault(FOLDER, found, remedy).ends_serve(IO)
}

fn inaccessible(servant: &Servant, path: &Path, folder: &Path, owned: Owned) -> Option<Finding> {
    let user = &servant.name;
    if let Ok(Some(closed)) = servant.stopped_at(&folder.join("LOCK")) {
        let found = format!("{user} may not pass through {}", closed.display());
        let is_own = path.canonicalize().is_ok_and(|path| path == closed);
        let remedy = match is_own {
            true => format!("chown -R {user}: {}", path.display()),
            false => format!("chmod o+x {}", closed.display()),
        };
        return Some(unusable(found, remedy));
    }
    if servant.may(Right::Read, owned) && servant.may(Right::Write, owned) {
        return None;
    }
    let Owned { user: owner, mode, .. } = owned;
    let folder = folder.display();
    let found = format!("{user} may not write to {folder} (owner {owner}, mode {mode:04o})");
    Some(unusable(found, format!("install -d -o {user} -g {user} -m 0700 {}", path.display())))
}

/// The server makes the folder, and not those above it.
fn absent(servant: &Servant, path: &Path, folder: &Path) -> Finding {
    let (user, text) = (&servant.name, path.display());
    if path.parent().is_none_or(|above| is_same(above, folder)) {
        return Finding::ok(FOLDER, format!("{text} is absent, and {user} can make it"));
    }
    let found = format!("{text} is absent, and so is the folder that it is to be in");
    unusable(found, format!("install -d -o {user} -m 0700 {text}"))
}

fn is_same(above: &Path, folder: &Path) -> bool {
    let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
    above.canonicalize().is_ok_and(|above| above == folder)
}

/// The first file or folder of a log, or of the directory, that another user owns: what root made
/// in a tool's run the server cannot open.
fn strangers(path: &Path, servant: &Servant) -> Option<PathBuf> {
    let list = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let top = list(path);
    let logs = list(&path.join("logs"));
    let inner = logs.iter().take(LOOKS_MAX).flat_map(|log| list(log)).take(LOOKS_MAX);
    let all: Vec<PathBuf> = top.into_iter().chain(inner).chain(logs.iter().cloned()).collect();
    all.into_iter().find(|path| {
        fs::symlink_metadata(path).is_ok_and(|file| file.uid() != servant.user)
            && !servant.is_root()
    })
}

fn judge_directory(
    servant: &Servant,
    path: &Path,
    owned: Owned,
    stranger: Option<PathBuf>,
) -> Finding {
    let (user, text) = (&servant.name, path.display());
    let Owned { user: owner, mode, .. } = owned;
    let found = format!("{text}, owner {owner}, mode {mode:04o}");
    if let Some(stranger) = stranger {
        let found = format!("{} does not belong to {user}", stranger.display());
        return unusable(found, format!("chown -R {user}: {text}"));
    }
    if mode & 0o077 != 0 {
        let found = format!("{found}: others than {user} have access to the records");
        return Finding::warning(FOLDER, found, format!("chmod 700 {text}"));
    }
    Finding::ok(FOLDER, found)
}

fn format(glance: &Glance) -> Finding {
    let logs = match (glance.logs, glance.logs_seen) {
        (1, 1) => "1 log".to_owned(),
        (logs, seen) if logs == seen => format!("{logs} logs"),
        (logs, seen) => format!("{logs} logs, of which {seen} were looked at"),
    };
    let finding = match &glance.newer {
        Some(error) => {
            let remedy = "run the release that wrote the data, or a newer one";
            Finding::fault(FORMAT, chain(error), remedy).ends_serve(DAMAGED)
        }
        None if glance.logs == 0 => Finding::ok(FORMAT, "no logs yet"),
        None => Finding::ok(FORMAT, format!("{logs} in a format that this release reads")),
    };
    finding.with("logs", u64::try_from(glance.logs).unwrap_or(u64::MAX))
}

fn unreadable(case: &Case, error: &OpenError) -> Finding {
    if case.is_servant() {
        let remedy = "run `varve verify` on the folder, and look at the kernel's log for the disk";
        return Finding::fault(FORMAT, chain(error), remedy).ends_serve(IO);
    }
    Finding::not_looked_at(FORMAT, case.needs())
}

/// What a file system has left.
#[derive(Clone, Copy, Debug)]
struct Space {
    free_bytes: u64,
    bytes: u64,
    free_inodes: u64,
    /// 0 where they are made as needed.
    inodes: u64,
}

impl From<StatVfs> for Space {
    fn from(status: StatVfs) -> Self {
        Self {
            free_bytes: status.f_bavail.saturating_mul(status.f_frsize),
            bytes: status.f_blocks.saturating_mul(status.f_frsize),
            free_inodes: status.f_favail,
            inodes: status.f_files,
        }
    }
}

fn judge_space(config: &Config, space: Space, logs: usize) -> Finding {
    let Space { free_bytes, bytes, free_inodes, inodes } = space;
    let reserve = config.storage.min_free_bytes;
    let LogSettings { segment_bytes_max, index_bytes_max, .. } = config.storage.defaults;
    let segment = segment_bytes_max.saturating_add(index_bytes_max);
    let logs = u64::try_from(logs).unwrap_or(u64::MAX);
    let all = reserve.saturating_add(segment.saturating_mul(logs));
    let [free, kept, whole] = [free_bytes, reserve, bytes].map(about_bytes);
    let found = format!("{free} of {whole} are free, {kept} of it are kept free");
    let remedy = "free space, trim logs or lower their retention, or name a data_dir on a larger \
                  disk";
    let finding = if free_bytes < reserve {
        Finding::fault(SPACE, format!("{found}: every append is refused"), remedy)
    } else if free_bytes < reserve.saturating_add(segment.saturating_mul(2)) {
        let found = format!("{found}: not enough for the next segments of one busy log");
        Finding::warning(SPACE, found, remedy)
    } else if inodes > 0 && free_inodes < logs.saturating_mul(FILES_PER_LOG) {
        let found = format!("{free_inodes} of {inodes} inodes are free, for {logs} logs");
        Finding::warning(SPACE, found, "remove small files from that disk")
    } else if free_bytes < all {
        let each = about_bytes(segment);
        Finding::note(SPACE, format!("{found}: less than a segment of {each} for each log"))
    } else {
        Finding::ok(SPACE, found)
    };
    finding.with("free_bytes", free_bytes).with("reserve_bytes", reserve)
}

#[cfg(test)]
mod tests {
    use super::super::servant::tests::varve;
    use super::*;
    use crate::cli::doctor::finding::Verdict;
    use crate::config::Overrides;

    const MIB: u64 = 1 << 20;

    fn config() -> Config {
        let plain = Overrides {
            acl: Some(PathBuf::from("acl.csv")),
            plaintext: true,
            ..Overrides::default()
        };
        let empty = tempfile::NamedTempFile::new().unwrap();
        Config::load(Some(empty.path()), &plain, None).unwrap()
    }

    #[test]
    fn space_is_judged_by_the_reserve_and_the_segments_to_come() {
        let judge = |free_mib: u64, free_inodes, logs| {
            let free_bytes = free_mib * MIB;
            let space = Space { free_bytes, bytes: 1 << 40, free_inodes, inodes: 1 << 20 };
            judge_space(&config(), space, logs).verdict
        };
        // 64 MiB are kept free, and a segment has 140 MiB.
        assert_eq!(judge(63, 9999, 1), Verdict::Fault);
        assert_eq!(judge(343, 9999, 1), Verdict::Warning);
        assert_eq!(judge(344, 9999, 1), Verdict::Ok);
        assert_eq!(judge(344, 9999, 3), Verdict::Note);
        assert_eq!(judge(9999, 99, 10), Verdict::Warning);
        assert_eq!(judge(9999, 100, 10), Verdict::Ok);
    }

    #[test]
    fn the_folder_is_for_the_service_alone() {
        let owned = |mode| Owned { user: 100, group: 200, mode };
        let judge = |mode, stranger: Option<&str>| {
            let stranger = stranger.map(PathBuf::from);
            judge_directory(&varve(), Path::new("/d"), owned(mode), stranger)
        };
        assert_eq!(judge(0o700, None).verdict, Verdict::Ok);
        assert_eq!(judge(0o750, None).verdict, Verdict::Warning);
        let stranger = judge(0o700, Some("/d/logs/a/readers"));
        assert_eq!((stranger.verdict, stranger.serve_exit_code), (Verdict::Fault, Some(IO)));
        assert!(stranger.remedy.unwrap().starts_with("chown -R varve: /d"));
    }

    #[test]
    fn what_another_user_owns_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("logs/default");
        fs::create_dir_all(&log).unwrap();
        fs::write(log.join("readers"), "").unwrap();
        let own = fs::metadata(&log).unwrap().uid();
        let servant = Servant { user: own, ..varve() };
        assert_eq!(strangers(folder.path(), &servant), None);
        let other = Servant { user: own + 1, ..varve() };
        assert!(strangers(folder.path(), &other).is_some());
    }
}
