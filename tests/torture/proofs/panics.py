"""A panic at each of the places in the program that have a name, and in each method: the whole
process ends, nothing limps on, and what was acknowledged is there.

Each must be come by.
"""

import signal
import time

import batches
from places import SEGMENT, build, call_everything, methods, panicking
from proofs import Violation, World, check, check_load, check_world, progress
from server import Site, StartFailed, remove

# How often a place is passed before the panic, by turns.
PASSED = (0, 2, 7)
# Producers are stored once in 8 MiB of frames.
COME_BY_S = 90.0


def run(ground):
    binary = build()
    cases = [(name, passed) for name in panicking() + methods()
             for passed in PASSED[:max(1, min(ground.cycles, len(PASSED)))]
             if not passed or not is_once(name)]
    found = []
    for number, (name, passed) in enumerate(progress("panics", cases)):
        site = Site(ground.folder / str(number), segment=SEGMENT, retention=batches.RETENTION,
                    binary=binary)
        try:
            panic_at(site, name, passed, ground.rng(name, passed))
        except Violation as violation:
            found.append(f"{name} after {passed}: {violation}")
        else:
            remove(site.folder)
    check(not found, "; ".join(found))
    return (f"cases: {len(cases)} panics at {len(panicking())} places and in {len(methods())}"
            " methods, each the end of the process (R5 R16)")


def is_once(name):
    """What a start or a stop does, and what few calls lead to, is done once."""
    return name.startswith(("/", "recovery", "logs", "deletion"))


def panic_at(site, name, passed, rng):
    """Has the program panic there, and looks at what is left."""
    world = World()
    server = site.serve()
    check_world(server, world)
    # The next start has something to recover.
    server.kill()
    actions = f"{passed}*off->panic" if passed else "panic"
    server = site.launch(["/usr/bin/env", f"FAILPOINTS={name}={actions}"])
    try:
        server.wait_until_serving()
    except StartFailed:
        pass
    else:
        crowd = batches.Crowd(server, world, rng)
        deadline = time.monotonic() + COME_BY_S
        while server.is_alive() and time.monotonic() < deadline:
            call_everything(server, name)
        if server.is_alive():
            server.signal(signal.SIGTERM)
        server.wait(10)
        crowd.join()
        check_load(crowd)
    code = server.wait(10)
    check(code == -signal.SIGABRT, f"the process ended with {code}, or lives on")
    check(f"failpoint {name} panic" in server.log(), "it ended elsewhere")
    server.kill()
    server = site.serve()
    check_world(server, world)
    server.kill()
