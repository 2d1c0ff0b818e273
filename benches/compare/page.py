"""The page: tables of medians, the goals, and where Varve loses."""

import statistics
from dataclasses import fields

from works import Figures

BEGIN, END = "<!-- {}: scripts/bench writes from here -->", "<!-- {}: to here -->"
TITLES = {
    "W1": "One produce stream, batches of records of 100 B",
    "W1k": "One produce stream, batches of records of 1 KiB",
    "W2": "One caller, one record of 100 B a call",
    "W3 calls": "64 callers, one record of 100 B in flight each, call by call",
    "W3 streams": "64 callers, one record of 100 B in flight each, each over a stream",
    "W4": "One consumer reads a log from its start, records of 100 B, out of the page cache",
    "W5": "1,000 records of 100 B a second, from when one was due to one waiting consumer",
}


class Results:
    """All runs, by work and by who was put to it."""

    def __init__(self):
        self.runs = {}

    def note(self, work, who, figures):
        self.runs.setdefault(work, {}).setdefault(who, []).append(figures)

    def median(self, work, who, name):
        """The median of a figure; None if it was not measured."""
        runs = self.runs.get(work, {}).get(who, [])
        values = [value for run in runs if (value := getattr(run, name)) is not None]
        return statistics.median(values) if values else None

    def range(self, work, who, name):
        values = [value for run in self.runs[work][who]
                  if (value := getattr(run, name)) is not None]
        return (min(values), max(values)) if values else None

    def as_json(self):
        names = [one.name for one in fields(Figures)]
        return {work: {who: [{name: getattr(run, name) for name in names} for run in runs]
                       for who, runs in contestants.items()}
                for work, contestants in self.runs.items()}


def number(value):
    if value is None:
        return ""
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def with_range(results, work, who, name):
    found = results.range(work, who, name)
    if found is None:
        return ""
    low, high = found
    text = number(results.median(work, who, name))
    return text if low == high else f"{text} ({number(low)} to {number(high)})"


def table(heads, rows):
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def tables(results):
    """A table for each work."""
    parts = []
    for work, title in TITLES.items():
        if work not in results.runs:
            continue
        rows = [[who] + [with_range(results, work, who, name) for name in (
            "records_per_s", "p50_us", "p99_us", "cpu_us_per_record", "memory_mib")]
            for who in results.runs[work]]
        heads = [work, "records/s", "p50, us", "p99, us", "server CPU, us a record", "memory, MiB"]
        parts.append(f"### {title}\n\n{table(heads, rows)}")
    return "\n\n".join(parts)


def goals(results):
    """(the goal, what was measured, whether it is met), for what was measured."""
    def rate(work, who):
        return results.median(work, who, "records_per_s")

    def cpu(work, who):
        return results.median(work, who, "cpu_us_per_record")

    def p50(work, who):
        return results.median(work, who, "p50_us")

    rows = []

    def ratio(work, name, of, limit, is_most=False, figure="records_per_s"):
        own, other = results.median(work, "Varve", figure), results.median(work, of, figure)
        if own is None or not other:
            return
        found = own / other
        met = found <= limit if is_most else found >= limit
        bound = "at most" if is_most else "at least"
        rows.append((f"{work}: {name} {bound} {limit} x {of}", f"{found:.2f} x", met))

    def bound(text, found, limit, is_most=True):
        if found is not None and limit is not None:
            met = found <= limit if is_most else found >= limit
            rows.append((f"{text} {'at most' if is_most else 'at least'} {number(limit)}",
                         number(found), met))

    ratio("W1", "rate", "null+disk", 0.75)
    bound("W1: records/s", rate("W1", "Varve"), 2.5e6, is_most=False)
    ratio("W1", "rate", "Redis, always", 4)
    ratio("W1", "rate", "RabbitMQ", 2.5)
    bound("W1: server CPU, us a record,", cpu("W1", "Varve"), 0.35)
    bound("W1: memory, MiB,", results.median("W1", "Varve", "memory_mib"), 64)
    ratio("W1k", "rate", "null+disk", 0.85)
    parts = p50("W2", "null"), p50("W2", "disk, filled ahead")
    if None not in parts:
        bound("W2: p50, us, with 1.15 x (null and the disk's sync)", p50("W2", "Varve"),
              1.15 * sum(parts))
    ratio("W3 calls", "rate", "null", 0.8)
    ratio("W3 streams", "rate", "null", 0.85)
    ratio("W3 streams", "server CPU a record", "null", 1.3, True, "cpu_us_per_record")
    ratio("W4", "rate", "null", 0.8)
    ratio("W4", "rate", "Redis, everysec", 1.1)
    ratio("W4", "rate", "NATS", 3)
    bound("W4: server CPU, us a record,", cpu("W4", "Varve"), 0.12)
    parts = p50("W5", "null, a round trip"), p50("W2", "disk, filled ahead")
    if None not in parts:
        bound("W5: p50, us, with the disk's sync and 1.2 x a round trip of null", p50("W5", "Varve"),
              1.2 * parts[0] + parts[1])
    ratio_of_tail = results.median("W5", "Varve", "p99_us"), p50("W5", "Varve")
    if None not in ratio_of_tail:
        found = ratio_of_tail[0] / ratio_of_tail[1]
        rows.append(("W5: p99 at most 4 x p50", f"{found:.2f} x", found <= 4))
    return rows


def losses(results):
    """Where another log server was better, by the medians."""
    ceilings = ("Varve", "null", "null+disk", "null, a round trip")
    lines = []
    for work, contestants in results.runs.items():
        # A paced work is about the time alone.
        better = [("p50_us", "a lower p50", min)] if work == "W5" else [
            ("records_per_s", "more records/s", max)]
        for name, words, best in better + [("cpu_us_per_record", "less CPU a record", min)]:
            own = results.median(work, "Varve", name)
            for who in contestants:
                other = results.median(work, who, name)
                if who in ceilings or who.startswith("disk") or None in (own, other):
                    continue
                if other != own and best(own, other) == other:
                    lines.append(f"- {work}: {who} has {words}: {number(other)} against"
                                 f" {number(own)}.")
    return lines or ["- Nowhere in these works, by the medians."]


def text(results, machine, command, rounds, seconds):
    """What stands between the two marks of the page."""
    met = [(goal, found, "yes" if is_met else "**no**") for goal, found, is_met in goals(results)]
    return "\n\n".join([
        f"{machine}\n\nMedians of {rounds} rounds, in brackets the range; runs of {seconds} s, the"
        " servers by turns, each with the client on the same host. Varve and its null server over"
        " mutual TLS, acknowledged SYNCED; the others in plaintext. Before each round 12 GiB of page"
        " cache, or three quarters of what is available, were filled and given back, so that nobody pays for"
        " memory that the machine has yet to be given. Memory is a process's own and what it"
        f" shares, without mapped files. To repeat it: `{command}`.",
        tables(results),
        "### Goals\n\n" + table(["goal", "measured", "met"], met),
        "### Where Varve loses\n\n" + "\n".join(losses(results)),
    ])


def put_into(path, name, content):
    """Replaces what stands between the marks of that name."""
    begin, end = BEGIN.format(name), END.format(name)
    before, rest = path.read_text().split(begin, 1)
    _, after = rest.split(end, 1)
    path.write_text(f"{before}{begin}\n\n{content}\n\n{end}{after}")
