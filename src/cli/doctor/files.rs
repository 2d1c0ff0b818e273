//! The files that the configuration names: whether the server can read them, and who else can
//! change them. That a key is open to strangers is found where it is read.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::case::Case;
use super::finding::Finding;
use super::servant::{Owned, Right, Servant};
use crate::cli::exit::USAGE;

const CHECK: &str = "files";
/// Write access of the group and of everyone.
const WRITE_BY_GROUP: u32 = 0o020;
const WRITE_BY_OTHERS: u32 = 0o002;
/// On a folder: only a file's owner may replace it.
const STICKY: u32 = 0o1000;

/// Looks at the files that a start reads, and at the folders that they are in.
pub(super) fn look(case: &Case) -> Vec<Finding> {
    let files = case.config.reloaded_files();
    let servant = &case.servant;
    let mut findings = Vec::new();
    let mut folders = BTreeSet::new();
    for path in &files {
        folders.extend(path.parent().filter(|folder| !folder.as_os_str().is_empty()));
        // One that is absent is a fault of what reads it.
        let Ok(file) = fs::metadata(path) else { continue };
        let owned = Owned::from(&file);
        let stopped = path.canonicalize().and_then(|path| servant.stopped_at(&path));
        if let Ok(Some(folder)) = stopped {
            findings.push(unreadable(servant, &folder, "pass through"));
        } else if !servant.may(Right::Read, owned) {
            findings.push(unreadable(servant, path, "read"));
        }
        findings.extend(judge(servant, path, owned));
    }
    for folder in folders {
        let owned = fs::metadata(folder).map(|file| Owned::from(&file));
        let owned = owned.ok().filter(|owned| owned.mode & STICKY == 0);
        findings.extend(owned.and_then(|owned| judge(servant, folder, owned)));
    }
    if findings.is_empty() {
        let found = format!("{} can be read by {} and changed by nobody else", count(&files), {
            servant.name.as_str()
        });
        findings.push(Finding::ok(CHECK, found));
    }
    findings
}

fn count<T>(files: &[T]) -> String {
    match files.len() {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    }
}

fn unreadable(servant: &Servant, path: &Path, verb: &str) -> Finding {
    let found = format!("the user {} may not {verb} {}", servant.name, path.display());
    let remedy = match verb {
        "read" => format!("chgrp {} and chmod g+r the file", servant.name),
        _ => "chmod o+x the folder, or give it to the service's group and chmod g+x".to_owned(),
    };
    Finding::fault(CHECK, found, remedy).ends_serve(USAGE)
}

/// Whether somebody can change the file, or put another in its place, who then decides who gets in.
fn judge(servant: &Servant, path: &Path, Owned { user, group, mode }: Owned) -> Option<Finding> {
    let path = path.display();
    if mode & WRITE_BY_OTHERS != 0 {
        let found = format!("every user can change {path} (mode {mode:04o})");
        return Some(Finding::warning(CHECK, found, format!("chmod o-w {path}")));
    }
    if user != 0 && user != servant.user {
        let found = format!("user {user} owns {path}, and can change it");
        return Some(Finding::warning(CHECK, found, format!("chown root {path}")));
    }
    if mode & WRITE_BY_GROUP != 0 && group != 0 && group != servant.group {
        let found = format!("group {group} can change {path} (mode {mode:04o})");
        return Some(Finding::warning(CHECK, found, format!("chmod g-w {path}")));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::servant::tests::varve;
    use super::*;

    #[test]
    fn only_root_and_the_service_may_change_its_files() {
        let verdict = |user, group, mode| {
            let finding = judge(&varve(), Path::new("acl.csv"), Owned { user, group, mode });
            finding.map(|finding| finding.found)
        };
        assert_eq!(verdict(0, 0, 0o644), None);
        assert_eq!(verdict(100, 200, 0o660), None);
        assert_eq!(verdict(0, 0, 0o664), None);
        let found = verdict(0, 0, 0o646).unwrap();
        assert_eq!(found, "every user can change acl.csv (mode 0646)");
        assert_eq!(verdict(7, 7, 0o600).unwrap(), "user 7 owns acl.csv, and can change it");
        assert_eq!(verdict(0, 7, 0o664).unwrap(), "group 7 can change acl.csv (mode 0664)");
    }
}
