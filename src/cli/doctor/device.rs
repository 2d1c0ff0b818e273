//! The block device below a folder, and what the kernel knows of its cache.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};

use super::mounts::Mount;

/// A block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Device {
    /// As in `/dev`; empty if the file system has no device.
    pub(super) name: String,
    /// `write back` if the device has a cache that a power cut empties, so that the kernel has to
    /// empty it with each sync; `write through` if it says that it has none. Empty if unknown.
    pub(super) write_cache: String,
    /// Whether it is memory, or a file of another file system.
    pub(super) is_made_up: bool,
    /// Whether this host, or the device, is a virtual machine's.
    pub(super) is_virtual: bool,
}

impl Device {
    /// The device of `folder`, which is on `mount`.
    pub(super) fn of(folder: &Path, mount: Option<&Mount>) -> Self {
        let number = fs::metadata(folder).map(|file| file.dev()).unwrap_or(0);
        // Some file systems have numbers of their own; what is mounted tells the device then.
        let number = match (major(number), mount) {
            (0, Some(mount)) => fs::metadata(&mount.source).map(|file| file.rdev()).unwrap_or(0),
            _ => number,
        };
        let is_virtual = is_virtual_machine(&read("/proc/cpuinfo"));
        let link = format!("/sys/dev/block/{}:{}", major(number), minor(number));
        match fs::canonicalize(link) {
            Ok(path) => Self::at(&path, is_virtual),
            Err(_) => Self { is_virtual, ..Self::default() },
        }
    }

    /// By its folder in `/sys/devices`; that of a partition is inside that of its disk.
    fn at(path: &Path, is_virtual: bool) -> Self {
        let folders = [Some(path), path.parent()];
        let queue = folders.into_iter().flatten().map(|folder| folder.join("queue"));
        let queue = queue.into_iter().find(|queue| queue.is_dir()).unwrap_or_default();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = path.to_string_lossy();
        let made_up = ["ram", "zram", "loop"];
        Self {
            is_made_up: made_up.iter().any(|start| name.starts_with(start)),
            is_virtual: is_virtual || text.contains("/virtio") || text.contains("/vbd-"),
            write_cache: read(queue.join("write_cache")).trim().to_owned(),
            name,
        }
    }
}

fn read(path: impl Into<PathBuf>) -> String {
    fs::read_to_string(path.into()).unwrap_or_default()
}

/// Hypervisors say so in the processor's flags.
fn is_virtual_machine(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_described_by_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("virtio3/block/vda");
        fs::create_dir_all(disk.join("queue")).unwrap();
        fs::create_dir_all(disk.join("vda1")).unwrap();
        fs::write(disk.join("queue/write_cache"), "write back\n").unwrap();
        for (path, name) in [(disk.clone(), "vda"), (disk.join("vda1"), "vda1")] {
            let device = Device::at(&path, false);
            assert_eq!((device.name.as_str(), device.is_virtual), (name, true));
            assert_eq!((device.write_cache.as_str(), device.is_made_up), ("write back", false));
        }
        let ram = Device::at(&folder.path().join("ram7"), false);
        assert!(ram.is_made_up && !ram.is_virtual && ram.write_cache.is_empty());
    }

    #[test]
    fn a_virtual_machine_is_told_by_the_flags() {
        assert!(is_virtual_machine("model: x\nflags\t\t: fpu hypervisor lahf\n"));
        assert!(!is_virtual_machine("flags\t: fpu lahf\nbugs: hypervisor\n"));
    }
}
