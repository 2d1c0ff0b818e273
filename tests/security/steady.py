"""A good client in a process of its own, so that an attack beside it does not slow it down: it
appends at a steady pace. Each line on the standard input asks for what came since the line before.

usage: steady.py PORT FOLDER     FOLDER has ca.pem, steady.pem and steady-key.pem
"""

import json
import sys
import threading
import time
from pathlib import Path

import grpc
from log_pb2 import ProduceRequest, ProduceResponse, Record

EVERY_S = 0.02
PRODUCE = "/log.v1.Log/Produce"


class Steady(threading.Thread):
    """Appends one record after the other, each at its time, and notes how long each took."""

    def __init__(self, channel):
        super().__init__(daemon=True)
        self.call = channel.unary_unary(PRODUCE)
        self.lock = threading.Lock()
        self.taken_ms, self.failures = [], []
        self.offset = -1

    def run(self):
        request = ProduceRequest(record=Record(value=bytes(100))).SerializeToString()
        due = time.monotonic()
        while True:
            due += EVERY_S
            time.sleep(max(0.0, due - time.monotonic()))
            began, failure = time.monotonic(), None
            try:
                offset = ProduceResponse.FromString(self.call(request, timeout=20)).offset
                if offset <= self.offset:
                    failure = f"offset {offset} after {self.offset}"
                self.offset = offset
            except grpc.RpcError as error:
                failure = f"{error.code().name}: {error.details()}"
            with self.lock:
                self.taken_ms.append((time.monotonic() - began) * 1000)
                if failure:
                    self.failures.append(failure)

    def report(self):
        with self.lock:
            taken, failures = sorted(self.taken_ms), self.failures
            self.taken_ms, self.failures = [], []
        at = lambda share: taken[min(len(taken) - 1, int(len(taken) * share))] if taken else 0.0
        return {"appends": len(taken), "failures": failures, "p50_ms": at(0.5), "p99_ms": at(0.99),
                "max_ms": at(1)}


def main():
    port, folder = sys.argv[1], Path(sys.argv[2])
    credentials = grpc.ssl_channel_credentials(*((folder / name).read_bytes() for name in (
        "ca.pem", "steady-key.pem", "steady.pem")))
    steady = Steady(grpc.secure_channel(f"localhost:{port}", credentials))
    steady.start()
    for _ in sys.stdin:
        print(json.dumps(steady.report()), flush=True)


if __name__ == "__main__":
    main()
