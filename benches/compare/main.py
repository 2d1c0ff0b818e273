"""Puts Varve, its null server, the disk and other log servers to the same works; see
scripts/bench."""

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import machine
import page
import scale
import servers
from processes import Failed
from works import CALLERS, Bench

ROOT = Path(__file__).resolve().parent.parent.parent
# As much as the works of a round write.
ROUND_BYTES = 12 << 30
# What a record of 100 B comes to as a frame of its own.
FRAME_BYTES = 200


def main():
    arguments = parse()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    arguments.folder.mkdir(parents=True)
    site = servers.Site(arguments.varve, ROOT, arguments.folder)
    bench = Bench(site, arguments.peers, arguments.seconds)
    if arguments.what == "scale":
        measure_scale(bench, arguments)
    else:
        compare(bench, arguments)


def measure_scale(bench, arguments):
    """Writes three tables into the page."""
    try:
        rows = scale.measure(bench, arguments.gib, arguments.logs)
    except Failed as why:
        sys.exit(f"bench: {why}")
    finally:
        shutil.rmtree(arguments.folder, ignore_errors=True)
    content = scale.text(rows)
    print(f"\n{content}")
    if arguments.write:
        described = machine.describe(arguments.varve, arguments.results.parent, False)
        said = f"{described} To repeat it: `{arguments.command}`.\n\n{content}"
        page.put_into(arguments.write, "scale", said)


def compare(bench, arguments):
    """Measures everything by turns and writes the figures into the page."""
    results, began = page.Results(), time.monotonic()
    try:
        for number in range(arguments.rounds):
            print(f"\nround {number + 1} of {arguments.rounds}", flush=True)
            own_round(bench, results, number)
            if not arguments.alone:
                peers_round(bench, results, arguments.folder)
    except Failed as why:
        sys.exit(f"bench: {why}")
    finally:
        arguments.results.write_text(json.dumps(results.as_json(), indent=1))
        shutil.rmtree(arguments.folder, ignore_errors=True)
    show(results)
    print(f"\n{time.monotonic() - began:.0f} s in all; every run is in {arguments.results}")
    if arguments.write:
        described = machine.describe(arguments.varve, arguments.results.parent,
                                     not arguments.alone)
        content = page.text(results, described, arguments.command, arguments.rounds,
                            arguments.seconds)
        page.put_into(arguments.write, "figures", content)
        print(f"{arguments.write} has the figures")


def own_round(bench, results, number):
    """Varve and the ceilings, side by side, by turns."""
    site, started = bench.site, []
    machine.touch_memory(site.folder, ROUND_BYTES)
    try:
        started += [site.serve(), site.serve_null(False), site.serve_null(True)]
        varve, null, null_disk = started
        large = bench.new_log(varve, f"large-{number}")
        turns = [
            ("W1", "Varve", lambda: bench.produce(varve, 100, large)),
            ("W1", "null", lambda: bench.produce(null, 100)),
            ("W1", "null+disk", lambda: bench.produce(null_disk, 100)),
            ("W4", "Varve", lambda: bench.consume(varve, large)),
            ("W4", "null", lambda: bench.consume(null)),
            ("W1k", "Varve", lambda: bench.produce(varve, 1024, bench.new_log(varve, "kib"))),
            ("W1k", "null+disk", lambda: bench.produce(null_disk, 1024)),
            ("W2", "Varve", lambda: bench.call(varve, 1, log=bench.new_log(varve, "lone"))),
            ("W2", "null", lambda: bench.call(null, 1)),
            ("W3 calls", "Varve", lambda: bench.call(varve, CALLERS, False, "lone")),
            ("W3 calls", "null", lambda: bench.call(null, CALLERS)),
            ("W3 streams", "Varve", lambda: bench.call(varve, CALLERS, True, "lone")),
            ("W3 streams", "null", lambda: bench.call(null, CALLERS, True)),
            ("W5", "Varve", lambda: bench.follow(varve, "lone")),
            ("W5", "null, a round trip", lambda: bench.call(null, 1, True)),
        ]
        for work, who, measure in turns:
            note(results, work, who, measure())
        for space, figures in bench.disk(site.folder, FRAME_BYTES).items():
            name = "disk, filled ahead" if space == "zeroed" else "disk, allocated"
            # Its rate is in bytes; a block is one record here.
            figures.records_per_s = None
            note(results, "W2", name, figures)
        bench.delete_logs(varve)
    finally:
        for server in started:
            server.stop()


def peers_round(bench, results, folder):
    """The other servers, one after the other."""
    works = [("W1", "append"), ("W4", "read"), ("W2", "call"),
             ("W3 calls", "call", "--callers", CALLERS), ("W5", "tail")]
    for who, kind, start in [
            ("Redis, always", "redis", lambda: servers.redis(folder, "always")),
            ("Redis, everysec", "redis", lambda: servers.redis(folder, "everysec")),
            ("RabbitMQ", "rabbit", lambda: servers.rabbit(folder)),
            ("NATS", "nats", lambda: servers.nats(folder))]:
        server = start()
        try:
            for work, *flags in works:
                note(results, work, who, bench.peer(server, kind, *flags))
        finally:
            server.stop()


def note(results, work, who, figures):
    results.note(work, who, figures)
    said = {"/s": figures.records_per_s, "us p50": figures.p50_us, "us p99": figures.p99_us,
            "us CPU a record": figures.cpu_us_per_record, "MiB": figures.memory_mib}
    shown = [f"{page.number(value)} {unit}" for unit, value in said.items() if value is not None]
    print(f"{work:<11}{who:<20}{', '.join(shown)}", flush=True)


def show(results):
    print("\ngoals")
    for goal, found, is_met in page.goals(results):
        print(f"{'yes' if is_met else 'NO ':<5}{goal}: {found}")
    print("\nwhere Varve loses")
    print("\n".join(page.losses(results)))


def parse():
    parser = argparse.ArgumentParser()
    for name in ("varve", "peers", "folder", "results"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--command", required=True)
    parser.add_argument("what", nargs="?", choices=["scale"])
    parser.add_argument("--gib", type=int, default=11)
    parser.add_argument("--logs", type=int, default=1000)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--alone", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
