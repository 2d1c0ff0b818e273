"""Attacks that hold on to something, or that make little into much."""

import contextlib
import gzip
import ssl
import time
from collections import Counter

import calls
import wire
from attempts import hellos
from ground import dial, tls
from hyperframe import frame
from proofs import check

CONSUME, FOLLOW = "/varve.v1.Log/Consume", "/varve.v1.Log/ConsumeStream"
PRODUCE, PRODUCES = "/varve.v1.Log/Produce", "/varve.v1.Log/ProduceStream"
# Over the server's limit of 5 s, and a moment for it to close them.
CLOSED_S_MAX = 10
RESOURCE_EXHAUSTED, UNIMPLEMENTED = "8", "12"
STREAMS_PER_CONNECTION_MAX = 100


def unacknowledged(scene):
    """A client that never says that it has seen the limit of streams, and opens 1,000."""
    peer = wire.Peer(tls(scene.place, scene.weak()), answers=False)
    latest = calls.field(1, "open") + calls.field(5, 2)
    encoded, count = wire.block(FOLLOW), 1000
    for first in range(1, 2 * count, 200):
        peer.send(b"".join(wire.call(stream, encoded, latest)
                           for stream in range(first, first + 200, 2)))
    refused = -1
    while len(peer.statuses) > refused:
        refused = len(peer.statuses)
        time.sleep(0.5)
    codes = Counter(code for code, _ in peer.statuses.values())
    threads = scene.place.server.log().count("event=panic")
    check(threads == 0 and count - refused <= STREAMS_PER_CONNECTION_MAX,
          f"{count - refused} streams of one connection are open, the rest: {codes}")
    check(peer.closed.is_set() or codes[RESOURCE_EXHAUSTED] == refused,
          f"the streams were refused with {codes}")
    peer.close()
    return count, f"{count - refused} of {count} streams open, the others refused"


def zero_window(scene):
    """Streams that are asked for and never taken: the client grants no window."""
    seconds = scene.ground.of(10, 60)
    peer = wire.Peer(tls(scene.place, scene.weak()), preface=False)
    peer.send(wire.PREFACE + frame.SettingsFrame(
        0, {frame.SettingsFrame.INITIAL_WINDOW_SIZE: 0}).serialize())
    from_start, count = calls.field(1, "open") + calls.field(5, 1), 90
    for stream in range(1, 2 * count, 2):
        peer.send(wire.call(stream, wire.block(FOLLOW), from_start))
    time.sleep(seconds)
    check(peer.count("Data") == 0, "DATA came without a window")
    refused = len(peer.statuses)
    peer.close()
    return count, f"{count} streams held for {seconds} s without a window, {refused} ended before"


def many_zero_windows(scene):
    """The same on many connections, up to the limit of streams for one subject."""
    peers, opened = [], 0
    from_start = calls.field(1, "open") + calls.field(5, 1)
    for _ in range(scene.ground.of(4, 12)):
        peer = wire.Peer(tls(scene.place, scene.weak()), preface=False)
        peer.send(wire.PREFACE + frame.SettingsFrame(
            0, {frame.SettingsFrame.INITIAL_WINDOW_SIZE: 0}).serialize())
        for stream in range(1, 180, 2):
            peer.send(wire.call(stream, wire.block(FOLLOW), from_start))
            opened += 1
            # To read a megabyte for each is work like any other; here it is about what is held.
            time.sleep(0.02)
        peers.append(peer)
    time.sleep(scene.ground.of(3, 20))
    for peer in peers:
        peer.close()
    return opened, f"{opened} streams without a window on {len(peers)} connections"


def gzip_bomb(scene):
    """A message that would be 512 MiB, in half a megabyte."""
    size = scene.ground.of(64, 512) << 20
    packed = gzip.compress(bytes(size), 6)
    peer = wire.Peer(tls(scene.place, scene.weak()))
    codes = Counter()
    for number in range(4):
        stream = 2 * number + 1
        peer.send(wire.headers(stream, wire.block(CONSUME, ("grpc-encoding", "gzip"))))
        whole = wire.message(packed, compressed=True)
        for at in range(0, len(whole), 16_000):
            peer.send(wire.data(stream, whole[at:at + 16_000], end=at + 16_000 >= len(whole)))
        status = peer.wait_status(stream, 10)
        codes[status[0] if status else "none"] += 1
    peer.close()
    check(set(codes) <= {UNIMPLEMENTED, RESOURCE_EXHAUSTED}, f"compressed messages get {codes}")
    return 4, f"{len(packed) >> 10} KiB that stand for {size >> 20} MiB: {dict(codes)}"


