"""The faults of docs/verification.md: who deviates how, and what everybody else must be left with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faults
import faulty_stores
from organisations import ORGANISATIONS

from fabric_fl.blobs import BlobStore

LIAR = "Org2MSP"


@dataclass(frozen=True)
class Fault:
    """Who deviates how, and what everybody else must be left with.

    Attributes:
        lies: what each liar has of its own, by MSP id: `ledger`, `store`, `forge` or `times` (of wrong sums).
        included: whose updates the committed model must consist of.
        changes: to the task.
        beyond: whether there are more liars than the task tolerates.
        seen: how the liar's store shows itself to some of its readers, by MSP id.
        lost: whether the liar's store loses everything once all have attested.
    """

    name: str
    lies: Mapping[str, Mapping[str, Any]]
    included: Sequence[str] = ORGANISATIONS
    changes: Mapping[str, Any] = field(default_factory=dict)
    beyond: bool = False
    seen: Mapping[str, Callable[[BlobStore, Path], BlobStore]] = field(default_factory=dict)
    lost: bool = False


def liar(name: str, included: Sequence[str] = ORGANISATIONS, **lie: Any) -> Fault:
    return Fault(name, {LIAR: lie}, included)


def poisoner(rule: str, included: Sequence[str], **options: Any) -> Fault:
    changes = {"aggregation": {"rule": rule} | options, "min_updates": 3 if "byzantine" in options else 2}
    name = f"trainer: a poisoned update, under the rule {rule}"
    return Fault(name, {LIAR: {"forge": faults.poisoned}}, included, changes)


def nothing(store: BlobStore, _folder: Path) -> BlobStore:
    return faulty_stores.Withholding(store, lambda _digest: True)


OTHERS = ("Org1MSP", "Org3MSP")
ONE_BLOB = faults.OneBlobForTwo()
FAULTS = (
    liar("trainer: is away", OTHERS, ledger=faults.Absent),
    liar("trainer: never submits", OTHERS, ledger=faults.NeverSubmits),
    liar("trainer: submits, never reveals", OTHERS, ledger=faults.NeverReveals),
    liar("trainer: reveals another digest", OTHERS, ledger=faults.RevealsAnotherDigest),
    liar("trainer: reveals more examples than it committed to", OTHERS, ledger=faults.RevealsMoreExamples),
    liar("trainer: reveals another nonce", OTHERS, ledger=faults.RevealsAnotherNonce),
    liar("trainer: claims more examples than the task allows", OTHERS, ledger=faults.ClaimsTooManyExamples),
    liar("trainer: copies another's commitment", OTHERS, ledger=faults.CopiesACommitment),
    liar("trainer: commits twice", ledger=faults.SubmitsTwice),
    liar("trainer: reveals twice, with another size", ledger=faults.RevealsTwice),
    liar("trainer: reveals twice, with another digest", ledger=faults.RevealsTwiceAnotherDigest),
    liar("trainer: reveals before the round is sealed", ledger=faults.RevealsEarly),
    liar("trainer: submits to a round that is not there yet", ledger=faults.SubmitsToTheNextRound),
    liar("trainer: states a size of 1 TiB", OTHERS, ledger=faults.StatesAnotherSize),
    liar("trainer: update made for another task", OTHERS, forge=faults.with_header(task="another-tasks-name")),
    liar("trainer: update of another participant", OTHERS, forge=faults.with_header(participant="Org1MSP")),
    liar("trainer: update of another round", OTHERS, forge=faults.with_header(round=9)),
    liar("trainer: update from another base", OTHERS, forge=faults.with_header(base=faults.ONES)),
    liar("trainer: update with another weight inside", OTHERS, forge=faults.with_header(num_examples=41)),
    liar("trainer: update beyond the bound", OTHERS, forge=faults.beyond_the_bound),
    liar("trainer: floats for integers", OTHERS, forge=lambda _, content: content.replace(b'"I32"', b'"F32"')),
    liar("trainer: noise for an update", OTHERS, forge=lambda _, content: b"\x5a" * len(content)),
    liar("trainer: a pickle for an update", OTHERS, forge=faults.pickled),
    liar("trainer: bytes after the update's end", OTHERS, forge=lambda _, content: content + b"more"),
    poisoner("norm-bound", OTHERS, norm="1"),
    poisoner(
        "krum", OTHERS[:1], byzantine=1
    ),  # of equal scores the first one's: Org1 and Org3 are each other's nearest
    poisoner("trimmed-mean", ORGANISATIONS, byzantine=1),
    Fault(
        "two trainers: the second reveals the first one's digest",
        {LIAR: {"forge": ONE_BLOB.first}, "Org3MSP": {"forge": ONE_BLOB.second}},
        ("Org1MSP", LIAR),
    ),
    liar("store: publishes nothing", OTHERS, store=faulty_stores.KeepsToItself),
    liar("store: other bytes under the digest", OTHERS, store=faulty_stores.Damaging),
    liar("store: cut off", OTHERS, store=faulty_stores.Cutting),
    liar("store: 1 GiB under the digest", OTHERS, store=faulty_stores.Swelling),
    liar("store: a symbolic link", OTHERS, store=faulty_stores.Linking),
    Fault("store: two contents for two readers", {LIAR: {}}, seen={"Org3MSP": faulty_stores.SecondFace}),
    Fault("store: serves its update to one other validator only", {LIAR: {}}, seen={"Org3MSP": nothing}),
    Fault(
        "store: serves its update to its own validator only, where all must agree",
        {LIAR: {}},
        OTHERS,
        changes={"q": 3},
        seen=dict.fromkeys(OTHERS, nothing),
    ),
    Fault("store: is lost after the commit", {LIAR: {}}, lost=True),
    liar("validator: sums wrongly", times=1000),
    liar("validator: copies an attestation", ledger=faults.Copies),
    liar("validator: proves nothing", ledger=faults.ProvesNothing),
    liar("validator: names a result that its model does not give", ledger=faults.ResultDoesNotFollow),
    liar("validator: leaves out an honest update", ledger=faults.LeavesOut),
    liar("validator: attests without having fetched", ledger=faults.FetchedNothing),
    liar("validator: attests in a later version than its turn is", ledger=faults.SkipsAVersion),
    liar("validator: commits a sum that nobody has proven", ledger=faults.CommitsAFalseSum),
    liar("validator: seals and aborts alone", ledger=faults.SealsAndAbortsAlone),
    liar("validator: votes against everything", ledger=faults.VotesAgainstEverything),
    liar("validator: never attests", ledger=faults.NeverAttests),
    liar("validator: never opens its scores", ledger=faults.NeverOpens),
    liar("validator: opens better scores than it committed to", ledger=faults.OpensOtherScores),
    Fault(
        "validator: sums wrongly where all must agree, then corrects itself",
        {LIAR: {"ledger": faults.CorrectsItself}},
        changes={"q": 3},
    ),
    Fault(
        "validator: sums wrongly where all must agree, until the round is run again",
        {LIAR: {"times": 1}},
        changes={"q": 3},
    ),
    Fault("two validators sum wrongly, in two ways", {LIAR: {"times": 1}, "Org3MSP": {"ledger": faults.LeavesOut}}),
    Fault(
        "beyond f: two of three validators collude in a wrong sum",
        {LIAR: {"times": 1000}, "Org3MSP": {"times": 1000}},
        beyond=True,
    ),
)
