"""A round's sum and model, computed again from the revealed updates: from those that went in, or from any others."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from fabric_fl.aggregation import (
    AggregationError,
    AggregationResult,
    BlobError,
    BlobFile,
    Layout,
    RoundInputs,
    UpdateHeader,
    UpdateInput,
    aggregate,
    server_step,
    update_size,
)
from fabric_fl.aggregation.codec import DTYPES, model_header, state_header
from fabric_fl.aggregation.header import Header
from fabric_fl.audit.finding import Finding
from fabric_fl.blobs import BlobReader, BlobUnavailableError
from fabric_fl.models import CommittedModels
from fabric_fl.task_status import SubmittedUpdate
from fl_chaincode.records import Round, Task

Files: TypeAlias = tuple[BlobFile, BlobFile | None]
"""A model and the server step's state; None for the initial model, from which it is made."""

_OWN = {f"FL-AGGREGATE-{kind}" for kind in ("FLUSH-TO-ZERO", "STORAGE", "THREADS", "UNAVAILABLE")}
"""What is this machine's fault, and nobody's who took part."""
_CHUNK = 1 << 20  # bytes


@dataclass(frozen=True)
class Means:
    """What every round of a task is computed again with.

    Attributes:
        layout: Names and shapes of every model of the task.
    """

    task: Task
    models: CommittedModels
    reader: BlobReader
    layout: Layout


class Recomputation:
    """One round, for each set of updates that is asked for.

    Args:
        means: Of the task.
        round_: The round.
        start: Where it starts, or why it cannot be computed.
        updates: All that the ledger has of it.
        directory: Where outputs go.
    """

    def __init__(
        self, means: Means, round_: Round, start: Files | Finding, updates: Iterable[SubmittedUpdate], directory: Path
    ) -> None:
        self._means = means
        self._round = round_
        self._start = start
        self._updates = tuple(updates)
        self._directory = directory
        self._found: dict[tuple[str, ...], AggregationResult | Finding] = {}

    @property
    def revealed(self) -> tuple[str, ...]:
        return tuple(sorted(update.participant for update, reveal in self._updates if reveal is not None))

    def of(self, participants: Iterable[str]) -> AggregationResult | Finding:
        """Returns what follows from these participants' updates, or why nothing does or nobody can say.

        A finding of the kind `blob` says the latter. Files are left of the first result alone.

        Raises:
            AggregationError: This process cannot compute it, or cannot write what it computes.
        """
        wanted = tuple(sorted(participants))
        if wanted not in self._found:
            self._found[wanted] = self._compute(wanted)
        return self._found[wanted]

    def _compute(self, participants: tuple[str, ...]) -> AggregationResult | Finding:
        if isinstance(self._start, Finding):
            return self._start
        folder = self._directory / str(len(self._found))
        folder.mkdir(parents=True, exist_ok=True)
        try:
            inputs = round_inputs(self._means, self._round, self._updates, participants, self._start)
            result = aggregate(inputs, folder)
        except BlobUnavailableError as error:
            return Finding("blob", None, f"a blob has expired or cannot be read: {error.message}")
        except AggregationError as error:
            if error.code in _OWN:
                raise
            return Finding("result", None, f"what was included cannot be summed: {error}")
        except BlobError as error:  # what it starts from; an update that is none is refused
            return Finding("result", None, f"the model before it is none: {error}")
        if self._found:  # only the first is gone on from; an attestation can name any updates, as often as it likes
            shutil.rmtree(folder)
        return result


def round_inputs(
    means: Means, round_: Round, updates: Iterable[SubmittedUpdate], participants: Iterable[str], start: Files
) -> RoundInputs:
    """What validators sum of these participants' updates, on top of these model and state files.

    Raises:
        BlobUnavailableError: An update is not to be had.
    """
    task, wanted = means.task, frozenset(participants)
    inputs = []
    for update, reveal in updates:
        if reveal is None or update.participant not in wanted:
            continue
        header = UpdateHeader(
            task.id, round_.number, update.participant, round_.base, reveal.num_examples, task.quantisation.f
        )
        path = None
        if reveal.size == update_size(header, means.layout):  # of another size nobody ever read one
            sources = means.models.sources([update.participant, *round_.validators])
            path = means.reader.fetch(reveal.digest, reveal.size, sources)
        inputs.append(UpdateInput(update.participant, path, reveal.digest, reveal.size, reveal.num_examples))
    return RoundInputs(
        task=task.id,
        round=round_.number,
        attempt=round_.attempt,
        base=round_.base,
        model=start[0],
        state=start[1],
        updates=tuple(inputs),
        f=task.quantisation.f,
        bound=task.quantisation.bound,
        max_examples=task.max_examples,
        server=task.server.to_json(),
        rule=task.aggregation.to_json(),
    )


def are_model(files: Files, task: Task, layout: Layout) -> bool:
    """Returns whether a round of the task can start from these files, of which only the digests are certain."""
    model, state = files
    if not _is(model, model_header(layout)):
        return False
    return state is None or _is(state, state_header(layout, server_step(task.server.to_json()).slots))


def _is(file: BlobFile, header: Header) -> bool:
    """Returns whether a file is of this header, and finite; in constant memory."""
    prefix = header.encode()
    if file.size != header.file_size:
        return False
    with file.path.open("rb") as opened:
        if opened.read(len(prefix)) != prefix:
            return False
        while data := opened.read(_CHUNK):
            if not np.isfinite(np.frombuffer(data, DTYPES[header.dtype])).all():
                return False
    return True
