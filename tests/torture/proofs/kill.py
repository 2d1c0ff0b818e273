"""The server is killed at random moments while producers and consumers of several logs are busy and
the oldest segments are dropped, and sometimes once more while it starts."""

import time

import batches
from proofs import World, account, check, check_busy, check_load, check_world
from server import Site

START_SECONDS_MAX = 1.0


def run(ground):
    site, world = Site(ground.folder, retention=batches.RETENTION), World()
    starts = []
    server = site.serve()
    check_world(server, world)
    for cycle in ground.progress():
        rng = ground.rng(cycle)
        crowd = batches.Crowd(server, world, rng)
        check_busy(crowd)
        time.sleep(rng.uniform(0.005, 0.5))
        check_load(crowd)
        server.kill()
        crowd.join()
        check_load(crowd)
        if rng.random() < 0.3:
            kill_in_start(site, rng)
        server = site.serve()
        starts.append(server.started_s)
        check_world(server, world)
    server.kill()
    starts.sort()
    middle, late = (starts[int(len(starts) * part)] for part in (0.5, 0.99))
    check(late <= START_SECONDS_MAX, f"a hundredth of the starts take {late:.2f} s and more")
    return (f"cases: {ground.cycles} kills under load, {account(world, ground.cycles)}, starts"
            f" {middle * 1000:.0f} ms in the middle, {late * 1000:.0f} ms at p99"
            " (R1 R2 R3 R4 R5 R8)")


def kill_in_start(site, rng):
    server = site.launch()
    time.sleep(rng.uniform(0, 0.05))
    server.kill()
