//! How long the disk takes to keep something, and whether that can be true.
//!
//! Blocks are written and synced one after the other, as the server's smallest batches are, into a
//! file without a name, so that nothing is left behind. A sync that returns sooner than any device
//! can have written is told of; that a device is honest nobody can tell from this side of it.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};

use super::case::Case;
use super::device::Device;
use super::finding::Finding;
use super::mounts::Mount;
use crate::cli::bench::synced_write;
use crate::cli::exit::IO;
use crate::service::null::spool::nameless;

const CHECK: &str = "disk";
const BLOCK_BYTES: usize = 4096;
const BLOCKS: usize = 100;
/// A slow disk gets no more than this.
const TIME_MAX: Duration = Duration::from_secs(3);
/// No flash takes a flush sooner, unless it need not: one with capacitors, or one that lies.
const TOO_QUICK: Duration = Duration::from_micros(30);
/// As the alert `VarveSyncsSlow` has it.
const SLOW_P99: Duration = Duration::from_millis(100);
const SLOW_MEDIAN: Duration = Duration::from_millis(20);

/// What the blocks took: a write and a sync each.
#[derive(Clone, Copy, Debug)]
struct Measured {
    blocks: usize,
    median: Duration,
    p99: Duration,
}

/// Measures the disk of `folder`, and looks whether the file system can do what the server asks of
/// it.
pub(super) fn look(case: &Case, folder: &Path, mount: Option<&Mount>) -> Vec<Finding> {
    let device = Device::of(folder, mount);
    let is_memory = mount.is_some_and(Mount::is_memory);
    let mut findings = match measure(folder) {
        Ok(measured) => vec![judge(measured, &device, is_memory)],
        Err(error) => vec![failed(case, folder, &error)],
    };
    findings.extend(links(folder));
    findings
}

fn measure(folder: &Path) -> io::Result<Measured> {
    let file = nameless(folder)?;
    let block = [b'v'; BLOCK_BYTES];
    let bytes = u64::try_from(BLOCK_BYTES * BLOCKS).unwrap_or(u64::MAX);
    fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
    file.sync_all()?;
    let mut took = Vec::with_capacity(BLOCKS);
    let began = Instant::now();
    for position in (0..bytes).step_by(BLOCK_BYTES) {
        took.push(synced_write(&file, &block, position)?);
        if began.elapsed() > TIME_MAX {
            break;
        }
    }
    Ok(Measured::of(took))
}

impl Measured {
    fn of(mut took: Vec<Duration>) -> Self {
        took.sort_unstable();
        let at = |hundredths: usize| {
            let place = (took.len() * hundredths).div_ceil(100).saturating_sub(1);
            took.get(place).copied().unwrap_or_default()
        };
        Self { blocks: took.len(), median: at(50), p99: at(99) }
    }
}

fn judge(measured: Measured, device: &Device, is_memory: bool) -> Finding {
    let Measured { blocks, median, p99 } = measured;
    let (median_us, p99_us) = (micros(median), micros(p99));
    let found = format!(
        "{blocks} writes of 4 KiB, each synced: median {median_us} us, p99 {p99_us} us{}",
        on(device)
    );
    let finding = if is_memory || device.is_made_up {
        Finding::note(CHECK, format!("{found}: no disk of its own, so this says little"))
    } else if median < TOO_QUICK {
        Finding::warning(
            CHECK,
            format!(
                "{found}: sooner than most devices can write. One with power-loss protection may; \
                 one that answers from a cache loses what was acknowledged"
            ),
            "find out which of the two it is, and try a power cut with data that you can lose",
        )
    } else if p99 > SLOW_P99 || median > SLOW_MEDIAN {
        let found = format!("{found}: slow, and every acknowledgement waits for one");
        Finding::warning(CHECK, found, "find out who else writes to it, or take another disk")
    } else if device.is_virtual {
        let unseen = "a virtual machine cannot see whether the host behind it keeps what it syncs";
        Finding::note(CHECK, format!("{found}; {unseen}"))
    } else {
        Finding::ok(CHECK, found)
    };
    finding.with("sync_median_us", median_us).with("sync_p99_us", p99_us)
}

