"""Every way to lie or to fail that faults.py knows, through the real protocol on devnet, and what came of it.

What is compared with docs/verification.md was read off the ledger, the stores and a replay, fault by fault;
UPDATE_FAULTS=1 writes it there.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import faults
import faulty_stores
import pytest
from devnet_tasks import ORGANISATIONS, Tasks, three_organisations
from fabric_protos.common import common_pb2
from organisations import task_specification, trainer

from fabric_fl import Participant
from fabric_fl.aggregation import AggregationWorker
from fabric_fl.audit import Finding, RoundReplay, replay
from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.protoutil import unpack_envelope
from fabric_fl.ledger import LedgerRefused
from fabric_fl.record_calls import RecordVersion

PAGE = Path(__file__).parents[2] / "docs" / "verification.md"
BEGIN, END = "<!-- faults -->\n", "<!-- /faults -->\n"
AT_ONCE = 8
LIAR = "Org2MSP"


@dataclass(frozen=True)
class Fault:
    """Who deviates how, and what everybody else must be left with.

    Attributes:
        lies: what each liar has of its own, by MSP id: `ledger`, `store`, `forge` or `times` (of wrong sums).
        included: whose updates the committed model must consist of.
        changes: to the task.
        beyond: whether there are more liars than the task tolerates.
        two_faces: whether the liar's store serves something else to one of its readers.
    """

    name: str
    lies: Mapping[str, Mapping[str, Any]]
    included: Sequence[str] = ORGANISATIONS
    changes: Mapping[str, Any] = field(default_factory=dict)
    beyond: bool = False
    two_faces: bool = False


def liar(name: str, included: Sequence[str] = ORGANISATIONS, **lie: Any) -> Fault:
    return Fault(name, {LIAR: lie}, included)


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
    Fault("store: two contents for two readers", {LIAR: {}}, two_faces=True),
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


@pytest.fixture(scope="module")
def tasks() -> Iterator[Tasks]:
    with three_organisations() as running:
        yield running


class Readings(logging.Handler):
    """What readers found wrong with a blob: (the digest's beginning, the code)."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.found: set[tuple[str, str]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if match := re.search(r"no blob (\w+) from \w+: (FL-BLOB-(?:CORRUPT|MISSING))", record.getMessage()):
            self.found.add((match[1], match[2]))


@pytest.fixture(scope="module")
def readings() -> Iterator[Readings]:
    logger, handler = logging.getLogger("fabric_fl.blobs.reader"), Readings()
    before = logger.level
    logger.setLevel(logging.INFO)  # also where an earlier test has made the logger remember another level
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(before)


class Trial:
    """One fault, one task."""

    def __init__(self, number: int, fault: Fault, tasks: Tasks, worker: AggregationWorker, folder: Path) -> None:
        self.fault, self.task = fault, f"fault-{number:02d}"
        self.ledger = tasks.ledgers["Org1MSP"]
        self._worker, self._folder = worker, folder / self.task
        self._honest = tasks.ledgers
        self.ledgers = {
            msp_id: lie.get("ledger", faults.Recorded)(tasks.ledgers[msp_id]._contract, tasks.ledgers[msp_id]._events)
            for msp_id, lie in fault.lies.items()
        }
        self.stores = {
            msp_id: fault.lies.get(msp_id, {}).get("store", BlobStore)(self._folder / msp_id / "store")
            for msp_id in ORGANISATIONS
        }
        asked = {"rounds": 1, "k": 3, "min_updates": 2, "patience_s": 4, "budget": 0} | dict(fault.changes)
        spec = task_specification(self._folder, self.stores["Org1MSP"], id=self.task, **asked)
        self.ledger.create_task(spec)

    def participant(self, msp_id: str) -> Participant:
        lie = self.fault.lies.get(msp_id, {})
        others = dict(self.stores)
        if msp_id == "Org3MSP" and self.fault.two_faces:
            others[LIAR] = faulty_stores.SecondFace(self.stores[LIAR], self._folder / "second-face")
        kind = faults.Forger if "forge" in lie else Participant
        worker: Any = faults.WrongSum(self._worker, lie["times"]) if "times" in lie else self._worker
        made = kind(
            msp_id,
            self.ledgers.get(msp_id, self._honest[msp_id]),
            private=self._folder / msp_id / "private",
            store=self.stores[msp_id],
            others=others,
            trainer=trainer(ORGANISATIONS.index(msp_id)),
            worker=worker,
        )
        if "forge" in lie:
            made.forge = lie["forge"]
        return made

    def run(self) -> None:
        stop, failures = threading.Event(), []

        def take_part(msp_id: str) -> None:
            try:
                with self.participant(msp_id) as me:
                    me.run(self.task, stop=stop)
            except LedgerRefused as refusal:
                if msp_id not in self.fault.lies:
                    failures.append(refusal)
            except BaseException as failure:
                failures.append(failure)

        threads = {one: threading.Thread(target=take_part, args=(one,), daemon=True) for one in ORGANISATIONS}
        for thread in threads.values():
            thread.start()
        deadline = time.monotonic() + 60
        honest = [thread for one, thread in threads.items() if one not in self.fault.lies]
        for thread in honest:
            thread.join(max(0.0, deadline - time.monotonic()))
        status = self.ledger.status(self.task)
        stop.set()
        for thread in threads.values():
            thread.join(timeout=10)
        assert not failures, (self.fault.name, failures)
        assert status.finished, (self.fault.name, self.ledger.rounds(self.task))
        assert not status.unsettled, (self.fault.name, status.unsettled)

    def outcome_of_run(self) -> str | None:
        try:
            self.run()
        except AssertionError as failure:
            return str(failure)
        return None

    # ------------------------------------------------------------ what came of it

    def observe(self, readings: Readings) -> tuple[str, str, str]:
        """Returns by whom it was detected, how that is recorded, and how the round ended."""
        ledger, task = self.ledger, self.task
        rounds = ledger.rounds(task)
        number = rounds[-1].number
        model = ledger.model(task, 1)
        refusals = [one.refusals[0] for one in self.ledgers.values() if one.refusals]
        found = [(f"contract ({code})", "the call was refused") for code in refusals]
        found += [(f"validators ({code})", f"refused in model: {who}") for who, code in model.refused.items()]
        for update, reveal in ledger.updates(task, number):
            if reveal and update.participant in self.fault.lies:
                codes = {code for digest, code in readings.found if reveal.digest.startswith(digest)}
                if "FL-BLOB-CORRUPT" in codes:
                    found.append(("readers (FL-BLOB-CORRUPT)", "not fetched from there"))
                elif model.included == OTHERS and not model.refused:
                    found.append(("readers (FL-BLOB-MISSING)", "not fetched from there"))
        missed = [one for round_ in rounds for one in round_.missed]
        if missed and not any("contract" in by or "readers" in by for by, _ in found):
            found.append(("validators (patience)", f"missed in round: {', '.join(missed)}"))
        for round_ in rounds[:-1]:
            results = {one.attestation.result for one in ledger.attestations(task, round_.number)}
            if len(results) > 1:
                found.append(
                    ("validators (results differ)", f"{len(results)} results in round {round_.number}, signed")
                )
        found += self._validators(number, model) if "validator" in self.fault.name else ()
        return (
            "; ".join(dict.fromkeys(by for by, _ in found)) or "nobody",
            "; ".join(dict.fromkeys(how for _, how in found)) or "nothing",
            self._outcome(rounds, model),
        )

    def _validators(self, number: int, model: Any) -> Iterator[tuple[str, str]]:
        settlement = self.ledger.scores(self.task).rounds[-1].settlement
        attested = {one.attestation.organisation: one for one in self.ledger.attestations(self.task, number)}
        for organisation in self.fault.lies:
            one = attested.get(organisation)
            votes = self.ledger.status(self.task).votes
            against = [kind for kind, by in votes.items() if any(organisation in who for who in by.values())]
            if one is None and "NeverAttests" in str(self.fault.lies[organisation]):
                yield "validators (patience)", f"no attestation of {organisation}"
            elif one is not None and one.attestation.result != model.result:
                yield "validators (results differ)", f"dissent of {organisation}, signed"
            elif one is not None and one.attestation.version > 1:
                yield "validators (results differ)", f"version {one.attestation.version} of {organisation}"
            elif one is not None and one.attestation.proof != self._proof(organisation, number, model):
                yield "contract (proof does not open)", f"attestation of {organisation}, not counted"
            elif organisation not in settlement.scorers:
                yield "validators (patience)", f"settled without the scores of {organisation}"
            elif self.ledgers[organisation].__class__ is faults.VotesAgainstEverything and against:
                yield "contract (fewer than q votes)", f"votes of {organisation}"
        for finding in self.findings:
            if finding.organisation:
                yield "replay", f"{finding.organisation} {finding.message}"

    def _proof(self, organisation: str, number: int, model: Any) -> str:
        return faults.hashes.proof(self.task, number, model.attempt, organisation, model.aggregate)

    @cached_property
    def rounds(self) -> list[RoundReplay]:
        """The committed rounds, recomputed from the honest organisations' stores."""
        reader = BlobReader(BlobStore(self._folder / "auditor"), {one: self.stores[one] for one in OTHERS})
        return list(replay(self.ledger, reader, self.task, self._folder / "replay"))

    @property
    def findings(self) -> list[Finding]:
        return [finding for one in self.rounds for finding in one.findings]

    def _outcome(self, rounds: Sequence[Any], model: Any) -> str:
        parts = [f"round {one.number} aborted" for one in rounds[:-1]]
        if rounds[-1].attempt > 1:
            parts.append(f"attempt {rounds[-1].attempt}")
        who = ", ".join(one.removesuffix("MSP") for one in model.included)
        wrong = "" if self.rounds[0].identical else ": a WRONG model, found"
        return "; ".join([*parts, f"committed from {who}{wrong}"])


@pytest.fixture(scope="module")
def trials(
    tasks: Tasks, worker: AggregationWorker, readings: Readings, tmp_path_factory: pytest.TempPathFactory
) -> list[Trial]:
    """All faults, each run to its end."""
    folder = tmp_path_factory.mktemp("faults")
    started = [Trial(number, fault, tasks, worker, folder) for number, fault in enumerate(FAULTS, start=1)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert [failure for failure in pool.map(Trial.outcome_of_run, started) if failure] == []
    return started


def test_every_fault_is_detected_and_no_wrong_model_is_committed(
    trials: list[Trial], readings: Readings, record_property
) -> None:
    record_property("count", len(FAULTS))
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 25
    rows = []
    for trial in trials:
        detected, recorded, outcome = trial.observe(readings)
        rows.append(f"| {trial.fault.name} | {detected} | {recorded} | {outcome} |\n")
        model = trial.ledger.model(trial.task, 1)
        if trial.fault.beyond:
            named = {finding.organisation for finding in trial.findings if finding.organisation}
            assert named == set(trial.fault.lies)
        else:
            assert trial.findings == [], trial.fault.name
            assert trial.rounds[0].recomputed == model.digest
            assert model.included == tuple(trial.fault.included), trial.fault.name
    table = "| fault | detected by | recorded as | outcome |\n|---|---|---|---|\n" + "".join(rows)
    assert "| nobody |" not in table, table
    page = PAGE.read_text()
    head, _, rest = page.partition(BEGIN)
    written, _, tail = rest.partition(END)
    if os.environ.get("UPDATE_FAULTS"):
        PAGE.write_text(f"{head}{BEGIN}{table}{END}{tail}")
    else:
        assert table.splitlines() == written.splitlines()


def versions(trial: Trial, key: str) -> list[RecordVersion]:
    """Returns all that was ever written under a key; nothing where that was nothing."""
    try:
        return list(trial.ledger.history(key))
    except LedgerRefused as refusal:
        if refusal.code != "FL-RECORD-UNKNOWN":
            raise
        return []


def test_everything_that_was_said_stays_readable_with_the_certificate_of_who_said_it(
    trials: list[Trial], tasks: Tasks
) -> None:
    """Also what was corrected, outvoted or belongs to a round that was run again."""
    creators, corrected, said = {}, 0, 0
    with tasks.network.gateway("org1") as gateway:
        network = gateway.network(tasks.network.channel)
        height = network.height()
        with network.block_events(start_block=0) as blocks:
            for block in blocks:
                if block.header.number == 0:
                    msps = ChannelConfig.from_block(block).msps
                for data in block.data.data if block.header.number else ():
                    envelope = unpack_envelope(data)
                    identity = msps.deserialize(envelope.signature_header.creator)  # vouched for by its root
                    signed = common_pb2.Envelope.FromString(data)
                    assert identity.verify(signed.payload, signed.signature)
                    creators[envelope.channel_header.tx_id] = identity
                if block.header.number == height - 1:
                    break
    for trial in trials:
        for round_ in trial.ledger.rounds(trial.task):
            for organisation in ORGANISATIONS:
                where = f"{trial.task}/{round_.number:08d}/{organisation}"
                results = []
                for kind in ("update", "reveal", "attestation", "opening"):
                    for version in versions(trial, f"{kind}/{where}"):
                        assert creators[version.transaction].msp_id == organisation, (kind, where)
                        assert creators[version.transaction].role == "client"
                        said += 1
                        results += [version.record["result"]] if kind == "attestation" else []
                corrected += len(set(results)) > 1
    assert said > 10 * len(trials)
    assert corrected >= 1  # both results of who corrected itself are there
