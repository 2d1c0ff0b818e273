"""The program with its fail points: which there are, and calls that come by them.

Places and methods are found in the sources, so none can be forgotten. Which file a failed place was
at work on is found in a trace: the place comes before the call and has no name for it.
"""

import os
import re
import subprocess
import time
from pathlib import Path

import grpc
import load
import trace
from varve.v1 import (admin_service_pb2, admin_service_pb2_grpc, log_service_pb2,
                      log_service_pb2_grpc, record_pb2)

ROOT = Path(__file__).resolve().parents[2]
PLACE = re.compile(r'fail_point!\(\s*"([\w:]+)"(, fails)?\)')
PACKAGE = re.compile(r"^package ([\w.]+);", re.MULTILINE)
SERVICE = re.compile(r"^service (\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
RPC = re.compile(r"^ *rpc (\w+)\((stream )?", re.MULTILINE)
# The smallest segments: all that happens to segments happens soon.
SEGMENT = "16KiB"
# What a trace needs to tell on which file a thread is at work, and when a place failed.
FILE_CALLS = ("openat,close,pwrite64,fdatasync,fsync,fallocate,ftruncate,rename,renameat,renameat2,"
              "link,linkat,unlink,unlinkat,mkdir,mkdirat,write")


def build():
    """The program with its places; it stands beside the release."""
    words = ["cargo", "build", "--locked", "--release", "--quiet", "--features", "failpoints",
             "--example", "failpoints"]
    done = subprocess.run(words, cwd=ROOT, text=True, capture_output=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2000:]}")
    return Path(os.environ["VARVE_BINARY"]).parent / "examples" / "failpoints"


def panicking():
    """The places at which a panic may come."""
    return _places("")


def failing():
    """The places at which a call may fail."""
    return _places(", fails")


def _places(kind):
    found = sorted({name for path in (ROOT / "src").rglob("*.rs")
                    for name, fails in PLACE.findall(path.read_text()) if fails == kind})
    if len(found) < 15:
        raise RuntimeError(f"the sources name only {found}")
    return found


def methods():
    """Every method of the project's own services."""
    found = []
    for path in sorted((ROOT / "proto").rglob("*.proto")):
        text = path.read_text()
        for service, body in SERVICE.findall(text):
            found += [f"/{PACKAGE.search(text)[1]}.{service}/{rpc}" for rpc, _ in RPC.findall(body)]
    return found


def call_everything(server, first):
    """Makes a log, appends to it without a sync and deletes it, makes a backup, and calls the
    method that is to come first, with a request that may well be refused."""
    with load.channel_to(server) as channel:
        produce = log_service_pb2_grpc.LogStub(channel).Produce
        attempt(produce, log_service_pb2.ProduceRequest(
            log="passing", records=[record_pb2.Record(value=b"x")],
            durability=log_service_pb2.DURABILITY_WRITTEN))
        time.sleep(0.15)
        admin = admin_service_pb2_grpc.AdminStub(channel)
        for end in (1, 2, 3):
            attempt(admin.DeleteLog, admin_service_pb2.DeleteLogRequest(
                log="passing", expected_end_offset=end))
        attempt(admin.BackUp, admin_service_pb2.BackUpRequest(name=f"b{time.monotonic_ns()}"))
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


def file_of_failure(output):
    """The file that the thread was at work on when the first place failed, by its new name if that
    was given one, and the call that it made last; None if none failed."""
    last = {}
    for event in trace.read(output).events:
        descriptor, path = event.fd()
        if event.call == "write":
            # What is written to standard error in pieces begins with this one.
            if descriptor == 2 and event.strings()[:1] == [b"failpoint "]:
                return last.get(event.thread)
        elif path is None:
            last[event.thread] = event.strings()[-1].decode(), event.call
        else:
            last[event.thread] = path, event.call
    return None
