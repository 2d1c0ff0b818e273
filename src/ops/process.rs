//! What the kernel tells of this process, read when it is asked for.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What this process takes of the host. A figure that the kernel does not tell is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) threads: Option<u64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_files: Option<u64>,
    /// None as well if there is no limit.
    pub(super) open_files_max: Option<u64>,
    pub(super) cpu_time: Option<Duration>,
}

impl Process {
    pub(super) fn look() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = u64::try_from(spent.tv_sec).ok();
        let nanos = u32::try_from(spent.tv_nsec).ok();
        Self {
            threads: field(&status, "Threads:"),
            resident_bytes: field(&status, "VmRSS:").map(|kib| kib * 1024),
            open_files: open_files().ok(),
            open_files_max: getrlimit(Resource::Nofile).current,
            cpu_time: seconds.zip(nanos).map(|(s, ns)| Duration::new(s, ns)),
        }
    }
}

/// The number behind `name` in the lines of `/proc/self/status`.
fn field(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Without the descriptor that the counting itself takes.
fn open_files() -> io::Result<u64> {
    let counted = fs::read_dir("/proc/self/fd")?.count().saturating_sub(1);
    u64::try_from(counted).map_err(|_| ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells_of_this_process() {
        let process = Process::look();
        assert!(process.threads >= Some(1) && process.resident_bytes > Some(100_000));
        assert!(process.open_files >= Some(3) && process.cpu_time > Some(Duration::ZERO));
    }

    #[test]
    fn a_field_is_the_number_behind_its_name() {
        let status = "Name:\tvarve\nVmRSS:\t   1234 kB\nThreads:\t7\n";
        assert_eq!(field(status, "VmRSS:"), Some(1234));
        assert_eq!(field(status, "Threads:"), Some(7));
        assert_eq!(field(status, "Name:"), None);
        assert_eq!(field(status, "VmSwap:"), None);
    }
}
