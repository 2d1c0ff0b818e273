"""Clients that misuse HTTP/2, with a certificate that gives them few rights and without one, while
a good client appends."""

import contextlib
import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import calls
from attempts import floods, holds, mutants
from ground import Place, context, open_files, status, until
from proofs import check

# `weak` may read one log, `mutant` may do everything to another.
RULES = ("p, steady, default, produce\np, root, *, *\np, weak, open, consume\n"
         "p, mutant, scratch, *\n")
QUIET_S = 6
SLOWER_MAX = 10
# A burst of thousands of calls or frames is worked off in so long at most, however fast it was
# before: on a quiet host that is more than ten times.
P99_MS_MIN = 400
# No append may wait for longer than a quarter of the time after which this client gives up. On two
# processors that sixteen others wanted too, the longest was 2.7 s at the size `ci` and 4.4 s beside
# 100,000 calls; beside attacks whose cost has no bound it was 10 s.
LONGEST_S_MAX = 5
GROWTH_BYTES_MAX = 128 << 20
FILES_BACK_S_MAX = 10
# Of attacks whose cost has no bound: they end, and the server is as before.
FILES_BACK_S_LAST = 60


@dataclass
class Scene:
    """What an attack has to work with."""

    place: Place
    ground: object

    def weak(self):
        return context(self.place, self.place.client("weak"))

    def stranger(self):
        return context(self.place)


def run(ground):
    place = Place(ground.folder / "place", RULES)
    place.serve()
    prepare(place)
    # Last those that leave the process with more memory than it had.
    attacks = {**floods.ALL, **holds.ALL, **mutants.ALL, **holds.LAST, **floods.UNBOUNDED}
    lines, broken, worst = [], [], {"p99": 0.0, "grown": 0}
    with contextlib.closing(Watch(place)) as watch:
        for name, attack in attacks.items():
            figures = watch.during(lambda attack=attack: attack(Scene(place, ground)))
            ground.say(f"{name}: {figures.told()}")
            broken += figures.broken(name)
            if name not in floods.UNBOUNDED:
                worst["p99"] = max(worst["p99"], figures.p99_ms / watch.quiet["p99_ms"])
                worst["grown"] = max(worst["grown"], figures.grown_bytes)
            lines.append(f"cases: {figures.tried} {name}, no append of the good client failed"
                         f" meanwhile, the slowest took {figures.report['max_ms']:.0f} ms; p99"
                         f" {figures.p99_ms / watch.quiet['p99_ms']:.1f} times the quiet one,"
                         f" memory +{figures.grown_bytes >> 20} MiB (R13)")
        broken += [f"after the attacks: {why}" for why in watch.rest()["failures"]]
        appended = watch.appended
    check(not broken, "\n  ".join(["", *broken]))
    place.stop()
    return [*lines, f"cases: {appended} appends of the good client during {len(attacks)} attacks,"
            f" none failed; but for {len(floods.UNBOUNDED)} whose cost has no bound, which slow it"
            f" down, p99 at most {worst['p99']:.1f} times the quiet one, memory at most"
            f" +{worst['grown'] >> 20} MiB (R13)"]


def prepare(place):
    """Logs to read, with some megabytes in one, and a certificate for the good client."""
    for file, content in (("steady.pem", place.client("steady").pem()),
                          ("steady-key.pem", place.client("steady").key_pem())):
        place.write(file, content)
    with place.channel("root") as root:
        for log in ("open", "scratch"):
            calls.ask(root, "/varve.v1.Admin/CreateLog", calls.field(1, log))
        record = calls.field(1, calls.field(1, bytes(500_000)))
        for _ in range(16):
            reply = calls.ask(root, "/varve.v1.Log/Produce", record + calls.field(2, "open"))
            check(isinstance(reply, bytes), f"the log to read was not filled: {reply}")


