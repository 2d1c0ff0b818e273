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
ANSWER_S_MAX = 20
# Over that, so that a call without an answer tells its own end.
WAIT_S_MAX = 30


class Steady(threading.Thread):
    """Appends one record after the other, each at its time, and notes how long after that time it
    was answered. While the server stalls there is one call; each that was due meanwhile is noted
    too, as if it had been answered with that one."""

    def __init__(self, channel):
        super().__init__(daemon=True)
        self.call = channel.unary_unary(PRODUCE)
        self.answered = threading.Condition()
        self.delays_ms, self.failures = [], []
        self.appends, self.offset = 0, -1
        self.due = time.monotonic()

    def run(self):
        request = ProduceRequest(record=Record(value=bytes(100))).SerializeToString()
        while True:
            time.sleep(max(0.0, self.due - time.monotonic()))
            failure = None
            try:
                reply = self.call(request, timeout=ANSWER_S_MAX)
                offset = ProduceResponse.FromString(reply).offset
                if offset <= self.offset:
                    failure = f"offset {offset} after {self.offset}"
                self.offset = offset
            except grpc.RpcError as error:
                failure = f"{error.code().name}: {error.details()}"
            with self.answered:
                ended = time.monotonic()
                while self.due <= ended:
                    self.delays_ms.append((ended - self.due) * 1000)
                    self.due += EVERY_S
                self.appends += 1
                if failure:
                    self.failures.append(failure)
                self.answered.notify()

    def report(self):
        """Of what was due by now, which is waited for."""
        asked = time.monotonic()
        with self.answered:
            if not self.answered.wait_for(lambda: self.due > asked, WAIT_S_MAX):
                late_s = time.monotonic() - self.due
                self.failures.append(f"one was due {late_s:.0f} s ago and has no answer")
            delays, failures = sorted(self.delays_ms), self.failures
            appends = self.appends
            self.delays_ms, self.failures, self.appends = [], [], 0
        at = lambda share: delays[min(len(delays) - 1, int(len(delays) * share))] if delays else 0.0
        return {"appends": appends, "failures": failures, "p50_ms": at(0.5), "p99_ms": at(0.99),
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
