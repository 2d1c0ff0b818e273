"""The power goes while producers and consumers are busy: what was not synced is gone.

Only what was seen before the cut counts. A real cut ends the kernel too; here the kernel lives on,
and a sync that is on its way meanwhile may return without an error although its bytes are lost: a
plain loop of writes and syncs shows the same.

In every second cycle a kill comes first, and the disk is made to lack what the page cache shows of
the log's tail, as after a sync that failed: what a consumer reads then is there after a cut.
"""

import time

import batches
import lacking
import load
import loopfs
import trace
from proofs import (History, Skipped, Violation, World, account, check, check_busy, check_history,
                    check_load, check_world)
from server import EXIT_IO, Site, StartFailed
from varve.v1 import log_service_pb2, log_service_pb2_grpc


def on(kind):
    """The proof on one kind of file system."""
    return lambda ground: run(ground, kind)


def run(ground, kind):
    try:
        disk = loopfs.LoopFs(ground.folder, 512, kind)
    except loopfs.Unavailable as error:
        raise Skipped(f"no loop file system: {error}") from error
    line = cut_again_and_again(ground, disk, kind)
    disk.unmount()
    return line


def cut_again_and_again(ground, disk, kind):
    site = Site(ground.folder, data=disk.mount_point / "data", retention=batches.RETENTION)
    world = World()
    server = site.serve()
    check_world(server, world)
    kills = lacked = 0
    for cycle in ground.progress():
        rng = ground.rng(cycle)
        if cycle % 2 == 0:
            kills += 1
            lacked += show_what_the_disk_lacks(rng, site, server, world, disk)
            server = site.serve()
            try:
                check_world(server, world)
            except load.grpc.RpcError as error:
                raise Violation(f"after what was read went missing: {error.details()}") from error
        cut(rng, site, server, world, disk)
        server = site.serve()
        check_world(server, world)
    server.kill()
    check(lacked >= kills, f"after {kills} kills the disk lacked only {lacked} records")
    caught = lie(ground, disk)
    return (f"cases: {ground.cycles} power cuts under load on {kind},"
            f" {account(world, ground.cycles)}; {lacked} records that the cache showed and the disk"
            f" lacked after {kills} kills, read and then held over a cut; a disk that lies was"
            f" caught by {caught}"
            " (R1 R2 R3 R4 R5 R6 R7 R8)")


def cut(rng, site, server, world, disk):
    crowd = batches.Crowd(server, world, rng)
    check_busy(crowd)
    time.sleep(rng.uniform(0.005, 0.4))
    check_load(crowd)
    crowd.mark()
    lose_power(rng, server, disk)
    crowd.join()
    crowd.forget_since_mark()
    check_load(crowd, allowed=load.DISK_GONE)
    if rng.random() < 0.3:
        # And again while it starts.
        server = site.launch()
        time.sleep(rng.uniform(0, 0.05))
        lose_power(rng, server, disk)


def show_what_the_disk_lacks(rng, site, server, world, disk):
    """Kills the server while a tail is not synced, has a consumer read it after the next start
    without an append, and cuts the power; how many records the disk lacked when the start began."""
    log = rng.choice(list(world.histories))
    history = world.histories[log]
    written = batches.Batches(history, numbered=False)
    with load.channel_to(server) as channel:
        stub = log_service_pb2_grpc.LogStub(channel)
        for number in range(rng.randint(1, 30)):
            request = written.request(log, number)
            request.durability = log_service_pb2.DURABILITY_WRITTEN
            check(written.answer(stub.Produce(request, timeout=30)), "a batch got other offsets")
        server.kill()
    due = written.stream.acks[-1].offset + written.stream.acks[-1].records
    with lacking.tail(disk, site.data / "logs" / log) as lacked:
        server = site.serve()
        end = read_on(server, log, history)
        check(end >= due, f"log {log} ends at {end} after a kill, and {due} records were written")
    lose_power(rng, server, disk)
    return lacked


def read_on(server, log, history):
    """Reads what came since the last look, as a consumer that appends nothing; returns the end."""
    sight = history.new_sight(history.settled.end())
    at = end = sight.start
    with load.channel_to(server) as channel:
        stub = log_service_pb2_grpc.LogStub(channel)
        while not sight.values or at < end:
            reply = stub.Consume(log_service_pb2.ConsumeRequest(log=log, offset=at, max_wait_ms=0),
                                 timeout=30)
            for batch in reply.batches:
                check(batch.base_offset == at, f"{batch.base_offset} came where {at} was due")
                sight.values += [record.value for record in batch.records]
                at += len(batch.records)
            check(reply.batches, f"nothing came at {at}")
            end = reply.high_watermark
    return at


def lose_power(rng, server, disk):
    """Cuts the power; a server whose disk is gone may be faster than the kill."""
    server.check_alive()
    disk.cut_power(rng.choice([loopfs.NO_LOG_FLUSH, loopfs.LOG_FLUSH]))
    server.kill(or_ended=(EXIT_IO,))
    disk.unmount()
    disk.mount()


def lie(ground, disk):
    """The same on a disk that acknowledges syncs and does nothing must go wrong, or these cuts
    prove nothing. Returns what was found."""
    if not trace.is_available():
        return "nothing, as strace is not installed"
    history, site = History(), Site(ground.folder / "lie", data=disk.mount_point / "lied-to")
    # The files of a log that has begun are there.
    server = site.serve()
    check_history(server, history)
    server.stop()
    lying = trace.strace(ground.folder / "lie.out", "fdatasync,fsync:retval=0")
    server = site.serve(lying)
    burden = load.Load(server, history, ground.rng("lie"), consumers=0)
    check(burden.wait_for_acks(200), "nothing was acknowledged on the disk that lies")
    burden.mark()
    disk.cut_power()
    server.kill(or_ended=(EXIT_IO,))
    burden.join()
    burden.forget_since_mark()
    disk.unmount()
    disk.mount()
    try:
        server = site.serve()
    except StartFailed:
        return "a refused start"
    try:
        check_history(server, history)
    except Violation:
        return "the history"
    except load.grpc.RpcError as error:
        return f"an answer of {error.code().name}"
    finally:
        server.kill()
    raise Violation("a disk that drops what it acknowledged went unnoticed: the cuts prove nothing")
