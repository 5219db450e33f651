"""Where a round's recomputation starts: what was committed before it, or what should have been."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from fabric_fl.aggregation import AggregationResult, BlobError
from fabric_fl.audit.finding import Finding
from fabric_fl.audit.recomputation import Files, Means, are_model
from fabric_fl.blobs import BlobUnavailableError
from fl_chaincode.records import Model

_LOST = Finding("blob", None, "the model before it has expired or cannot be read")


@dataclass(frozen=True)
class Start:
    """What a round, or the task's creation, left for the next rounds.

    Attributes:
        digest: Of the model that the ledger names.
        committed: That model and its state; or why they are not to be had: a finding of the kind `blob`, or of another
            where the right bytes are no model, or no state.
        recomputed: What the replay reached in its place.
    """

    digest: str
    committed: Files | Finding
    recomputed: Files | None = None

    @classmethod
    def after(cls, means: Means, record: Model, outcome: AggregationResult | Finding) -> Self:
        """Returns where rounds start after a committed one, of which the replay reached this."""
        if isinstance(outcome, Finding):
            return cls(record.digest, _committed(means, record))
        files = outcome.model, outcome.state
        if (outcome.model.digest, outcome.state.digest) == (record.digest, record.state):
            return cls(record.digest, files, files)
        return cls(record.digest, _committed(means, record), files)

    def of(self, base: str) -> Files | Finding:
        """Returns what a round with this base starts from, or why it cannot be recomputed."""
        if self.recomputed is not None and base == self.recomputed[0].digest:
            # the ledger can name a right model and a wrong state
            lying = base == self.digest and not isinstance(self.committed, Finding)
            return self.committed if lying else self.recomputed
        if base != self.digest:
            return Finding("base", None, f"it starts from {base}, and the model before it is {self.digest}")
        if isinstance(self.committed, Finding) and self.committed.what != "blob" and self.recomputed is not None:
            return self.recomputed
        return self.committed


def _committed(means: Means, record: Model) -> Files | Finding:
    try:
        found = means.models.files(record.j)
    except BlobUnavailableError:
        return _LOST
    except BlobError as error:
        return Finding("base", None, f"the model before it is none: {error.message}")
    files = found.model, found.state
    if not are_model(files, means.task, means.layout):
        message = "what was committed before it is no model of this task, or no state of its server step"
        return Finding("base", None, message)
    return files
