"""Measured values as the README shows them."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("results.json")
ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
_WRITTEN = tuple(f":!{path.relative_to(ROOT)}" for path in (FILE, README))  # by the parts before
_MARKS = ("<!-- bench -->\n", "<!-- /bench -->")
_SHOWN = ("submit to commit", "devnet: 32 clients, 3 organisations")  # in the README beside what has a target


@dataclass(frozen=True)
class Result:
    """One measured value.

    Attributes:
        target: The most that is allowed; None for information.
        holds: Whether the value is at most the target; None without one.
        unit: Of the value; a ratio has none.
    """

    name: str
    value: float
    target: float | None = None
    unit: str = ""
    note: str = ""

    @property
    def holds(self) -> bool | None:
        return None if self.target is None else self.value <= self.target

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "value": float(f"{self.value:.3g}"), "holds": self.holds}


def save(part: str, results: Sequence[Result]) -> None:
    """Writes a part's results in the place of its last ones, with the commit and the machine; and the README's table.

    A ratio is one of values measured in the same run of its part: two parts may have met the machine in two states.
    """
    parts = json.loads(FILE.read_text()) if FILE.exists() else {}
    found = {**_circumstances(), "results": [result.to_json() for result in results]}
    FILE.write_text(json.dumps({**parts, part: found}, indent=2) + "\n")
    text = README.read_text()
    before, after = text.partition(_MARKS[0])[0], text.partition(_MARKS[1])[2]
    README.write_text(before + readme_block() + after)


def _circumstances() -> dict[str, Any]:
    """Which code was measured, and how fast the machine was then: SHA-256 of 100 MB on one core, the best of five."""
    block, seconds = bytes(100_000_000), []
    for _ in range(5):
        began = time.perf_counter()
        sha256(block)
        seconds.append(time.perf_counter() - began)
    return {
        "commit": _git("rev-parse", "HEAD"),
        "changed_since": bool(_git("status", "--porcelain", "--", ".", *_WRITTEN)),
        "cores": len(os.sched_getaffinity(0)),
        "sha256_gb_per_s": float(f"{0.1 / min(seconds):.3g}"),
    }


def _git(*arguments: str) -> str:
    finished = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return finished.stdout.strip()


def readme_block() -> str:
    """Returns what stands in the README between its marks, with them."""
    return f"{_MARKS[0]}{table(chief=True)}\n{_MARKS[1]}"


def table(*, chief: bool = False) -> str:
    """Returns the saved results as a table in Markdown: all, or what has a target and what is shown beside it."""
    lines = ["| measured | value | target | |", "|---|--:|--:|---|"]
    for one in (result for part in json.loads(FILE.read_text()).values() for result in part["results"]):
        if chief and one["target"] is None and one["name"] not in _SHOWN:
            continue
        mark = {True: "holds", False: "**missed**", None: ""}[one["holds"]]
        value = f"{one['value']:g} {one['unit']}".strip()
        target = "" if one["target"] is None else f"≤ {one['target']:g}"
        lines.append(f"| {one['name']} | {value} | {target} | {'; '.join(filter(None, (mark, one['note'])))} |")
    return "\n".join(lines)