fn on(Device { name, write_cache, .. }: &Device) -> String {
    let cache = match write_cache.as_str() {
        "write back" => ", whose cache each sync empties",
        "write through" => ", which says that it has no volatile cache",
        _ => "",
    };
    if name.is_empty() { String::new() } else { format!(", on {name}{cache}") }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn failed(case: &Case, folder: &Path, error: &io::Error) -> Finding {
    let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
    if is_denied && !case.is_servant() {
        return Finding::not_looked_at(CHECK, case.needs());
    }
    let found = format!("cannot write and sync a file in {}: {error}", folder.display());
    let remedy = match error.raw_os_error() == Some(rustix::io::Errno::OPNOTSUPP.raw_os_error()) {
        true => "the file system lacks fallocate: name a data_dir on ext4 or XFS",
        false => "look at the kernel's log for the disk, or name another data_dir",
    };
    Finding::fault(CHECK, found, remedy).ends_serve(IO)
}

/// Whether a file can have two names. Without that originals are copied where they are kept.
fn links(folder: &Path) -> Option<Finding> {
    let path = folder.join(format!(".varve-doctor-{}", std::process::id()));
    let other = path.with_extension("link");
    fs::File::create_new(&path).ok()?;
    let linked = fs::hard_link(&path, &other);
    for name in [&path, &other] {
        // The second may not be there.
        let _absent = fs::remove_file(name);
    }
    let error = linked.err()?;
    let found = format!("no links ({error}): `varve repair` copies the originals that it keeps");
    Some(Finding::note("file_system", found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    fn measured(median_us: u64, p99_us: u64) -> Measured {
        let [median, p99] = [median_us, p99_us].map(Duration::from_micros);
        Measured { blocks: 100, median, p99 }
    }

    fn disk() -> Device {
        let write_cache = "write back".to_owned();
        Device { name: "sda".to_owned(), write_cache, ..Device::default() }
    }

    #[test]
    fn a_disk_is_judged_by_how_long_it_takes() {
        let verdict = |median, p99| judge(measured(median, p99), &disk(), false).verdict;
        assert_eq!(verdict(180, 900), Verdict::Ok);
        assert_eq!(verdict(29, 900), Verdict::Warning);
        assert_eq!(verdict(180, 100_001), Verdict::Warning);
        assert_eq!(verdict(20_001, 30_000), Verdict::Warning);
        let found = judge(measured(180, 900), &disk(), false).found;
        assert!(found.ends_with("p99 900 us, on sda, whose cache each sync empties"), "{found}");
    }

    #[test]
    fn what_cannot_be_known_is_not_called_well() {
        let of = |device: Device, is_memory| judge(measured(180, 900), &device, is_memory).verdict;
        assert_eq!(of(Device { is_virtual: true, ..disk() }, false), Verdict::Note);
        assert_eq!(of(Device { is_made_up: true, ..disk() }, false), Verdict::Note);
        assert_eq!(of(disk(), true), Verdict::Note);
        // In memory nothing is too quick.
        assert_eq!(judge(measured(1, 1), &disk(), true).verdict, Verdict::Note);
    }

    #[test]
    fn the_median_and_the_hundredth_are_of_the_sorted_times() {
        let took = (1..=100).rev().map(Duration::from_micros).collect();
        let Measured { blocks, median, p99 } = Measured::of(took);
        assert_eq!((blocks, micros(median), micros(p99)), (100, 50, 99));
        assert_eq!(micros(Measured::of(vec![Duration::from_micros(7)]).p99), 7);
    }

    #[test]
    fn measuring_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let measured = measure(folder.path()).unwrap();
        assert!(measured.blocks > 0 && measured.median <= measured.p99);
        assert_eq!(links(folder.path()), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
