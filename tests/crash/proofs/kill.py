"""The server is killed at random moments while producers and consumers are busy, and sometimes once
more while it starts."""

import time

import load
from proofs import History, check_history, check_load
from server import Site


def run(ground):
    site, history = Site(ground.folder), History()
    starts = []
    server = site.serve()
    for cycle in range(ground.cycles):
        rng = ground.rng(cycle)
        burden = load.Load(server, history, rng)
        burden.wait_for_acks(1)
        time.sleep(rng.uniform(0.005, 0.5))
        server.kill()
        burden.join()
        check_load(burden)
        if rng.random() < 0.3:
            kill_in_start(site, rng)
        server = site.serve()
        starts.append(server.started_s)
        check_history(server, history)
    server.kill()
    starts.sort()
    middle, longest = starts[len(starts) // 2] * 1000, starts[-1] * 1000
    return (f"cases: {ground.cycles} kills under load, {history.acknowledged()} records"
            f" acknowledged and {len(history.settled)} held, starts {middle:.0f} ms in the middle"
            f" and {longest:.0f} ms at most (R1 R2 R3 R4 R5)")


def kill_in_start(site, rng):
    server = site.launch()
    time.sleep(rng.uniform(0, 0.05))
    server.kill()
