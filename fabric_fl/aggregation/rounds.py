"""What goes into the sum of a round and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fabric_fl.aggregation.codec import UpdateHeader
from fabric_fl.aggregation.files import BlobFile, Fingerprint
from fl_chaincode import hashes
from fl_chaincode.specification import DISTANT


@dataclass(frozen=True)
class UpdateInput:
    """A reveal, and where its blob lies on this machine.

    Attributes:
        path: None when its size forbade fetching it.
        verified: The file's fingerprint when its digest was found right; then it is not taken again.
        copy: Where the file is copied to while it is read, because it is not ours. Nothing stands there before its
            digest was found right.
    """

    participant: str
    path: Path | None
    digest: str
    size: int
    num_examples: int
    verified: Fingerprint | None = field(default=None, compare=False)
    copy: Path | None = field(default=None, compare=False)


@dataclass(frozen=True)
class RoundInputs:
    """Everything that decides the next model. Two validators with equal inputs get equal results.

    Attributes:
        base: The digest that the updates were made from, as the round's record states it.
        model: The last committed model, or the initial one.
        state: The last committed server state; None before the first commit, when it is made from `model`.
        f: Fraction bits of the quantisation.
        bound: The largest magnitude of a quantised value.
        server: The task's server step.
        rule: How the task combines updates.
    """

    task: str
    round: int
    attempt: int
    base: str
    model: BlobFile
    state: BlobFile | None
    updates: tuple[UpdateInput, ...]
    f: int
    bound: int
    max_examples: int
    server: Mapping[str, str]
    rule: Mapping[str, str | int] = field(default_factory=lambda: {"rule": "none"})

    def header(self, update: UpdateInput) -> UpdateHeader:
        """The header that this update must carry."""
        return UpdateHeader(self.task, self.round, update.participant, self.base, update.num_examples, self.f)


@dataclass(frozen=True)
class AggregationResult:
    """The outcome of a round as one validator computed it.

    Attributes:
        aggregate: A, the digest of the sum. Whoever knows it can prove to have summed, so it stays here until Commit.
        included: Participants whose updates were summed, sorted.
        refused: Code by participant.
        result: What the quorum is on.
        num_examples: Of all included updates together.
    """

    aggregate: str
    included: tuple[str, ...]
    refused: Mapping[str, str]
    model: BlobFile
    state: BlobFile
    result: str
    num_examples: int

    @property
    def invalid(self) -> dict[str, str]:
        """Code by participant whose update is at fault; that others were nearer to each other is nobody's."""
        return {who: code for who, code in self.refused.items() if code != DISTANT}

    def proof(self, task: str, round: int, attempt: int, organisation: str) -> str:  # noqa: A002 - the protocol's word
        """Show that this organisation has summed the updates, without telling the sum."""
        return hashes.proof(task, round, attempt, organisation, self.aggregate)
