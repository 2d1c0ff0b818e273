"""File descriptors run out, of the process and of the host."""

import contextlib
import itertools
import os
import queue
import resource
import shutil
import threading
import time

import grpc
from ground import Place, call, dial, open_files, refusal, until
from log_pb2 import ProduceRequest, ProduceResponse, Record
from proofs import Skipped, check

RULES = "p, good, default, produce\n"
PRODUCE, STREAM = "/log.v1.Log/Produce", "/log.v1.Log/ProduceStream"
# Rolls after a few dozen of the records below.
SEGMENTS = '[log]\nsegment_bytes_max = "64KiB"\n'
BODY = os.urandom(4096)
# How long new connections may have to wait.
SERVED_S_MAX = 15
# As the unit says.
RESTART_S = 1
# So long nobody takes from the backlog of a listener that is deaf.
DEAF_S = 5
# `accepting connections failed` among others.
DEAF_EXIT = 74
# A server that stops ends its streams first, and soon after that itself.
ENDED_S_MAX = 1
ANSWER_S_MAX = 10


class Stream:
    """A produce stream on a connection that stays open."""

    def __init__(self, place):
        self.channel = place.channel("good")
        self.requests = queue.SimpleQueue()
        self.answers = self.channel.stream_stream(STREAM)(iter(self.requests.get, None))

    def append(self):
        """A record's offset."""
        self.requests.put(ProduceRequest(record=Record(value=BODY)).SerializeToString())
        return ProduceResponse.FromString(next(self.answers)).offset

    def close(self):
        self.requests.put(None)
        self.channel.close()


