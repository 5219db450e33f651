"""`fabric-fl audit TASK` and `audit replay`: the contract's real rules in memory, after the organisations have run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from organisations import ORGANISATIONS, TASK, Consortium, FlippedBit

from fabric_fl.memory_ledger import MemoryLedger


@pytest.fixture
def chain(consortium: Consortium) -> MemoryLedger:
    """What commands speak to: the ledger of those who run."""
    return consortium.chain


def finish(consortium: Consortium, tmp_path: Path, *liars: str) -> None:
    """Runs a task of one round, in which some validators sum wrongly, and puts the blobs where commands look."""
    consortium.create_task(rounds=1, k=3, min_updates=3, patience_s=60, budget=0)
    lying = FlippedBit(consortium._worker)
    consortium.run([consortium.participant(one, worker=lying if one in liars else None) for one in ORGANISATIONS])
    for number, msp_id in enumerate(ORGANISATIONS, start=1):
        shutil.copytree(consortium.folder / msp_id / "store", tmp_path / f"org{number}" / "blobs", dirs_exist_ok=True)


def test_a_task_that_everybody_summed_rightly_is_identical(call: Any, consortium: Consortium, tmp_path: Path) -> None:
    finish(consortium, tmp_path)
    done = call("audit", TASK)
    digest = consortium.ledgers["Org1MSP"].latest_model(TASK).digest[:16]
    assert (done.exit_code, done.stderr) == (0, "")
    header, row = done.stdout.splitlines()
    assert header.split() == ["ROUND", "MODEL", "COMMITTED", "RECOMPUTED", "RESULT"]
    assert row.split() == ["1", "1", digest, digest, "identical"]


def test_who_committed_a_wrong_sum_together_is_named(call: Any, consortium: Consortium, tmp_path: Path) -> None:
    finish(consortium, tmp_path, "Org2MSP", "Org3MSP")
    done = call("audit", TASK)
    sentence = "round 1 is the first that differs; what does not agree is of Org2MSP, Org3MSP"
    assert done.exit_code == 1
    assert done.stderr == f"{sentence}\n"
    assert "Org2MSP: has attested a result that does not follow from the updates" in done.stdout

    found = json.loads(call("audit", TASK, "--format", "json").stdout)
    assert (found["identical"], found["first"]) == (False, sentence)
    (only,) = found["rounds"]
    assert only["recomputed"] != only["committed"]
    assert {one["organisation"] for one in only["findings"]} == {None, "Org2MSP", "Org3MSP"}


def test_who_cannot_be_left_out_is_told_with_a_remedy(call: Any, consortium: Consortium, tmp_path: Path) -> None:
    finish(consortium, tmp_path)
    done = call("audit", "replay", TASK, "--without", "Org9MSP", "--output", tmp_path / "rebuilt")
    assert done.exit_code == 1
    sentence, remedy = done.stderr.splitlines()
    assert sentence == "error FL-AUDIT-ORGANISATION: Org9MSP is no trainer of task-1: it has no part in it"
    assert remedy == "Updates came from Org1MSP, Org2MSP, Org3MSP."
    assert not (tmp_path / "rebuilt").exists()
