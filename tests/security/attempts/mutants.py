"""Requests of every method with bytes changed, by a client that may do everything to one log."""

from collections import Counter

import calls
import wire
from ground import call, context, tls
from proofs import check

# A reply, or a refusal that says what is wrong; never that the server is at fault.
FAULTS = {"2": "UNKNOWN", "13": "INTERNAL", "15": "DATA_LOSS", "16": "UNAUTHENTICATED"}
# Fewer than the calls that one subject may have open.
AT_ONCE = 48
PATHS = sorted({*calls.ACTIONS, *calls.OF_DEFAULT, calls.LIST_LOGS, calls.SERVER_INFO,
                "/grpc.health.v1.Health/Check"}
               - {"/varve.v1.Log/ConsumeStream", "/log.v1.Log/ConsumeStream"})


def run(scene):
    total, rng = scene.ground.of(10_000, 100_000), scene.ground.rng("mutants")
    made = context(scene.place, scene.place.client("mutant"))
    peer, stream, codes, done = wire.Peer(tls(scene.place, made)), 1, Counter(), 0
    # A request that waits for records is answered all the same.
    encoded = {path: wire.block(path, ("grpc-timeout", "100m")) for path in PATHS}
    while done < total:
        sent = {}
        for _ in range(AT_ONCE):
            path = rng.choice(PATHS)
            sent[stream] = (path, mutant(rng, path))
            stream += 2
        peer.send(b"".join(wire.call(number, encoded[path], request)
                           for number, (path, request) in sent.items()))
        for number, (path, request) in sent.items():
            status = peer.wait_status(number, 10)
            check(status is not None, f"no answer to {path} with {request.hex()}")
            check(status[0] not in FAULTS or _is_of_the_binding(path, status),
                  f"{path} with {request.hex()}: {status}")
            codes[status[0]] += 1
        peer.statuses.clear()
        done += AT_ONCE
    peer.close()
    with scene.place.channel("root") as root:
        call(root, calls.LIST_LOGS)
    told = ", ".join(f"{count} x {code}" for code, count in codes.most_common())
    return done, f"by code: {told}"


def _is_of_the_binding(path, status):
    """gRPC's own health service is read by the binding's codec, which calls it its own fault."""
    return path.startswith("/grpc.health") and "Failed to deserialize" in status[1]


def mutant(rng, path):
    """A request that is almost one."""
    request = bytearray(rich(rng, path))
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(request) + 1)
        change = rng.randrange(7)
        if change == 0:
            request[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif change == 1:
            del request[at:at + rng.randrange(1, 9)]
        elif change == 2 and at < len(request):
            request[at] ^= 1 << rng.randrange(8)
        elif change == 3:
            request[at:at] = rng.choice((b"\xff" * 10, b"\x80" * 9 + b"\x01", b"\x0b", b"\x0c",
                                         b"\x0f", b"\x0a\xff\xff\xff\xff\x0f", b"\x00"))
        elif change == 4:
            request += request[:at]
        elif change == 5:
            del request[at:]
        else:
            request += calls.field(rng.randrange(1, 20), rng.getrandbits(64))
    return bytes(request)


def rich(rng, path):
    """A request with more fields than it needs; some make sense."""
    request = calls.request(path, rng.choice((b"scratch", b"scratch", b"absent", b"")))
    for _ in range(rng.randrange(4)):
        number = rng.randrange(1, 13)
        request += calls.field(number, rng.choice((
            rng.getrandbits(rng.choice((1, 7, 31, 32, 63, 64))), rng.randbytes(rng.randrange(40)),
            calls.field(rng.randrange(1, 9), rng.getrandbits(20)))))
    return request


ALL = {"requests with changed bytes": run}
