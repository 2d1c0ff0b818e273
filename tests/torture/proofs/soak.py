"""Many clients at work for a long time, with a fault now and then.

In the first half every fault may end the server; each time it comes back, all of it is checked. In
the second half the faults are of those that it must outlive, and its memory, its files and its
threads must not grow.
"""

import math
import os
import signal
import statistics
import time
from pathlib import Path

import batches
import load
import loopfs
from proofs import Skipped, World, account, check, check_busy, check_load, check_world
from proofs.index import harm, indexes
from server import EXIT_IO, Site

FAULT_EVERY_S = 10.0
# The first minutes of a process fill its buffers.
WARM_UP_PART = 0.4
# In less a process still opens the files and fills the buffers that it keeps.
FLAT_AFTER_S = 60
# What may grow: in an hour for good, and once for what was not filled when it was warm. The second
# is that of the shortest soak, and of one that is twice as long half of it and the noise.
GROWTH_PER_HOUR = {"KiB": 1024, "files": 0, "threads": 0}
GROWTH_ONCE = {"KiB": 4096, "files": 4, "threads": 2}
# So many standard errors of the difference of two medians are noise.
NOISE_ERRORS = 3
MIB = 1 << 20
REFUSED_SECONDS_MAX = 15
RELOADED_SECONDS_MAX = 5


def run(ground):
    try:
        disk = loopfs.LoopFs(ground.folder, 512)
    except loopfs.Unavailable as error:
        raise Skipped(f"no loop file system: {error}") from error
    site = Site(ground.folder, data=disk.mount_point / "data", retention=batches.RETENTION)
    soak = Soak(ground, site, disk)
    soak.go_on(ground.cycles / 2, [soak.kill, soak.cut_power, soak.stop, soak.harm_an_index])
    soak.restart()
    samples = soak.go_on(ground.cycles / 2, [soak.pause, soak.fill_disk, soak.lose_clients,
                                             soak.reload, soak.pause, soak.lose_clients])
    flat = check_flat(samples, ground.cycles / 2)
    soak.rest()
    soak.end()
    disk.unmount()
    return (f"cases: {sum(soak.faults.values())} faults in {ground.cycles} s"
            f" ({', '.join(f'{count} x {name}' for name, count in sorted(soak.faults.items()))}),"
            f" {account(soak.world, soak.crowds)}; {flat}"
            " (R1 R2 R3 R4 R5 R9 R11 R17)")


