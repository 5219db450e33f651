"""What is known of a program of a network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ProcessStatus:
    """A program's state in supervisord's words; pid 0 when it does not run."""

    name: str
    state: str
    pid: int
    uptime_s: int
    detail: str
