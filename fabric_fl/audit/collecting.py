"""The blobs that an export holds: a round's updates are for those who validate it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fabric_fl.aggregation import BlobError, BlobFile
from fabric_fl.blobs import BlobReader, BlobUnavailableError
from fabric_fl.ledger import FLLedger
from fabric_fl.models import CommittedModels
from fl_chaincode.records import COMMITTED, Model, Round, Task


@dataclass(frozen=True)
class Blobs:
    """A task's blobs, as far as who exports them may read them.

    Attributes:
        files: By digest.
        missing: Digests of those that no store has any more.
        withheld: Numbers of the committed rounds whose updates are left out, because he does not validate them.
    """

    files: Mapping[str, BlobFile]
    missing: tuple[str, ...]
    withheld: tuple[int, ...]


def validated(rounds: Iterable[Round], organisation: str | None) -> set[int]:
    """Returns the numbers of the rounds that an organisation validates, or did when it was of their validators.

    Args:
        rounds: A task's.
        organisation: MSP id; None for who may read everything.
    """
    return {one.number for one in rounds if organisation is None or organisation in one.validators}


def collect(ledger: FLLedger, reader: BlobReader, task: Task, organisation: str | None = None) -> Blobs:
    """Fetches the initial model and every update that counted.

    Where an update is missing or withheld what the round committed is fetched too: the next round starts from it.
    """
    models = CommittedModels(ledger, reader, task, patience=0)
    collected = _Collected(reader, models)
    collected.model(0, task.model.initial)
    rounds = ledger.rounds(task.id)
    own, withheld = validated(rounds, organisation), []
    for round_ in rounds:
        if round_.status != COMMITTED:
            continue
        record = models.record(round_.j)
        if round_.number not in own:
            withheld.append(round_.number)
        elif collected.updates(ledger, record, round_.number):
            continue
        collected.model(round_.j, record.digest)
        collected.state(round_.j, record.state)
    return Blobs(dict(sorted(collected.found.items())), tuple(sorted(collected.missing)), tuple(withheld))


class _Collected:
    """What was found so far, and what was not."""

    def __init__(self, reader: BlobReader, models: CommittedModels) -> None:
        self._reader = reader
        self._models = models
        self.found: dict[str, BlobFile] = {}
        self.missing: set[str] = set()

    def updates(self, ledger: FLLedger, record: Model, number: int) -> bool:
        """Fetches what counted in a round; tells whether all of it is there."""
        complete = True
        for update, reveal in ledger.updates(record.task, number):
            if reveal is None or update.participant not in {*record.included, *record.refused}:
                continue
            if record.refused.get(update.participant) == "FL-BLOB-SIZE":
                continue  # nobody ever read it
            try:
                sources = self._models.sources([update.participant, *record.attested_by])
                path = self._reader.fetch(reveal.digest, reveal.size, sources)
                self.found[reveal.digest] = BlobFile(path, reveal.digest, reveal.size)
            except BlobUnavailableError:
                self.missing.add(reveal.digest)
                complete = False
        return complete

    def model(self, number: int, digest: str) -> None:
        try:
            self.found[digest] = self._models.weights(number)
        except BlobUnavailableError:
            self.missing.add(digest)

    def state(self, number: int, digest: str | None) -> None:
        """Fetches a server step's state, whose size follows from the layout of the initial model.

        What a majority has committed as a model may be anything. Where the initial one is no model either, there is
        nothing that anybody could go on from.
        """
        if digest is None:
            return
        try:
            self._models.layout(0)
            file = self._models.files(number).state
        except BlobUnavailableError:
            self.missing.add(digest)
        except BlobError:
            return
        else:
            if file is not None:
                self.found[digest] = file
