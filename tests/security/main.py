"""Runs the attempts one after the other; see tests/security/run."""

import argparse
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path

import load
import server
import table
from attempts import abuse, authorization, descriptors, handshakes, names, paths, reload
from proofs import Skipped, Violation

ATTEMPTS = {
    "handshakes": handshakes.run,
    "authorization": authorization.run,
    "paths": paths.run,
    "names": names.run,
    "abuse": abuse.run,
    "descriptors": descriptors.run,
    "reload": reload.run,
}
SIZES = ("ci", "release")


class Ground:
    """Where an attempt runs, how large it is, and the seed of its choices."""

    def __init__(self, folder, size, seed):
        self.folder, self.size, self.seed = folder, size, seed

    def of(self, ci, release):
        """The number for this size."""
        return release if self.size == "release" else ci

    def rng(self, *what):
        return load.seeded(self.seed, self.folder.name, *what)

    def say(self, text):
        """A line on how far it is."""
        print(f"  {self.folder.name}: {text}", flush=True)


def main():
    arguments = parse()
    folder = Path(tempfile.mkdtemp(prefix="varve-security-", dir=arguments.folder))
    print(f"security: size {arguments.size}, seed {arguments.seed}, in {folder}", flush=True)
    outcomes = []
    for name in arguments.only:
        outcomes += attempt(name, Ground(folder / name, arguments.size, arguments.seed))
    print(table.of(outcomes), flush=True)
    passed, line = verdict(outcomes, arguments, folder)
    print(f"security: {line}")
    if not passed:
        sys.exit(1)


def verdict(outcomes, arguments, folder):
    """Whether the run passed, and its last line."""
    failed, skipped = those(outcomes, table.FAILED), those(outcomes, table.SKIPPED)
    without = f"; skipped: {', '.join(skipped)}" if skipped else ""
    if failed:
        again = f"tests/security/run {arguments.size} --seed {arguments.seed}"
        return False, (f"FAILED: {', '.join(failed)}{without}; the data is in {folder};"
                       f" again: {again} --only {','.join(failed)}")
    shutil.rmtree(folder)
    if skipped and not arguments.allow_skips:
        return False, f"SKIPPED: {', '.join(skipped)}; --allow-skips lets a run pass without"
    return True, ("nothing was taken that had to be refused, and every good client was served"
                  + without)


def those(outcomes, kind):
    """The attempts with an outcome of that kind, each once."""
    return list(dict.fromkeys(one.name for one in outcomes if one.verdict == kind))


def attempt(name, ground):
    """Runs one and prints how it went: a line for each thing that was tried."""
    ground.folder.mkdir()
    began = time.monotonic()
    try:
        verdict, lines = table.HELD, ATTEMPTS[name](ground)
    except Skipped as why:
        verdict, lines = table.SKIPPED, [f"skipped: {name}: {why}"]
    except Violation as violation:
        verdict, lines = table.FAILED, [f"VIOLATION in {name}: {violation}"]
    except Exception:  # pylint: disable=broad-except
        # Whatever else goes wrong must not pass for a refusal.
        verdict, lines = table.FAILED, [f"FAILED {name}:\n{traceback.format_exc()}"]
    finally:
        server.kill_all()
    seconds = time.monotonic() - began
    for line in lines:
        print(f"{line} [{name}, {seconds:.0f} s]", flush=True)
    if verdict == table.HELD:
        shutil.rmtree(ground.folder, ignore_errors=True)
    return [table.Outcome(name, verdict, line, seconds) for line in lines]


def parse():
    parser = argparse.ArgumentParser(prog="tests/security/run")
    parser.add_argument("size", nargs="?", default="ci", help="ci or release")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--only", default=",".join(ATTEMPTS), help=f"of {', '.join(ATTEMPTS)}")
    parser.add_argument("--allow-skips", action="store_true",
                        help="exit with 0 though a part was skipped")
    parser.add_argument("--folder", help="where the data goes; the system's temporary folder")
    arguments = parser.parse_args()
    if arguments.size not in SIZES:
        parser.error(f"the size is ci or release, not {arguments.size}")
    arguments.only = arguments.only.split(",")
    if unknown := set(arguments.only) - set(ATTEMPTS):
        parser.error(f"no attempt is called {', '.join(sorted(unknown))}")
    return arguments


if __name__ == "__main__":
    main()
