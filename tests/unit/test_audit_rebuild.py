"""A task's models without one organisation, held to the second implementation of docs/codec.md."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import independent_round as oracle
import pytest
from organisations import ORGANISATIONS, TASK, Consortium

from fabric_fl.audit import RebuiltRound, without
from fabric_fl.blobs import BlobReader, BlobStore, BlobUnavailableError
from fabric_fl.errors import FabricFLError
from fabric_fl.ledger import FLLedger

ADAPTIVE = {"epsilon": "0.001", "initial_preconditioner_value": "0.000001"}
FEDADAM = {"step": "fedadam", "learning_rate": "0.1", "beta_1": "0.9", "beta_2": "0.99", **ADAPTIVE}
FEDAVGM = {"step": "fedavgm", "learning_rate": "1", "momentum": "0.9"}
FEDAVG = {"step": "fedavg", "learning_rate": "1"}
GONE = "Org2MSP"


def finished(consortium: Consortium, **changes: Any) -> FLLedger:
    """Runs a task of all three to its end."""
    consortium.create_task(**({"rounds": 3, "k": 3, "min_updates": 3, "patience_s": 60, "budget": 0} | changes))
    consortium.run()
    return consortium.ledgers["Org1MSP"]


def rebuilt(consortium: Consortium, folder: Path, organisation: str = GONE, **stores: BlobStore) -> list[RebuiltRound]:
    reader = BlobReader(BlobStore(folder / "own"), consortium.stores | stores)
    target = folder / "rebuilt.safetensors"
    return list(without(consortium.ledgers["Org1MSP"], reader, TASK, organisation, folder / "work", target))


def blob(consortium: Consortium, digest: str) -> bytes:
    """Reads a blob where anybody has it."""
    for msp_id in ORGANISATIONS:
        path = consortium.folder / msp_id / "store" / digest
        if path.exists():
            return path.read_bytes()
    raise KeyError(digest)


def read(data: bytes) -> tuple[Any, bytes]:
    """Returns the tensors' names and shapes in order, and their bytes."""
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__")
    return [(name, tuple(header[name]["shape"])) for name in sorted(header)], data[8 + size :]


