"""`fabric-fl audit TASK` and `audit replay`: the contract's real rules in memory, after the organisations have run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from organisations import ORGANISATIONS, TASK, Consortium, FlippedBit

from fabric_fl import aggregation
from fabric_fl.audit import rebuild
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


def forget(tmp_path: Path, digest: str) -> None:
    for number in (1, 2, 3):
        (tmp_path / f"org{number}" / "blobs" / digest).unlink(missing_ok=True)


def test_an_expired_blob_is_not_called_a_difference(call: Any, consortium: Consortium, tmp_path: Path) -> None:
    finish(consortium, tmp_path)
    (_, reveal), *_ = consortium.ledgers["Org1MSP"].updates(TASK, 1)
    assert reveal is not None
    forget(tmp_path, reveal.digest)
    done = call("audit", TASK)
    assert done.exit_code == 3
    assert done.stderr == (
        "not recomputed, because blobs have expired or cannot be read: round 1; nothing is known to differ\n"
    )
    found = json.loads(call("audit", TASK, "--format", "json").stdout)
    assert (found["outcome"], found["first"], found["not_recomputed"]) == ("not recomputed", None, [1])
    assert found["rounds"][0]["outcome"] == "not recomputed"


def test_who_was_outvoted_is_printed_and_the_task_holds(call: Any, consortium: Consortium, tmp_path: Path) -> None:
    finish(consortium, tmp_path, "Org3MSP")
    done = call("audit", TASK)
    assert (done.exit_code, done.stderr) == (0, "")
    _, row, dissent = done.stdout.splitlines()
    assert row.endswith("  identical")
    said = "Org3MSP: has attested what does not follow from the updates: model, proof"
    assert dissent.endswith(f"dissent: round 1, attempt 1, version 1: {said}")
    (only,) = json.loads(call("audit", TASK, "--format", "json").stdout)["rounds"]
    assert [(one["what"], one["organisation"]) for one in only["dissents"]] == [("dissent", "Org3MSP")]


def test_of_a_task_without_a_model_it_is_said_so(call: Any, consortium: Consortium, tmp_path: Path) -> None:
    consortium.create_task()
    shutil.copytree(consortium.folder / "Org1MSP" / "store", tmp_path / "org1" / "blobs", dirs_exist_ok=True)
    done = call("audit", TASK)
    assert done.exit_code == 3
    assert done.stderr == f"no round of {TASK} has been committed: there is no model to recompute\n"
    assert [line.split() for line in done.stdout.splitlines()[1:]] == [["1", "1", "-", "-", "open"]]
    found = json.loads(call("audit", TASK, "--format", "json").stdout)
    assert (found["identical"], found["outcome"]) == (None, "not recomputed")


def test_a_rebuilt_model_and_its_state_are_written_whole_under_their_names(
    call: Any, consortium: Consortium, tmp_path: Path
) -> None:
    finish(consortium, tmp_path)
    target = tmp_path / "rebuilt.safetensors"
    found = json.loads(
        call("audit", "replay", TASK, "--without", "Org2MSP", "--output", target, "--format", "json").stdout
    )
    (only,) = found["rounds"]
    assert aggregation.digest(target.read_bytes()) == only["rebuilt"]
    state = tmp_path / "rebuilt.state.safetensors"
    assert found["state"] == str(state)
    assert aggregation.digest(state.read_bytes()) == only["state"]
    assert sorted(path.name for path in tmp_path.iterdir() if "rebuilt" in path.name) == [target.name, state.name]


def test_a_folder_that_is_missing_is_told_before_anything_is_rebuilt(
    call: Any, consortium: Consortium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(consortium, tmp_path)
    monkeypatch.setattr(rebuild, "without", lambda *_: pytest.fail("the work was done first"))
    done = call("audit", "replay", TASK, "--without", "Org2MSP", "--output", tmp_path / "no" / "such" / "file")
    assert done.exit_code == 1
    assert done.stderr.startswith("error FL-OUTPUT-FILE: cannot write ")


def test_who_cannot_be_left_out_is_told_with_a_remedy(call: Any, consortium: Consortium, tmp_path: Path) -> None:
    finish(consortium, tmp_path)
    done = call("audit", "replay", TASK, "--without", "Org9MSP", "--output", tmp_path / "rebuilt")
    assert done.exit_code == 1
    sentence, remedy = done.stderr.splitlines()
    assert sentence == "error FL-AUDIT-ORGANISATION: Org9MSP is no trainer of task-1: it has no part in it"
    assert remedy == "Updates came from Org1MSP, Org2MSP, Org3MSP."
    assert not (tmp_path / "rebuilt").exists()
