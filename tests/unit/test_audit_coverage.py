"""Which blobs go into an export, which rounds are recomputed from it, and what is said of the others."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from organisations import ORGANISATIONS, TASK, Consortium

from fabric_fl.aggregation import AggregationResult, BlobFile, RoundInputs
from fabric_fl.audit.collecting import Blobs, collect
from fabric_fl.audit.coverage import Recomputed, recompute
from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.ledger import FLLedger
from fl_chaincode import hashes


def collected(consortium: Consortium, organisation: str | None = None) -> Blobs:
    ledger = consortium.ledgers["Org1MSP"]
    own = BlobStore(tempfile.mkdtemp(dir=consortium.folder))
    reader = BlobReader(own, consortium.stores)
    return collect(ledger, reader, ledger.task(TASK), organisation)


def recomputed(consortium: Consortium, held: Blobs, folder: Path, **about: Any) -> Recomputed:
    """Recomputes from these blobs and no others, as from an export."""
    store = BlobStore(folder / "blobs")
    for digest, file in held.files.items():
        store.put(file.path.read_bytes(), digest)
    known = {"task": TASK, "blobs": True, "missing": list(held.missing), "withheld": list(held.withheld)} | about
    return recompute(consortium.ledgers["Org1MSP"], BlobReader(store, {}), known, folder / "replay")


def updates(ledger: FLLedger, number: int) -> set[str]:
    return {reveal.digest for _, reveal in ledger.updates(TASK, number) if reveal is not None}


def lose(consortium: Consortium, digests: Iterable[str]) -> None:
    for digest in digests:
        for msp_id in ORGANISATIONS:
            (consortium.folder / msp_id / "store" / digest).unlink(missing_ok=True)


@pytest.fixture
def succeeded(consortium: Consortium) -> Consortium:
    """A task whose first round Org1MSP and Org2MSP validate, and whose second Org2MSP and Org3MSP."""
    consortium.create_task(
        rounds=2, k=3, min_updates=3, patience_s=60, budget=0, validators=list(ORGANISATIONS[:2]), q=2
    )
    for msp_id in ORGANISATIONS[:2]:
        consortium.ledgers[msp_id].elect(TASK, 0, list(ORGANISATIONS[1:]), 2)
    consortium.run()
    rounds = consortium.ledgers["Org1MSP"].rounds(TASK)
    assert [one.validators for one in rounds] == [ORGANISATIONS[:2], ORGANISATIONS[1:]]
    return consortium


def test_each_exports_the_updates_of_the_rounds_that_it_has_validated(succeeded: Consortium, tmp_path: Path) -> None:
    ledger = succeeded.ledgers["Org1MSP"]
    initial, first, second = (ledger.model(TASK, number) for number in range(3))
    early, late = updates(ledger, 1), updates(ledger, 2)
    assert len(early) == len(late) == 3

    voted_out = collected(succeeded, "Org1MSP")
    assert voted_out.files.keys() == {initial.digest, *early, second.digest, second.state}
    assert (voted_out.missing, voted_out.withheld) == ((), (2,))
    voted_in = collected(succeeded, "Org3MSP")
    assert voted_in.files.keys() == {initial.digest, first.digest, first.state, *late}
    assert voted_in.withheld == (1,)
    for everything in (collected(succeeded, "Org2MSP"), collected(succeeded)):
        assert everything.files.keys() == {initial.digest, *early, *late}
        assert everything.withheld == ()

    found = recomputed(succeeded, voted_out, tmp_path / "out")
    assert [(one.number, one.identical) for one in found.rounds] == [(1, True)]
    assert [(one.number, one.j, one.committed) for one in found.unchecked] == [(2, 2, second.digest)]
    assert "does not validate it" in found.unchecked[0].why
    found = recomputed(succeeded, voted_in, tmp_path / "in")
    assert [(one.number, one.identical) for one in found.rounds] == [(2, True)]
    assert [one.number for one in found.unchecked] == [1]
    assert found.findings == ()


def test_who_says_that_a_round_was_withheld_hides_nothing_of_it_that_is_there(
    succeeded: Consortium, tmp_path: Path
) -> None:
    blobs = dataclasses.replace(collected(succeeded), withheld=(1, 2))
    found = recomputed(succeeded, blobs, tmp_path)
    assert [one.number for one in found.rounds] == [1, 2]
    assert found.unchecked == ()


def test_without_blobs_every_committed_round_is_told_to_be_unchecked(succeeded: Consortium, tmp_path: Path) -> None:
    found = recomputed(succeeded, Blobs({}, (), ()), tmp_path, blobs=False)
    assert found.rounds == found.findings == ()
    assert [(one.number, one.why) for one in found.unchecked] == [
        (1, "the file has no blobs"),
        (2, "the file has no blobs"),
    ]


def test_a_task_that_is_not_on_the_ledger_is_a_finding(succeeded: Consortium, tmp_path: Path) -> None:
    for blobs in (True, False):
        found = recomputed(succeeded, Blobs({}, (), ()), tmp_path, blobs=blobs, task="none")
        assert [one.what for one in found.findings] == ["task"]


def test_an_initial_model_that_nobody_has_is_missing_and_what_hangs_on_it_unchecked(
    succeeded: Consortium, tmp_path: Path
) -> None:
    initial = succeeded.ledgers["Org1MSP"].model(TASK, 0).digest
    lose(succeeded, [initial])
    blobs = collected(succeeded)
    assert blobs.missing == (initial,)
    found = recomputed(succeeded, blobs, tmp_path)
    accounted = [one.number for one in found.rounds] + [one.number for one in found.unchecked]
    assert sorted(accounted) == [1, 2]
    assert found.findings or not all(one.identical for one in found.rounds)


class Garbage:
    """Sums rightly and attests a model of the right size that is none."""

    def __init__(self, worker: Any) -> None:
        self._worker = worker

    def aggregate(self, inputs: RoundInputs, directory: Path) -> AggregationResult:
        right = self._worker.aggregate(inputs, directory)
        data = b"\x5a" * right.model.size
        right.model.path.write_bytes(data)
        model = BlobFile(right.model.path, hashlib.sha256(data).hexdigest(), len(data))
        fields = (inputs.task, inputs.round, inputs.attempt, inputs.base, right.included, right.refused)
        result = hashes.result_digest(*fields, model.digest, right.state.digest)
        return dataclasses.replace(right, model=model, result=result, aggregate="f" * 64)

    def leave_one_out_models(self, *args: Any) -> Any:
        return self._worker.leave_one_out_models(*args)


def test_garbage_that_a_majority_committed_as_a_model_is_exported_and_the_majority_named(
    consortium: Consortium, tmp_path: Path
) -> None:
    scoring = {"rule": "none", "cap_percent": 200}
    consortium.create_task(rounds=1, k=3, min_updates=3, patience_s=60, budget=0, scoring=scoring)
    consortium.tolerated = True  # nobody can read what was committed
    liars, ledger = ORGANISATIONS[1:], consortium.ledgers["Org1MSP"]
    garbage = Garbage(consortium._worker)
    people = [consortium.participant(one, worker=garbage if one in liars else None) for one in ORGANISATIONS]

    def published() -> bool:
        digest = ledger.latest_model(TASK).digest
        return ledger.status(TASK).head.j == 1 and (consortium.folder / "Org2MSP" / "store" / digest).exists()

    consortium.run(people, until=published)
    committed = ledger.latest_model(TASK)

    found = recomputed(consortium, collected(consortium), tmp_path / "whole")
    (only,) = found.rounds
    assert only.recomputed != only.committed
    assert {one.organisation for one in only.findings if one.what == "attestation"} == set(liars)

    lost = min(updates(ledger, 1))
    lose(consortium, [lost])
    blobs = collected(consortium)
    assert blobs.missing == (lost,)
    assert blobs.files[committed.digest].path.read_bytes() == b"\x5a" * committed_size(consortium)
    assert committed.state in blobs.files
    found = recomputed(consortium, blobs, tmp_path / "lacking")
    accounted = [(one.number, one.committed) for one in (*found.rounds, *found.unchecked)]
    assert accounted == [(1, committed.digest)]
    assert not any(one.identical for one in found.rounds)


def committed_size(consortium: Consortium) -> int:
    return consortium.ledgers["Org1MSP"].task(TASK).model.size
