"""Ways to lie or to fail: what stands in for an honest organisation's ledger, journal, worker or store."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np

from fabric_fl import Participant
from fabric_fl.aggregation import (
    AggregationResult,
    AggregationWorker,
    ModelBlob,
    RoundInputs,
    Tensors,
    UpdateBlob,
    encode,
    read_model,
    write,
)
from fabric_fl.journal import Journal, UpdateEntry
from fabric_fl.ledger import FLLedger, LedgerRefused
from fabric_fl.participation import Participation
from fl_chaincode import hashes

ZEROS, ONES = "0" * 64, "f" * 64
# What honest organisations are refused, too, when another was faster.
RACES = {"FL-ROUND-FINAL", "FL-ROUND-FIXED", "FL-ROUND-SEALED", "FL-ROUND-UNDECIDED", "FL-ROUND-VOTES"}


class Recorded(FLLedger):
    """The liar's view of the ledger, which notes what the contract refused."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.refusals: list[str] = []
        self._lying = False

    def _submit(self, function: str, *args: Any) -> bytes:
        try:
            return super()._submit(function, *args)
        except LedgerRefused as refusal:
            if self._lying or refusal.code not in RACES:
                self.refusals.append(refusal.code)
            raise

    def attempt(self, call: Callable[[], Any]) -> None:
        """Try what must be refused, and go on honestly."""
        self._lying = True
        try:
            call()
        except LedgerRefused:
            return
        finally:
            self._lying = False


def gone() -> LedgerRefused:
    return LedgerRefused("FL-TEST-GONE", "the organisation is away")


# ---------------------------------------------------------------- participants


class Absent(Recorded):
    def status(self, task: str) -> Any:
        raise gone()


class NeverSubmits(Recorded):
    def submit_update(self, task: str, number: int, commitment: str) -> Any:
        raise gone()


class NeverReveals(Recorded):
    def reveal_update(self, task: str, number: int, **fields: Any) -> Any:
        raise gone()


class RevealsAnotherDigest(Recorded):
    def reveal_update(self, task: str, number: int, **fields: Any) -> Any:
        return super().reveal_update(task, number, **fields | {"digest": ONES})


class RevealsMoreExamples(Recorded):
    def reveal_update(self, task: str, number: int, **fields: Any) -> Any:
        return super().reveal_update(task, number, **fields | {"num_examples": fields["num_examples"] * 2})


class RevealsAnotherNonce(Recorded):
    def reveal_update(self, task: str, number: int, **fields: Any) -> Any:
        return super().reveal_update(task, number, **fields | {"nonce": ONES})


class StatesAnotherSize(Recorded):
    def reveal_update(self, task: str, number: int, **fields: Any) -> Any:
        return super().reveal_update(task, number, **fields | {"size": 1 << 40})


class RevealsTwice(Recorded):
    def reveal_update(self, task: str, number: int, **fields: Any) -> Any:
        done = super().reveal_update(task, number, **fields)
        self.attempt(lambda: super(RevealsTwice, self).reveal_update(task, number, **fields | {"size": 1}))
        return done


class RevealsTwiceAnotherDigest(Recorded):
    def reveal_update(self, task: str, number: int, **fields: Any) -> Any:
        done = super().reveal_update(task, number, **fields)
        again = super().reveal_update
        self.attempt(lambda: again(task, number, **fields | {"digest": ONES}))
        return done


class SubmitsTwice(Recorded):
    def submit_update(self, task: str, number: int, commitment: str) -> Any:
        done = super().submit_update(task, number, commitment)
        self.attempt(lambda: super(SubmitsTwice, self).submit_update(task, number, ONES))
        return done


class RevealsEarly(Recorded):
    def submit_update(self, task: str, number: int, commitment: str) -> Any:
        early = {"digest": ONES, "size": 1, "num_examples": 1, "nonce": ONES}
        self.attempt(lambda: self.reveal_update(task, number, **early))
        return super().submit_update(task, number, commitment)


class SubmitsToTheNextRound(Recorded):
    def submit_update(self, task: str, number: int, commitment: str) -> Any:
        self.attempt(lambda: super(SubmitsToTheNextRound, self).submit_update(task, number + 1, commitment))
        return super().submit_update(task, number, commitment)


