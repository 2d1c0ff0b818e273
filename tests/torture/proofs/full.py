"""The disk fills up and gets space again, while the server runs and across a kill."""

import time

import load
import log_pb2
import log_pb2_grpc
import loopfs
from proofs import History, Skipped, check, check_history
from server import Site

MIB = 1 << 20
REFUSED_SECONDS_MAX = 15
BACK_SECONDS_MAX = 5


def run(ground):
    try:
        disk = loopfs.LoopFs(ground.folder, 56)
    except loopfs.Unavailable as error:
        raise Skipped(f"no loop file system: {error}") from error
    line = fill_again_and_again(ground, disk)
    disk.unmount()
    return line


def fill_again_and_again(ground, disk):
    site = Site(ground.folder, data=disk.mount_point / "data")
    history = History()
    server = site.serve()
    back = []
    for cycle in ground.progress():
        rng = ground.rng(cycle)
        burden = Burden(server, history)
        # All at once, so that a write meets the end of the disk, or down to the reserve.
        disk.fill(leave_bytes=rng.choice([0, 0, MIB // 2]))
        burden.wait_until_refused()
        check(server.is_alive(), f"the server ended on a full disk, exit {server.wait(0)}")
        check_reads(server, rng, burden.consumer.sight.values)
        if cycle % 2:
            # A start must find its way on a full disk too.
            server.kill()
            burden.join()
            server = site.serve()
            check_reads(server, rng, history.settled.values)
        disk.release()
        back.append(time_until_appended(server, history))
        check(back[-1] <= BACK_SECONDS_MAX, f"appends came back only after {back[-1]:.1f} s")
        if not cycle % 2:
            burden.end()
        check_history(server, history)
    check(server.is_alive(), f"the server ended, exit {server.wait(0)}")
    code, _ = server.stop()
    check(code == 0, f"exit {code} on SIGTERM after the disk was full")
    server = site.serve()
    check_history(server, history)
    server.kill()
    return (f"cases: {ground.cycles} times full and free, {history.acknowledged()} records"
            f" acknowledged, {history.consumed} consumed and {history.refused()} refused, appends"
            f" back after {max(back):.1f} s at most (R9 R11)")


class Burden:
    """Callers who try again when they are refused, a stream, and a consumer at the tail."""

    def __init__(self, server, history):
        self.callers = [load.UnaryProducer(server, history, retries=True) for _ in range(2)]
        self.stream = load.StreamProducer(server, history, window=64, pause_s=0.001)
        self.consumer = load.Consumer(server, history)
        self.producers = [*self.callers, self.stream]
        self.workers = [*self.producers, self.consumer]
        for worker in self.workers:
            worker.start()
        begun = load.wait_until(lambda: not load.idle(self.producers, [self.consumer]), 20)
        check(begun, f"nothing comes to {load.idle(self.producers, [self.consumer])}")

    def wait_until_refused(self):
        refused = load.wait_until(lambda: all(caller.stream.refused for caller in self.callers),
                                  REFUSED_SECONDS_MAX)
        check(refused, "appends are not refused although the disk is full")

    def end(self):
        """Ends the calls in order."""
        for producer in self.producers:
            producer.stop()
        for producer in self.producers:
            producer.end()
        self.consumer.catch_up()
        self.consumer.stop()
        self.join()

    def join(self):
        """Waits for the calls to end, none of which may have failed for another reason than that
        the server is gone, or the stream for want of space. The callers go on then."""
        for worker in self.workers:
            worker.end()
            heard = worker.misheard(load.DISK_FULL if worker is self.stream else ())
            check(not heard + worker.wrong, "; ".join(heard + worker.wrong[:3]))


def check_reads(server, rng, values):
    """These first values of the log can be read on the full disk, one by one and all of them."""
    values = list(values)
    with load.channel_to(server) as channel:
        stub = log_pb2_grpc.LogStub(channel)
        for offset in [0, rng.randrange(len(values))] if values else []:
            reply = stub.Consume(log_pb2.ConsumeRequest(offset=offset), timeout=10)
            check(reply.record.offset == offset, f"read {reply.record.offset} for {offset}")
            check(reply.record.value == values[offset], f"{offset} is another on a full disk")
        check(load.read_below(stub, len(values)) == values, "the records are others on a full disk")


def time_until_appended(server, history):
    """Seconds until one append is acknowledged."""
    began = time.monotonic()
    with load.channel_to(server) as channel:
        load.append_one(log_pb2_grpc.LogStub(channel), history, 4 * BACK_SECONDS_MAX)
    return time.monotonic() - began

