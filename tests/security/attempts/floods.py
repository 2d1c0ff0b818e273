"""Attacks by number: more frames, connections and handshakes than anyone needs."""

import contextlib
import ssl
import time
from collections import Counter

import calls
import wire
from ground import dial, tls
from hyperframe import frame
from proofs import check

CONSUME, WATCH = "/varve.v1.Log/Consume", "/grpc.health.v1.Health/Watch"
REQUEST = calls.request(CONSUME, "open")
# Frames for each write.
BATCH = 200


def flood(scene, total, batch):
    """Sends `batch(peer, first)` until that many frames were sent, over as many connections as it
    takes, since the server may close each; what ended them."""
    sent, ends, peer, began = 0, Counter(), None, time.monotonic()
    made = scene.weak()
    while sent < total:
        if peer is None:
            peer, first = wire.Peer(tls(scene.place, made)), 1
        if peer.send(batch(peer, first)):
            sent += BATCH
            first += 2 * BATCH
        if peer.closed.is_set() or peer.goaway:
            ends[_why(peer)] += 1
            peer.close()
            peer = None
    rate = sent / (time.monotonic() - began)
    if peer is not None:
        peer.wait_closed(1)
        ends[_why(peer) if peer.closed.is_set() or peer.goaway else "kept open"] += 1
        peer.close()
    told = ", ".join(f"{count} x {why}" for why, count in ends.items())
    return sent, f"{sent} frames at {rate:.0f}/s, connections: {told}"


def _why(peer):
    if not peer.goaway:
        return "closed"
    code, text = peer.goaway
    return f"GOAWAY {code} {text.decode(errors='replace')[:60]}".strip()


def over(first):
    return range(first, first + 2 * BATCH, 2)


def rapid_resets(path, payload, rpc=CONSUME):
    """A call, and its reset right behind it. No more of them at any size: what they cost has no
    bound, and this shows what so many cost."""
    encoded = wire.block(rpc)

    def batch(_, first):
        return b"".join((wire.call(stream, encoded, payload) if path == "whole" else
                         wire.headers(stream, encoded)) + wire.reset(stream)
                        for stream in over(first))
    return lambda scene: flood(scene, 10_000, batch)


def repeated(one):
    """The same frame all the time."""
    many = one * BATCH
    return lambda scene: flood(scene, scene.ground.of(10_000, 100_000), lambda peer, first: many)


def empty_data(scene):
    """On a stream that takes requests."""
    opening = wire.headers(1, wire.block("/varve.v1.Log/ProduceStream"))
    many = wire.data(1, b"", end=False) * BATCH

    def batch(_, first):
        return (opening if first == 1 else b"") + many
    return flood(scene, scene.ground.of(10_000, 100_000), batch)


def one_byte_data(scene):
    """A message of which each frame brings one byte."""
    opening = (wire.headers(1, wire.block("/varve.v1.Log/ProduceStream"))
               + wire.data(1, wire.message(b"", length=1 << 20), end=False))
    many = wire.data(1, b"x", end=False) * BATCH

    def batch(_, first):
        return (opening if first == 1 else b"") + many
    return flood(scene, scene.ground.of(10_000, 60_000), batch)


