//! The archive: whether segments can be copied there before they are dropped. A server starts
//! without it, and then keeps what it cannot copy until the disk is full.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::case::Case;
use super::finding::Finding;
use super::servant::{Owned, Right, Servant};

const CHECK: &str = "archive";

/// Looks at the archive, if one is set; `data` is the folder of the data, or the nearest above it.
pub(super) fn look(case: &Case, data: &Path) -> Option<Finding> {
    let path = case.config.storage.archive.as_deref()?;
    let finding = match judge(&case.servant, path, data) {
        Ok(finding) => finding,
        Err(_) if !case.is_servant() => Finding::not_looked_at(CHECK, case.needs()),
        Err(error) => useless(path, &error.to_string(), "check storage.archive_directory"),
    };
    Some(finding)
}

fn judge(servant: &Servant, path: &Path, data: &Path) -> std::io::Result<Finding> {
    let (user, text) = (&servant.name, path.display());
    let make = format!("install -d -o {user} -m 0700 {text}; in the unit ReadWritePaths={text}");
    let folder = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(useless(path, "is absent", &make));
        }
        folder => folder?,
    };
    if !folder.is_dir() {
        return Ok(useless(path, "is no folder", &make));
    }
    if let Some(closed) = servant.stopped_at(&path.canonicalize()?.join("log"))? {
        let what = format!("is out of reach: {user} may not pass through {}", closed.display());
        return Ok(useless(path, &what, &format!("chmod o+x {}", closed.display())));
    }
    let owned = Owned::from(&folder);
    if !servant.may(Right::Write, owned) {
        let what = format!("cannot be written by {user} (owner {})", owned.user);
        return Ok(useless(path, &what, &format!("chown {user}: {text}")));
    }
    if fs::metadata(data).is_ok_and(|data| data.dev() == folder.dev()) {
        let found = format!("{text} is on the data's own file system: it frees no space there");
        return Ok(Finding::note(CHECK, found));
    }
    Ok(Finding::ok(CHECK, text.to_string()))
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
    fn an_archive_that_cannot_be_written_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("archive");
        let own = fs::metadata(folder.path()).unwrap();
        let servant = Servant { user: own.uid(), group: own.gid(), ..Servant::this_process() };
        let judged = |servant: &Servant, data: &str| {
            let finding = judge(servant, &archive, Path::new(data)).unwrap();
            (finding.verdict, finding.found)
        };
        let (verdict, found) = judged(&servant, "/proc");
        assert!(verdict == Verdict::Warning && found.contains("is absent"), "{found}");
        fs::write(&archive, "").unwrap();
        assert!(judged(&servant, "/proc").1.contains("is no folder"));
        fs::remove_file(&archive).unwrap();
        fs::create_dir(&archive).unwrap();
        assert_eq!(judged(&servant, "/proc").0, Verdict::Ok);
        let beside = judged(&servant, folder.path().to_str().unwrap());
        assert!(beside.0 == Verdict::Note && beside.1.contains("own file system"), "{beside:?}");
        let stranger = Servant { user: 65_000, group: 65_000, groups: vec![], ..servant };
        assert!(judged(&stranger, "/proc").1.contains("may not pass through"));
        for path in [folder.path(), &archive] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        assert!(judged(&stranger, "/proc").1.contains("cannot be written by"));
    }
}
