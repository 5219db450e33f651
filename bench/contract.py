"""What the contract's rules cost: each writing function beside one that does nothing, on the same devnet.

Transactions per second are those of one client that waits for each commit; CPU is that of devnet and of the three
organisations' chaincode processes together.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any

from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2

from bench.contract_calls import Round, once, specification, spelt
from bench.results import Result
from fabric_fl.gateway import Contract
from fabric_fl.testing import Network
from fl_chaincode.caller import Caller
from fl_chaincode.canonical import H
from fl_chaincode.functions import FUNCTIONS, Write
from fl_chaincode.memory import MemoryLedger, MemoryState

PROGRAM = (sys.executable, str(Path(__file__).with_name("contract_process.py")))
ROLES = {"fl.roles": "trainer,validator,coordinator,auditor,admin"}
TIMES = 30
ONCE = ("consortium:Init", "participants:Withdraw")  # what an organisation can do only once is left out
ROUND_SIZES = (3, 10, 30)
BALANCES = (1, 1_000, 100_000)
FILLED_AT_ONCE = 5_000
QUERIES = 5
QUERY_TIMEOUT = 60  # seconds: over 100,000 entries, a slow machine needs more than a gateway's usual five


def measure(times: int = TIMES, balances: tuple[int, ...] = BALANCES) -> list[Result]:
    with Network(3, command=PROGRAM) as network, ExitStack() as stack:
        contracts = {}
        for name, msp_id in zip(network.names, network.msp_ids, strict=True):
            gateway = stack.enter_context(network.gateway(name))
            contracts[msp_id] = gateway.network(network.channel).contract(network.chaincode)
        measured = Measured(network, contracts)
        return [*measured.functions(times), *round_sizes(), *measured.balances(balances)]


class Measured:
    """A running network, and what each function has cost on it: seconds and CPU seconds of each call."""

    def __init__(self, network: Network, contracts: dict[str, Contract]) -> None:
        self._contracts = contracts
        self._processes = [network.pid(name) for name in network.processes]
        self._costs: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)

    def call(self, who: str, function: str, *arguments: Any) -> Any:
        cpu, began = self._cpu(), time.perf_counter()
        answer = self._contracts[who].submit(function, *map(spelt, arguments))
        self._costs[function].append((time.perf_counter() - began, self._cpu() - cpu))
        return json.loads(answer) if answer else None

    def _cpu(self) -> float:
        """CPU seconds of all threads of devnet and the chaincodes; Linux counts them in nanoseconds."""
        threads = [thread for pid in self._processes for thread in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int(Path(thread, "schedstat").read_text().split()[0]) for thread in threads) / 1e9

    def functions(self, times: int) -> Iterator[Result]:
        people = tuple(self._contracts)
        self.call(people[0], "consortium:Init")
        for who in people:
            self.call(who, "participants:Register", {"name": who})
        self._costs.clear()
        for number in range(1, times + 1):
            self.call(people[0], "Noop")
            once(self.call, number, people)
        missing = {name for name, entry in FUNCTIONS.items() if isinstance(entry, Write)} - self._costs.keys()
        if missing != set(ONCE):
            raise RuntimeError(f"not measured: {sorted(missing)}")
        rate, cpu = self._cost("Noop")
        yield Result(
            "contract: a function that does nothing", rate, unit="tx/s", note=f"{1000 * cpu:.1f} ms of CPU each"
        )
        for function in sorted(self._costs.keys() - {"Noop"}):
            own_rate, own_cpu = self._cost(function)
            note = f"{1000 * own_cpu:.1f} ms of CPU each, mean of {len(self._costs[function])}"
            yield Result(f"{function}: tx/s / nothing's", own_rate / rate, note=f"{own_rate:.0f} tx/s, one client")
            yield Result(f"{function}: CPU / nothing's", own_cpu / cpu, note=note)

    def _cost(self, function: str) -> tuple[float, float]:
        seconds, cpu = zip(*self._costs[function], strict=True)
        return 1 / median(seconds), mean(cpu)

    def balances(self, sizes: tuple[int, ...]) -> Iterator[Result]:
        contract = next(iter(self._contracts.values()))
        for size in sizes:
            owner = f"Holder{size}MSP"
            for first in range(0, size, FILLED_AT_ONCE):
                contract.submit("Fill", owner, str(first), str(min(FILLED_AT_ONCE, size - first)))
            seconds = []
            for _ in range(QUERIES):
                began = time.perf_counter()
                answer = json.loads(contract.new_proposal("tokens:BalanceOf", owner).evaluate(timeout=QUERY_TIMEOUT))
                seconds.append(time.perf_counter() - began)
                if answer["balance"] != size:
                    raise RuntimeError(f"{owner} holds {answer['balance']}")
            note = f"median of {QUERIES}, devnet"
            yield Result(f"tokens:BalanceOf, {size:,} entries", 1000 * median(seconds), unit="ms", note=note)


def round_sizes() -> Iterator[Result]:
    """Read/write-set bytes of a good round in which all organisations train and validate, as Fabric encodes them."""
    for size in ROUND_SIZES:
        people = [f"Org{number}MSP" for number in range(1, size + 1)]
        with _in_memory(people) as (call, sets):
            call(people[0], "tasks:Create", specification("t", people, people))
            sets.clear()
            Round(call, "t", 1, H("initial"), people).play(people)
        note = f"{len(sets)} transactions, {sum(sets) / len(sets) / 1000:.1f} kB each"
        yield Result(f"read/write sets of a round, {size} organisations", sum(sets) / 1000, unit="kB", note=note)


@contextmanager
def _in_memory(people: list[str]) -> Iterator[Any]:
    ledger, sets = MemoryLedger(people), list[int]()

    def call(who: str, function: str, *arguments: Any) -> Any:
        transaction = ledger.endorse(Caller(who, attributes=ROLES), function, *map(spelt, arguments))
        sets.append(_encoded(transaction.state))
        ledger.commit(transaction)
        return json.loads(transaction.outcome.payload)

    call(people[0], "consortium:Init")
    for who in people:
        call(who, "participants:Register", {"name": who})
    yield call, sets


def _encoded(state: MemoryState) -> int:
    read_set = kv_rwset_pb2.KVRWSet()
    for key, version in state.reads.items():
        read = read_set.reads.add(key=key)
        if version is not None:
            read.version.block_num, read.version.tx_num = version
    for key, value in state.writes.items():
        read_set.writes.add(key=key, value=value or b"", is_delete=value is None)
    return int(read_set.ByteSize())
