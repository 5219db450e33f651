"""Rounds whose every record is written by the test: what lies in them is exactly what the test says."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from organisations import ORGANISATIONS, TASK, Consortium

from fabric_fl.aggregation import (
    AggregationResult,
    BlobFile,
    RoundInputs,
    Tensors,
    UpdateBlob,
    UpdateHeader,
    UpdateInput,
    aggregate,
    encode,
    read_model,
)
from fl_chaincode import hashes

NONCE, ONES = "0" * 64, "f" * 64
EXAMPLES = 10
Files = tuple[BlobFile, BlobFile | None]


class Script:
    """A task of three organisations, played record by record.

    Args:
        folder: Where stores lie.
        last_rounds: Until when each organisation's data are declared for the task's purpose, if it has one.
        changes: To a task of three rounds, without scores, with a quorum of two.
    """

    def __init__(self, folder: Path, last_rounds: Mapping[str, int | None] | None = None, **changes: Any) -> None:
        self._folder = folder
        self.consortium = Consortium(folder)
        self.consortium.ledgers["Org1MSP"].init_consortium()
        for msp_id, last in (last_rounds or {}).items():
            self.consortium.ledgers[msp_id].register(msp_id)
            self.consortium.ledgers[msp_id].declare(
                changes["purpose"], 1, digest=ONES, num_examples=EXAMPLES, last_round=last
            )
        asked = {"k": 3, "budget": 0, "scoring": {"rule": "none", "cap_percent": 200}} | changes
        self.consortium.create_task(**asked)
        self.ledgers = self.consortium.ledgers
        self.ledger = self.ledgers["Org1MSP"]
        self.task = self.ledger.task(TASK)
        content = (folder / "initial.safetensors").read_bytes()  # whatever the task says that it starts from
        self.initial = BlobFile(folder / "initial.safetensors", hashlib.sha256(content).hexdigest(), len(content))
        self._layout = read_model(self.initial.path, self.initial.digest, self.initial.size).layout

    def update(self, number: int) -> None:
        """All who are selected submit and reveal an update, which the round and their name decide."""
        round_ = self.ledger.round(TASK, number)
        made = {}
        for participant in round_.selected:
            random = np.random.default_rng([number, ORGANISATIONS.index(participant)])
            shapes = zip(self._layout.names, self._layout.shapes, strict=True)
            arrays = {name: random.integers(-(1 << 20), 1 << 20, shape).astype(np.int32) for name, shape in shapes}
            header = UpdateHeader(TASK, number, participant, round_.base, EXAMPLES, self.task.quantisation.f)
            data = encode(UpdateBlob(header, Tensors(arrays)))
            digest = hashlib.sha256(data).hexdigest()
            self.consortium.stores[participant].put(data, digest)
            commitment = hashes.update_commitment(TASK, number, participant, round_.base, EXAMPLES, digest, NONCE)
            self.ledgers[participant].submit_update(TASK, number, commitment)
            made[participant] = digest, len(data)
        for participant, (digest, size) in made.items():
            fields = {"digest": digest, "size": size, "num_examples": EXAMPLES, "nonce": NONCE}
            self.ledgers[participant].reveal_update(TASK, number, **fields)

    def sum(self, number: int, start: Files, participants: Iterable[str] = ORGANISATIONS) -> AggregationResult:
        """Returns what an honest validator gets of these participants' updates."""
        round_, task = self.ledger.round(TASK, number), self.task
        updates = []
        for update, reveal in self.ledger.updates(TASK, number):
            if update.participant in participants and reveal is not None:
                path = self.consortium.stores[update.participant].path(reveal.digest, reveal.size)
                updates.append(UpdateInput(update.participant, path, reveal.digest, reveal.size, reveal.num_examples))
        folder = self._folder / f"sum-{number}-{len(updates)}"
        folder.mkdir(exist_ok=True)
        inputs = RoundInputs(
            task=TASK,
            round=number,
            attempt=max(1, round_.attempt),
            base=round_.base,
            model=start[0],
            state=start[1],
            updates=tuple(updates),
            f=task.quantisation.f,
            bound=task.quantisation.bound,
            max_examples=task.max_examples,
            server=task.server.to_json(),
            rule=task.aggregation.to_json(),
        )
        return aggregate(inputs, folder)

    def lie(self, number: int, true: AggregationResult, **changes: Any) -> AggregationResult:
        """Returns another result; `model` and `state` are given as bytes."""
        for name in ("model", "state"):
            if name in changes:
                data = changes[name]
                path = self._folder / f"lie-{number}-{name}"
                path.write_bytes(data)
                changes[name] = BlobFile(path, hashlib.sha256(data).hexdigest(), len(data))
        lie = dataclasses.replace(true, **{"aggregate": ONES} | changes)
        round_ = self.ledger.round(TASK, number)
        attempt = max(1, round_.attempt)
        of = (lie.included, lie.refused, lie.model.digest, lie.state.digest)
        return dataclasses.replace(lie, result=hashes.result_digest(TASK, number, attempt, round_.base, *of))

    def attest(self, who: str, number: int, result: AggregationResult, **changes: Any) -> None:
        """Attests a result in an organisation's name; `changes` are to the attestation's fields."""
        attempt = max(1, self.ledger.round(TASK, number).attempt)
        fetched = [reveal.digest for _, reveal in self.ledger.updates(TASK, number) if reveal is not None]
        fields = {
            "attempt": attempt,
            "version": 1,
            "result": result.result,
            "included": list(result.included),
            "refused": dict(result.refused),
            "model": result.model.digest,
            "state": result.state.digest,
            "fetched": sorted(fetched),
            "proof": hashes.proof(TASK, number, attempt, who, result.aggregate),
            "score_commitment": None,
            "openings": [],
        }
        self.ledgers[who].attest(TASK, number, fields | changes)

    def commit(self, number: int, result: AggregationResult, *attesters: str, serve: bool = True) -> Files:
        """Has these attest a result and commits it; returns its files, which they serve."""
        for who in attesters:
            self.attest(who, number, result)
        self.ledger.commit(TASK, number, result.aggregate)
        for who in attesters if serve else ():
            for file in (result.model, result.state):
                self.consortium.stores[who].put(file.path.read_bytes(), file.digest)
        return result.model, result.state

    def honest(self, number: int, start: Files) -> Files:
        """Plays a round in which nobody lies, from these files on."""
        self.update(number)
        return self.commit(number, self.sum(number, start), *ORGANISATIONS)

    def abort(self, number: int) -> None:
        attempt = self.ledger.status(TASK).round.attempt  # 0 while updates come in
        for who in ORGANISATIONS:
            self.ledgers[who].vote(TASK, number, "abort", attempt)
        self.ledger.abort(TASK, number)
