"""Determinism: two chaincode processes that differ in all that processes differ in read and write the same bytes.

The transactions are those of the random walk (tests/contract/ledger_walk.py). Each is executed in memory and by both
processes over the chaincode protocol, with other proposal timestamps; one process's clock is sixteen years ahead. The
process that was started first is replaced now and then, so that each of the two is at times the one that has executed
everything before, and at times the one that has executed nothing.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from ccaas_peer import Peer, creator_of
from ccaas_process import ChaincodeProcess
from ccaas_tls import issue
from soaking import times

sys.path.append(str(Path(__file__).parents[1] / "contract"))  # the walk is the contract's

from contract_scenario import EVERY_ROLE, ORGANISATIONS
from ledger_walk import seeded
from walk_rounds import STRANGER

from fl_chaincode import FLError
from fl_chaincode.caller import Caller
from fl_chaincode.memory import MemoryLedger, Transaction

COMMAND = (sys.executable, "-m", "fl_chaincode")
AHEAD = 16 * 366 * 86_400  # seconds
AHEAD_COMMAND = (sys.executable, str(Path(__file__).with_name("other_time_process.py")), str(AHEAD), "fl_chaincode")
CONSORTIUM = {"FL_CONSORTIUM": ",".join(ORGANISATIONS[:3])}
HERE = {**CONSORTIUM, "TZ": "UTC", "PYTHONHASHSEED": "1", "LANG": "C"}
THERE = {**CONSORTIUM, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "4242", "LANG": "de_DE.UTF-8"}
ROLES = (EVERY_ROLE, "auditor")  # of the walk's callers


class Recording(Peer):
    """A peer that keeps every request of a transaction as it came: the reads and writes, byte by byte, in order."""

    def _answer(self, message: Any) -> None:
        running = self._running.get((message.channel_id, message.txid))
        if running is not None:
            running.frames.append(message.payload)
        super()._answer(message)


class Doubled(MemoryLedger):
    """A ledger in memory of which two processes execute every call as well."""

    def __init__(
        self, peers: tuple[Peer, Peer], creators: dict[tuple[str, str], bytes], transactions: Iterator[int]
    ) -> None:
        super().__init__(ORGANISATIONS[:3])
        self.peers, self.creators, self.transactions = peers, creators, transactions

    def endorse(self, caller: Caller, function: str, *arguments: str) -> Transaction:
        number = next(self.transactions)
        state = {key: value for key, (value, _) in self._committed.items()}
        found = []
        for shift, peer in enumerate(self.peers):
            peer.state = state
            outcome = peer.begin(
                function,
                *arguments,
                creator=self.creators[caller.msp_id, caller.attributes["fl.roles"]],
                tx_id=hashlib.sha256(b"%d" % number).hexdigest(),
                timestamp=number + 10**9 * shift,
            ).result(timeout=30)
            event = outcome.event and (outcome.event.event_name, outcome.event.payload)
            found.append((outcome.status, outcome.message, outcome.payload, event, outcome.frames, outcome.writes))
        assert found[0] == found[1], (function, arguments)
        status, message, payload, event, _, writes = found[0]
        if status != 200:
            with pytest.raises(FLError) as refusal:
                super().endorse(caller, function, *arguments)
            assert (status, message, writes) == (400, str(refusal.value), {})
            raise refusal.value
        transaction = super().endorse(caller, function, *arguments)
        assert payload == transaction.outcome.payload
        assert (event, writes) == (transaction.outcome.event, transaction.state.writes)
        return transaction


def year_of(process: ChaincodeProcess) -> int:
    """Returns what the process takes the year for, by its log."""
    return int(process.log[:4])


def started(number: int) -> ChaincodeProcess:
    """Returns the next process: as it is here, and as it is elsewhere and later, by turns."""
    here = number % 2 == 0
    return ChaincodeProcess(env=HERE if here else THERE, command=COMMAND if here else AHEAD_COMMAND)


@pytest.mark.soak
def test_two_processes_read_and_write_the_same_bytes(tmp_path, record_property):
    wanted = times(300, 10_000)
    creators = {}
    for who in (*ORGANISATIONS, STRANGER):
        for roles in ROLES:
            certificate = issue(tmp_path, f"{who}-{roles[-5:]}", {"fl.roles": roles}, unit="client")
            creators[who, roles] = creator_of(who, certificate.cert_pem)
    transactions, done, worlds = count(), 0, 0
    with ExitStack() as stack:
        older = stack.enter_context(started(0))
        while done < wanted or worlds < 2:
            worlds += 1
            newer = stack.enter_context(started(worlds))
            years = sorted((year_of(older), year_of(newer)))
            assert years[0] + 16 <= years[1]
            with Recording(older.address) as first, Recording(newer.address) as second:
                seeded(worlds, times(75, 150), Doubled((first, second), creators, transactions))
            done = next(transactions)
            older.terminate()
            assert older.wait() == 0
            older = newer
    record_property("count", done)
    record_property("worlds", worlds)