class CopiesACommitment(Recorded):
    def submit_update(self, task: str, number: int, commitment: str) -> Any:
        for update, _ in self.updates(task, number):
            return super().submit_update(task, number, update.commitment)
        raise LedgerRefused(f"FL-TEST-{id(object())}", "nobody has submitted yet")


class ClaimsTooManyExamples(Recorded):
    """Commits to more examples than the task allows, consistently."""

    COUNT = 1_000_000

    def submit_update(self, task: str, number: int, commitment: str) -> Any:
        base = self.round(task, number).base
        commitment = hashes.update_commitment(task, number, "Org2MSP", base, self.COUNT, ONES, ZEROS)
        return super().submit_update(task, number, commitment)

    def reveal_update(self, task: str, number: int, **fields: Any) -> Any:
        lie = {"digest": ONES, "num_examples": self.COUNT, "nonce": ZEROS}
        return super().reveal_update(task, number, **fields | lie)


class ForgingJournal(Journal):
    """Journals another blob than was trained."""

    forge: Callable[[UpdateBlob, bytes], bytes]

    def record_update(self, round_number: int, base: str, blob: UpdateBlob) -> UpdateEntry:
        entry = super().record_update(round_number, base, blob)
        path = self.update_path(round_number)
        content = self.forge(blob, path.read_bytes())
        path.unlink()
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        self._forged = dataclasses.replace(entry, digest=digest, size=len(content))
        return self._forged

    def update(self, round_number: int) -> UpdateEntry | None:
        return getattr(self, "_forged", None)


class Forger(Participant):
    """A participant with a forging journal."""

    forge: Callable[[UpdateBlob, bytes], bytes]

    def _participation(self, task: str) -> Participation:
        part = super()._participation(task)
        part.journal = ForgingJournal(self._private, task)
        part.journal.forge = self.forge
        return part


def with_header(**changes: Any) -> Callable[[UpdateBlob, bytes], bytes]:
    def forge(blob: UpdateBlob, _content: bytes) -> bytes:
        return bytes(encode(UpdateBlob(dataclasses.replace(blob.header, **changes), blob.tensors)))

    return forge


class OneBlobForTwo:
    """Two who collude: the second reveals, with an opening of its own, the very bytes that the first has revealed."""

    def __init__(self) -> None:
        self._content: Future[bytes] = Future()

    def first(self, _blob: UpdateBlob, content: bytes) -> bytes:
        self._content.set_result(content)
        return content

    def second(self, _blob: UpdateBlob, _content: bytes) -> bytes:
        return self._content.result(timeout=60)


def beyond_the_bound(blob: UpdateBlob, _content: bytes) -> bytes:
    arrays = {name: np.full(array.shape, 2**30 + 1, np.int32) for name, array in blob.tensors.items()}
    return bytes(encode(UpdateBlob(blob.header, Tensors(arrays))))


def poisoned(blob: UpdateBlob, _content: bytes) -> bytes:
    """A valid update that pulls the model far to the other side."""
    arrays = {
        name: np.clip(array.astype(np.int64) * -1000, -(2**30), 2**30).astype(np.int32)
        for name, array in blob.tensors.items()
    }
    return bytes(encode(UpdateBlob(blob.header, Tensors(arrays))))


def pickled(_blob: UpdateBlob, content: bytes) -> bytes:
    return pickle.dumps({"weights": [0.0] * 10}).ljust(len(content), b"\0")[: len(content)]


# ---------------------------------------------------------------- validators


def forged(attestation: dict[str, Any], task: str, number: int, **changes: Any) -> dict[str, Any]:
    """An attestation with other contents and the result that follows from them."""
    changed = {**attestation, **changes}
    names = ("included", "refused", "model", "state")
    values = [changed[name] for name in names]
    base = changed.pop("base")
    return changed | {"result": hashes.result_digest(task, number, changed["attempt"], base, *values)}


class NeverAttests(Recorded):
    def attest(self, task: str, number: int, attestation: Any) -> Any:
        raise gone()


class Copies(Recorded):
    """Attests whatever somebody else attested, without having summed."""

    def attest(self, task: str, number: int, attestation: Any) -> Any:
        for other, _ in self.attestations(task, number):
            copied = {name: getattr(other, name) for name in ("result", "model", "state", "proof")}
            lists = {"included": list(other.included), "refused": dict(other.refused)}
            return super().attest(task, number, {**attestation, **copied, **lists})
        raise LedgerRefused(f"FL-TEST-{id(object())}", "nobody has attested yet")


