"""Certificates and access control lists that change all the time, files that are no good, and
permissions that are taken from open streams."""

import os
import queue
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field

import calls
import grpc
from attempts import badfiles
from ground import Place, call, refusal
from proofs import Violation, check
from varve.v1 import admin_service_pb2

import pki

PRODUCE = "/log.v1.Log/Produce"
RECORD = calls.request(PRODUCE)
FOLLOW, PRODUCES = "/varve.v1.Log/ConsumeStream", "/varve.v1.Log/ProduceStream"
# What the subject `reader` may see under each of two policies. No answer may mix them.
SEEN = ({"a1", "a2", "a3"}, {"b1", "b2", "b3"})
LETS_IN = "p, stranger, default, produce\n"
DENIED = "PERMISSION_DENIED"
COMMON = "p, root, *, *\np, good, default, produce\n"
CUT_S_MAX = 1.0


def policy(number):
    rules = [f"p, reader, {log}, consume\n" for log in sorted(SEEN[number])]
    return COMMON + "".join(rules)


def run(ground):
    place = Place(ground.folder / "place", policy(0))
    place.serve()
    with place.channel("root") as root:
        for log in sorted(SEEN[0] | SEEN[1]):
            calls.ask(root, "/varve.v1.Admin/CreateLog", calls.field(1, log))
    lines = [storm(place, ground), bad(place, ground), withdrawn(place, ground)]
    place.stop()
    return lines


@dataclass
class Clients:
    """Good clients that connect anew for every call."""

    place: Place
    over: threading.Event = field(default_factory=threading.Event)
    handshakes: int = 0
    refused: list = field(default_factory=list)
    mixed: list = field(default_factory=list)
    seen: Counter = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def work(self):
        while not self.over.is_set():
            try:
                self.place.call("good", PRODUCE, RECORD)
                logs = logs_of(self.place, "reader")
            except grpc.RpcError as error:
                with self.lock:
                    self.refused.append(f"{error.code().name}: {error.details()}")
                continue
            with self.lock:
                self.handshakes += 2
                if logs in SEEN:
                    self.seen[SEEN.index(logs)] += 1
                else:
                    self.mixed.append(logs)


