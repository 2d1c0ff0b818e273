//! The file system that a folder is on: what the kernel's table of mounts says of it.

use std::path::{Path, PathBuf};

use super::finding::Finding;
use crate::cli::exit::IO;

const CHECK: &str = "file_system";

/// A row of `/proc/self/mountinfo`, as `proc_pid_mountinfo(5)` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    point: PathBuf,
    /// The type of the file system.
    kind: String,
    /// What is mounted, such as `/dev/sda1`.
    pub(super) source: String,
    /// Those of the mount, and then those of the file system.
    options: Vec<String>,
}

impl Mount {
    /// The mount that `path`, which is absolute and has no links, is on.
    pub(super) fn of(table: &str, path: &Path) -> Option<Self> {
        let rows = table.lines().filter_map(Self::parse);
        // Of two on one folder the later hides the earlier.
        rows.filter(|mount| path.starts_with(&mount.point))
            .max_by_key(|mount| mount.point.components().count())
    }

    fn parse(row: &str) -> Option<Self> {
        let (before, after) = row.split_once(" - ")?;
        let mut before = before.split(' ').skip(4);
        let (point, own) = (before.next()?, before.next()?);
        let mut after = after.split(' ');
        let (kind, source) = (after.next()?, after.next()?);
        let options = own.split(',').chain(after.next().unwrap_or_default().split(','));
        Some(Self {
            point: PathBuf::from(unescaped(point)),
            kind: kind.to_owned(),
            source: unescaped(source),
            options: options.map(str::to_owned).collect(),
        })
    }

    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }

    /// Whether bytes stay when the power goes.
    pub(super) fn is_memory(&self) -> bool {
        matches!(self.kind.as_str(), "tmpfs" | "ramfs")
    }

    /// Whether the promises can hold on it.
    pub(super) fn judge(&self) -> Finding {
        let found = format!("{} on {} ({})", self.kind, self.point.display(), self.source);
        if self.has("ro") {
            let remedy = "mount it to be written, or name another data_dir";
            return Finding::fault(CHECK, format!("{found} is read-only"), remedy).ends_serve(IO);
        }
        let elsewhere = "name a data_dir on a local disk with ext4 or XFS";
        let unfit = match self.kind.as_str() {
            "tmpfs" | "ramfs" => Some("is memory: all is gone when the host stops"),
            "overlay" | "aufs" => Some("is a container's own layer: it goes with the container"),
            kind if is_remote(kind) => {
                Some("is not a local disk: its locks and syncs promise less, or nothing")
            }
            _ => None,
        };
        if let Some(why) = unfit {
            return Finding::warning(CHECK, format!("{found} {why}"), elsewhere);
        }
        if let Some(option) = ["nobarrier", "barrier=0"].into_iter().find(|name| self.has(name)) {
            let found = format!(
                "{found} is mounted with {option}: a sync does not empty the disk's own cache, \
                 and a power cut takes what was acknowledged"
            );
            return Finding::warning(CHECK, found, format!("mount it without {option}"));
        }
        if self.has("data=writeback") {
            return Finding::note(CHECK, format!("{found}, data=writeback: syncs hold as ever"));
        }
        match self.kind.as_str() {
            "ext4" | "xfs" => Finding::ok(CHECK, found),
            _ => Finding::note(CHECK, format!("{found}: power cuts were tried on ext4 and XFS")),
        }
    }
}

fn is_remote(kind: &str) -> bool {
    let starts = ["nfs", "fuse", "smb", "cifs", "9p", "ceph", "virtiofs", "gluster", "lustre"];
    // Block devices of which a program in user space is the file system are no network, but their
    // syncs are that program's.
    starts.iter().any(|start| kind.starts_with(start))
}

/// The kernel writes blanks and backslashes as `\` and three octal digits.
fn unescaped(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    const TABLE: &str = "\
20 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
30 20 0:25 / /tmp rw,nosuid - tmpfs tmpfs rw,size=1g
31 20 8:1 / /var/lib/my\\040logs rw - xfs /dev/sda1 rw,nobarrier
32 31 8:2 / /var/lib/my\\040logs rw - xfs /dev/sdb1 rw
33 20 0:40 / /net rw - nfs4 host:/x rw
34 20 8:3 / /ro ro - ext4 /dev/sdc rw
35 20 0:41 / /box rw - overlay overlay rw
36 20 8:4 / /wb rw - ext4 /dev/sdd rw,data=writeback
37 20 8:5 / /bt rw - btrfs /dev/sde rw
38 20 8:6 / /nb rw - ext4 /dev/sdf rw,barrier=0
";

    fn at(path: &str) -> Mount {
        Mount::of(TABLE, Path::new(path)).unwrap()
    }

    #[test]
    fn a_path_is_on_the_longest_and_last_mount() {
        assert_eq!(at("/var/lib/varve").source, "/dev/vda");
        assert_eq!(at("/tmp/x").kind, "tmpfs");
        assert_eq!(at("/tmpx").kind, "ext4");
        assert_eq!(at("/var/lib/my logs/a").source, "/dev/sdb1");
        assert_eq!(Mount::of("nonsense\n", Path::new("/")), None);
    }

    #[test]
    fn only_a_local_disk_with_barriers_keeps_the_promises() {
        let judged = |path: &str| at(path).judge();
        assert_eq!(judged("/var/lib").verdict, Verdict::Ok);
        assert_eq!(judged("/var/lib/my logs").verdict, Verdict::Ok);
        for path in ["/tmp", "/net", "/box", "/nb"] {
            assert_eq!(judged(path).verdict, Verdict::Warning, "{path}");
        }
        for path in ["/wb", "/bt"] {
            assert_eq!(judged(path).verdict, Verdict::Note, "{path}");
        }
        let read_only = judged("/ro");
        assert_eq!((read_only.verdict, read_only.serve_exit_code), (Verdict::Fault, Some(IO)));
    }
}
