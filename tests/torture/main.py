"""Runs the proofs one after the other; see scripts/torture."""

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

import selfcheck
import server
import table
from proofs import (Ground, Skipped, Violation, clock, damage, errors, fault, full, index, kill,
                    ordering, owner, panics, power, soak, stop)
from proofs import commands

# What each proof does, and how often at the sizes quick, ci and release.
PROOFS = {
    "kill": (kill.run, 20, 200, 1000),
    "power": (power.on("ext4"), 8, 100, 500),
    "power-writeback": (power.on("ext4, data=writeback"), 6, 100, 500),
    "power-xfs": (power.on("XFS"), 6, 100, 500),
    "ordering": (ordering.run, 1000, 1000, 10_000),
    "fault": (fault.run, 1, 50, 200),
    "full": (full.run, 3, 20, 100),
    "index": (index.run, 8, 200, 1000),
    "damage": (damage.run, 30, 1000, 10_000),
    "owner": (owner.run, 3, 20, 100),
    "clock": (clock.run, 3, 10, 100),
    "stop": (stop.run, 5, 50, 250),
    # Of each place, after how many passes.
    "panics": (panics.run, 0, 1, 3),
    "errors": (errors.run, 0, 1, 3),
    # Seconds.
    "soak": (soak.run, 15, 300, 7200),
    **commands.PROOFS,
}
SIZES = ("quick", "ci", "release")


def main():
    arguments = parse()
    folder = Path(tempfile.mkdtemp(prefix="varve-torture-", dir=arguments.folder))
    print(f"torture: size {arguments.size}, seed {arguments.seed}, in {folder}", flush=True)
    print(selfcheck.run(), flush=True)
    outcomes, sources = [], table.commit()
    for name in arguments.only:
        cycles = cycles_of(name, arguments.size)
        if cycles == 0:
            continue
        ground = Ground(folder / name, arguments.seed, cycles)
        outcomes.append(prove(name, ground))
    print(table.of(outcomes), flush=True)
    failed, skipped = (named(outcomes, verdict) for verdict in (table.FAILED, table.SKIPPED))
    if failed:
        again = f"scripts/torture {arguments.size} --seed {arguments.seed}"
        print(f"torture: FAILED: {', '.join(failed)}; the data is in {folder};"
              f" again: {again} --only {','.join(failed)}")
        sys.exit(1)
    shutil.rmtree(folder)
    if arguments.write:
        table.write(arguments.write, outcomes, arguments.size, sources)
    if not skipped:
        print("torture: no promise was broken")
        return
    print(f"torture: no promise was broken by what ran; SKIPPED: {', '.join(skipped)}")
    if not arguments.allow_skips:
        sys.exit(1)


def named(outcomes, verdict):
    return [outcome.name for outcome in outcomes if outcome.verdict == verdict]


def prove(name, ground):
    """Runs one proof and prints how it went."""
    run = PROOFS[name][0]
    ground.folder.mkdir()
    began = time.monotonic()
    try:
        verdict, line = table.HELD, run(ground)
    except Skipped as why:
        verdict, line = table.SKIPPED, f"skipped: {name}: {why}"
    except Violation as violation:
        verdict, line = table.FAILED, f"VIOLATION in {name}: {violation}"
    except Exception:  # pylint: disable=broad-except
        # Whatever else goes wrong must not pass for a proof.
        verdict, line = table.FAILED, f"FAILED {name}:\n{traceback.format_exc()}"
    finally:
        server.kill_all()
    seconds = time.monotonic() - began
    print(f"{line} [{name}, {seconds:.0f} s]", flush=True)
    if verdict == table.HELD:
        shutil.rmtree(ground.folder, ignore_errors=True)
    return table.Outcome(name, verdict, line, seconds)


def cycles_of(name, size):
    """How often at this size; 0 if it has no place in it."""
    return PROOFS[name][1 + SIZES.index(size)] if size in SIZES else int(size)


def parse():
    parser = argparse.ArgumentParser(prog="scripts/torture")
    parser.add_argument("size", nargs="?", default="ci", help="quick, ci, release, or a number")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", default=",".join(PROOFS), help=f"of {', '.join(PROOFS)}")
    parser.add_argument("--folder", help="where the data goes; the system's temporary folder")
    parser.add_argument("--write", help="the page whose table takes the outcomes of a release")
    parser.add_argument("--allow-skips", action="store_true",
                        help="what cannot run here is no failure; at the size quick it never is")
    arguments = parser.parse_args()
    if arguments.size not in SIZES and not arguments.size.isdecimal():
        parser.error(f"the size is quick, ci, release or a number, not {arguments.size}")
    arguments.only = arguments.only.split(",")
    if unknown := set(arguments.only) - set(PROOFS):
        parser.error(f"no proof is called {', '.join(sorted(unknown))}")
    if not any(cycles_of(name, arguments.size) for name in arguments.only):
        parser.error(f"none of {', '.join(arguments.only)} runs at the size {arguments.size}")
    small = [name for name in arguments.only
             if cycles_of(name, arguments.size) < cycles_of(name, "release")]
    if arguments.write and small:
        parser.error("--write needs the size release or as many cycles, which are more for"
                     f" {', '.join(small)}")
    arguments.allow_skips |= arguments.size == "quick"
    return arguments


if __name__ == "__main__":
    main()
