"""Whole tasks under each robust rule and each server step: everybody recomputes them, and a replay gets them again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from organisations import ORGANISATIONS, TASK, Consortium, trainer

from fabric_fl.aggregation import ModelBlob, Tensors
from fabric_fl.audit import replay
from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.learning import TrainingTask, TrainResult

ADAPTIVE = {"epsilon": "0.001", "initial_preconditioner_value": "0.000001"}
DECAYS = {"beta_1": "0.9", "beta_2": "0.99"}
TASKS = [
    ({"rule": "krum", "byzantine": 1}, {"step": "fedavgm", "learning_rate": "1", "momentum": "0.9"}),
    ({"rule": "multi-krum", "byzantine": 1}, {"step": "fedadam", "learning_rate": "0.1", **DECAYS, **ADAPTIVE}),
    ({"rule": "median"}, {"step": "fedyogi", "learning_rate": "0.1", **DECAYS, **ADAPTIVE}),
    ({"rule": "trimmed-mean", "byzantine": 1}, {"step": "fedadagrad", "learning_rate": "0.1", **ADAPTIVE}),
    ({"rule": "norm-bound", "norm": "5"}, {"step": "fedavg", "learning_rate": "1"}),
]
LEFT_OUT = {"krum": (1, "FL-RULE-DISTANCE"), "multi-krum": (2, "FL-RULE-DISTANCE"), "norm-bound": (2, "FL-RULE-NORM")}


class Reversing:
    """A trainer whose update points the other way, fifty times as far, and claims all examples that are allowed."""

    def __init__(self) -> None:
        self._honest = trainer(2)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)

    def train(self, task: TrainingTask, model: ModelBlob, seed: int) -> TrainResult:
        delta = self._honest.train(task, model, seed).delta
        return TrainResult(Tensors({name: -50 * array for name, array in delta.items()}), task.max_examples)


@pytest.mark.parametrize(("aggregation", "server"), TASKS, ids=[str(rule["rule"]) for rule, _ in TASKS])
def test_a_task_with_a_liar_ends_with_models_that_everybody_recomputed(
    tmp_path: Path, aggregation: dict[str, Any], server: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A liar's program does not keep to the norm bound; the honest ones are within it without any help.
    monkeypatch.setattr("fabric_fl.aggregation.rules.NormBound.shorten", lambda self, q, f: q)
    monkeypatch.setattr("organisations.trainer", lambda index: Reversing() if index == 2 else trainer(index))
    consortium = Consortium(tmp_path)
    least = 2 if aggregation["rule"] == "norm-bound" else 3
    consortium.create_task(
        aggregation=aggregation, server=server, rounds=2, k=3, min_updates=least, patience_s=20, budget=0
    )
    consortium.run()
    ledger, (kept, code) = consortium.ledgers["Org1MSP"], LEFT_OUT.get(aggregation["rule"], (3, ""))
    assert ledger.latest_model(TASK).j == 2
    for j in (1, 2):
        record = ledger.model(TASK, j)
        assert len(record.included) == kept
        assert record.refused == dict.fromkeys(set(ORGANISATIONS) - set(record.included), code)
        assert "Org3MSP" in record.refused or not code
    reader = BlobReader(BlobStore(tmp_path / "auditor"), consortium.stores)
    rounds = list(replay(consortium.ledgers["Org2MSP"], reader, TASK, tmp_path / "replay"))
    assert [one.identical for one in rounds] == [True, True]
    assert consortium.participant("Org1MSP").evaluate(consortium.models["Org1MSP"])["loss"] < 1
