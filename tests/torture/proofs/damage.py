"""Bits flip, ranges turn to zeros and files lose their ends while the server is down after an
orderly stop: it starts all the same, as it is not strict, what is served is right, what is not
served is told, and that is what was harmed and nothing else."""

import shutil
from dataclasses import dataclass

import load
import stores
from proofs import History, Violation, check, check_history, progress
from server import Site, StartFailed
from varve.v1 import log_service_pb2, log_service_pb2_grpc

# So many at once, each in a batch of its own for the most part.
AT_ONCE = 25
RECORDS = 4000


def run(ground):
    site, history = Site(ground.folder, segment="256KiB"), History()
    server = site.serve()
    burden = load.Load(server, history, ground.rng("fill"), streams=3, callers=1, consumers=0)
    check(burden.wait_for_acks(RECORDS, 120), "the log does not fill")
    burden.stop()
    held = check_history(server, history)
    code, _ = server.stop()
    check(code == 0, f"exit {code} on SIGTERM")
    sound = ground.folder / "sound"
    shutil.copytree(site.data, sound)
    tally, done, kept = Tally(), 0, 0
    rounds = range(0, ground.cycles, AT_ONCE)
    for first in progress("damage", rounds):
        rng = ground.rng(first)
        shutil.rmtree(site.data)
        shutil.copytree(sound, site.data)
        harmed = harm(rng, site, min(AT_ONCE, ground.cycles - first))
        due = touched(sound, site.data, held.end())
        try:
            look(site, held, tally, due)
        except Violation as violation:
            raise Violation(f"after {', '.join(harmed)}: {violation}") from violation
        done, kept = done + len(harmed), kept + held.end() - len(due)
    check(tally.right == kept, f"{kept} records were not harmed, {tally.right} were read right")
    check(tally.told > 0 or done < AT_ONCE, "no record was harmed")
    return (f"cases: {done} flipped bits, zeroed ranges and lost ends in {len(rounds)} starts, none"
            f" refused, {tally.right} records read right, all but {tally.told} told as damaged"
            " (R6 R10)")


@dataclass
class Tally:
    """What was read over all rounds."""

    right: int = 0
    told: int = 0


def harm(rng, site, count):
    """Changes files of the log at so many places; returns what was done where."""
    directory = site.data / "logs" / "default"
    files = sorted(path for path in directory.iterdir()
                   if path.is_file() and not path.name.startswith("next."))
    stores = [path for path in files if path.suffix == ".store"]
    others = [path for path in files if path.suffix != ".store"]
    done = []
    while len(done) < count:
        path = rng.choice(stores if rng.random() < 0.9 else others)
        was = path.read_bytes()
        if not was:
            continue
        at = rng.randrange(len(was))
        kind = rng.choices(["flip", "zeros", "cut"], [40, 4, 1])[0]
        now = changed(rng, was, at, kind)
        if now != was:
            path.write_bytes(now)
            done.append(f"{kind} in {path.name} at {at}")
    return done


def changed(rng, content, at, kind):
    """These bytes with one bit flipped, with a range of zeros or without their end."""
    if kind == "cut":
        return content[:at]
    if kind == "flip":
        return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1:]
    count = min(rng.choice([512, 4096]), len(content) - at)
    return content[:at] + bytes(count) + content[at + count:]


def touched(sound, harmed, end):
    """The offsets whose frames are not as they were: what the reads have to tell, and no more."""
    directory = "logs/default"
    paths = stores.paths(sound / directory)
    ends = [int(path.stem) for path in paths[1:]] + [end]
    offsets = set()
    for path, store_end in zip(paths, ends):
        was = path.read_bytes()
        now = (harmed / directory / path.name).read_bytes()
        if now == was:
            continue
        copy_bytes = stores.HEADER_COPY_BYTES
        copies = [slice(at, at + copy_bytes) for at in (0, copy_bytes)]
        if all(was[copy] != now[copy] for copy in copies):
            # Without one of them no frame can be checked.
            offsets.update(range(int(path.stem), store_end))
            continue
        for frame in stores.frames(was):
            if was[frame.place()] != now[frame.place()]:
                offsets.update(range(frame.base, frame.base + frame.records))
    return offsets


def look(site, held, tally, due):
    """Starts the server and reads the whole log: each record is right, or told to be damaged, and
    those are the ones that are `due`."""
    server = site.launch()
    try:
        server.wait_until_serving()
    except StartFailed as failed:
        raise Violation(f"the start was refused: {failed}") from failed
    at, told = 0, set()
    with load.channel_to(server) as channel:
        stub = log_service_pb2_grpc.LogStub(channel)
        while at < held.end():
            reply = stub.Consume(log_service_pb2.ConsumeRequest(
                log="default", offset=at, max_wait_ms=0,
                on_damaged=log_service_pb2.GAP_POLICY_SKIP), timeout=30)
            check(reply.high_watermark == held.end(),
                  f"the log ends at {reply.high_watermark}, and {held.end()} were acknowledged")
            at = take(reply, at, held, tally, told)
    check(told == due, f"told as damaged beside what was harmed: {sorted(told - due)[:20]},"
                       f" harmed and not told: {sorted(due - told)[:20]}")
    code, _ = server.stop()
    check(code == 0, f"exit {code} on SIGTERM: {server.log()[-300:]}")


def take(reply, at, held, tally, told):
    """Compares what came with what was there; returns where to go on."""
    if reply.HasField("gap"):
        check(reply.gap.from_offset <= at < reply.gap.to_offset, f"at {at} came {reply.gap}")
        check(reply.gap.cause == log_service_pb2.GAP_CAUSE_DAMAGED, f"at {at} came {reply.gap}")
        tally.told += reply.gap.to_offset - at
        told.update(range(at, reply.gap.to_offset))
        at = reply.gap.to_offset
    for batch in reply.batches:
        check(batch.base_offset == at, f"{batch.base_offset} came where {at} was due")
        values = [record.value for record in batch.records]
        check(values == held.values[at:at + len(values)], f"a wrong record at {at} or behind it")
        tally.right += len(values)
        at += len(values)
    check(reply.batches or reply.HasField("gap"), f"nothing came at {at}")
    return at