def lengths(scene):
    """Messages that say that they are longer than any may be, and end early."""
    peer = wire.Peer(tls(scene.place, scene.weak()))
    told, stream = Counter(), 1
    for rpc in (CONSUME, FOLLOW, PRODUCE):
        for length in (0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 0x7FFFFFFA, (4 << 20) + 1):
            peer.send(wire.headers(stream, wire.block(rpc))
                      + wire.data(stream, wire.message(b"x" * 100, length=length)))
            status = peer.wait_status(stream, 10)
            told[status[0] if status else "none"] += 1
            stream += 2
    # Some that do not end: they wait for the rest, and hold no more than what came.
    for stream in range(stream, stream + 40, 2):
        peer.send(wire.headers(stream, wire.block(PRODUCES))
                  + wire.data(stream, wire.message(b"x" * 100, length=0xFFFFFFFF), end=False))
    time.sleep(1)
    peer.close()
    check("none" not in told and "0" not in told, f"lengths of up to 4 GiB get {dict(told)}")
    return sum(told.values()) + 20, f"lengths up to 4 GiB, by code: {dict(told)}"


def started_messages(scene):
    """Messages just below the limit, each begun and never finished."""
    count = scene.ground.of(16, 60)
    peer = wire.Peer(tls(scene.place, scene.weak()))
    part = wire.message(bytes(60_000), length=4 << 20)
    for number in range(count):
        stream = 2 * number + 1
        peer.send(wire.headers(stream, wire.block(PRODUCE)))
        for at in range(0, len(part), 16_000):
            peer.send(wire.data(stream, part[at:at + 16_000], end=False))
    time.sleep(2)
    peer.close()
    return count, f"{count} messages of 4 MiB begun and left"


def idle(scene):
    """Connections that stop on the way, in four places."""
    count = scene.ground.of(200, 2000)
    hello = hellos.client_hello([hellos.GOOD_SUITE])
    kinds, stranger, weak = Counter(), scene.stranger(), scene.weak()
    socks, began = [], time.monotonic()
    for number in range(count):
        kind = ("TCP alone", "half a hello", "no preface", "no SETTINGS")[number % 4]
        with contextlib.suppress(OSError, ssl.SSLError):
            if number % 4 < 2:
                sock = dial(scene.place)
            else:
                sock = tls(scene.place, weak if number % 8 < 4 else stranger)
            if kind == "half a hello":
                sock.sendall(hello[:len(hello) // 2])
            elif kind == "no SETTINGS":
                sock.sendall(wire.PREFACE)
            socks.append(sock)
            kinds[kind] += 1
    opened_s = time.monotonic() - began
    left = _until_closed(socks)
    for sock in socks:
        sock.close()
    check(left == 0, f"{left} of {count} idle connections are open after {CLOSED_S_MAX} s")
    told = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
    return sum(kinds.values()), f"{told}, made in {opened_s:.1f} s, each closed by the server"


def _until_closed(socks):
    """How many the server has not closed in time."""
    end, left = time.monotonic() + CLOSED_S_MAX, list(socks)
    while left and time.monotonic() < end:
        left = [sock for sock in left if not _is_closed(sock)]
        time.sleep(0.05)
    return len(left)


def _is_closed(sock):
    sock.settimeout(0)
    try:
        while sock.recv(4096):
            pass
        return True
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True


def connections_of_one(scene):
    """Connections with a good certificate that ask for nothing more."""
    made, count = scene.weak(), scene.ground.of(100, 1000)
    peers = [wire.Peer(tls(scene.place, made)) for _ in range(count)]
    alive = sum(not peer.closed.is_set() for peer in peers)
    for peer in peers:
        peer.close()
    return count, f"{alive} of {count} connections with a good certificate held at once"


# A stream keeps at most one reply that it could not send, and one that it has read.
STREAM_BYTES_MAX = 5 << 19
ALL = {
    "streams before SETTINGS are acknowledged": unacknowledged,
    "compressed messages that grow a thousandfold": gzip_bomb,
    "lengths beyond any message": lengths,
    "messages that are begun and not ended": started_messages,
    "idle connections": idle,
    "connections of one client": connections_of_one,
}
LAST = {
    "streams without a window": zero_window,
    "streams without a window on several connections": many_zero_windows,
}
