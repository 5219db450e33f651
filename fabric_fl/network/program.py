"""A program that a network consists of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fabric_fl.network.consortium import Address


@dataclass(frozen=True)
class Program:
    """What supervisord runs.

    Attributes:
        name: The word for it in `status`, `logs` and `restart`.
        command: Runs in the network's directory.
        listens: Where it will listen, by the field of consortium.yaml that says so.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    listens: Mapping[str, Address] = field(default_factory=dict)
