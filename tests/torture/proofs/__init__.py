"""The proofs: each ends the server in its own way and checks what is left.

A proof is a function `run(ground)` that returns a line for its cases and raises `Violation`.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import batches
import load
from batches import World
from history import History


class Violation(Exception):
    """A promise was broken."""


class Skipped(Exception):
    """This machine cannot run the proof."""


@dataclass
class Ground:
    """Where a proof runs, how large it is, and the seed of its choices."""

    folder: Path
    seed: int
    cycles: int

    def rng(self, *names):
        return load.seeded(self.seed, self.folder.name, *names)

    def progress(self):
        """The numbers of the cycles, with a line about how far it is now and then."""
        return progress(self.folder.name, range(self.cycles))


def progress(what, steps):
    """The steps, and a line on the standard error now and then that says how far it is: several a
    second on a terminal, else one a minute."""
    shown = began = time.monotonic()
    terminal = sys.stderr.isatty()
    for done, step in enumerate(steps):
        now = time.monotonic()
        if now - shown > (0.2 if terminal else 60):
            shown, left = now, (now - began) / done * (len(steps) - done)
            print(f"{what}: {done} of {len(steps)}, {left / 60:.0f} min left",
                  end="\r" if terminal else "\n", file=sys.stderr, flush=True)
        yield step
    if terminal and shown != began:
        print("\33[K", end="", file=sys.stderr, flush=True)


def check(condition, text):
    if not condition:
        raise Violation(text)


def check_history(server, history, patience_s=0.0):
    """Reads the log and compares it with all that was seen; returns what it holds. A full disk may
    refuse the record that marks the end for `patience_s`."""
    return compare(history, load.read_log(server, history, patience_s))


def check_world(server, world):
    """The same for each log of the world, which begins with the first look."""
    world.begin(server)
    for name, history in world.histories.items():
        compare(history, batches.read_log(server, name, history), f"log {name}: ")


def compare(history, held, where=""):
    """Settles what the log holds if it agrees with all that was seen."""
    found = history.violations(held)
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise Violation(where + "; ".join(found[:5]) + more)
    history.settle(held)
    return held


def check_busy(crowd):
    """Waits until each producer and each consumer of a crowd has had something."""
    busy = crowd.wait_until_busy()
    crowd.server.check_alive()
    check(busy, f"nothing comes to {', '.join(crowd.idle())}")


def check_load(burden, allowed=()):
    """Nobody saw what may not be, and no call ended otherwise than with the end of its server or
    one of the codes that are `allowed`."""
    wrong = burden.wrong() + burden.misheard(allowed)
    check(not wrong, "; ".join(wrong[:5]))


def account(world, crowds):
    """What was seen of a world, for the line of a proof with so many crowds."""
    check(world.consumed() > 0, "the consumers were sent nothing")
    check(world.recognised() > 0 or crowds < 2, "no batch that was sent again was recognised")
    held, dropped = world.held()
    return (f"{world.acknowledged()} appends acknowledged to {len(world.histories)} logs,"
            f" {world.consumed()} records consumed, {world.recognised()} batches recognised that"
            f" were sent again, {held} records held and {dropped} dropped by retention")


__all__ = ["Ground", "History", "Skipped", "Violation", "World", "account", "check", "check_busy",
           "check_history", "check_load", "check_world", "progress"]