class ProvesNothing(Recorded):
    def attest(self, task: str, number: int, attestation: Any) -> Any:
        return super().attest(task, number, {**attestation, "proof": ONES})


class ResultDoesNotFollow(Recorded):
    def attest(self, task: str, number: int, attestation: Any) -> Any:
        self.attempt(lambda: super(ResultDoesNotFollow, self).attest(task, number, {**attestation, "model": ONES}))
        return super().attest(task, number, attestation)


class LeavesOut(Recorded):
    """Claims not to have Org1's update."""

    def attest(self, task: str, number: int, attestation: Any) -> Any:
        left = [one for one in attestation["included"] if one != "Org1MSP"]
        base = self.round(task, number).base
        return super().attest(task, number, forged({**attestation, "base": base}, task, number, included=left))


class CorrectsItself(Recorded):
    """Attests a wrong model first, and the right one when a dispute shows that it was alone."""

    def attest(self, task: str, number: int, attestation: Any) -> Any:
        if attestation["version"] == 1:
            base = self.round(task, number).base
            attestation = forged({**attestation, "base": base}, task, number, model=ONES)
        return super().attest(task, number, attestation)


class FetchedNothing(Recorded):
    def attest(self, task: str, number: int, attestation: Any) -> Any:
        self.attempt(lambda: super(FetchedNothing, self).attest(task, number, {**attestation, "fetched": []}))
        return super().attest(task, number, attestation)


class SkipsAVersion(Recorded):
    def attest(self, task: str, number: int, attestation: Any) -> Any:
        self.attempt(lambda: super(SkipsAVersion, self).attest(task, number, {**attestation, "version": 7}))
        return super().attest(task, number, attestation)


class CommitsAFalseSum(Recorded):
    """Names, as soon as it has attested, a sum that nobody has proven."""

    def attest(self, task: str, number: int, attestation: Any) -> Any:
        self.attempt(lambda: self.commit(task, number, ONES))
        return super().attest(task, number, attestation)


class SealsAndAbortsAlone(Recorded):
    def submit_update(self, task: str, number: int, commitment: str) -> Any:
        self.attempt(lambda: self.seal(task, number))
        self.attempt(lambda: self.abort(task, number))
        return super().submit_update(task, number, commitment)


class VotesAgainstEverything(Recorded):
    def submit_update(self, task: str, number: int, commitment: str) -> Any:
        for kind in ("close", "abort", "settle"):
            self.attempt(lambda kind=kind: self.vote(task, number, kind, 0))
        return super().submit_update(task, number, commitment)


class NeverOpens(Recorded):
    def attest(self, task: str, number: int, attestation: Any) -> Any:
        return super().attest(task, number, {**attestation, "openings": []})

    def open_scores(self, task: str, number: int, **opening: Any) -> Any:
        raise gone()


class OpensOtherScores(Recorded):
    def open_scores(self, task: str, number: int, **opening: Any) -> Any:
        praised = opening["scores"] | {"Org2MSP": 10**9}
        self.attempt(lambda: super(OpensOtherScores, self).open_scores(task, number, **opening | {"scores": praised}))
        return super().open_scores(task, number, **opening)


class WrongSum:
    """A worker that sums right and then changes one weight: the same way for all who collude.

    Args:
        worker: Sums right.
        times: How often it lies; then it is honest.
    """

    def __init__(self, worker: AggregationWorker, times: int = 1000) -> None:
        self._worker = worker
        self._times = times

    def aggregate(self, inputs: RoundInputs, directory: Path) -> AggregationResult:
        result = self._worker.aggregate(inputs, directory)
        self._times -= 1
        if self._times < 0:
            return result
        blob = read_model(result.model.path, result.model.digest, result.model.size)
        arrays = {name: array.copy() for name, array in blob.tensors.items()}
        first = arrays[blob.tensors.names[0]].reshape(-1).view(np.uint32)
        first[0] ^= 1
        model = write(ModelBlob(Tensors(arrays)), directory / "model.safetensors")
        values = (result.included, result.refused, model.digest, result.state.digest)
        wrong = hashes.result_digest(inputs.task, inputs.round, inputs.attempt, inputs.base, *values)
        return dataclasses.replace(result, model=model, result=wrong, aggregate=ONES)

    def leave_one_out_models(self, *args: Any) -> Any:
        return self._worker.leave_one_out_models(*args)
