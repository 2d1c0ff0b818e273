"""The outcomes of a run, for people: on the terminal, and as the table of a page."""

import datetime
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

HELD, SKIPPED, FAILED = "held", "skipped", "FAILED"
_BEGIN = "<!-- outcomes: scripts/torture writes from here -->"
_END = "<!-- outcomes: to here -->"
_CASES = re.compile(r"^cases: (.*?)(?: \((R\d+(?: R\d+)*)\))?$", re.DOTALL)
_ROW = re.compile(r"^\| `([\w-]+)` \|")


@dataclass
class Outcome:
    """How one proof went."""

    name: str
    verdict: str
    line: str
    seconds: float

    def what(self):
        found = _CASES.match(self.line)
        return (found[1], found[2] or "") if found else (self.line.splitlines()[0], "")


def of(outcomes):
    """A line for each."""
    width = max((len(outcome.name) for outcome in outcomes), default=0)
    return "\n".join(["", "outcomes:"] + [
        f"  {outcome.name:{width}}  {outcome.verdict:7}  {outcome.seconds:6.0f} s"
        f"  {outcome.what()[0]}" for outcome in outcomes])


def write(page, outcomes, size, sources):
    """Puts the proofs that held into the page's table; rows of others stay as they are, of which
    old ones lack the last columns."""
    path = Path(page)
    text = path.read_text()
    before, rest = text.split(_BEGIN)
    old, after = rest.split(_END)
    rows = {row[1]: line for line in old.splitlines() if (row := _ROW.match(line))}
    today = datetime.date.today().isoformat()
    for outcome in outcomes:
        if outcome.verdict == HELD:
            what, promises = outcome.what()
            rows[outcome.name] = (f"| `{outcome.name}` | {what} | {promises} |"
                                  f" {outcome.seconds / 60:.0f} | {today} | {size} |"
                                  f" {sources} |")
    lines = ["| proof | what was tried and held | promises | minutes | on | size | sources |",
             "|---|---|---|---|---|---|---|", *rows.values()]
    path.write_text(before + _BEGIN + "\n\n" + "\n".join(lines) + "\n\n" + _END + after)


def commit():
    """Which sources these are, and whether they were changed since."""
    done = subprocess.run(["git", "describe", "--always", "--dirty"], check=False, text=True,
                          cwd=Path(__file__).parent, capture_output=True)
    return done.stdout.strip() or "unknown"
