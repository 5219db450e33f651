"""A ledger that answers as the true one does, but for one thing in one of its rounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from organisations import TASK

from fabric_fl.ledger import FLLedger
from fabric_fl.task_status import ScoreBoard
from fl_chaincode.records import Model, Round

WRONG = 2
"""The round of which a ledger is wrong."""


class Doctored(FLLedger):
    """A ledger that answers as the true one does, but for one record.

    Args:
        honest: The true one.
        changes: How records are changed, by kind: round, model, update, reveal, attestation, opening, settlement.
    """

    def __init__(self, honest: FLLedger, **changes: Callable[[Any], Any]) -> None:
        super().__init__(honest._contract)
        self._changes = changes

    def _changed(self, kind: str, record: Any) -> Any:
        if record is None or kind not in self._changes or getattr(record, "round", WRONG) != WRONG:
            return record
        return self._changes[kind](record)

    def rounds(self, task: str) -> tuple[Round, ...]:
        return tuple(self._changed("round", one) if one.number == WRONG else one for one in super().rounds(task))

    def model(self, task: str, j: int) -> Model:
        return self._changed("model", super().model(task, j))

    def updates(self, task: str, number: int) -> Any:
        found = super().updates(task, number)
        return tuple(
            one._replace(update=self._changed("update", one.update), reveal=self._changed("reveal", one.reveal))
            for one in found
        )

    def attestations(self, task: str, number: int) -> Any:
        found = super().attestations(task, number)
        return tuple(
            one._replace(
                attestation=self._changed("attestation", one.attestation),
                opening=self._changed("opening", one.opening),
            )
            for one in found
        )

    def scores(self, task: str) -> ScoreBoard:
        board = super().scores(task)
        rounds = tuple(
            dataclasses.replace(one, settlement=self._changed("settlement", one.settlement)) for one in board.rounds
        )
        return dataclasses.replace(board, rounds=rounds)

    def record(self, key: str) -> dict[str, Any]:
        found = super().record(key)
        return self._changes["escrow"](found) if key == f"token/escrow/{TASK}" and "escrow" in self._changes else found


def of(organisation: str, **fields: Any) -> Callable[[Any], Any]:
    """Changes the record of one organisation."""

    def change(record: Any) -> Any:
        whose = getattr(record, "participant", None) or getattr(record, "organisation", None)
        return dataclasses.replace(record, **fields) if whose == organisation else record

    return change


def setting(**fields: Any) -> Callable[[Any], Any]:
    return lambda record: dataclasses.replace(record, **fields)
