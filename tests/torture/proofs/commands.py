"""Proofs that are programs of their own: their output is shown, and its `cases:` lines count."""

import os
import re
import subprocess
from pathlib import Path

from proofs import Violation

ROOT = Path(__file__).resolve().parents[3]
CASES = re.compile(r"^\s*(cases: .*)$", re.MULTILINE)


def program(*words, variable):
    """A proof that runs this command in the project's folder, its size in an environment
    variable."""
    def run(ground):
        # The tests' own seed, and that of proptest.
        given = {variable: str(ground.cycles), "VARVE_SEED": str(ground.seed),
                 "PROPTEST_RNG_SEED": str(ground.seed)}
        environment = {**os.environ, **given}
        done = subprocess.run(words, cwd=ROOT, env=environment, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        cases = CASES.findall(done.stdout)
        if done.returncode != 0 or not cases:
            told = " ".join(f"{name}={value}" for name, value in given.items())
            raise Violation(f"{told} {' '.join(words)} ended with"
                            f" {done.returncode}: {done.stdout[-3000:]}")
        return cases[-1]
    return run


STORAGE = ("cargo", "test", "--locked", "--quiet", "--no-default-features", "--test", "storage")
SHOW = ("--", "--show-output", "--exact")

PROOFS = {
    "seeds": (program(*STORAGE, *SHOW, "seeds::r1_to_r8_hold_for_random_scripts_faults_and_cuts",
                      variable="VARVE_SEEDS"), 0, 2000, 100_000),
    "model": (program(*STORAGE, *SHOW, "model::r4_r5_r9_a_log_does_what_a_vec_does",
                      variable="VARVE_MODEL_CASES"), 0, 2000, 100_000),
}
