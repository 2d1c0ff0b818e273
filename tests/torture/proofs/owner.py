"""Several servers want one data directory, or one port: one gets it, the others leave at once."""

import hashlib
import time

import load
from proofs import History, Violation, check, check_history
from server import Site, remove

EXIT_TAKEN = 75
EXIT_SECONDS_MAX = 1.0
STARTS = 8


def run(ground):
    slowest = 0.0
    for number in ground.progress():
        site, history = Site(ground.folder / str(number)), History()
        fill(ground, site, history, killed=number % 2 == 1)
        slowest = max(slowest, contend(site, history))
        slowest = max(slowest, want_port(site, history))
        remove(site.folder)
    return (f"cases: {ground.cycles * STARTS} parallel starts on {ground.cycles} directories and"
            f" {ground.cycles} on a taken port, losers gone within {slowest:.2f} s (R14)")


def fill(ground, site, history, killed):
    """A log with records, closed in order or not."""
    server = site.serve()
    burden = load.Load(server, history, ground.rng(site.folder.name), consumers=0)
    burden.wait_for_acks(50)
    burden.stop()
    check_history(server, history)
    if killed:
        server.kill()
        return
    code, _ = server.stop()
    check(code == 0, f"exit {code} on SIGTERM")


def contend(site, history):
    """Eight starts at once. How long the slowest loser took."""
    servers = [site.launch() for _ in range(STARTS)]
    check(load.wait_until(lambda: sum(not s.is_alive() for s in servers) >= STARTS - 1, 10),
          "more than one server lives on one data directory")
    winners = [server for server in servers if server.is_alive()]
    check(len(winners) == 1, f"exits {[server.wait(0) for server in servers]}: nobody lives")
    winner = winners[0]
    winner.wait_until_serving()
    check_losers([server for server in servers if server is not winner])
    # The winner rests now. Latecomers must change nothing at all.
    before = hashes(site.data)
    late = [site.launch() for _ in range(STARTS - 1)]
    slowest = max(ended_in(server) for server in late)
    check_losers(late)
    check(hashes(site.data) == before, "a server that lost changed files")
    check(winner.is_alive(), "the winner ended")
    check_history(winner, history)
    winner.kill()
    return slowest


def want_port(site, history):
    """Another directory, the same port."""
    server = site.serve()
    elsewhere = site.folder / "elsewhere"
    late = site.launch(data=elsewhere, listen=f"127.0.0.1:{server.port}")
    took = ended_in(late)
    check_losers([late])
    check_history(server, history)
    server.kill()
    return took


def ended_in(server):
    check(server.wait(10) is not None, "a server that cannot have its place lives on")
    return server.ended_s


def check_losers(servers):
    for server in servers:
        code = server.wait(0)
        check(code == EXIT_TAKEN, f"a loser ended with exit {code}: {server.log()[-300:]}")
        check(server.ended_s <= EXIT_SECONDS_MAX, f"a loser took {server.ended_s:.2f} s")
        server.kill()


def hashes(data):
    """What every file holds, once nobody writes any more."""
    last = None
    for _ in range(50):
        now = {path: hashlib.sha256(path.read_bytes()).hexdigest()
               for path in sorted(data.rglob("*")) if path.is_file()}
        if now == last:
            return now
        last = now
        time.sleep(0.1)
    raise Violation("the files of a server at rest do not come to rest")
