"""One thing that is wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A problem, and the remedy: one sentence each."""

    problem: str
    remedy: str
