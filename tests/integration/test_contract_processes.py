"""Determinism: two chaincode processes that differ in all that processes differ in read and write the same bytes.

The transactions are those of the random walk (tests/contract/ledger_walk.py). Each is executed in memory and by both
processes over the chaincode protocol, with other proposal timestamps; one process's clock is sixteen years ahead. It is
replaced by a fresh one now and then, so that the other has executed everything before and this one nothing.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from ccaas_peer import Peer, creator_of
from ccaas_process import ChaincodeProcess
from ccaas_tls import issue
from soaking import times

sys.path.append(str(Path(__file__).parents[1] / "contract"))  # the walk is the contract's

from contract_scenario import EVERY_ROLE, ORGANISATIONS
from ledger_walk import Walk

from fl_chaincode import FLError
from fl_chaincode.caller import Caller
from fl_chaincode.memory import MemoryLedger, Transaction

COMMAND = (sys.executable, "-m", "fl_chaincode")
AHEAD = 16 * 366 * 86_400  # seconds
AHEAD_COMMAND = (sys.executable, str(Path(__file__).with_name("other_time_process.py")), str(AHEAD), "fl_chaincode")
CONSORTIUM = {"FL_CONSORTIUM": ",".join(ORGANISATIONS[:3])}
HERE = {**CONSORTIUM, "TZ": "UTC", "PYTHONHASHSEED": "1", "LANG": "C"}
THERE = {**CONSORTIUM, "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "4242", "LANG": "de_DE.UTF-8"}
WORLD = 250


class Recording(Peer):
    """A peer that keeps every request of a transaction as it came: the reads and writes, byte by byte, in order."""

    def _answer(self, message: Any) -> None:
        running = self._running.get((message.channel_id, message.txid))
        if running is not None:
            running.frames.append(message.payload)
        super()._answer(message)


class Doubled(MemoryLedger):
    """A ledger in memory of which two processes execute every call as well."""

    def __init__(self, peers: tuple[Peer, Peer], creators: dict[str, bytes], transactions: Iterator[int]) -> None:
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
                creator=self.creators[caller.msp_id],
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


@pytest.mark.soak
def test_two_processes_read_and_write_the_same_bytes(tmp_path, record_property):
    wanted = times(300, 10_000)
    creators = {}
    for who in ORGANISATIONS:
        certificate = issue(tmp_path, who, {"fl.roles": EVERY_ROLE}, unit="client")
        creators[who] = creator_of(who, certificate.cert_pem)
    done = 0
    with ChaincodeProcess(env=HERE, command=COMMAND) as old:
        while done < wanted:
            with ExitStack() as stack:
                fresh = stack.enter_context(ChaincodeProcess(env=THERE, command=AHEAD_COMMAND))
                assert year_of(fresh) >= year_of(old) + 16
                peers = tuple(stack.enter_context(Recording(one.address)) for one in (old, fresh))
                numbers = iter(range(done, sys.maxsize))
                walk = Walk(done, Doubled(peers, creators, numbers))
                end = min(wanted, done + WORLD)
                while done < end:
                    walk.step()
                    done = next(numbers)
    record_property("count", done)
