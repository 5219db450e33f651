"""What an audit has to object to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that was recorded and does not hold.

    Attributes:
        what: The part that it concerns, such as ``model``, ``proof``, ``chain`` or ``file``.
        organisation: Whose record it is; None for a record of the state machine.
        message: One sentence.
        where: The place, such as ``round 3``, ``block 7, transaction 0`` or ``byte 1024``.
    """

    what: str
    organisation: str | None
    message: str
    where: str = ""

    def __str__(self) -> str:
        who = f"{self.organisation}: " if self.organisation else ""
        return f"{self.where}: {who}{self.message}" if self.where else f"{who}{self.message}"
