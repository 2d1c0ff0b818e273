"""How the cost of a record grows with the log, with the logs written in turn, and with the
connections."""

import json

import machine
import page
from works import BATCH_RECORDS, run

CONNECTIONS = (1, 4, 16, 64)


def measure(bench, gib, logs):
    """The rows of three tables. The largest log comes last: it fills the page cache."""
    machine.touch_memory(bench.site.folder, gib + 5 << 30)
    server = bench.site.serve()
    try:
        return {"connections": with_the_connections(bench, server),
                "logs": with_the_logs(bench, server, logs),
                "log": with_the_log(bench, server, gib)}
    finally:
        server.stop()


def with_the_log(bench, server, gib):
    """(what the log holds, figures of producing, of reading it from its start, of a lone caller),
    while it is empty, on the way and when it is full."""
    log = bench.new_log(server, "growing")
    rows = []
    for part in (0, 0.1, 1):
        fill(bench, server, log, int(gib * part * 2**30))
        produced = bench.produce(server, 100, log)
        records = end_of(bench, server, log)
        rows.append((records, produced, bench.consume(server, log),
                     bench.call(server, 1, log=log)))
        tell(f"{records:,} records", *rows[-1][1:])
    bench.delete_logs(server)
    return rows


def fill(bench, server, log, size):
    """Appends until the log holds about `size` bytes."""
    while (left := size - end_of(bench, server, log) * 104) > 0:
        seconds = max(1, min(60, left // 200_000_000))
        bench.varve(server, "produce", "--warmup", "0", "--batch-records", BATCH_RECORDS[100],
                    "--in-flight", 16, log=log, seconds=seconds)


def end_of(bench, server, log):
    said = run([bench.site.varve, "log", "describe", log, "--json",
                *bench.site.client_flags(server)])
    return json.loads(said)["end_offset"]


def with_the_logs(bench, server, most):
    """(how many logs, figures of batches, of a lone caller, of 64 of them), written in turn."""
    rows = []
    for number in range(1, most + 1):
        bench.new_log(server, f"turn-{number}")
    for count in (1, 10, 100, 1000, 10_000):
        if count > most:
            break
        logs = ("--logs", count)
        # A log's first segments are small, and new ones are made often.
        settled = ("--warmup", f"{1 + count // 50}s")
        batches = ("--unary", "--batch-records", 1000, *settled)
        rows.append((count, bench.varve(server, "produce", *batches, *logs, log="turn"),
                     bench.varve(server, "latency", *logs, log="turn"),
                     bench.varve(server, "latency", "--callers", 64, *logs, log="turn")))
        tell(f"{count:,} logs", *rows[-1][1:])
    bench.delete_logs(server)
    return rows


def with_the_connections(bench, server):
    """(how many connections, figures of batches, of 64 callers that share them)."""
    rows = []
    for count in CONNECTIONS:
        log = bench.new_log(server, f"connections-{count}")
        batches = ("--connections", count, "--in-flight", max(1, 16 // count))
        rows.append((count, bench.varve(server, "produce", "--batch-records", 1000, *batches,
                                        log=log),
                     bench.varve(server, "latency", "--callers", 64, "--connections", count,
                                 log=log)))
        tell(f"{count} connections", *rows[-1][1:])
    bench.delete_logs(server)
    return rows


def tell(what, *figures):
    print(f"{what:<24}" + "; ".join(
        f"{page.number(one.records_per_s)} /s, {page.number(one.cpu_us_per_record)} us CPU,"
        f" p50 {page.number(one.p50_us)} us, {page.number(one.memory_mib)} MiB"
        for one in figures), flush=True)


def text(rows):
    """The three tables."""
    def cells(figures):
        return [page.number(figures.records_per_s), page.number(figures.cpu_us_per_record)]

    def table(heads, name):
        columns = [heads[0]] + [f"{head}: {what}" for head in heads[1:]
                                for what in ("records/s", "CPU, us a record")]
        return page.table(columns, [[page.number(count)] + sum(map(cells, figures), [])
                                    for count, *figures in rows[name]])

    memory = max(one.memory_mib for _, *figures in rows["log"] for one in figures)
    return "\n\n".join([
        "With the records in the log. Its own and shared memory was at most"
        f" {memory:.0f} MiB meanwhile.",
        table(["records", "a produce stream", "reading from the start", "a lone caller"], "log"),
        "With the logs that are written in turn, call by call. Callers of one log share its syncs;"
        " those of many logs have a sync each.",
        table(["logs", "batches of 1,000, one at a time", "a lone caller", "64 callers"], "logs"),
        "With the connections, which 16 batches in flight, and 64 callers, share.",
        table(["connections", "batches of 1,000", "64 callers"], "connections"),
    ])
