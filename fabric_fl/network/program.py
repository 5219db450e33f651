"""A program that a network consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fabric_fl.network.consortium import Address


@dataclass(frozen=True)
class Program:
    """What supervisord runs.

    Attributes:
        name: The word for it in `status`, `logs` and `restart`.
        listens: Where it will listen, by the field of consortium.yaml that says so.
    """

    name: str
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    listens: Mapping[str, Address] = field(default_factory=dict)
