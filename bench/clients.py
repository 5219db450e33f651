"""Clients that write to a ledger as fast as it commits: one alone, or many at once."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from fabric_fl.gateway import CommitStatusError, Contract, EndorseError, connect

CHANNEL = "fl"
_PATIENCE = 60.0
"""Seconds until a network must commit a first transaction."""


@dataclass(frozen=True)
class Throughput:
    """What many clients achieved: transactions that were committed, and the seconds that it took."""

    transactions: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.transactions / self.seconds


def latency(profile: Path, chaincode: str, calls: int) -> float:
    """Returns the median of one client's submit to commit, in milliseconds."""
    with connect(profile) as gateway:
        contract = gateway.network(CHANNEL).contract(chaincode)
        for _ in range(calls // 4):
            _put(contract)
        return median(_timed(lambda: _put(contract)) for _ in range(calls)) * 1000


def throughput(
    profile: Path, chaincode: str, clients: int, *, transactions: int = 10**9, seconds: float = 600
) -> Throughput:
    """Lets clients, each on a connection of its own, write until so much is committed or so long has passed."""
    counted = threading.Lock()
    ready = threading.Barrier(clients + 1)
    committed = 0
    deadline = float("inf")
    failures: list[BaseException] = []

    def write() -> None:
        nonlocal committed
        with connect(profile) as gateway:
            contract = gateway.network(CHANNEL).contract(chaincode)
            _first(contract)  # connections are made before the clock runs
            ready.wait(_PATIENCE)
            while committed < transactions and time.perf_counter() < deadline:
                _put(contract)
                with counted:
                    committed += 1

    def run() -> None:
        try:
            write()
        except Exception as error:  # noqa: BLE001 -- raised again where the threads are joined
            failures.append(error)
            ready.abort()

    threads = [threading.Thread(target=run) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        ready.wait(_PATIENCE)
        begun = time.perf_counter()
        deadline = begun + seconds
    except threading.BrokenBarrierError:
        pass  # a client failed: which one says why, below
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return Throughput(committed, time.perf_counter() - begun)


def until_committed(profile: Path, chaincode: str) -> None:
    """Returns when a first transaction has been committed."""
    with connect(profile) as gateway:
        _first(gateway.network(CHANNEL).contract(chaincode))


def _first(contract: Contract) -> None:
    deadline = time.perf_counter() + _PATIENCE
    while True:
        try:
            return _put(contract)
        except (EndorseError, CommitStatusError):
            if time.perf_counter() > deadline:
                raise
            time.sleep(0.02)


def _put(contract: Contract) -> None:
    contract.submit("Put", secrets.token_hex(8), "value")


def _timed(call: Callable[[], None]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun
