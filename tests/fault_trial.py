"""One fault, run as a task of its own, and what the ledger, the readers and a replay say of it afterwards."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import faults
import numpy as np
from devnet_tasks import Tasks
from fault_rows import LIAR, OTHERS, Fault
from organisations import ORGANISATIONS, task_specification, trainer

from fabric_fl import Participant
from fabric_fl.aggregation import AggregationWorker
from fabric_fl.audit import Finding, RoundReplay, replay
from fabric_fl.blobs import BlobReader, BlobStore
from fabric_fl.ledger import FLLedger, LedgerRefused
from fabric_fl.record_calls import RecordVersion
from fl_chaincode.records import ABORT


class Readings(logging.Handler):
    """What readers found wrong with a blob: (the digest's beginning, the code)."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.found: set[tuple[str, str]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if match := re.search(r"no blob (\w+) from \w+: (FL-BLOB-(?:CORRUPT|MISSING))", record.getMessage()):
            self.found.add((match[1], match[2]))


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
        self.seen = {
            reader: show(self.stores[LIAR], self._folder / f"shown-to-{reader}") for reader, show in fault.seen.items()
        }
        asked = {"rounds": 1, "k": 3, "min_updates": 2, "patience_s": 4, "budget": 0} | dict(fault.changes)
        spec = task_specification(self._folder, self.stores["Org1MSP"], id=self.task, **asked)
        self.ledger.create_task(spec)

    def participant(self, msp_id: str) -> Participant:
        lie = self.fault.lies.get(msp_id, {})
        others = self.stores | ({LIAR: self.seen[msp_id]} if msp_id in self.seen else {})
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
        if self.fault.lost:
            self.read_after_loss()

    def read_after_loss(self) -> None:
        """The liar's store loses everything; then somebody new reads its update, and it reads the model again."""
        for path in (self._folder / LIAR / "store").iterdir():
            path.unlink()
        newcomer = BlobReader(BlobStore(self._folder / "newcomer"), self.stores)
        _, reveal = self.ledger.update(self.task, 1, LIAR)
        assert reveal is not None
        newcomer.fetch(reveal.digest, reveal.size, (LIAR, *ORGANISATIONS))
        assert self.participant(LIAR).latest(self.task).digest == self.ledger.latest_model(self.task).digest

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
        found = [(f"contract ({one.refusals[0]})", "the call was refused") for one in self._recorded() if one.refusals]
        found += [(f"validators ({code})", f"refused in model: {who}") for who, code in model.refused.items()]
        found += self._readers(number, readings)
        missed = [one for round_ in rounds for one in round_.missed]
        if missed and not any("contract" in by or "readers" in by for by, _ in found):
            found.append(("validators (patience)", f"missed in round: {', '.join(missed)}"))
        for round_ in rounds[:-1]:
            results = {one.attestation.result for one in ledger.attestations(task, round_.number)}
            if len(results) > 1:
                found.append(
                    ("validators (results differ)", f"{len(results)} results in round {round_.number}, signed")
                )
        found += self._attestations(rounds[-1], model)
        found += [("replay", f"{one.organisation} {one.message}") for one in self.findings if one.organisation]
        if self._outweighed(number, model):
            found.append((f"rule ({self._rule})", "included, no weight beyond the honest updates"))
        found += self._silence(number, model) if not found else ()
        return (
            "; ".join(dict.fromkeys(by for by, _ in found)) or "nobody",
            "; ".join(dict.fromkeys(how for _, how in found)) or "nothing",
            self._outcome(rounds, model),
        )

    def _recorded(self) -> Iterator[faults.Recorded]:
        return (one for one in self.ledgers.values() if isinstance(one, faults.Recorded))

    def _readers(self, number: int, readings: Readings) -> Iterator[tuple[str, str]]:
        """What readers did not get from the author's store, and who has signed to serve it nevertheless."""
        withheld = {digest for one in self.seen.values() for digest in getattr(one, "withheld", ())}
        for _, reveal in self.ledger.updates(self.task, number):
            if reveal is None:
                continue
            codes = {code for digest, code in readings.found if reveal.digest.startswith(digest)}
            if codes or reveal.digest in withheld:
                lists = [who for who in ORGANISATIONS if self._fetched(number, who, reveal.digest)]
                code = "FL-BLOB-CORRUPT" if "FL-BLOB-CORRUPT" in codes else "FL-BLOB-MISSING"
                yield f"readers ({code})", f"update of {reveal.participant} fetched by {', '.join(lists) or 'nobody'}"

    def _attestations(self, round_: Any, model: Any) -> Iterator[tuple[str, str]]:
        """What the ledger's attestations and votes say of each organisation, whoever it is."""
        number, q = round_.number, round_.q
        for one, _ in self.ledger.attestations(self.task, number):
            if one.result != model.result:
                yield "validators (results differ)", f"dissent of {one.organisation}, signed"
            elif one.version > 1 and one.attempt == 1:
                yield "validators (results differ)", f"version {one.version} of {one.organisation}"
            elif one.proof != self._proof(one.organisation, number, model):
                assert one.organisation not in model.attested_by
                yield "contract (proof does not open)", f"attestation of {one.organisation}, not counted"
        for voters in self.ledger.status(self.task).votes.get(ABORT, {}).values():
            if len(voters) < q:
                yield "contract (fewer than q votes)", f"votes of {', '.join(voters)}"
        if round_.attempt > 1:
            attested = [record for who in ORGANISATIONS for record in self._attested(number, who)]
            assert len({tuple(record["fetched"]) for record in attested if record["attempt"] == 1}) > 1
            yield "contract (fetched lists differ)", f"included in attempt 2: {', '.join(round_.included)}"

    def _attested(self, number: int, organisation: str) -> list[dict[str, Any]]:
        """All that an organisation has ever attested in a round."""
        return [one.record for one in versions(self.ledger, f"attestation/{self.task}/{number:08d}/{organisation}")]

    def _fetched(self, number: int, organisation: str, digest: str) -> bool:
        return any(digest in record["fetched"] for record in self._attested(number, organisation))

    def _silence(self, number: int, model: Any) -> Iterator[tuple[str, str]]:
        """Who has not said what everybody else did."""
        settlement = self.ledger.scores(self.task).rounds[-1].settlement
        attested = {one.attestation.organisation for one in self.ledger.attestations(self.task, number)}
        for organisation in ORGANISATIONS:
            if organisation not in attested:
                yield "validators (patience)", f"no attestation of {organisation}"
            elif organisation not in settlement.scorers:
                yield "validators (patience)", f"settled without the scores of {organisation}"

    @property
    def _rule(self) -> str:
        return str(self.fault.changes.get("aggregation", {}).get("rule", "none"))

    def _outweighed(self, number: int, model: Any) -> bool:
        """Whether an included liar's update is far from all others, and yet the model is between those."""
        if self._rule == "none" or LIAR not in model.included:
            return False
        return self.between_the_honest(number, model)

    def between_the_honest(self, number: int, model: Any) -> bool:
        """Whether each weight has changed as the honest updates say, and the liar's says something else."""
        q = {}
        for _, reveal in self.ledger.updates(self.task, number):
            q[reveal.participant] = self._values(reveal.digest, reveal.size, "<i4") / 2.0**24
        size = self.ledger.task(self.task).model.size
        moved = self._values(model.base, size, "<f4") - self._values(model.digest, size, "<f4")
        honest = np.array([q[one] for one in OTHERS])
        least, most = honest.min(axis=0), honest.max(axis=0)
        assert not ((least <= q[LIAR]) & (q[LIAR] <= most)).all()
        return bool(((least - 1e-6 <= moved) & (moved <= most + 1e-6)).all())

    def _values(self, digest: str, size: int, dtype: str) -> Any:
        content = self.stores["Org1MSP"].read(digest, size)
        return np.frombuffer(content[8 + int.from_bytes(content[:8], "little") :], dtype).astype(np.float64)

    def _proof(self, organisation: str, number: int, model: Any) -> str:
        return faults.hashes.proof(self.task, number, model.attempt, organisation, model.aggregate)

    @cached_property
    def rounds(self) -> list[RoundReplay]:
        """The committed rounds, recomputed from the honest organisations' stores."""
        reader = BlobReader(BlobStore(self._folder / "auditor"), {one: self.stores[one] for one in OTHERS})
        return list(replay(self.ledger, reader, self.task, self._folder / "replay"))

    @property
    def findings(self) -> list[Finding]:
        """What a replay found wrong with what was committed; who dissented from it is read off the records here."""
        return [finding for one in self.rounds for finding in one.findings if finding.what != "dissent"]

    def _outcome(self, rounds: Sequence[Any], model: Any) -> str:
        parts = [f"round {one.number} aborted" for one in rounds[:-1]]
        if rounds[-1].attempt > 1:
            parts.append(f"attempt {rounds[-1].attempt}")
        who = ", ".join(one.removesuffix("MSP") for one in model.included)
        wrong = "" if self.rounds[0].recomputed == model.digest else ": a WRONG model, found"
        return "; ".join([*parts, f"committed from {who}{wrong}"])


def versions(ledger: FLLedger, key: str) -> list[RecordVersion]:
    """Returns all that was ever written under a key; nothing where that was nothing."""
    try:
        return list(ledger.history(key))
    except LedgerRefused as refusal:
        if refusal.code != "FL-RECORD-UNKNOWN":
            raise
        return []