def storm(place, ground):
    reloads, handshakes = ground.of((100, 1000), (1000, 10_000))
    holders = [pki.server(place.authority) for _ in range(2)]
    bundles = [place.authority.pem(), place.authority.pem() + pki.root("Second CA").pem()]
    clients = Clients(place)
    place.client("reader"), place.client("good")
    threads = [threading.Thread(target=clients.work) for _ in range(4)]
    for thread in threads:
        thread.start()
    began, done = time.monotonic(), 0
    try:
        while done < reloads or clients.handshakes < handshakes:
            place.server_holder = holders[done % 2]
            place.write_certificates()
            place.write("ca.pem", bundles[done // 2 % 2])
            place.write("acl.csv", policy(done % 2))
            check(place.reload(), f"a good reload is refused: {place.lines()[-1]}")
            done += 1
            check(not clients.refused, f"a good client was refused: {clients.refused[:3]}")
    finally:
        clients.over.set()
        for thread in threads:
            thread.join()
    check(not clients.refused, f"a good client was refused: {clients.refused[:3]}")
    check(not clients.mixed, f"an answer mixes two policies: {clients.mixed[:3]}")
    check(min(clients.seen[0], clients.seen[1]) > 0, f"one policy was never seen: {clients.seen}")
    check(place.server.is_alive(), "the server ended")
    seconds = time.monotonic() - began
    ground.say(f"{done} reloads and {clients.handshakes} handshakes in {seconds:.0f} s")
    return (f"cases: {done} reloads of certificates and policy under {clients.handshakes}"
            " handshakes, no good client refused, no answer of two policies at once")


def bad(place, ground):
    """After each bad file the old ones are in force, for new connections too."""
    place.write_certificates()
    # The same line in good files lets the stranger in.
    place.write("acl.csv", LETS_IN + policy(0))
    check(place.reload() and code_of(place, "stranger") == "OK", "a good reload is refused")
    place.write("acl.csv", policy(0))
    check(place.reload() and code_of(place, "stranger") == DENIED, "a good reload is refused")
    count = 0
    for name, file, spoil in badfiles.kinds(place):
        path = place.folder / file
        kept = path.read_bytes()
        spoil(path)
        # Whatever of the new files were used would let the stranger in, also if it were only the
        # lines of a bad list that can be read, or only those before the first that cannot.
        rules = place.folder / "acl.csv"
        if rules.is_file():
            rules.write_bytes(LETS_IN.encode() + rules.read_bytes())
        told = len(place.lines())
        check(not place.reload(), f"{name} is taken")
        line = next(one for one in place.lines()[told:] if "event=reload_refused" in one)
        check(str(path) in line, f"{name}: the refusal does not name {path}: {line}")
        check_old(place, name)
        ground.say(f"{name}: {line.partition('error=')[2][:150]}")
        badfiles.remove(path)
        place.write(file, kept)
        place.write("acl.csv", policy(0))
        count += 1
    check(place.reload(), "the good files are refused")
    return f"cases: {count} kinds of bad file, each refused by name, the old ones kept in force"


def check_old(place, name):
    """Everyone may what the old list says, and no more."""
    check(code_of(place, "good") == "OK", f"{name}: a good client is not served")
    check(code_of(place, "stranger") == DENIED, f"{name}: the new policy is in force")
    check(logs_of(place, "reader") == SEEN[0], f"{name}: the reader's rights are others")
    check(logs_of(place, "root") > SEEN[0] | SEEN[1], f"{name}: root's rights are others")


def code_of(place, subject):
    """What an append by this subject gets."""
    return refusal(lambda: place.call(subject, PRODUCE, RECORD))[0]


def logs_of(place, subject):
    """The logs that this subject may see."""
    reply = place.call(subject, calls.LIST_LOGS)
    return {log.log for log in admin_service_pb2.ListLogsResponse.FromString(reply).logs}


def withdrawn(place, ground):
    """The subject `leaver` has open streams, and may no longer."""
    allowed, slowest, cut = COMMON + "p, leaver, a1, *\n", 0.0, 0
    for _ in range(ground.of(10, 100)):
        place.write("acl.csv", allowed)
        check(place.reload(), "a good reload is refused")
        with place.channel("leaver") as channel:
            streams = [Follower(channel), Producer(channel)]
            for stream in streams:
                stream.begin()
            place.write("acl.csv", COMMON)
            began = time.monotonic()
            os.kill(place.server.pid(), signal.SIGHUP)
            for stream in streams:
                ended, code = stream.end()
                check(code == grpc.StatusCode.PERMISSION_DENIED, f"a stream was cut with {code}")
                slowest = max(slowest, ended - began)
                cut += 1
            check(slowest <= CUT_S_MAX, f"an open stream went on for {slowest:.2f} s")
            check(refusal(lambda: call(channel, "/varve.v1.Log/Consume", calls.field(1, "a1")))[0]
                  == DENIED, "a new call on the old connection is allowed")
    return (f"cases: {cut} open streams whose permission was withdrawn, each cut within"
            f" {slowest * 1000:.0f} ms")


class Follower:
    """A consumer that waits at a log's end."""

    def __init__(self, channel):
        self.replies = channel.unary_stream(FOLLOW)(self.request(), timeout=30)
        self.ended = queue.SimpleQueue()

    def request(self):
        # From the end, with a sign of life at once and then often.
        return calls.field(1, "a1") + calls.field(5, 2) + calls.field(12, 100)

    def begin(self):
        next(self.replies)
        threading.Thread(target=self._read).start()

    def _read(self):
        try:
            for _ in self.replies:
                pass
            self.ended.put((time.monotonic(), None))
        except grpc.RpcError as error:
            self.ended.put((time.monotonic(), error.code()))

    def end(self):
        try:
            return self.ended.get(timeout=10)
        except queue.Empty:
            raise Violation("an open stream is not cut at all") from None


class Producer(Follower):
    """A producer that has appended and keeps its stream."""

    def __init__(self, channel):
        self.requests = queue.SimpleQueue()
        self.requests.put(calls.request(PRODUCES, "a1"))
        self.replies = channel.stream_stream(PRODUCES)(iter(self.requests.get, None), timeout=30)
        self.ended = queue.SimpleQueue()

    def end(self):
        ended = super().end()
        self.requests.put(None)
        return ended
