"""Runs the proofs one after the other; see `run`."""

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
from proofs import Ground, Skipped, Violation, fault, full, kill, ordering, owner, power, stop

CI_CYCLES = 20
PROOFS = {
    "kill": kill.run,
    "ordering": ordering.run,
    "power": power.run,
    "full": full.run,
    "fault": fault.run,
    "owner": owner.run,
    "stop": stop.run,
}


def main():
    arguments = parse()
    folder = Path(tempfile.mkdtemp(prefix="varve-crash-"))
    print(f"crash proofs: seed {arguments.seed}, {arguments.cycles} cycles", flush=True)
    print(selfcheck.run(), flush=True)
    failed = []
    for name in arguments.only:
        if not prove(name, Ground(folder / name, arguments.seed, arguments.cycles)):
            failed.append(name)
    if failed:
        again = f"tests/crash/run {arguments.cycles} --seed {arguments.seed}"
        print(f"crash proofs: FAILED: {', '.join(failed)}; the data is in {folder};"
              f" again: {again} --only {','.join(failed)}")
        sys.exit(1)
    shutil.rmtree(folder)


def prove(name, ground):
    """Runs one proof and prints how it went; whether it held or was skipped."""
    ground.folder.mkdir()
    began = time.monotonic()
    try:
        line = PROOFS[name](ground)
    except Skipped as why:
        print(f"skipped: {name}: {why}", flush=True)
        return True
    except Violation as violation:
        print(f"VIOLATION in {name}: {violation}", flush=True)
        return False
    except Exception:  # pylint: disable=broad-except
        # Whatever else goes wrong must not pass for a proof.
        print(f"FAILED {name}:\n{traceback.format_exc()}", flush=True)
        return False
    finally:
        server.kill_all()
    print(f"{line} [{name}, {time.monotonic() - began:.0f} s]", flush=True)
    return True


def parse():
    parser = argparse.ArgumentParser(prog="tests/crash/run")
    parser.add_argument("size", nargs="?", default="ci", help="ci, or a number of cycles")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", default=",".join(PROOFS), help=f"of {', '.join(PROOFS)}")
    arguments = parser.parse_args()
    try:
        arguments.cycles = CI_CYCLES if arguments.size == "ci" else int(arguments.size)
    except ValueError:
        parser.error(f"the size is ci or a number, not {arguments.size}")
    arguments.only = arguments.only.split(",")
    if unknown := set(arguments.only) - set(PROOFS):
        parser.error(f"no proof is called {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    main()
