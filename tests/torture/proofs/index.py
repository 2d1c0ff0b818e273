"""Index files are filled with garbage, cut, emptied, exchanged and removed, between a kill and the
next start and under a running server: every answer stays the same, as long as the server lives."""

import os
import signal

import grpc
import load
import log_pb2
import log_pb2_grpc
from proofs import History, check, check_history, check_load
from server import Site, remove

RESTART_SECONDS_MAX = 2.0
READS = 20
# All of a log is read in each cycle, so it is not to grow without end.
CYCLES_PER_LOG = 50
# So soon a client may hear of the end of a server before its parent does.
GONE_SECONDS_MAX = 2


def run(ground):
    server, held, records = None, None, 0
    done, died = {}, 0
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
            kind = harm_under_load(rng, site)
            died += has_ended(server, burden, history, rng, kind)
            server.kill(may_end_with(kind))
            burden.join()
            check_load(burden)
        else:
            burden.stop()
            check_load(burden)
            server.kill()
            kind = harm(rng, indexes(site))
        done[kind] = done.get(kind, 0) + 1
        server = site.serve()
        check(server.started_s <= RESTART_SECONDS_MAX, f"a start took {server.started_s:.1f} s")
        held = check_history(server, history)
        read_points(server, held, rng)
    server.kill()
    records += held.end()
    kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(done.items()))
    return (f"cases: {ground.cycles} harmed index files ({kinds}), {records} records"
            f" read back; the server ended {died} times for a file cut under it (R9)")


def indexes(site):
    return sorted((site.data / "logs" / "default").glob("*.index"))


def harm(rng, files):
    """Does something bad to one of these files; returns what."""
    kind = rng.choice(["garbage", "zeros", "one bit", "removed", "cut", "empty", "longer",
                       "another's"])
    path = rng.choice(files)
    if kind == "removed":
        path.unlink()
    elif kind in ("cut", "empty"):
        os.truncate(path, rng.randrange(path.stat().st_size) if kind == "cut" else 0)
    elif kind == "longer":
        with open(path, "ab") as file:
            file.write(rng.randbytes(rng.randint(1, 9000)))
    else:
        overwrite(rng, path, kind, files)
    return kind


def overwrite(rng, path, kind, files):
    """Changes bytes in place, as a running server sees them too."""
    content = bytearray(path.read_bytes())
    if kind == "garbage":
        at = rng.randrange(len(content))
        part = rng.randbytes(min(len(content) - at, rng.choice([4, 12, 64, 4096])))
        content[at:at + len(part)] = part
    elif kind == "zeros":
        content[:] = bytes(len(content))
    elif kind == "one bit":
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    else:
        content[:] = rng.choice(files).read_bytes()[:len(content)].ljust(len(content), b"\0")
    with open(path, "r+b") as file:
        file.write(content)


def harm_under_load(rng, site):
    for _ in range(10):
        try:
            return f"{harm(rng, indexes(site))} under load"
        except FileNotFoundError:
            # The server put another file in its place meanwhile.
            continue
    return "nothing"


def may_end_with(kind):
    """The exit codes of a server under which this was done."""
    return (-signal.SIGBUS,) if kind.startswith(("cut", "empty")) else ()


def has_ended(server, burden, history, rng, kind):
    """Whether the harm has ended the server, as only a mapped file that somebody else cuts short
    may; if not, everything goes on, and no client heard anything else than what is right."""
    due = burden.acknowledged() + 40
    load.wait_until(lambda: burden.acknowledged() >= due or not server.is_alive(), 30)
    read_somewhere(server, burden, history, rng)
    over = [worker for worker in burden.workers() if not worker.is_alive()]
    if not over and server.is_alive():
        check(burden.acknowledged() >= due, f"after {kind} nothing is acknowledged any more")
        return False
    code = server.wait(GONE_SECONDS_MAX)
    check(code is not None, "the server lives, and these are over: "
                            + ", ".join(f"{type(one).__name__}, {one.status}" for one in over))
    check(code in may_end_with(kind),
          f"after {kind} the server ended with {code}: {server.log()[-300:]}")
    return True


def read_somewhere(server, burden, history, rng):
    """Reads while the load goes on. What comes is written down as what a consumer saw, so it has to
    be what the log holds in the end. Only a server that is gone may leave a read without it."""
    with load.channel_to(server) as channel:
        stub = log_pb2_grpc.LogStub(channel)
        for _ in range(READS):
            # What was acknowledged lies behind what was there before, without gaps.
            offset = rng.randrange(history.settled.end() + burden.acknowledged())
            try:
                reply = stub.Consume(log_pb2.ConsumeRequest(offset=offset), timeout=10)
            except grpc.RpcError as error:
                gone = (error.code() == grpc.StatusCode.UNAVAILABLE
                        and server.wait(GONE_SECONDS_MAX) is not None)
                check(gone, f"offset {offset} of a server that lives:"
                            f" {error.code()} {error.details()}")
                return
            check(reply.record.offset == offset, f"read {reply.record.offset} for {offset}")
            history.new_sight(offset).values.append(reply.record.value)


def read_points(server, held, rng):
    """Reads single offsets, each of which has to be found through an index."""
    with load.channel_to(server) as channel:
        stub = log_pb2_grpc.LogStub(channel)
        for _ in range(READS):
            offset = rng.randrange(held.end())
            reply = stub.Consume(log_pb2.ConsumeRequest(offset=offset), timeout=10)
            same = (reply.record.offset, reply.record.value) == (offset, held.values[offset])
            check(same, f"offset {offset} is another when it is read alone")
