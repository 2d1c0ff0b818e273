"""The server is asked to stop while producers and consumers are busy; the next start has nothing to
do."""

import time

import grpc
import load
from proofs import History, check, check_busy, check_history, check_load
from proofs.owner import hashes
from server import Site

STOP_SECONDS_MAX = 5.0
# So long the server waits for a client that takes nothing before it cuts it off; on a busy host that
# may be a consumer of this proof.
PATIENCE_SECONDS = 1.0
# What a start logs that cuts or rebuilds something.
WORK = {"torn_tail_cut", "store_ignored", "meta_rebuilt", "index_rebuilt", "index_replaced",
        "log_damaged", "index_rebuild_failed", "index_sync_failed"}


def run(ground):
    site, history = Site(ground.folder), History()
    slowest = 0.0
    server = site.serve()
    for cycle in ground.progress():
        rng = ground.rng(cycle)
        burden = load.Load(server, history, rng)
        check_busy(burden)
        time.sleep(rng.uniform(0.005, 0.5))
        code, took = server.stop()
        burden.join()
        check_load(burden, (grpc.StatusCode.CANCELLED,) if took >= PATIENCE_SECONDS else ())
        check(code == 0, f"exit {code} on SIGTERM under load")
        check(took <= STOP_SECONDS_MAX, f"the stop took {took:.1f} s")
        slowest = max(slowest, took)
        before = hashes(site.data)
        server = site.serve()
        after = hashes(site.data)
        check(after == before, f"the start after a stop changed {changed(before, after)}")
        log = check_history(server, history)
        done = WORK.intersection(server.events())
        check(not done, f"the start after a stop of {log.end()} records did {sorted(done)}")
    server.kill()
    check(history.consumed > 0, "the consumers were sent nothing")
    return (f"cases: {ground.cycles} stops under load, {history.acknowledged()} records"
            f" acknowledged, {history.consumed} consumed, the slowest {slowest:.2f} s (R17 R5)")


def changed(before, after):
    return sorted({path.name for path, _ in before.items() ^ after.items()})