class Soak:
    """A server under load, and what is done to it."""

    def __init__(self, ground, site, disk):
        self.ground, self.site, self.disk = ground, site, disk
        self.world, self.faults, self.crowds = World(), {}, 0
        self.server = site.serve()
        check_world(self.server, self.world)
        self.rng = ground.rng("soak")
        self.crowd = None
        self.gather()

    def go_on(self, seconds, kinds):
        """Faults for so long; what the process held before each."""
        every = min(FAULT_EVERY_S, seconds / (2 * len(kinds)))
        samples, began = [], time.monotonic()
        while time.monotonic() - began < seconds:
            # Each comes once before any comes twice.
            for fault in self.rng.sample(kinds, len(kinds)):
                until = time.monotonic() + every
                check_busy(self.crowd)
                time.sleep(max(0.0, until - time.monotonic()))
                check_load(self.crowd)
                samples.append(Sample.of(self.server, time.monotonic() - began))
                fault()
                name = fault.__name__.replace("_", " ")
                self.faults[name] = self.faults.get(name, 0) + 1
                check_world(self.server, self.world)
                self.gather()
        return samples

    def gather(self):
        """Puts fresh clients in the place of those that ended."""
        self.crowd = batches.Crowd(self.server, self.world, self.rng)
        self.crowds += 1

    def rest(self):
        """Has the clients end in order, and looks at all that is there."""
        self.leave()
        check_world(self.server, self.world)

    def leave(self, allowed=()):
        """Has the clients end in order, none of whom may have heard of anything but what is
        `allowed`."""
        self.crowd.stop()
        check_load(self.crowd, allowed=allowed)

    def restart(self):
        self.rest()
        self.server.kill()
        self.server = self.site.serve()
        check_world(self.server, self.world)
        self.gather()

    def end(self):
        """Stops the server and looks at what it leaves."""
        code, _ = self.server.stop()
        check(code == 0, f"exit {code} on SIGTERM")
        self.server = self.site.serve()
        check_world(self.server, self.world)
        self.server.kill()

    def come_back(self):
        """Starts a server in the place of one that is gone, as its clients have to have heard."""
        self.crowd.join()
        check_load(self.crowd)
        self.server = self.site.serve()

    def kill(self):
        self.server.kill()
        self.come_back()

    def stop(self):
        code, took = self.server.stop()
        check(code == 0 and took <= 5, f"exit {code} on SIGTERM after {took:.1f} s")
        self.come_back()

    def cut_power(self):
        self.crowd.mark()
        self.server.check_alive()
        self.disk.cut_power()
        self.server.kill(or_ended=(EXIT_IO,))
        self.crowd.join()
        self.crowd.forget_since_mark()
        check_load(self.crowd, allowed=load.DISK_GONE)
        self.disk.unmount()
        self.disk.mount()
        self.server = self.site.serve()

    def harm_an_index(self):
        self.server.kill()
        harm(self.rng, indexes(self.site))
        self.come_back()

    def pause(self):
        """As a host does that is suspended, or swaps."""
        self.server.signal(signal.SIGSTOP)
        time.sleep(1.0)
        self.server.signal(signal.SIGCONT)
        self.leave()

    def fill_disk(self):
        producers = [worker for worker in self.crowd.workers() if isinstance(worker, load.Producer)]

        def all_refused():
            # Retention may have given some back.
            self.disk.fill(leave_bytes=MIB // 2)
            refused = sum(worker.status in load.DISK_FULL for worker in producers)
            # The one that appends little is done by then.
            return self.disk.free_bytes() < MIB and refused >= len(producers) - 1

        full = load.wait_until(all_refused, REFUSED_SECONDS_MAX)
        heard = ", ".join(f"{worker.what()} {worker.status}" for worker in producers)
        check(full, f"{self.disk.free_bytes()} bytes are free on a full disk, and {heard}")
        self.disk.release()
        self.leave(allowed=load.DISK_FULL)

    def lose_clients(self):
        """They vanish without a word, in the middle of what they do."""
        for worker in self.crowd.workers():
            worker.vanish()
        self.crowd.join()
        check_load(self.crowd)

    def reload(self):
        before = self.server.events().count("reloaded")
        self.server.signal(signal.SIGHUP)
        reloaded = load.wait_until(lambda: self.server.events().count("reloaded") > before,
                                   RELOADED_SECONDS_MAX)
        check(reloaded, "the server was told to read its files again and does not say that it did")
        self.leave()


class Sample:
    """What a process held at a moment."""

    def __init__(self, at_s, own_kib, files, threads):
        self.at_s, self.held = at_s, {"KiB": own_kib, "files": files, "threads": threads}

    @classmethod
    def of(cls, server, at_s):
        process = Path(f"/proc/{server.pid()}")
        lines = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        # The log that drops nothing has ever more files.
        files = [path for path in open_files(process) if f"/logs/{batches.WHOLE}/" not in path]
        return cls(at_s, int(lines["RssAnon"].split()[0]), len(files), int(lines["Threads"]))


def open_files(process):
    """What a process has open."""
    for descriptor in (process / "fd").iterdir():
        try:
            yield os.readlink(descriptor)
        except FileNotFoundError:
            # It was closed meanwhile.
            continue


def check_flat(samples, seconds):
    """Once it is warm, nothing grows."""
    if seconds < FLAT_AFTER_S:
        return "too short to see whether anything grows"
    warm = [sample for sample in samples if sample.at_s >= seconds * WARM_UP_PART]
    half = len(warm) // 2
    check(half > 0, "the soak was too short to tell anything")
    early, late = warm[:half], warm[half:]

    apart_s, told = seconds * (1 - WARM_UP_PART) / 2, []
    for what, per_hour in GROWTH_PER_HOUR.items():
        before, after = ([sample.held[what] for sample in part] for part in (early, late))
        growth = statistics.median(after) - statistics.median(before)
        noise = NOISE_ERRORS * math.hypot(error_of_median(before), error_of_median(after))
        once = min(GROWTH_ONCE[what], GROWTH_ONCE[what] * FLAT_AFTER_S / seconds + noise)
        allowed = per_hour * apart_s / 3600 + once
        check(growth <= allowed, f"{growth:+.0f} {what}, from the middle of {half} looks to that of"
                                 f" {len(late)}, and {allowed:.1f} are allowed")
        told.append(f"{growth:+.0f} of {allowed:.1f} {what}")
    return f"then {', '.join(told)} that may come in {apart_s:.0f} s"


def error_of_median(values):
    """Its standard error, from how far the middle half of the values lies apart."""
    if len(values) < 2:
        return 0.0
    lower, _, upper = statistics.quantiles(values, n=4)
    deviation = (upper - lower) / 1.349
    return 1.2533 * deviation / math.sqrt(len(values))
