//! What a process on this host has had of the processors, and the memory that it holds.
//!
//! From `/proc`: `stat` for the time, `status` for the memory, and `net/tcp` with the descriptors
//! in `fd` to find out who listens on a port.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

/// The kernel tells times in hundredths of a second, whatever its own clock.
const TICK: Duration = Duration::from_millis(10);
/// Where user and system time stand in `stat`, behind the name in brackets.
const USER_TIME: usize = 11;
const SYSTEM_TIME: usize = 12;
/// A socket that listens, in `net/tcp`.
const LISTENS: &str = "0A";

/// A process on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
}

/// What a process holds of the host's memory, in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Memory {
    /// Its own.
    pub(super) rss_anon_kib: u64,
    /// Shared with other processes.
    pub(super) rss_shmem_kib: u64,
    /// Files that it has mapped, which the kernel can take back.
    pub(super) rss_file_kib: u64,
}

impl Process {
    /// This process.
    pub(super) fn own() -> Self {
        Self { pid: std::process::id() }
    }

    /// The process `pid`.
    ///
    /// # Errors
    ///
    /// The system's, if it cannot be looked at.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let process = Self { pid };
        process.cpu().map(|_| process)
    }

    /// The one that listens on `port`, if it can be found out.
    pub(super) fn listening_on(port: u16) -> Option<Self> {
        let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
            .iter()
            .filter_map(|table| fs::read_to_string(table).ok())
            .flat_map(|table| listeners(&table, port).map(str::to_owned).collect::<Vec<_>>())
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        let processes = fs::read_dir("/proc").ok()?.flatten();
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.find(|pid| holds(*pid, &sockets)).map(|pid| Self { pid })
    }

    /// What it has had of the processors since its start.
    pub(super) fn cpu(self) -> io::Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        cpu(&stat).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// What it holds of the memory now.
    pub(super) fn memory(self) -> io::Result<Memory> {
        fs::read_to_string(format!("/proc/{}/status", self.pid)).map(|status| memory(&status))
    }
}

/// Whether the process has one of `sockets` open; not if it may not be looked at.
fn holds(pid: u32, sockets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    let targets = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    targets.into_iter().any(|target| sockets.iter().any(|socket| target == Path::new(socket)))
}

/// The inodes of the sockets that listen on `port`, from the lines of `net/tcp`.
fn listeners(table: &str, port: u16) -> impl Iterator<Item = &str> {
    table.lines().filter_map(move |line| {
        let mut fields = line.split_whitespace();
        let address = fields.nth(1)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?;
        let (_, local) = address.rsplit_once(':')?;
        let is_it = u16::from_str_radix(local, 16) == Ok(port) && state == LISTENS;
        is_it.then_some(inode)
    })
}

fn cpu(stat: &str) -> Option<Duration> {
    // The name, in brackets, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place)?.parse::<u32>().ok();
    Some(TICK * ticks(USER_TIME)?.checked_add(ticks(SYSTEM_TIME)?)?)
}

fn memory(status: &str) -> Memory {
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let figure = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        figure.unwrap_or_default()
    };
    Memory {
        rss_anon_kib: kib("RssAnon"),
        rss_shmem_kib: kib("RssShmem"),
        rss_file_kib: kib("RssFile"),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn the_time_is_read_behind_a_name_that_looks_like_fields() {
        let stat = "12 (a) 1 b) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(cpu("12 (a) S 1"), None);
    }

    #[test]
    fn the_kinds_of_memory_are_told_apart() {
        let status = "VmRSS:\t 9 kB\nRssAnon:\t   12 kB\nRssFile:\t 34 kB\nRssShmem:\t5 kB\n";
        let expected = Memory { rss_anon_kib: 12, rss_file_kib: 34, rss_shmem_kib: 5 };
        assert_eq!(memory(status), expected);
        assert_eq!(memory(""), Memory::default());
    }

    #[test]
    fn whoever_listens_on_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(Process::listening_on(port), Some(Process::own()));
        drop(listener);
        assert_eq!(Process::listening_on(port), None);
    }

    #[test]
    fn a_connection_is_no_listener() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n\
            0: 0100007F:20D0 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 77 1\n\
            1: 0100007F:20D0 0100007F:9999 01 00000000:00000000 00:00000000 00000000 0 0 78 1\n";
        assert_eq!(listeners(table, 8400).collect::<Vec<_>>(), ["77"]);
        assert_eq!(listeners(table, 8401).count(), 0);
    }

    #[test]
    fn a_process_that_is_not_there_is_told() {
        assert!(Process::own().cpu().is_ok());
        assert!(Process::own().memory().unwrap().rss_anon_kib > 0);
        // The largest number is above what the kernel gives out.
        assert!(Process::of(u32::MAX).is_err());
    }
}
