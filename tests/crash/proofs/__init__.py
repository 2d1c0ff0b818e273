"""The proofs: each ends the server in its own way and checks what is left.

A proof is a function `run(ground)` that returns a line for its cases and raises `Violation`.
"""

from dataclasses import dataclass
from pathlib import Path

import load
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


def check(condition, text):
    if not condition:
        raise Violation(text)


def check_history(server, history, patience_s=0.0):
    """Reads the log and compares it with all that was seen; returns its values. A full disk may
    refuse the record that marks the end for `patience_s`."""
    log = load.read_log(server, history, patience_s)
    found = history.violations(log)
    if found:
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise Violation("; ".join(found[:5]) + more)
    history.settle(log)
    return log


def check_load(burden):
    wrong = burden.wrong()
    check(not wrong, "; ".join(wrong[:5]))


__all__ = ["Ground", "History", "Skipped", "Violation", "check", "check_history", "check_load"]