def denied_calls(scene):
    """Calls that the access control list refuses, each of which would be a line in the log."""
    encoded = wire.block("/varve.v1.Log/Produce")
    payload = calls.request("/varve.v1.Log/Produce", "default")
    before = len(scene.place.lines())

    def batch(_, first):
        return b"".join(wire.call(stream, encoded, payload) for stream in over(first))
    sent, told = flood(scene, scene.ground.of(10_000, 100_000), batch)
    lines = len(scene.place.lines()) - before
    check(lines < sent // 4, f"{lines} lines in the server's log for {sent} denied calls")
    return sent, f"{told}, {lines} lines in the server's log"


def bad_headers(scene):
    """Headers that a stream may not have; the table that both sides keep must not come apart."""
    kinds = [wire.block(CONSUME, pair) for pair in (
        ("te", "gzip"), ("grpc-timeout", "x"), ("content-length", "-1"), ("UPPER", "x"),
        ("user-bin", "***"), ("grpc-encoding", "none-such"), (":method", "GET"))]

    def batch(_, first):
        return b"".join(wire.call(stream, kinds[stream // 2 % len(kinds)], REQUEST)
                        for stream in over(first))
    return flood(scene, scene.ground.of(10_000, 100_000), batch)


def continuation(acknowledges):
    """Headers that do not end: with the limit of SETTINGS in force, or before it is."""
    def attack(scene):
        megabytes = scene.ground.of(3, 30)
        encoded = wire.block(CONSUME, ("x-filler", "y" * 16_000))
        more = frame.ContinuationFrame(1, wire.literal(("x-more", "z" * 16_000))).serialize()
        peer = wire.Peer(tls(scene.place, scene.weak()), answers=acknowledges)
        if acknowledges:
            time.sleep(0.3)
        peer.send(frame.HeadersFrame(1, encoded).serialize())
        sent = 0
        while sent < megabytes << 20 and peer.send(more):
            sent += len(more)
        peer.wait_closed(1)
        how = _why(peer) if peer.closed.is_set() or peer.goaway else "kept open"
        peer.close()
        return sent // len(more), f"{sent / (1 << 20):.1f} MiB of CONTINUATION, {how}"
    return attack


def strangers(scene):
    """Handshakes without a certificate, one after the other."""
    count, made = scene.ground.of(200, 2000), scene.stranger()
    for _ in range(count):
        with contextlib.suppress(OSError, ssl.SSLError):
            tls(scene.place, made).close()
    return count, f"{count} handshakes without a certificate"


def connections(scene):
    """Connections that come and go, some with noise and some without a word."""
    count, noise = scene.ground.of(2000, 20_000), scene.ground.rng("noise").randbytes(300)
    for number in range(count):
        with dial(scene.place) as sock, contextlib.suppress(OSError):
            if number % 3 == 0:
                sock.sendall(noise)
    return count, f"{count} connections"


PING = frame.PingFrame(0, b"12345678").serialize()
ALL = {
    "PING frames": repeated(PING),
    "SETTINGS frames": repeated(wire.SETTINGS),
    "SETTINGS acknowledgements": repeated(wire.SETTINGS_ACK),
    "SETTINGS frames that resize the header table": repeated(
        frame.SettingsFrame(0, {frame.SettingsFrame.HEADER_TABLE_SIZE: 0}).serialize()
        + frame.SettingsFrame(0, {frame.SettingsFrame.HEADER_TABLE_SIZE: 65536}).serialize()),
    "PRIORITY frames": repeated(frame.PriorityFrame(1, stream_weight=1).serialize()),
    "WINDOW_UPDATE frames": repeated(frame.WindowUpdateFrame(0, 1).serialize()),
    "WINDOW_UPDATE frames by zero": repeated(b"\0\0\x04\x08\0\0\0\0\1\0\0\0\0"),
    "frames of unknown types": repeated(b"\0\0\x08\xee\0\0\0\0\0abcdefgh"),
    "empty DATA frames": empty_data,
    "DATA frames of one byte": one_byte_data,
    "denied calls": denied_calls,
    "calls with bad headers": bad_headers,
    "CONTINUATION frames": continuation(True),
    "CONTINUATION frames before SETTINGS are acknowledged": continuation(False),
    "handshakes without a certificate": strangers,
}
# The core reads on while there is something to read, and accepts while there is someone to accept;
# only then are calls worked on. Beside these the good client waits, and what waits takes memory.
UNBOUNDED = {
    "connections that come and go": connections,
    "calls that are reset at once": rapid_resets("whole", REQUEST),
    "headers that are reset at once": rapid_resets("headers", b""),
    "watches that are reset at once": rapid_resets("whole", b"", WATCH),
}