class Appends(threading.Thread):
    """Appends to a stream again and again until one fails."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream = stream
        self.over = threading.Event()
        self.count = 0
        self.failure = self.failed_at = None

    def run(self):
        while not self.over.wait(0.05):
            try:
                self.stream.append()
            except (grpc.RpcError, StopIteration) as failure:
                self.failure, self.failed_at = failure, time.monotonic()
                return
            self.count += 1

    def end(self):
        self.over.set()
        self.join(ANSWER_S_MAX)
        check(not self.is_alive(), f"an append on an open stream has no answer after"
              f" {ANSWER_S_MAX} s")


def run(ground):
    if not shutil.which("strace"):
        raise Skipped("strace is missing")
    return [exhausted(ground), failed_accepts(ground)]


def append(place):
    request = ProduceRequest(record=Record(value=b"new")).SerializeToString()
    return ProduceResponse.FromString(place.call("good", PRODUCE, request, timeout=2)).offset


def is_served(place):
    try:
        append(place)
    except grpc.RpcError:
        return False
    return True


def exhausted(ground):
    """Strangers take all descriptors of the process, and a stream goes on over many segments."""
    place = Place(ground.folder / "exhausted", RULES, SEGMENTS)
    rounds, slowest, appended = ground.of(1, 10), 0.0, 0
    for _ in range(rounds):
        server = place.serve()
        stream = Stream(place)
        stream.append()
        pid = server.pid()
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        not_one_left(pid, hard, place, stream)
        check(server.is_alive(), f"the server took itself for deaf: {server.log()[-600:]}")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid) + 16, hard))
        strangers = [dial(place) for _ in range(64)]
        until(lambda: is_full(pid), "the descriptors to run out")
        began = time.monotonic()
        # Strangers that are closed after 5 s are followed by those in the backlog.
        for _ in range(ground.of(200, 1000)):
            stream.append()
            appended += 1
        check(is_full(pid) or time.monotonic() - began > 5, "the descriptors were not out")
        check(refusal(lambda: append(place))[0] != "OK" or not is_full(pid),
              "a new connection is served without a descriptor")
        check(server.is_alive(), f"the server ended: {server.log()[-600:]}")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
        slowest = max(slowest, until(lambda: is_served(place), "a new client", SERVED_S_MAX))
        stream.append()
        stream.close()
        for stranger in strangers:
            stranger.close()
        events = set(server.events()) - {"listening", "check", "variable_ignored", "message"}
        ground.say(f"out of descriptors: a new client is served {slowest:.1f} s after there are"
                   f" some; the server's own words: {sorted(events) or 'none'}")
        place.stop()
    return (f"cases: {rounds} times without a free descriptor, {appended} appends on an open stream"
            f" meanwhile, none failed; new clients served {slowest:.1f} s after there were some"
            " (R16)")


def not_one_left(pid, hard, place, stream):
    """Without a descriptor nobody can accept, which is not the listener's fault: connections wait
    for longer than it takes to call it deaf, and an open stream goes on."""
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(pid), hard))
    waiting = [dial(place) for _ in range(3)]
    began = time.monotonic()
    while time.monotonic() - began < DEAF_S + 3:
        stream.append()
    for stranger in waiting:
        stranger.close()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))


def is_full(pid):
    soft, _ = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    return open_files(pid) >= soft


def failed_accepts(ground):
    """Each error of one `accept4` after which the C core may forget its listener."""
    place = Place(ground.folder / "accept", RULES)
    errors = ground.of(["ENFILE"], ["ENFILE"] * 10 + ["ENOMEM", "ENOBUFS", "EPROTO", "EMFILE",
                                                      "ECONNABORTED", "EPERM"])
    deaf, slowest, appended = 0, 0.0, 0
    for error, when in zip(errors, itertools.cycle((3, 4, 5))):
        server = place.serve(["strace", "-f", "--seccomp-bpf", "-qq", "-o", place.folder / "trace",
                              "-e", "trace=accept4",
                              "-e", f"inject=accept4:error={error}:when={when}"])
        stream = Stream(place)
        stream.append()
        began = time.monotonic()
        while (code := server.wait(0)) is None and not is_injected(place):
            is_served(place)
            check(time.monotonic() - began < 30, "the error was not injected")
        began = time.monotonic()
        waited, code, count = served_again(place, server, stream, began)
        deaf += code is not None
        appended += count
        slowest = max(slowest, waited)
        ground.say(f"one {error}: " + ("the server goes on" if code is None else
                                       f"the server ends with {code}")
                   + f", new clients are served after {waited:.1f} s")
        with contextlib.suppress(grpc.RpcError):
            stream.close()
        place.server.kill()
    return (f"cases: {len(errors)} failed accepts, after {deaf} of which the server heard nothing"
            f" any more and was started again; {appended} appends on open streams up to then; new"
            f" clients served within {slowest:.1f} s (R16)")


def is_injected(place):
    return "(INJECTED)" in (place.folder / "trace").read_text()


def served_again(place, server, stream, began):
    """How long until new clients are served, the exit code if it took a new server, and how many
    appends went through on the open stream, which goes on up to the server's end."""
    appends = Appends(stream)
    appends.start()
    while (code := server.wait(0)) is None and not is_served(place):
        check(time.monotonic() - began < SERVED_S_MAX,
              f"no new client was served for {SERVED_S_MAX} s; the server "
              + ("lives" if server.is_alive() else "ended") + f", {appends.count} appends on its"
              " open stream went through")
    appends.end()
    if appends.failure:
        check(server.wait(ENDED_S_MAX) is not None, f"an append on its open stream failed, and the"
              f" server lives: {appends.failure}")
        after_s = server.began + server.ended_s - appends.failed_at
        check(after_s < ENDED_S_MAX, f"an append on its open stream failed {after_s:.1f} s before"
              f" the server ended: {appends.failure}")
    if code is None:
        return time.monotonic() - began, code, appends.count
    check(code == DEAF_EXIT, f"it ended with {code}: {server.log()[-600:]}")
    check("listener_deaf" in server.events(), "it ended for another reason")
    check(appends.count > 0, "no append on the open stream went through while it heard nothing")
    time.sleep(RESTART_S)
    place.serve()
    until(lambda: is_served(place), "a client of the new server")
    return time.monotonic() - began, code, appends.count


__all__ = ["call", "run"]
