"""One system call fails. After a failed sync or write nothing is acknowledged and the server
leaves; where only space is missing it refuses, and goes on."""

import grpc
import load
import trace
from order import Order
from proofs import History, Skipped, Violation, check, check_history, progress
from server import EXIT_IO, Site, StartFailed, remove

EXIT_SECONDS_MAX = 1.0
BACK_SECONDS_MAX = 5.0
# How long a load may take until the call is reached that fails.
FAULT_SECONDS_MAX = 60.0
# Which calls of a thread fail at every size; the main thread's calls are those of the start.
FATAL = {"fdatasync": (1, 2, 3, 7, 30), "fsync": (1, 2, 3), "pwrite64": (1, 2, 5, 40)}
NO_SPACE = {"pwrite64": (1, 4, 30), "fallocate": (1, 2, 3)}
# Index files are synced by this; nothing hangs on them.
INDEX = {"msync": (1, 2, 5)}
# Done once a segment or less, so that the 200th of a thread takes its time unless they are small.
RARE = ("fsync", "fallocate", "msync")


def run(ground):
    if not trace.is_available():
        raise Skipped("strace is not installed")
    kinds = [(kind, call, k) for kind, calls in enumerate((FATAL, NO_SPACE, INDEX))
             for call, some in calls.items() for k in counts(some, ground.cycles)]
    ends, found, went_on, heard = [], [], 0, 0
    for number, (kind, call, k) in enumerate(progress("fault", kinds)):
        case = Case(ground, number, call, k)
        try:
            if kind == 0:
                ends.append(case.ends())
            else:
                case.goes_on("ENOSPC" if kind == 1 else "EIO")
                went_on += 1
        except Violation as violation:
            found.append(str(violation))
        else:
            heard += case.heard
            remove(case.site.folder)
    check(not found, "; ".join(found))
    at_start = sum(not served for _, served in ends)
    slowest = max(took for took, _ in ends)
    most = ground.cycles
    return (f"cases: {len(ends)} failed calls, in each thread up to {last(FATAL, most)},"
            f" {at_start} of them in a start, exit {EXIT_IO} within {slowest:.2f} s; {went_on}"
            f" calls without space or at an index, up to {last({**NO_SPACE, **INDEX}, most)},"
            f" and it went on; {heard} acknowledgements heard, each behind its sync"
            " (R5 R9 R11 R12 R13)")


def last(calls, most):
    """Up to which of each call."""
    return ", ".join(f"{call} {counts(some, most)[-1]}" for call, some in calls.items())


def counts(some, most):
    """These, and all others up to `most`."""
    return sorted({*some, *range(1, most + 1)})


class Case:
    """One run in which the `k`-th `call` of each thread fails, on a log that was closed before."""

    def __init__(self, ground, number, call, k):
        self.rng = ground.rng(number)
        segment = "8KiB" if call in RARE else "64KiB"
        self.site = Site(ground.folder / f"{number}-{call}-{k}", segment=segment)
        self.history = History()
        self.output = self.site.folder / "strace.out"
        self.call, self.k = call, k
        server = self.site.serve()
        self.held = check_history(server, self.history).end()
        server.stop()
        # How many acknowledgements came under the trace.
        self.heard = -self.history.acknowledged()

    def check(self, condition, text):
        check(condition, f"{self.call} failed at call {self.k}: {text}")

    def launch(self, error):
        injection = f"{self.call}:error={error}:when={self.k}"
        return self.site.launch(trace.strace(self.output, injection))

    def ends(self):
        """How long the server lived after the fault, and whether it had begun to serve."""
        server = self.launch("EIO")
        try:
            server.wait_until_serving()
            served = True
        except StartFailed:
            served = False
        if served:
            burden = load.Load(server, self.history, self.rng, 2, 2, 1)
            lives_on = server.wait(FAULT_SECONDS_MAX) is None
            self.check(not lives_on, "the server lives on")
            burden.join()
            self.check(not burden.wrong(), burden.wrong()[:3])
        code = server.wait(10)
        self.check(code == EXIT_IO, f"exit {code}: {server.log()[-300:]}")
        server.kill()
        seen = self.check_trace()
        failed = next(event for event in seen.events if event.is_injected())
        took = seen.ended_at - failed.returned_at
        self.check(took <= EXIT_SECONDS_MAX, f"the server lived for {took:.2f} s after it")
        self.check_restart()
        return took, served

    def goes_on(self, error):
        """It fails once: whoever is refused hears so, and soon appends work again."""
        server = self.launch(error)
        server.wait_until_serving()
        producers = [load.UnaryProducer(server, self.history, retries=True) for _ in range(3)]
        producers.append(load.StreamProducer(server, self.history, window=64))
        for producer in producers:
            producer.start()
        injection = trace.Injection(self.output)
        load.wait_until(lambda: injection.was_made() or not server.is_alive(), FAULT_SECONDS_MAX)
        before = [len(producer.stream.acks) for producer in producers[:3]]

        def are_back():
            return all(len(producer.stream.acks) > count
                       for producer, count in zip(producers, before))

        load.wait_until(lambda: are_back() or not server.is_alive(), BACK_SECONDS_MAX)
        ended = "" if server.is_alive() else f"exit {server.wait(0)}: {server.log()[-250:]}"
        self.check(not ended, f"the server ended for want of space, {ended}")
        self.check(are_back(), "appends do not come back")
        for producer in producers:
            producer.stop()
        for producer in producers:
            producer.join(30)
            allowed = (None, grpc.StatusCode.RESOURCE_EXHAUSTED)
            self.check(producer.status in allowed, f"an append ended with {producer.status}")
        # Each of the flushers has its own k-th call.
        check_history(server, self.history, patience_s=BACK_SECONDS_MAX)
        code, _ = server.stop()
        self.check(code == 0, f"exit {code} on SIGTERM")
        self.check_trace()
        self.check_restart()

    def check_trace(self):
        seen = trace.read(self.output)
        injected = any(event.is_injected() for event in seen.events)
        self.check(injected, "the trace shows no failed call")
        order = Order(seen.events, self.held)
        self.heard += self.history.acknowledged()
        sent = len(order.acks())
        self.check(sent >= self.heard, f"{self.heard} acknowledgements came, {sent} are traced")
        found = order.violations()
        self.check(not found, "; ".join(found[:3]))
        return seen

    def check_restart(self):
        server = self.site.serve()
        check_history(server, self.history)
        server.kill()
