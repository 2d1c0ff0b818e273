"""The works, and how each server is put to them.

W1   one connection, one produce stream, large batches of 100 B records; W1k of 1 KiB records
W2   one caller, one record a call
W3   64 callers with one record each in flight: call by call, and each over a stream
W4   one consumer that reads a log from its start, out of the page cache
W5   1,000 records a second, and how soon one waiting consumer has each
"""

import json
import subprocess
from dataclasses import dataclass, field

from processes import Failed

BATCH_RECORDS = {100: 4000, 1024: 1000}
CALLERS = 64
RATE = 1000
MEASURE_SECONDS_MAX = 300


@dataclass
class Figures:
    """What one run of one work came to; what was not measured is None."""

    records_per_s: float = None
    p50_us: float = None
    p99_us: float = None
    cpu_us_per_record: float = None
    memory_mib: float = None


@dataclass
class Bench:
    """Where the programs are, and how long a run lasts."""

    site: object
    peers: str
    seconds: int
    records: int = 1_000_000
    logs: list = field(default_factory=list)

    # --- Varve and its null server, by `varve bench` ---

    def varve(self, server, scenario, *flags, log="default", seconds=None):
        command = [self.site.varve, "bench", scenario, "--json", "--log", log,
                   "--duration", f"{seconds or self.seconds}s", *flags,
                   *self.site.client_flags(server)]
        return figures_of(run(command))

    def new_log(self, server, name):
        """A log of its own for a run, so that each begins alike."""
        self.admin(server, "create", name)
        self.logs.append(name)
        return name

    def delete_logs(self, server):
        for name in self.logs:
            self.admin(server, "delete", name, "--yes")
        self.logs.clear()

    def admin(self, server, *words):
        run([self.site.varve, "log", *words, *self.site.client_flags(server)])

    def produce(self, server, record_bytes, log="default"):
        return self.varve(server, "produce", "--record-bytes", record_bytes, "--batch-records",
                          BATCH_RECORDS[record_bytes], "--in-flight", 16, log=log)

    def call(self, server, callers, over_streams=False, log="default"):
        flags = ["--callers", callers, *(["--over-streams"] if over_streams else [])]
        return self.varve(server, "latency", *flags, log=log)

    def consume(self, server, log="default"):
        return self.varve(server, "consume", log=log)

    def follow(self, server, log="default"):
        return self.varve(server, "mixed", "--rate", RATE, "--batch-records", 1, log=log)

    def disk(self, folder, block_bytes):
        """The median and the 99th percentile of a block's write and sync, and the rate of those:
        in space that is only allocated, and in space filled ahead."""
        said = json.loads(run([
            self.site.varve, "bench", "disk", folder, "--json", "--block-bytes", block_bytes,
            "--duration", f"{self.seconds}s"]))
        return {one["space"]: Figures(one["mb_per_s"], one["latency_us"]["p50"],
                                      one["latency_us"]["p99"]) for one in said["passes"]}

    # --- the peers, by the bench of that name ---

    def peer(self, server, kind, work, *flags, record_bytes=100):
        before = server.cpu_s()
        said = json.loads(run([
            self.peers, kind, work, "--record-bytes", record_bytes, "--seconds", self.seconds,
            "--records", self.records, *flags]))
        latency = said["latency_us"] or {}
        return Figures(said["records_per_s"], latency.get("p50"), latency.get("p99"),
                       (server.cpu_s() - before) * 1e6 / said["records"], server.memory_mib())


def run(command):
    """What the command prints, which must end well."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=MEASURE_SECONDS_MAX,
                          check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def figures_of(output):
    said = json.loads(output)
    # What a consumer had counts where there is one.
    side = said["consumed"] or said["produced"]
    latency, server = side["latency_us"] or {}, said["server"] or {}
    memory = [server.get(key) for key in ("rss_anon_kib", "rss_shmem_kib")]
    return Figures(side["records_per_s"], latency.get("p50"), latency.get("p99"),
                   server.get("cpu_us_per_record"),
                   None if None in memory else sum(memory) / 1024)
