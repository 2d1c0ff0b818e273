"""The wall clock jumps by years, forth and back, under a running server and between its lives:
no record goes, none is out of order, and append times never go back."""

import shutil
import time
from pathlib import Path

import load
from proofs import History, Skipped, check, check_history, check_load
from server import Site
from varve.v1 import log_service_pb2, log_service_pb2_grpc

LIBRARIES = [Path(f"/usr/lib/{triple}/faketime/libfaketimeMT.so.1")
             for triple in ("x86_64-linux-gnu", "aarch64-linux-gnu")]
YEAR_S = 365 * 86_400
# Retention runs at rolls and now and then; jumps may make everything look old.
RETENTION_AGE = "1h"
# The clock is looked at every second.
WARNED_S = 5


def run(ground):
    library = next((path for path in LIBRARIES if path.exists()), None)
    if library is None:
        raise Skipped("libfaketime is not installed")
    site = Site(ground.folder, segment="16KiB", retention_age=RETENTION_AGE)
    history, shift = History(), Shift(ground.folder, library)
    server = site.serve(shift.wrapper())
    newest_us = 0
    for cycle in ground.progress():
        rng = ground.rng(cycle)
        burden = load.Load(server, history, rng, streams=1, callers=1, consumers=1)
        burden.wait_for_acks(20)
        years = rng.choice([-10, -1, 1, 10]) if cycle else 10
        shift.jump(years * YEAR_S + rng.uniform(-3600, 3600))
        before = burden.acknowledged()
        burden.wait_for_acks(before + 200)
        burden.stop()
        check_load(burden)
        check_history(server, history)
        newest_us = check_times(server, newest_us)
        if cycle == 0:
            warned = load.wait_until(lambda: "clock_ahead" in server.events(), WARNED_S)
            check(warned, "the server does not notice that its clock is ahead")
        if cycle % 2:
            if cycle % 4 == 1:
                server.kill()
            else:
                code, _ = server.stop()
                check(code == 0, f"exit {code} on SIGTERM")
            server = site.serve(shift.wrapper())
            check_history(server, history)
    check_that_it_jumps(site, shift, server)
    return (f"cases: {ground.cycles} jumps of the clock by up to ten years with an age of"
            f" {RETENTION_AGE} kept, {history.acknowledged()} records acknowledged and all held"
            " (R15)")


class Shift:
    """The clock that a server sees: the real one and so many seconds."""

    def __init__(self, folder, library):
        self.file = folder / "clock"
        self.library = library
        self.seconds = 0.0
        self.jump(0.0)

    def wrapper(self):
        return [shutil.which("env"), f"LD_PRELOAD={self.library}", "FAKETIME_NO_CACHE=1",
                f"FAKETIME_TIMESTAMP_FILE={self.file}", "DONT_FAKE_MONOTONIC=1"]

    def jump(self, seconds):
        self.seconds = max(-20 * YEAR_S, min(20 * YEAR_S, self.seconds + seconds))
        new = self.file.with_suffix(".new")
        new.write_text(f"{self.seconds:+.0f}\n")
        new.rename(self.file)


def check_times(server, newest_us):
    """Append times of the whole log never go back, within it or since the last look."""
    with load.channel_to(server) as channel:
        stub = log_service_pb2_grpc.LogStub(channel)
        at, last = 0, 0
        while True:
            reply = stub.Consume(log_service_pb2.ConsumeRequest(
                log="default", offset=at, max_wait_ms=0), timeout=30)
            for batch in reply.batches:
                check(batch.append_time_us >= last, f"the time at {batch.base_offset} goes back")
                last = batch.append_time_us
            at = reply.next_offset
            if at >= reply.high_watermark:
                check(last >= newest_us, "the newest time is older than before")
                return last


def check_that_it_jumps(site, shift, server):
    """Unless the server sees the shifted clock, nothing here is a proof. It tells the wall clock of
    its start."""
    server.kill()
    server = site.serve(shift.wrapper())
    with load.channel_to(server) as channel:
        stub = log_service_pb2_grpc.LogStub(channel)
        reply = stub.Consume(log_service_pb2.ConsumeRequest(log="default", offset=0), timeout=30)
    seen = reply.server_time_us / 1e6 - time.time()
    check(abs(seen - shift.seconds) < 60, f"the server's clock is {seen:.0f} s from the real one,"
                                          f" not {shift.seconds:.0f}")
    server.kill()
