"""A call fails once at each place where one can: the process ends and says why, or goes on. It
never panics, and what was acknowledged is there.

These are the calls of the program's own functions, also those that a start makes; `fault` has the
kernel's calls fail. A sync that failed, or a write that did with EIO, is the end of the process,
unless no acknowledgement hangs on the file: which one it was a trace tells.
"""

import errno
import time
from pathlib import PurePosixPath

import batches
import load
import trace
from places import (FILE_CALLS, SEGMENT, build, call_everything, failing, file_of_failure)
from proofs import Skipped, Violation, World, check, check_load, check_world, progress
from server import EXIT_IO, Site, StartFailed, remove

# How often a place is passed before it fails, by turns. A start alone passes some a dozen times.
PASSED = (0, 40, 3)
ERRORS = (errno.EIO, errno.ENOSPC, errno.EMFILE)
COME_BY_S = 8.0
EXIT_SECONDS_MAX = 2.0
NOT_MET = "not come by"
WENT_ON = "a server that went on"
# After these the process ends.
FATAL = {(name, error) for name in ("disk::sync", "disk::sync_directory") for error in ERRORS}
FATAL.add(("disk::write", errno.EIO))
# But not if they were about one of these, on which nothing that was acknowledged hangs: it is made
# anew, or whoever asked for it is told.
SPARED_FILES = {"next.store": "a segment made ahead", "next.index": "a segment made ahead",
                "readers": "readers", "readers.new": "readers"}
SPARED_FOLDERS = {"/archive/": "the archive", "/backups/": "a backup",
                  "/trash/new-": "a log that was being made"}


def run(ground):
    if not trace.is_available():
        raise Skipped("strace is not installed")
    binary = build()
    cases = [(name, error, passed) for name in failing() for error in ERRORS
             for passed in PASSED[:None if (name, error) in FATAL else max(1, ground.cycles)]]
    found, ends = [], {}
    for number, (name, error, passed) in enumerate(progress("errors", cases)):
        site = Site(ground.folder / str(number), segment=SEGMENT, retention=batches.RETENTION,
                    archives=True, binary=binary)
        case = Case(site, name, error, passed)
        try:
            end = case.run(ground.rng(name, error, passed))
        except Violation as violation:
            found.append(f"{name}, {errno.errorcode[error]} after {passed}: {violation}")
        else:
            ends.setdefault(end, []).append(name)
            remove(site.folder)
    check(not found, "; ".join(found))
    ends.pop(NOT_MET, None)
    told = ", ".join(f"{len(names)} x {end}" for end, names in sorted(ends.items()))
    met = [name for names in ends.values() for name in names]
    check(set(met) == set(failing()), f"nothing came by {set(failing()) - set(met)}")
    return f"cases: {len(met)} calls failed at {len(failing())} places: {told} (R5 R9 R11 R12 R16)"


class Case:
    """A server in which one call fails."""

    def __init__(self, site, name, error, passed):
        self.site, self.name, self.passed = site, name, passed
        self.action = f"{passed}*off->1*return({error})->off"
        self.world = World()
        self.is_fatal = (name, error) in FATAL
        self.output = site.folder / "strace.out"

    def run(self, rng):
        """How it ended."""
        server = self.site.serve()
        check_world(server, self.world)
        # The next start has something to recover.
        server.kill()
        traced = trace.strace(self.output, calls=FILE_CALLS) if self.is_fatal else []
        server = self.site.launch([*traced, "/usr/bin/env",
                                   f"FAILPOINTS={self.name}={self.action}"])
        try:
            server.wait_until_serving()
        except StartFailed:
            end = self.refused(server)
        else:
            end = self.served(server, rng)
        server.kill()
        server = self.site.serve()
        check_world(server, self.world)
        server.kill()
        return end

    def has_failed(self, server):
        return f"failpoint {self.name} error" in server.log()

    def refused(self, server):
        code = server.wait(10)
        check(code == EXIT_IO, f"the start ended with {code}: {server.log()[-300:]}")
        check(self.has_failed(server), f"the start ended for another reason: {server.log()[-300:]}")
        check("varve: error: " in server.log(), "the start did not say why it ended")
        return "a start that said so"

    def served(self, server, rng):
        crowd = batches.Crowd(server, self.world, rng)
        deadline = time.monotonic() + COME_BY_S
        while server.is_alive() and not self.has_failed(server) and time.monotonic() < deadline:
            call_everything(server, "")
        failed_at = time.monotonic()
        code = server.wait(EXIT_SECONDS_MAX) if self.has_failed(server) else None
        took = time.monotonic() - failed_at
        if code is not None:
            crowd.join()
            check_load(crowd)
            check(code == EXIT_IO, f"exit {code} after {took:.1f} s: {server.log()[-300:]}")
            return "an exit with 74"
        crowd.stop()
        check_load(crowd, allowed=load.DISK_GONE + load.DISK_FULL)
        check_world(server, self.world)
        before = self.has_failed(server)
        code, _ = server.stop()
        if not before and code == EXIT_IO and self.has_failed(server):
            return "a stop that said so"
        check(code == 0, f"exit {code} on SIGTERM: {server.log()[-300:]}")
        if not self.has_failed(server):
            return NOT_MET
        return f"{WENT_ON} without {self.spared()}" if self.is_fatal else WENT_ON

    def spared(self):
        """About what it was that the server went on without."""
        path, call = file_of_failure(self.output) or ("no file", "no call")
        found = [what for part, what in SPARED_FOLDERS.items() if part in path]
        # A directory is synced for the sake of all that is in it. A file that was closed before is
        # not the one that was written to or synced.
        if self.name != "disk::sync_directory" and call != "close":
            found += filter(None, [SPARED_FILES.get(PurePosixPath(path).name)])
        check(found, f"the server went on, and the last call before was {call} of {path}")
        return found[0]
