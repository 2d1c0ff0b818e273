//! What the kernel and systemd let the server have, against what the configuration promises.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::case::Case;
use super::finding::Finding;
use super::unit::Unit;
use crate::cli::human::about_bytes;
use crate::config::Config;
use crate::log::MAPS_MAX;

/// Files that are neither connections nor segments: those of the process, and spare ones.
const OTHER_FILES: u64 = 128;
/// Threads that are no stream's.
const OTHER_THREADS: u64 = 64;
/// Maps of memory that are no index: libraries, heaps, and two for each thread's stack.
const OTHER_MAPS: u64 = 1024;
/// What a server takes without anything to do, and to spare.
const MEMORY_BYTES: u64 = 128 << 20;
/// Messages that are being read at once on a busy server.
const MESSAGES: u64 = 16;
/// gRPC's C core calls less "suspiciously small"; the socket unit asks for 1024.
const ACCEPT_QUEUE_MIN: u64 = 1024;

/// Limits; `None` is none.
#[derive(Clone, Copy, Debug, Default)]
struct Host {
    open_files: Option<u64>,
    file_bytes: Option<u64>,
    threads: Option<u64>,
    maps: Option<u64>,
    accept_queue: Option<u64>,
    memory_free: Option<u64>,
    memory_max: Option<u64>,
}

/// Judges the limits of the service, or those of this process if the configuration is not its.
pub(super) fn look(case: &Case, unit: Option<&Unit>) -> Vec<Finding> {
    let unit = unit.filter(|_| case.is_service);
    let (host, config) = (Host::look(unit), &case.config);
    let findings = [
        open_files(host, config),
        file_bytes(host, config),
        threads(host, config),
        maps(host, config),
        memory(host, config),
        accept_queue(host),
    ];
    findings.into_iter().flatten().collect()
}

impl Host {
    fn look(unit: Option<&Unit>) -> Self {
        let own = |resource| getrlimit(resource).current;
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse().ok();
        let threads_max = number("/proc/sys/kernel/threads-max");
        let least = |limits: [Option<u64>; 3]| limits.into_iter().flatten().min();
        let (open_files, threads, memory_max) = match unit {
            Some(unit) => {
                (unit.limit("LimitNOFILE"), unit.limit("TasksMax"), { unit.limit("MemoryMax") })
            }
            None => (
                own(Resource::Nofile),
                least([own(Resource::Nproc), of_group("pids.max"), None]),
                of_group("memory.max"),
            ),
        };
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        Self {
            open_files,
            file_bytes: if unit.is_some() { None } else { own(Resource::Fsize) },
            threads: least([threads, threads_max, None]),
            maps: number("/proc/sys/vm/max_map_count"),
            accept_queue: number("/proc/sys/net/core/somaxconn"),
            memory_free: available(&memory),
            memory_max,
        }
    }
}

/// A limit of this process's control group, in the file of version 2's hierarchy.
fn of_group(file: &str) -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    fs::read_to_string(format!("/sys/fs/cgroup{path}/{file}")).ok()?.trim().parse().ok()
}

/// What programs can still have, in bytes.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

fn open_files(host: Host, config: &Config) -> Option<Finding> {
    const CHECK: &str = "open_files";
    let max = host.open_files?;
    let segments = wide(config.storage.open_segments_max);
    let streams = wide(config.limits.streams_max);
    // Half of the files are for segments; a client has a connection for its streams.
    let wanted = (segments * 4).max(segments * 2 + streams + OTHER_FILES);
    let found = format!("{max} files may be open");
    let finding = if max < wanted {
        let found = format!(
            "{found}; limits.streams_max is {streams} and storage.open_segments_max {segments}, \
             two files each: {wanted} would do for a connection per stream"
        );
        let remedy = "raise LimitNOFILE= in the unit or `ulimit -n`, or lower these limits";
        Finding::warning(CHECK, found, remedy)
    } else {
        Finding::ok(CHECK, found)
    };
    Some(finding.with("open_files_max", max))
}

fn file_bytes(host: Host, config: &Config) -> Option<Finding> {
    let max = host.file_bytes?;
    let segment = config.storage.defaults.segment_bytes_max;
    let batch = u64::from(config.storage.defaults.batch_bytes_max);
    if max >= segment.saturating_add(batch) {
        return None;
    }
    let found =
        format!("a file may have {}, and a segment {}", about_bytes(max), { about_bytes(segment) });
    Some(Finding::warning("file_size", found, "raise LimitFSIZE= in the unit or `ulimit -f`"))
}

fn threads(host: Host, config: &Config) -> Option<Finding> {
    const CHECK: &str = "threads";
    let max = host.threads?;
    let streams = wide(config.limits.streams_max);
    let wanted = streams.saturating_add(OTHER_THREADS);
    let finding = if max < wanted {
        let found = format!("{max} threads may run, and limits.streams_max is {streams}");
        let remedy = "raise TasksMax= in the unit or `ulimit -u`, or lower limits.streams_max";
        Finding::warning(CHECK, found, remedy)
    } else {
        Finding::ok(CHECK, format!("{max} may run, {streams} streams have one each"))
    };
    Some(finding.with("threads_max", max))
}

