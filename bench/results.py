"""Measured values as the README shows them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("results.json")
README = Path(__file__).parent.parent / "README.md"
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


def save(results: Sequence[Result]) -> None:
    """Writes all results, and the README's table of the chief ones."""
    FILE.write_text(json.dumps([result.to_json() for result in results], indent=2) + "\n")
    text = README.read_text()
    before, after = text.partition(_MARKS[0])[0], text.partition(_MARKS[1])[2]
    README.write_text(before + readme_block() + after)


def readme_block() -> str:
    """Returns what stands in the README between its marks, with them."""
    return f"{_MARKS[0]}{table(chief=True)}\n{_MARKS[1]}"


def table(*, chief: bool = False) -> str:
    """Returns the saved results as a table in Markdown: all, or what has a target and what is shown beside it."""
    lines = ["| measured | value | target | |", "|---|--:|--:|---|"]
    for one in json.loads(FILE.read_text()):
        if chief and one["target"] is None and one["name"] not in _SHOWN:
            continue
        mark = {True: "holds", False: "**missed**", None: ""}[one["holds"]]
        value = f"{one['value']:g} {one['unit']}".strip()
        target = "" if one["target"] is None else f"≤ {one['target']:g}"
        lines.append(f"| {one['name']} | {value} | {target} | {'; '.join(filter(None, (mark, one['note'])))} |")
    return "\n".join(lines)
