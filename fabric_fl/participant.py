"""An organisation's training job: connect, take part in a task until it ends, use the committed model.

Example::

    with Participant.connect(".network/org1", trainer=TFFTrainer((x, y), holdout=(x_val, y_val))) as me:
        me.register("the city hospital")
        model = me.run("task-1")
        print(me.evaluate(model))
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from fabric_fl.aggregation import AggregationWorker, ModelBlob
from fabric_fl.blobs import BlobReader, BlobStore, BlobUnavailableError
from fabric_fl.errors import FabricFLError
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.gateway import GatewayError, connect
from fabric_fl.gateway.retry import is_passing
from fabric_fl.journal import Journal
from fabric_fl.learning import Trainer, TrainingTask
from fabric_fl.ledger import FLLedger, LedgerRefused
from fabric_fl.participation import Observer, Participation, Patience
from fabric_fl.settler import SettlerRole
from fabric_fl.task_status import TaskStatus
from fabric_fl.trainer import TrainerRole
from fabric_fl.validator import ValidatorRole
from fl_chaincode.records import RUNNING, SUSPENDED, WITHDRAWN, Task

__all__ = ["CommittedModel", "NotNamedError", "Participant"]

logger = logging.getLogger(__name__)

_POLL_S = 1.0  # events wake the loop; it looks by itself this often, for patience and for lost streams
_SOON_S = 0.5  # after a step of its own, whose event wakes it too, unless the step was found done already
_REFUSALS = 5  # the same refusal so often in a row is no race that reading again resolves


class NotNamedError(FabricFLError):
    """A task that this organisation has no part in."""

    code = "FL-TASK-NOT-NAMED"
    remedy = "Ask the task's sponsor, or fetch its models without taking part: `fabric-fl models fetch`."


@dataclass(frozen=True)
class CommittedModel:
    """A model that the ledger holds as committed.

    Attributes:
        task: the task it belongs to.
        number: how many models of this task are committed up to it; 0 is the initial one.
        digest: SHA-256 of its blob, as on the ledger.
        weights: its tensors, float32, in the model's order.
    """

    task: Task
    number: int
    digest: str
    weights: ModelBlob

    def __repr__(self) -> str:
        return f"CommittedModel({self.task.id!r}, number={self.number}, digest={self.digest[:12]}…)"


class Participant:
    """One organisation that takes part: trains when it is selected, validates when the task names it.

    Everything that matters is on the ledger or in the private folder, so the process may be killed at any moment and
    started again.

    Args:
        msp_id: the organisation's MSP id.
        ledger: the contract.
        private: the private folder, which holds the journals.
        store: the organisation's own blob store, which the others read.
        others: the other organisations' stores, by MSP id.
        trainer: trains and evaluates on the organisation's data.
        on_step: called after each durable step as (step, task, round).
        worker: sums updates in a process of its own; one is started, and ended by `close`, when none is lent.
    """

    def __init__(
        self,
        msp_id: str,
        ledger: FLLedger,
        *,
        private: Path,
        store: BlobStore,
        others: dict[str, BlobStore],
        trainer: Trainer,
        on_step: Observer | None = None,
        worker: AggregationWorker | None = None,
    ) -> None:
        self.msp_id = msp_id
        self.ledger = ledger
        self._private = private
        self._store = store
        self._reader = BlobReader(store, others)
        self._trainer = trainer
        self._on_step: Observer = on_step or (lambda _step, _task, _round: None)
        self._resources = contextlib.ExitStack()
        self._worker = worker or self._resources.enter_context(AggregationWorker())

    @classmethod
    def connect(cls, organisation: str | Path, *, trainer: Trainer, on_step: Observer | None = None) -> Self:
        """Connects with an organisation's folder, as ``make network-up`` or an operator wrote it.

        Args:
            organisation: the folder with ``connection.json``, ``msp`` and ``participant.json``.
            trainer: trains and evaluates on the organisation's data.
            on_step: called after each durable step as (step, task, round).

        Raises:
            FabricFLError: a file is missing or malformed; the message names it.
        """
        profile = ConnectionProfile.load(organisation)
        settings = profile.participant
        with contextlib.ExitStack() as resources:
            gateway = resources.enter_context(connect(profile))
            me = cls(
                settings.msp_id,
                FLLedger.on(gateway.network(settings.channel), settings.chaincode),
                private=settings.private,
                store=BlobStore(settings.store),
                others={msp_id: BlobStore(url) for msp_id, url in settings.stores.items() if msp_id != settings.msp_id},
                trainer=trainer,
                on_step=on_step,
            )
            me._resources.push(resources.pop_all())
        return me

    def register(self, name: str, description: str = "") -> None:
        """Records this organisation on the ledger; repeating it changes nothing."""
        self.ledger.register(name, description)

    def run(self, task: str, *, stop: threading.Event | None = None) -> CommittedModel:
        """Takes part until the task has ended and, for a validator, every round is settled.

        Args:
            task: the task's id.
            stop: ends the loop after the step that runs, when set.

        Returns:
            The newest committed model.

        Raises:
            LedgerRefused: the task does not exist, this organisation is not registered, or another refusal that
                reading again does not resolve.
            NotNamedError: the task names this organisation neither as trainer nor as validator.
            FabricFLError: the data does not fit, training diverged, the store is full: nothing is lost; mend it and
                run again.
        """
        part = self._participation(task)
        self._require_part(part.task)
        suspension = _Suspension(self.ledger, self.msp_id)
        settler = SettlerRole(part)
        validator = ValidatorRole(part, self._worker, settler.openings)
        trainer = TrainerRole(part, validator.sync)
        refusals = _Refusals()
        unavailable = Patience(part.task.patience_s)
        with _Wakeups(self.ledger, task) as wakeups:
            while stop is None or not stop.is_set():
                wakeups.forget()
                awaited: Mapping[str, int] = {}
                pause = _POLL_S
                try:
                    status = self.ledger.status(task)
                    awaited = status.awaited
                    part.models.know(status.model)
                    acted = [settler.act(status, validator), validator.act(status), trainer.act(status)]
                    if _ended(status, settler):
                        break
                    pause = _SOON_S if any(acted) else min(_POLL_S, validator.turn_in_s)
                except LedgerRefused as refusal:  # the ledger moved on in between: read again, decide anew
                    if not suspension.explains(refusal):
                        refusals.count(refusal)
                except GatewayError as error:
                    if not is_passing(error):
                        raise
                    logger.warning("%s waits for the ledger: %s", self.msp_id, error)
                except BlobUnavailableError as error:  # a store that restarts, or an organisation that is still away
                    if unavailable.over():
                        raise
                    logger.warning("%s waits for a model: %s", self.msp_id, error)
                else:
                    refusals.clear()
                    unavailable.forget()
                wakeups.wait(pause, awaited)
        validator.sync()
        return self.latest(task)

    def latest(self, task: str) -> CommittedModel:
        """Fetches the newest committed model, or the initial one before the first round."""
        return self.model(task, self.ledger.latest_model(task).j)

    def model(self, task: str, number: int) -> CommittedModel:
        """Fetches a task's number-th committed model; 0 is the initial one."""
        part = self._participation(task)
        return CommittedModel(part.task, number, part.models.record(number).digest, part.models.read(number))

    def evaluate(self, model: CommittedModel) -> dict[str, float]:
        """Evaluates a model on this organisation's holdout; returns its loss and metrics by name."""
        return self._trainer.evaluate(TrainingTask.from_spec(model.task), model.weights)

    def close(self) -> None:
        """Ends the worker process and the connection, if `connect` opened it."""
        self._resources.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _require_part(self, task: Task) -> None:
        """Refuses at once whom nobody waits for: it would wait until the task has ended."""
        if self.ledger.participant(self.msp_id).status == WITHDRAWN:
            raise LedgerRefused("FL-PARTICIPANT-INACTIVE", f"{self.msp_id} has withdrawn")
        if self.msp_id in task.trainers and task.purpose is not None:
            self._warn_undeclared(task.purpose)
        if self.msp_id in (*task.trainers, *task.validators):
            return
        electorate = self.ledger.electorate(task.id)
        elected = {*electorate.validators, *(one for vote in electorate.votes for one in vote.validators)}
        if self.msp_id not in elected:
            raise NotNamedError(f"the task {task.id} names {self.msp_id} neither as trainer nor as validator")

    def _warn_undeclared(self, purpose: str) -> None:
        declared = [one for one in self.ledger.declarations(self.msp_id) if one.purpose == purpose]
        if not declared or declared[-1].revoked:
            text = "%s has no valid declaration for %s and is not selected: `fabric-fl participant declare`"
            logger.warning(text, self.msp_id, purpose)

    def _participation(self, task: str) -> Participation:
        return Participation(
            msp_id=self.msp_id,
            task=self.ledger.task(task),
            ledger=self.ledger,
            journal=Journal(self._private, task),
            store=self._store,
            reader=self._reader,
            trainer=self._trainer,
            observer=self._on_step,
        )