@dataclass
class Figures:
    """How the server and the good client fared during one attack."""

    tried: int
    detail: str
    report: dict
    quiet: dict
    p99_ms: float
    grown_bytes: int
    files_back_s: float
    seconds: float

    def told(self):
        return (f"{self.detail}; {self.seconds:.1f} s; good client {self.report['appends']}"
                f" appends, p50 {self.report['p50_ms']:.1f} ms, p99 {self.p99_ms:.1f} ms (quiet"
                f" {self.quiet['p99_ms']:.1f}), max {self.report['max_ms']:.0f} ms; memory"
                f" +{self.grown_bytes / (1 << 20):.0f} MiB; files back after"
                f" {self.files_back_s:.1f} s")

    def broken(self, name):
        """What was not as it has to be."""
        p99_max = max(SLOWER_MAX * self.quiet["p99_ms"], P99_MS_MIN)
        grown_max = GROWTH_BYTES_MAX
        if name in holds.LAST:
            grown_max = self.tried * holds.STREAM_BYTES_MAX
        bars = {
            f"appends failed: {self.report['failures'][:3]}": not self.report["failures"],
            "there was no append": self.report["appends"] > 0,
        }
        if name not in floods.UNBOUNDED:
            bars |= {
                f"p99 is over {p99_max:.0f} ms": self.p99_ms <= p99_max,
                f"one took over {LONGEST_S_MAX} s": self.report["max_ms"] <= LONGEST_S_MAX * 1000,
                f"its files were not back in {FILES_BACK_S_MAX} s":
                    self.files_back_s <= FILES_BACK_S_MAX,
                f"more than {grown_max >> 20} MiB more memory": self.grown_bytes <= grown_max,
            }
        return [f"{name}: {why}: {self.told()}" for why, holds in bars.items() if not holds]


class Watch:
    """The good client, and what the server uses."""

    def __init__(self, place):
        self.place = place
        self.pid = place.server.pid()
        self.good = subprocess.Popen(
            [sys.executable, Path(__file__).parent.parent / "steady.py", str(place.port),
             place.folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.appended = 0
        time.sleep(2)
        self.rest()
        time.sleep(QUIET_S)
        self.quiet = self.rest()
        self.quiet_files = self._files()

    def rest(self):
        """What came since the report before, with the append that is in flight."""
        self._ask()
        return self._report()

    def _ask(self):
        """For a report of what was due by now, as soon as it has come."""
        self.good.stdin.write("\n")
        self.good.stdin.flush()

    def _report(self):
        report = json.loads(self.good.stdout.readline())
        self.appended += report["appends"]
        return report

    def during(self, attack):
        before, peak, over = status(self.pid, "VmRSS"), [0], threading.Event()
        sampler = threading.Thread(target=self._sample, args=(peak, over))
        sampler.start()
        began = time.monotonic()
        try:
            tried, detail = attack()
            seconds = time.monotonic() - began
            # What still goes on in the server counts too.
            time.sleep(max(0.5, 2 - seconds))
        finally:
            over.set()
            sampler.join()
        self._ask()
        check(self.place.server.is_alive(), f"the server ended: {self.place.server.log()[-900:]}")
        back = until(lambda: self._files() <= self.quiet_files, "the attack's files to be"
                     f" closed: there were {self.quiet_files}, now {self._files()}",
                     FILES_BACK_S_LAST)
        report, later = self._report(), self.rest()
        report["failures"] += later["failures"]
        report["max_ms"] = max(report["max_ms"], later["max_ms"])
        return Figures(tried, detail, report, self.quiet, report["p99_ms"],
                       max(0, peak[0] - before), back, seconds)

    def _files(self):
        """Without those of the logs, of which reading opens some and keeps them."""
        return open_files(self.pid, self.place.data)

    def _sample(self, peak, over):
        while not over.wait(0.05):
            with contextlib.suppress(FileNotFoundError, KeyError):
                peak[0] = max(peak[0], status(self.pid, "VmRSS"))

    def close(self):
        self.good.stdin.close()
        self.good.kill()
        self.good.wait()
        self.good.stdout.close()
