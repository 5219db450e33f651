"""Faults on request: what a network does on a bad day, at the moment that a test chooses.

Nothing here happens by itself. While nothing has been asked for, `Faults.active` is false and the services look no
further; a stream costs the entry into one set.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import grpc
from fabric_protos.peer import proposal_pb2, proposal_response_pb2

from fabric_fl.devnet.handler import ChaincodeError
from fabric_fl.devnet.rpcerror import RpcError
from fabric_fl.fabric.ledger.statedb import Snapshot

if TYPE_CHECKING:
    from fabric_fl.devnet.committer import Committer
    from fabric_fl.devnet.orderer import Orderer
    from fabric_fl.fabric.ledger.kvledger import KVLedger


class Faults:
    """What one devnet is asked to do wrong. Organisations are named by their MSP ids.

    Attributes:
        active: Whether anything has been asked for and not been cleared.
    """

    def __init__(self) -> None:
        self.active = False
        self._ledger: KVLedger | None = None
        self._committer: Committer | None = None
        self._orderer: Orderer | None = None
        self._failing: dict[str, list[int]] = defaultdict(list)
        self._altering: dict[str, int] = defaultdict(int)
        self._commit_status: dict[str, float | None] = {}
        self._lagging: dict[str, _Lag] = {}
        self._streams: dict[str, set[_Stream]] = defaultdict(set)

    def attach(self, ledger: KVLedger, committer: Committer, orderer: Orderer) -> None:
        """Names the parts that faults are about."""
        self._ledger, self._committer, self._orderer = ledger, committer, orderer

    def clear(self) -> None:
        """Ends all faults; what they held up goes on."""
        self._failing.clear()
        self._altering.clear()
        self._commit_status.clear()
        for msp_id in list(self._lagging):
            self._lagging.pop(msp_id).end()
        if self._orderer is not None:
            self._orderer.reorder = None
            self._orderer.resume()
        if self._committer is not None:
            self._committer.before_commit = None
        self.active = False

    def fail_endorsement(self, msp_id: str, nth: int = 1) -> None:
        """Fails the organisation's n-th endorsement from now on, once."""
        self._failing[msp_id].append(nth)
        self.active = True

    def alter_endorsements(self, msp_id: str, times: int = 1) -> None:
        """Lets the organisation endorse something else, so that payloads do not match."""
        self._altering[msp_id] += times
        self.active = True

    def delay_commit_status(self, msp_id: str, seconds: float) -> None:
        """Holds every commit status of the organisation's gateway back."""
        self._commit_status[msp_id] = seconds
        self.active = True

    def drop_commit_status(self, msp_id: str) -> None:
        """Never answers a commit status at the organisation's gateway."""
        self._commit_status[msp_id] = None
        self.active = True

    def stall_ordering(self) -> None:
        """Accepts transactions and orders none, until `clear` or `resume_ordering`."""
        self._attached_orderer().pause()
        self.active = True

    def resume_ordering(self) -> None:
        self._attached_orderer().resume()

    def reorder(self) -> None:
        """Turns the order of transactions round within each block."""
        self._attached_orderer().reorder = lambda batch: batch[::-1]
        self.active = True

    def cut_streams(self, msp_id: str) -> int:
        """Ends the event and block streams that are open at the organisation's endpoint; returns how many."""
        streams = list(self._streams[msp_id])
        for stream in streams:
            stream.cut()
        return len(streams)

    def lag(self, msp_id: str) -> None:
        """Keeps the organisation's peer at the present block: it endorses, reports and delivers as of now."""
        if msp_id not in self._lagging:
            assert self._ledger is not None
            self._lagging[msp_id] = _Lag(self._ledger)
            self.active = True

    def catch_up(self, msp_id: str) -> None:
        """Ends the organisation's lag."""
        lag = self._lagging.pop(msp_id, None)
        if lag is not None:
            lag.end()

    def fill_disk(self) -> None:
        """Lets every block fail to be written as on a full disk, until `clear` or `free_disk`."""
        self._attached_committer().before_commit = _disk_full
        self.active = True

    def free_disk(self) -> None:
        self._attached_committer().before_commit = None

    # What the services ask. Only while `active`, but for `stream`.

    def before_endorsement(self, msp_id: str) -> None:
        """Counts an endorsement.

        Raises:
            ChaincodeError: This one is to fail.
        """
        if msp_id in self._failing:
            remaining = [nth - 1 for nth in self._failing[msp_id]]
            self._failing[msp_id] = [nth for nth in remaining if nth > 0]
            if 0 in remaining:
                raise ChaincodeError("this endorsement fails on request")

    def alter_endorsement(self, msp_id: str, payload: bytes) -> bytes:
        """Returns the payload to endorse, or another one."""
        if self._altering[msp_id] <= 0:
            return payload
        self._altering[msp_id] -= 1
        parsed = proposal_response_pb2.ProposalResponsePayload.FromString(payload)
        action = proposal_pb2.ChaincodeAction.FromString(parsed.extension)
        action.response.payload += b" (altered on request)"
        parsed.extension = action.SerializeToString()
        altered: bytes = parsed.SerializeToString()
        return altered

    async def before_commit_status(self, msp_id: str) -> None:
        """Waits as long as a commit status is to be held back."""
        if msp_id in self._commit_status:
            seconds = self._commit_status[msp_id]
            if seconds is None:
                await asyncio.Event().wait()
            else:
                await asyncio.sleep(seconds)

    def lagging_snapshot(self, msp_id: str) -> Snapshot | None:
        """Returns the ledger as a lagging peer has it; None if it does not lag."""
        lag = self._lagging.get(msp_id)
        return lag.snapshot() if lag is not None else None

    def lagging_height(self, msp_id: str) -> int | None:
        lag = self._lagging.get(msp_id)
        return lag.height if lag is not None else None

    async def wait_for_block(self, msp_id: str, height: int) -> None:
        """Waits until the organisation's peer no longer lags behind that height."""
        lag = self._lagging.get(msp_id)
        if lag is not None and lag.height < height:
            await lag.ended.wait()

    @contextmanager
    def stream(self, msp_id: str) -> Iterator[None]:
        """Surrounds a stream that `cut_streams` may end.

        Raises:
            RpcError: It was cut.
        """
        task = asyncio.current_task()
        assert task is not None
        stream = _Stream(task)
        self._streams[msp_id].add(stream)
        try:
            yield
        except asyncio.CancelledError:
            if stream.was_cut and task.uncancel() == 0:
                _raise_cut()
            raise
        finally:
            self._streams[msp_id].discard(stream)

    def _attached_orderer(self) -> Orderer:
        assert self._orderer is not None
        return self._orderer

    def _attached_committer(self) -> Committer:
        assert self._committer is not None
        return self._committer


def _raise_cut() -> NoReturn:
    raise RpcError(grpc.StatusCode.UNAVAILABLE, "this stream was cut on request") from None


def _disk_full() -> NoReturn:
    raise sqlite3.OperationalError("database or disk is full")


class _Stream:
    def __init__(self, task: asyncio.Task[object]) -> None:
        self._task = task
        self.was_cut = False

    def cut(self) -> None:
        self.was_cut = True
        self._task.cancel()


class _View(Snapshot):
    """A snapshot that several simulators look through; closing the view leaves it open."""

    def __init__(self, pinned: Snapshot) -> None:
        self.__dict__.update(pinned.__dict__)

    def close(self) -> None:
        pass


class _Lag:
    """A peer that stands still."""

    def __init__(self, ledger: KVLedger) -> None:
        # Held for as long as the peer lags: SQLite keeps the state of then for it.
        self._pinned = ledger.snapshot()
        self.height = self._pinned.height
        self.ended = asyncio.Event()

    def snapshot(self) -> Snapshot:
        return _View(self._pinned)

    def end(self) -> None:
        self._pinned.close()
        self.ended.set()