def _ended(status: TaskStatus, settler: SettlerRole) -> bool:
    return status.head.status != RUNNING and not settler.pending(status)


class _Suspension:
    """Tells the refusals that are due to this organisation's own suspension, which may end, from all others."""

    def __init__(self, ledger: FLLedger, msp_id: str) -> None:
        self._ledger = ledger
        self._msp_id = msp_id
        self._told = False

    def explains(self, refusal: LedgerRefused) -> bool:
        """Returns whether waiting for the end of a suspension is all that can be done."""
        if refusal.code != "FL-PARTICIPANT-INACTIVE":
            return False
        participant = self._ledger.participant(self._msp_id)
        if participant.status == SUSPENDED and not self._told:
            logger.warning("%s is suspended by the %s: waiting", self._msp_id, participant.suspended_by)
            self._told = True
        return participant.status == SUSPENDED


class _Refusals:
    """Tells a race, which reading again resolves, from a refusal that would repeat for ever."""

    def __init__(self) -> None:
        self._last = ""
        self._times = 0

    def count(self, refusal: LedgerRefused) -> None:
        text = str(refusal)
        self._times = self._times + 1 if text == self._last else 1
        self._last = text
        logger.info("refused, reading the ledger again: %s", text)
        if self._times >= _REFUSALS:
            raise refusal

    def clear(self) -> None:
        self._last, self._times = "", 0


class _Wakeups:
    """Wakes the loop when enough has happened on the ledger; a lost stream costs at most the poll interval."""

    def __init__(self, ledger: FLLedger, task: str) -> None:
        self._ledger = ledger
        self._task = task
        self._happened = threading.Condition()
        self._counts: Counter[str] = Counter()
        self._closed = threading.Event()
        self._close_stream: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._listen, name="ledger-events", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed.set()
        self._close_stream()
        self._thread.join(timeout=5)

    def forget(self) -> None:
        """Counts from now on; called before the ledger is read, so that nothing is missed in between."""
        with self._happened:
            self._counts.clear()

    def wait(self, seconds: float, awaited: Mapping[str, int]) -> None:
        """Waits until a function was called as often as awaited, or one that nothing is said of, once."""
        with self._happened:
            self._happened.wait_for(
                lambda: any(count >= awaited.get(function, 1) for function, count in self._counts.items()), seconds
            )

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                with self._ledger.events(self._task) as events:
                    self._close_stream = events.close
                    for function, _ in events:
                        with self._happened:
                            self._counts[function] += 1
                            self._happened.notify_all()
            except FabricFLError as error:
                logger.info("events interrupted, listening again: %s", error)
                self._closed.wait(_POLL_S)
