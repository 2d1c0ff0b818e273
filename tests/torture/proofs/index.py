"""Index files are filled with garbage, cut, emptied, exchanged and removed, between a kill and the
next start and under a running server: every answer stays the same, as long as the server lives.

Each harm changes entries that are in use, and then all offsets of that segment are read one by one,
in any order: each has to be found through the index, until one of them has it made anew.
"""

import os
from dataclasses import dataclass

import grpc
import load
import log_pb2
import log_pb2_grpc
import stores
from proofs import History, check, check_history, check_load
from server import EXIT_IO, Site, remove

RESTART_SECONDS_MAX = 2.0
# All of a log is read in each cycle, so it is not to grow without end.
CYCLES_PER_LOG = 50
# So soon a client may hear of the end of a server before its parent does.
GONE_SECONDS_MAX = 2
ENTRY_BYTES = 12
KINDS = ("garbage", "zeros", "one bit", "removed", "cut", "empty", "longer", "another's")


def run(ground):
    server, held, records, read = None, None, 0, 0
    kinds, died = {}, 0
    for cycle in ground.progress():
        rng = ground.rng(cycle)
        if cycle % CYCLES_PER_LOG == 0:
            if server:
                server.kill()
                remove(site.folder)
                records += held.end()
            site, history = Site(ground.folder / str(cycle), segment="16KiB"), History()
            server = site.serve()
        burden = load.Load(server, history, rng, streams=1, callers=1, consumers=1)
        burden.wait_for_acks(40)
        if cycle % 2:
            harmed = harm(rng, indexes(site))
            harmed.kind += " under load"
            died += has_ended(server, burden, history, rng, harmed)
            sure = sure_end(history, burden)
            server.kill(may_end_with(harmed.kind))
            burden.join()
            check_load(burden)
        else:
            burden.stop()
            check_load(burden)
            sure = check_history(server, history).end()
            server.kill()
            harmed = harm(rng, indexes(site))
        kinds[harmed.kind] = kinds.get(harmed.kind, 0) + 1
        server = site.serve()
        check(server.started_s <= RESTART_SECONDS_MAX, f"a start took {server.started_s:.1f} s")
        # Before the look at the whole log, which has what it finds wrong made anew.
        read += read_segment(server, history, rng, harmed, sure)
        held = check_history(server, history)
    server.kill()
    records += held.end()
    told = ", ".join(f"{count} x {kind}" for kind, count in sorted(kinds.items()))
    return (f"cases: {ground.cycles} index files harmed in entries that are in use ({told}), {read}"
            f" records of their segments read one by one after the next start, {records} read back;"
            f" the server ended {died} times for a file cut under it (R9)")


@dataclass
class Harm:
    """What was done to the index of the segment that begins at offset `base`. The next one begins
    at `end`; None if there is none."""

    kind: str
    base: int
    end: int


def indexes(site):
    """Those of the log's segments, in order, without one that is prepared for later."""
    found = (site.data / "logs" / "default").glob("*.index")
    return sorted(path for path in found if path.stem.isdecimal())


def harm(rng, files):
    """Does something bad to entries in use of one of these files."""
    used = {path: ENTRY_BYTES * frames_of(path) for path in files}
    in_use = [path for path in files if used[path]]
    while True:
        path, kind = rng.choice(in_use), rng.choice(KINDS)
        if overwrite(rng, path, used[path], kind, files):
            later = files[files.index(path) + 1:]
            return Harm(kind, int(path.stem), int(later[0].stem) if later else None)


def frames_of(index):
    """How many frames the store beside it has."""
    store = index.with_suffix(".store")
    return sum(1 for _ in stores.frames(store.read_bytes())) if store.exists() else 0


def overwrite(rng, path, used, kind, files):
    """Does this to a file of which the first `used` bytes are in use; whether that changes any of
    them."""
    was = path.read_bytes()
    if kind == "removed":
        path.unlink()
        return True
    if kind in ("cut", "empty"):
        os.truncate(path, rng.randrange(used) if kind == "cut" else 0)
        return True
    now = changed(rng, was, used, kind, files)
    if now[:used] == was[:used]:
        return False
    # In place, as a running server sees it too.
    with open(path, "r+b") as file:
        file.write(now)
    return True


def changed(rng, content, used, kind, files):
    at = rng.randrange(used)
    if kind == "garbage":
        part = rng.randbytes(min(len(content) - at, rng.choice([4, 12, 64, 4096])))
        return content[:at] + part + content[at + len(part):]
    if kind == "zeros":
        return bytes(len(content))
    if kind == "one bit":
        return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1:]
    if kind == "longer":
        return content[:at] + rng.randbytes(rng.randint(1, 9000)) + content[at:]
    return rng.choice(files).read_bytes()[:len(content)].ljust(len(content), b"\0")


def may_end_with(kind):
    """The exit codes of a server under which this was done."""
    return (EXIT_IO,) if kind.startswith(("cut", "empty")) else ()


def has_ended(server, burden, history, rng, harmed):
    """Whether the harm has ended the server, as only a mapped file that somebody else cuts short
    may; if not, everything goes on, and no client heard anything else than what is right."""
    due = burden.acknowledged() + 40
    load.wait_until(lambda: burden.acknowledged() >= due or not server.is_alive(), 30)
    read_segment(server, history, rng, harmed, sure_end(history, burden))
    over = [worker for worker in burden.workers() if not worker.is_alive()]
    if not over and server.is_alive():
        check(burden.acknowledged() >= due, f"after {harmed.kind} nothing is acknowledged any more")
        return False
    code = server.wait(GONE_SECONDS_MAX)
    check(code is not None, "the server lives, and these are over: "
                            + ", ".join(f"{type(one).__name__}, {one.status}" for one in over))
    check(code in may_end_with(harmed.kind),
          f"after {harmed.kind} the server ended with {code}: {server.log()[-300:]}")
    return True


def sure_end(history, burden):
    """Where the log ends at the least: what was acknowledged lies behind what was there before,
    without gaps."""
    return history.settled.end() + burden.acknowledged()


def read_segment(server, history, rng, harmed, end):
    """Reads all offsets of the harmed segment that are below `end`. What comes is written down as
    what a consumer saw, so it has to be what the log holds in the end. Only a server that is gone
    may leave a read without it. Returns how many came."""
    offsets = list(range(harmed.base, end if harmed.end is None else min(harmed.end, end)))
    rng.shuffle(offsets)
    with load.channel_to(server) as channel:
        stub = log_pb2_grpc.LogStub(channel)
        for count, offset in enumerate(offsets):
            try:
                reply = stub.Consume(log_pb2.ConsumeRequest(offset=offset), timeout=10)
            except grpc.RpcError as error:
                gone = (error.code() == grpc.StatusCode.UNAVAILABLE
                        and server.wait(GONE_SECONDS_MAX) is not None)
                check(gone, f"offset {offset} of a server that lives, after {harmed.kind}:"
                            f" {error.code()} {error.details()}")
                return count
            check(reply.record.offset == offset, f"read {reply.record.offset} for {offset}")
            history.new_sight(offset).values.append(reply.record.value)
    return len(offsets)