fn maps(host: Host, config: &Config) -> Option<Finding> {
    const CHECK: &str = "memory_maps";
    let max = host.maps?;
    let files = host.open_files.unwrap_or(u64::MAX);
    let segments = wide(MAPS_MAX).min(files / 2);
    let stacks = wide(config.limits.streams_max).saturating_mul(2);
    let wanted = segments.saturating_add(stacks).saturating_add(OTHER_MAPS);
    let finding = if max < wanted {
        let found = format!(
            "vm.max_map_count is {max}; {segments} open indexes and the streams' stacks may take \
             {wanted}"
        );
        Finding::warning(CHECK, found, format!("sysctl vm.max_map_count={wanted}"))
    } else {
        Finding::ok(CHECK, format!("vm.max_map_count is {max}, {wanted} may be needed"))
    };
    Some(finding.with("maps_max", max))
}

fn memory(host: Host, config: &Config) -> Option<Finding> {
    const CHECK: &str = "memory";
    let limits = [host.memory_free, host.memory_max];
    let max = limits.into_iter().flatten().min()?;
    let pending = config.storage.pending_bytes_max;
    let message = u64::from(config.limits.message_bytes_max);
    let needed =
        MEMORY_BYTES.saturating_add(pending).saturating_add(message.saturating_mul(MESSAGES));
    let found = format!("{} may be had", about_bytes(max));
    let finding = if max < needed {
        let found = format!("{found}, and one busy log may take {}", about_bytes(needed));
        let remedy = "lower storage.pending_bytes_max and limits.message_bytes_max, or add memory";
        Finding::warning(CHECK, found, remedy)
    } else {
        Finding::ok(CHECK, format!("{found}; one busy log may take {}", about_bytes(needed)))
    };
    Some(finding.with("memory_bytes", max))
}

fn accept_queue(host: Host) -> Option<Finding> {
    const CHECK: &str = "accept_queue";
    let max = host.accept_queue?;
    let found = format!("net.core.somaxconn lets {max} connections wait");
    let finding = if max < ACCEPT_QUEUE_MIN {
        let remedy = format!("sysctl net.core.somaxconn={ACCEPT_QUEUE_MIN}, then restart varve");
        Finding::warning(CHECK, format!("{found}: few, when many clients come back"), remedy)
    } else {
        Finding::ok(CHECK, found)
    };
    Some(finding)
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::cli::doctor::finding::Verdict;
    use crate::config::Overrides;

    /// With 4,096 streams and 256 open segments.
    fn config() -> Config {
        let acl = Some(PathBuf::from("acl.csv"));
        let plain = Overrides { acl, plaintext: true, ..Overrides::default() };
        let empty = tempfile::NamedTempFile::new().unwrap();
        Config::load(Some(empty.path()), &plain, None).unwrap()
    }

    fn verdict(judge: fn(Host, &Config) -> Option<Finding>, host: Host) -> Option<Verdict> {
        judge(host, &config()).map(|finding| finding.verdict)
    }

    #[test]
    fn files_are_for_segments_and_a_connection_per_stream() {
        let with = |open_files| Host { open_files, ..Host::default() };
        assert_eq!(verdict(open_files, with(None)), None);
        assert_eq!(verdict(open_files, with(Some(512 + 4096 + 127))), Some(Verdict::Warning));
        assert_eq!(verdict(open_files, with(Some(512 + 4096 + 128))), Some(Verdict::Ok));
    }

    #[test]
    fn threads_maps_and_memory_are_enough_or_not() {
        let with = |threads| Host { threads, ..Host::default() };
        assert_eq!(verdict(threads, with(Some(4159))), Some(Verdict::Warning));
        assert_eq!(verdict(threads, with(Some(4160))), Some(Verdict::Ok));
        let with = |maps| Host { maps, open_files: Some(2048), ..Host::default() };
        assert_eq!(verdict(maps, with(Some(9000))), Some(Verdict::Warning));
        assert_eq!(verdict(maps, with(Some(65_530))), Some(Verdict::Ok));
        let with = |mib: u64| Host { memory_max: Some(mib << 20), ..Host::default() };
        assert_eq!(verdict(memory, with(255)), Some(Verdict::Warning));
        assert_eq!(verdict(memory, with(256)), Some(Verdict::Ok));
        let with = |mib: u64| Host { file_bytes: Some(mib << 20), ..Host::default() };
        assert_eq!(verdict(file_bytes, with(135)), Some(Verdict::Warning));
        assert_eq!(verdict(file_bytes, with(136)), None);
    }

    #[test]
    fn a_short_accept_queue_is_told_of() {
        let with = |max| Host { accept_queue: Some(max), ..Host::default() };
        assert_eq!(accept_queue(with(128)).unwrap().verdict, Verdict::Warning);
        assert_eq!(accept_queue(with(4096)).unwrap().verdict, Verdict::Ok);
    }

    #[test]
    fn the_kernel_tells_its_limits() {
        assert_eq!(available("MemFree: 1 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        let host = Host::look(None);
        assert!(host.maps > Some(0) && host.accept_queue > Some(0) && host.threads > Some(0));
    }
}
