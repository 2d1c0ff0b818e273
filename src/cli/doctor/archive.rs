//! The archive: whether a start can make it, and whether segments can be copied there before they
//! are dropped. What cannot be copied is kept, until the disk is full.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::case::Case;
use super::finding::Finding;
use super::servant::{Owned, Right, Servant};
use crate::cli::exit::IO;

const CHECK: &str = "archive";

/// Looks at the archive, if one is set; `data` is the folder of the data, or the nearest above it.
pub(super) fn look(case: &Case, data: &Path) -> Option<Finding> {
    let path = case.config.storage.archive.as_deref()?;
    let finding = match judge(&case.servant, path, data) {
        Ok(finding) => finding,
        Err(_) if !case.is_servant() => Finding::not_looked_at(CHECK, case.needs()),
        Err(error) => unreachable(path, &error.to_string(), "check storage.archive_directory"),
    };
    Some(finding)
}

fn judge(servant: &Servant, path: &Path, data: &Path) -> io::Result<Finding> {
    let (user, text) = (&servant.name, path.display());
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let above = match above.unwrap_or(Path::new(".")).canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let make = format!("install -d -o {user} -m 0700 {text}");
            return Ok(unreachable(path, "is absent, and so is the folder that it is in", &make));
        }
        above => above?,
    };
    if let Some(closed) = servant.stopped_at(&above.join("archive"))? {
        let closed = closed.display();
        let what = format!("is out of reach: {user} may not pass through {closed}");
        return Ok(unreachable(path, &what, &format!("chmod o+x {closed}")));
    }
    let folder = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return absent(servant, path, &above),
        folder => folder?,
    };
    let owned = Owned::from(&folder);
    if !folder.is_dir() {
        return Ok(useless(path, "is no folder", "name another storage.archive_directory"));
    }
    if !servant.may(Right::Write, owned) || !servant.may(Right::Pass, owned) {
        let what = format!("cannot be written by {user} (owner {})", owned.user);
        return Ok(useless(path, &what, &format!("chown {user}: {text}")));
    }
    if fs::metadata(data).is_ok_and(|data| data.dev() == folder.dev()) {
        let found = format!("{text} is on the data's own file system: it frees no space there");
        return Ok(Finding::note(CHECK, found));
    }
    Ok(Finding::ok(CHECK, text.to_string()))
}

/// A start makes the folder, and not those above it.
fn absent(servant: &Servant, path: &Path, above: &Path) -> io::Result<Finding> {
    let (user, text) = (&servant.name, path.display());
    if servant.may(Right::Write, Owned::from(&fs::metadata(above)?)) {
        return Ok(Finding::ok(CHECK, format!("{text} is absent, and {user} can make it")));
    }
    let what = format!("is absent, and {user} cannot make it");
    Ok(unreachable(path, &what, &format!("install -d -o {user} -m 0700 {text}")))
}

fn unreachable(path: &Path, what: &str, remedy: &str) -> Finding {
    let found = format!("{} {what}", path.display());
    Finding::fault(CHECK, found, remedy).ends_serve(IO)
}

fn useless(path: &Path, what: &str, remedy: &str) -> Finding {
    let found = format!("{} {what}: segments that are to be archived are kept", path.display());
    Finding::warning(CHECK, found, remedy)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::cli::doctor::finding::Verdict;

    #[test]
    fn an_archive_that_cannot_be_made_or_written_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("archive");
        let own = fs::metadata(folder.path()).unwrap();
        let servant = Servant { user: own.uid(), group: own.gid(), ..Servant::this_process() };
        let judged = |servant: &Servant, data: &str| {
            let finding = judge(servant, &archive, Path::new(data)).unwrap();
            (finding.verdict, finding.found)
        };
        let absent = judged(&servant, "/proc");
        assert!(absent.0 == Verdict::Ok && absent.1.contains("can make it"), "{absent:?}");
        fs::write(&archive, "").unwrap();
        let file = judged(&servant, "/proc");
        assert!(file.0 == Verdict::Warning && file.1.contains("is no folder"), "{file:?}");
        fs::remove_file(&archive).unwrap();
        fs::create_dir(&archive).unwrap();
        assert_eq!(judged(&servant, "/proc").0, Verdict::Ok);
        let beside = judged(&servant, folder.path().to_str().unwrap());
        assert!(beside.0 == Verdict::Note && beside.1.contains("own file system"), "{beside:?}");
        let stranger = Servant { user: 65_000, group: 65_000, groups: vec![], ..servant };
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let closed = judged(&stranger, "/proc");
        assert!(closed.0 == Verdict::Fault && closed.1.contains("may not pass"), "{closed:?}");
        for path in [folder.path(), &archive] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert!(judged(&stranger, "/proc").1.contains("cannot be written by"));
        fs::remove_dir(&archive).unwrap();
        let absent = judged(&stranger, "/proc");
        assert!(absent.0 == Verdict::Fault && absent.1.contains("cannot make it"), "{absent:?}");
    }
}
