"""What the commands that move tokens share: the name of a request, and the entries that pay for it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fabric_fl.cli.session import Session
    from fl_chaincode.codec import Record

F = TypeVar("F", bound=Callable[..., Any])


def with_request_id(command: F) -> F:
    """Gives the command the option --request-id, a new name if none is given."""
    option = click.option(
        "--request-id",
        callback=lambda _context, _option, given: given or uuid.uuid4().hex,
        help="Name of this request: repeated with the same one, it is carried out once. Default: a new one.",
    )
    return option(command)


def earlier(session: Session, kind: type[Record], *key: str) -> dict[str, Any] | None:
    """Returns the record that an earlier request of this name has left, which a repetition must agree with."""
    from fabric_fl.ledger import LedgerRefused

    try:
        return session.ledger.record(kind.key_of(*key))
    except LedgerRefused as error:
        if error.code != "FL-RECORD-UNKNOWN":
            raise
        return None


def inputs(session: Session, owner: str, amount: int, before: dict[str, Any] | None) -> tuple[str, ...]:
    """Returns ids of the owner's entries that cover an amount; in a repetition the ones of before."""
    from fabric_fl.coordinator import entries_covering

    return tuple(before["inputs"]) if before else entries_covering(session.ledger.entries(owner), amount)