def expected(consortium: Consortium, server: Mapping[str, str], rule: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Returns the digests of models and states that follow from the others' blobs, in exact arithmetic."""
    ledger = consortium.ledgers["Org1MSP"]
    entries, weights = read(blob(consortium, ledger.model(TASK, 0).digest))
    state = oracle.first_state(server, oracle.floats(weights, "F32"))
    count, found = sum(prod(shape) for _, shape in entries), []
    for round_ in ledger.rounds(TASK):
        updates, examples = {}, {}
        for update, reveal in ledger.updates(TASK, round_.number):
            if update.participant != GONE:
                updates[update.participant] = struct.unpack(f"<{count}i", read(blob(consortium, reveal.digest))[1])
                examples[update.participant] = reveal.num_examples
        for who in oracle.select(rule, updates, 24):
            del updates[who]
        total, divisor = oracle.combine(rule, updates, examples)
        state = oracle.next_state(server, state, [oracle.mean(one, divisor, 24) for one in total])
        model = oracle.model_blob(entries, b"".join(oracle.float32(one) for one in state["w"]))
        found.append((oracle.sha256(model), oracle.sha256(oracle.state_blob(entries, state))))
    return found


@pytest.mark.parametrize(
    ("server", "rule"),
    [
        (FEDADAM, {"rule": "none"}),
        (FEDAVGM, {"rule": "median"}),
        (FEDAVG, {"rule": "norm-bound", "norm": "0.9"}),
    ],
    ids=["fedadam", "fedavgm with median", "norm bound"],
)
def test_the_rebuilt_models_and_states_follow_from_the_others_updates(
    consortium: Consortium, tmp_path: Path, server: dict[str, str], rule: dict[str, Any]
) -> None:
    ledger = finished(consortium, server=server, aggregation=rule)
    rounds = rebuilt(consortium, tmp_path)
    assert [(one.rebuilt, one.state) for one in rounds] == expected(consortium, server, rule)
    assert [one.committed for one in rounds] == [ledger.model(TASK, j).digest for j in (1, 2, 3)]
    assert all(one.rebuilt != one.committed and GONE not in one.included and not one.kept for one in rounds)
    assert oracle.sha256((tmp_path / "rebuilt.safetensors").read_bytes()) == rounds[-1].rebuilt


def test_without_who_trained_in_no_round_the_models_are_the_committed_ones(
    consortium: Consortium, tmp_path: Path
) -> None:
    consortium.create_task(rounds=1, k=3, min_updates=2, patience_s=1, budget=0, server=FEDADAM)
    consortium.run([consortium.participant(one) for one in ORGANISATIONS if one != GONE])
    assert GONE in consortium.ledgers["Org1MSP"].task(TASK).trainers
    rounds = rebuilt(consortium, tmp_path)
    assert [one.rebuilt for one in rounds] == [one.committed for one in rounds]
    assert len(rounds) == 1


@pytest.mark.parametrize("rule", ["krum", "multi-krum", "trimmed-mean"])
def test_where_fewer_are_left_than_the_rule_needs_the_model_stays_and_it_says_so(
    consortium: Consortium, tmp_path: Path, rule: str
) -> None:
    ledger = finished(consortium, rounds=1, aggregation={"rule": rule, "byzantine": 1})
    (only,) = rebuilt(consortium, tmp_path)
    assert (only.rebuilt, only.included) == (ledger.model(TASK, 0).digest, ())
    assert only.kept == "the rule needs 3 updates, not 2"


def test_where_nobody_else_took_part_the_model_stays_and_it_says_so(consortium: Consortium, tmp_path: Path) -> None:
    ledger = finished(consortium, rounds=1, trainers=[GONE], k=1, min_updates=1)
    (only,) = rebuilt(consortium, tmp_path)
    assert (only.rebuilt, only.kept) == (ledger.model(TASK, 0).digest, "nobody else's update arrived")


@pytest.mark.parametrize(
    ("organisation", "message"),
    [
        ("Org3MSP", "Org3MSP is no trainer of task-1: it only validates it, which changes no model"),
        ("Org9MSP", "Org9MSP is no trainer of task-1: it has no part in it"),
    ],
)
def test_who_gave_no_updates_cannot_be_left_out(
    consortium: Consortium, tmp_path: Path, organisation: str, message: str
) -> None:
    finished(consortium, rounds=1, trainers=["Org1MSP", GONE], k=2, min_updates=2)
    with pytest.raises(FabricFLError) as refusal:
        rebuilt(consortium, tmp_path, organisation)
    assert (refusal.value.code, refusal.value.message) == ("FL-AUDIT-ORGANISATION", message)
    assert refusal.value.remedy == "Updates came from Org1MSP, Org2MSP."
    assert not (tmp_path / "rebuilt.safetensors").exists()


def test_a_task_of_which_nothing_is_committed_cannot_be_rebuilt(consortium: Consortium, tmp_path: Path) -> None:
    consortium.create_task()
    with pytest.raises(FabricFLError) as refusal:
        rebuilt(consortium, tmp_path)
    assert refusal.value.code == "FL-AUDIT-UNCOMMITTED"
    assert not (tmp_path / "rebuilt.safetensors").exists()


def test_an_update_that_has_expired_is_named_and_nothing_is_written(consortium: Consortium, tmp_path: Path) -> None:
    ledger = finished(consortium, rounds=1)
    lost = {update.participant: reveal.digest for update, reveal in ledger.updates(TASK, 1)}["Org3MSP"]
    for msp_id in ORGANISATIONS:
        (consortium.folder / msp_id / "store" / lost).unlink(missing_ok=True)
    with pytest.raises(BlobUnavailableError, match=lost):
        rebuilt(consortium, tmp_path)
    assert not (tmp_path / "rebuilt.safetensors").exists()
