"""SIGKILL at random moments under load: what was reported is there, nothing is there by half."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import devnet_committing
import pytest
from devnet_ledgers import CHAINCODE, CHANNEL, KEYS_VARIABLE
from processor import waited
from soaking import side_by_side, times

from fabric_fl.fabric.ledger.kvledger import KVLedger

CRASHES = times(4, 200)
SERIES = 2
"""At once, each on a ledger of its own."""
SEED = 20_240_601
TESTS = Path(__file__).parent.parent


@dataclass
class _Reported:
    """What the victim said before it died."""

    started_in: float  # seconds from nothing to an orderer that takes transactions
    height: int
    tx_ids: list[str]


def _commit_and_kill(directory: Path, seconds: float) -> _Reported:
    """Lets a process commit for a while, from its first commit on, then kills it."""
    begun = time.monotonic()
    environment = {**os.environ, KEYS_VARIABLE: str(directory / "keys"), "PYTHONPATH": str(TESTS)}
    victim = subprocess.Popen(
        [sys.executable, devnet_committing.__file__, directory / "ledger"],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    )
    try:
        assert victim.stdout is not None
        first = [victim.stdout.readline()]
        started_in = time.monotonic() - begun - waited(victim.pid)
        first.append(victim.stdout.readline())
        time.sleep(seconds)
    finally:
        victim.send_signal(signal.SIGKILL)
        rest, _ = victim.communicate()
    lines = [line.split() for line in (*first, *rest.splitlines(keepends=True)) if line.endswith("\n")]
    assert lines, "the process did not get as far as committing"
    committed = lines[1:]
    return _Reported(
        started_in=started_in,
        height=int(committed[-1][1]),
        tx_ids=[tx_id for line in committed for tx_id in line[2:]],
    )


def _check_that_nothing_is_there_by_half(ledger: KVLedger) -> None:
    """Checks that every counter has exactly the keys of its increments, and the index every transaction."""
    counters: dict[str, int] = {}
    keys: Counter[tuple[str, int]] = Counter()
    with ledger.snapshot() as snapshot:
        for key, found in snapshot.range(CHAINCODE, "counter-", "counter."):
            counter, _, rest = key.partition("/")
            if rest:
                keys[counter, int(rest.split("/")[0])] += 1
            else:
                counters[counter] = int(found.value)
    expected = {(name, number + 1) for name, count in counters.items() for number in range(count)}
    assert keys == dict.fromkeys(expected, devnet_committing.KEYS)
    with ledger.snapshot() as snapshot:
        writes = sum(len(snapshot.history.newest_first(CHAINCODE, name.encode())) for name in counters)
    assert writes == sum(counters.values())


def _survive(directory: Path, crashes: int, moments: random.Random, stop: threading.Event) -> None:
    """Lets a process commit and kills it, again and again on one ledger."""
    reported: list[str] = []
    for _ in range(crashes):
        if stop.is_set():
            return
        said = _commit_and_kill(directory, moments.uniform(0, 0.3))
        reported += said.tx_ids
        assert said.started_in < 2
        begin, held_up = time.perf_counter(), waited()
        ledger = KVLedger.open(directory / "ledger", CHANNEL)  # verifies the chain: it was not closed
        assert time.perf_counter() - begin - (waited() - held_up) < 2
        assert ledger.height >= said.height
        for tx_id in said.tx_ids:
            status = ledger.tx_status(tx_id)
            assert status is not None
            assert status.code == 0
        _check_that_nothing_is_there_by_half(ledger)
        ledger.close()

    ledger = KVLedger.open(directory / "ledger", CHANNEL)
    assert reported
    assert all(ledger.tx_exists(tx_id) for tx_id in reported)
    ledger.verify_chain()
    state = ledger.state_hash()
    ledger.rebuild_state()  # recomputes every commit hash
    assert ledger.state_hash() == state
    ledger.close()


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_what_a_client_was_told_survives_sigkill(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    record_property("count", CRASHES)
    record_property("seed", SEED)
    side_by_side(
        SERIES,
        lambda number, stop: _survive(tmp_path / str(number), CRASHES // SERIES, random.Random(SEED + number), stop),
    )
