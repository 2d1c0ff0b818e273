"""A panic at each of the places in the program that have a name, and in each method: the whole
process ends, nothing limps on, and what was acknowledged is there.

Places and methods are found in the sources, so none can be forgotten; each must be come by.
"""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import batches
import grpc
import load
from proofs import Violation, World, check, check_load, check_world, progress
from server import Site, StartFailed, remove
from varve.v1 import log_service_pb2, log_service_pb2_grpc, record_pb2

ROOT = Path(__file__).resolve().parents[3]
PLACE = re.compile(r'fail_point!\(\s*"([\w:]+)"')
PACKAGE = re.compile(r"^package ([\w.]+);", re.MULTILINE)
SERVICE = re.compile(r"^service (\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
RPC = re.compile(r"^ *rpc (\w+)\((stream )?", re.MULTILINE)
# How often a place is passed before the panic, by turns.
PASSED = (0, 2, 7)
COME_BY_S = 20.0
# The smallest segments: all that happens to segments happens soon.
SEGMENT = "16KiB"


def run(ground):
    binary = build()
    cases = [(name, passed) for name in places() + methods()
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
    return (f"cases: {len(cases)} panics at {len(places())} places and in {len(methods())} methods,"
            " each the end of the process (R5 R16)")


def is_once(name):
    """What a start or a stop does, and what few calls lead to, is done once."""
    return name.startswith(("/", "recovery", "logs", "deletion"))


def build():
    """The program with its places; it stands beside the release."""
    words = ["cargo", "build", "--locked", "--release", "--quiet", "--features", "failpoints",
             "--example", "failpoints"]
    done = subprocess.run(words, cwd=ROOT, text=True, capture_output=True, check=False)
    check(done.returncode == 0, f"{' '.join(words)}: {done.stderr[-2000:]}")
    return Path(os.environ["VARVE_BINARY"]).parent / "examples" / "failpoints"


def places():
    found = sorted({name for path in sorted((ROOT / "src").rglob("*.rs"))
                    for name in PLACE.findall(path.read_text())})
    check(len(found) > 15, f"the sources name only {found}")
    return found


def methods():
    """Every method of the project's own services."""
    found = []
    for path in sorted((ROOT / "proto").rglob("*.proto")):
        text = path.read_text()
        for service, body in SERVICE.findall(text):
            found += [f"/{PACKAGE.search(text)[1]}.{service}/{rpc}" for rpc, _ in RPC.findall(body)]
    return found


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


def call_everything(server, first):
    """Makes a log, appends to it without a sync and deletes it, and calls the method that is to
    come first, with a request that may well be refused."""
    with load.channel_to(server) as channel:
        produce = log_service_pb2_grpc.LogStub(channel).Produce
        attempt(produce, log_service_pb2.ProduceRequest(
            log="passing", records=[record_pb2.Record(value=b"x")],
            durability=log_service_pb2.DURABILITY_WRITTEN))
        time.sleep(0.15)
        # Field 1 is the log's name, field 2 the end that it must have.
        for end in (1, 2, 3):
            attempt(channel.unary_unary("/varve.v1.Admin/DeleteLog"),
                    b"\x0a\x07passing\x10" + bytes([end]))
        if first.startswith("/"):
            attempt(channel.stream_stream(first), b"")
    time.sleep(0.05)


def attempt(call, request):
    try:
        if isinstance(call, grpc.StreamStreamMultiCallable):
            for _ in call(iter([request]), timeout=1):
                break
        else:
            call(request, timeout=5)
    except grpc.RpcError:
        pass
