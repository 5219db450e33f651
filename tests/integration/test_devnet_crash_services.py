"""SIGKILL of the whole devnet under load: what clients were told is there, nothing is by half, and it is soon back."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest
from fabric_protos.common import common_pb2
from processor import waited
from soaking import side_by_side, times

from fabric_fl.fabric.ledger.kvledger import KVLedger
from fabric_fl.fabric.protoutil import block_data_hash, block_header_hash
from fabric_fl.gateway import Contract, GatewayError
from fabric_fl.testing import Network

CRASHES = times(4, 200)
SERIES = 2
"""At once: while one devnet starts, which takes one processor, the other one is under load."""
SEED = 20_240_605
KV = (sys.executable, str(Path(__file__).parents[1] / "conformance" / "kv_contract.py"))
CLIENTS, KEYS = 6, 5


@dataclass
class Load:
    """Clients that write several keys in each transaction, until the devnet is gone."""

    contract: Contract
    run: int
    tried: list[str] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)
    first: threading.Event = field(default_factory=threading.Event)
    killed: threading.Event = field(default_factory=threading.Event)
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._threads = [threading.Thread(target=self._write, args=(client,)) for client in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _write(self, client: int) -> None:
        number = 0
        while not self.killed.is_set():
            prefix = f"{self.run:03d}-{client}-{number:05d}-"
            self.tried.append(prefix)
            try:
                self.contract.submit("PutMany", prefix, "0", str(KEYS))
            except GatewayError as error:
                if not self.killed.wait(5):
                    self.errors.append(error)
                return
            self.reported.append(prefix)
            self.first.set()
            number += 1

    def join(self) -> None:
        for thread in self._threads:
            thread.join(30)
        assert self.errors == []


class Chain:
    """The blocks as a client reads them, each following the one before."""

    def __init__(self) -> None:
        self.height = 0
        self.tip = b""

    def follow(self, network: Network) -> None:
        with network.gateway("org2") as gateway:
            channel = gateway.network("fl")
            height = channel.height()
            assert height >= self.height
            with channel.block_events(start_block=max(self.height - 1, 0)) as blocks:
                for block in blocks:
                    self._check(block)
                    if block.header.number == height - 1:
                        break

    def _check(self, block: common_pb2.Block) -> None:
        assert block.header.data_hash == block_data_hash(block.data)
        if block.header.number == self.height - 1:
            assert block_header_hash(block.header) == self.tip  # the last one before the crash is still the same
            return
        assert (block.header.number, block.header.previous_hash) == (self.height, self.tip)
        self.height += 1
        self.tip = block_header_hash(block.header)


@pytest.fixture
def networks(tmp_path: Path) -> Iterator[list[Network]]:
    with ExitStack() as stack:
        folders = [tmp_path / str(number) for number in range(SERIES)]
        yield [stack.enter_context(Network(2, chaincode="kv", command=KV, directory=each)) for each in folders]


def keys_of(contract: Contract, run: int) -> dict[str, int]:
    """Returns how many keys each transaction of a run has in the state."""
    found: dict[str, int] = {}
    for key in json.loads(contract.evaluate("Range", f"{run:03d}-", f"{run:03d}.")):
        found[key[:-5]] = found.get(key[:-5], 0) + 1
    return found


def survive(network: Network, crashes: int, moments: random.Random, stop: threading.Event) -> list[float]:
    """Kills a devnet under load again and again; returns how many seconds each start took."""
    chain = Chain()
    starts: list[float] = []
    for run in range(crashes):
        if stop.is_set():
            break
        with network.gateway("org1") as gateway:
            contract = gateway.network("fl").contract("kv")
            load = Load(contract, run)
            assert load.first.wait(30)
            time.sleep(moments.uniform(0, 0.5))
            network.kill("devnet")
            load.killed.set()
            load.join()

        begun = time.monotonic()
        network.start("devnet")
        starts.append(time.monotonic() - begun)
        assert starts[-1] - waited(network.pid("devnet")) < 2
        network.wait_until_ready()

        chain.follow(network)
        with network.gateway("org2") as gateway:
            found = keys_of(gateway.network("fl").contract("kv"), run)
        assert set(found.values()) == {KEYS}
        assert set(load.reported) <= set(found) <= set(load.tried)
    network.kill("devnet")
    return starts


def check_the_whole_ledger(network: Network) -> None:
    state = network.config.state
    assert state is not None
    ledger = KVLedger.open(state / "ledger", "fl")
    try:
        ledger.verify_chain()
        before = ledger.state_hash()
        ledger.rebuild_state()  # recomputes every commit hash
        assert ledger.state_hash() == before
    finally:
        ledger.close()


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_what_clients_were_told_survives_sigkill_of_the_devnet(
    networks: list[Network], record_property: Callable[[str, object], None]
) -> None:
    record_property("count", CRASHES)
    record_property("seed", SEED)
    series = side_by_side(
        SERIES,
        lambda number, stop: survive(networks[number], CRASHES // SERIES, random.Random(SEED + number), stop),
    )
    starts = [seconds for one in series for seconds in one]
    record_property("start_s", {"median": round(median(starts), 2), "slowest": round(max(starts), 2)})
    assert len(starts) == CRASHES
    for network in networks:
        check_the_whole_ledger(network)
