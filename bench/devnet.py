"""What devnet costs: start, transactions, memory, and how they grow; beside Hyperledger Fabric where there is one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.clients import latency, throughput, until_committed
from fabric_fl import network
from fabric_fl.network import Consortium
from fabric_fl.network.engine import FABRIC_PROGRAMS, find_program
from fabric_fl.network.fabric import external
from fabric_fl.network.ports import free_ports
from fabric_fl.testing import Network

KV = (sys.executable, str(Path(__file__).with_name("kv.py")))
CHAINCODE = "kv"
CLIENTS = 32
SIZES = (1, 3, 10)
ORGANISATIONS = 3
STARTS = 3
CALLS = 100
SECONDS = 5
TRANSACTIONS = 10_000

Metric = dict[str, Any]


@dataclass(frozen=True)
class Costs:
    """Of one network: milliseconds of a lone client's transaction, transactions a second, MB of devnet's memory."""

    latency_ms: float
    rate: float
    memory_mb: float = 0.0


def measure() -> list[Metric]:
    """Returns every figure as {name, value, target, holds, unit, note}; a target of None is for information."""
    starts = {size: _start_to_first_commit(size) for size in SIZES}
    costs = {size: _devnet(size) for size in SIZES if size != ORGANISATIONS}
    costs[ORGANISATIONS], memory = _devnet_in_the_long_run()
    fabric = _fabric()
    return [
        *_start_metrics(starts),
        *_transaction_metrics(costs, fabric),
        *_memory_metrics(memory, costs),
    ]


def _start_metrics(starts: Mapping[int, float]) -> Iterator[Metric]:
    note = "devnet and one chaincode process for each organisation, from nothing to a committed transaction"
    for size, seconds in starts.items():
        target = 3.0 if size == ORGANISATIONS else None
        yield _metric(f"devnet: start to first commit, {_organisations(size)}", seconds, "s", at_most=target, note=note)


def _transaction_metrics(costs: Mapping[int, Costs], fabric: Costs | None) -> Iterator[Metric]:
    for size in SIZES:
        of = _organisations(size)
        name = f"devnet: submit to commit, one client, {of}"
        yield _metric(name, costs[size].latency_ms, "ms", note=f"median of {CALLS}")
        yield _metric(
            f"devnet: {CLIENTS} clients, {of}", costs[size].rate, "tx/s", note="the clients on the same cores"
        )
    if fabric is None:
        return
    of, own = _organisations(ORGANISATIONS), costs[ORGANISATIONS]
    note = "the same clients and chaincode on Hyperledger Fabric's programs, on this machine, in this run"
    yield _metric(f"Fabric: submit to commit, one client, {of}", fabric.latency_ms, "ms", note=note)
    yield _metric(f"Fabric: {CLIENTS} clients, {of}", fabric.rate, "tx/s", note=note)
    yield _metric("devnet / Fabric: submit to commit", own.latency_ms / fabric.latency_ms, "", note=note)
    yield _metric(f"devnet / Fabric: {CLIENTS} clients", own.rate / fabric.rate, "", note=note)


def _memory_metrics(memory: tuple[float, float], costs: Mapping[int, Costs]) -> Iterator[Metric]:
    for size in SIZES:
        name = f"devnet: memory after {SECONDS} s of {CLIENTS} clients, {_organisations(size)}"
        if size != ORGANISATIONS:
            yield _metric(name, costs[size].memory_mb, "MB")
    before, after = memory
    of = _organisations(ORGANISATIONS)
    yield _metric(f"devnet: memory when started, {of}", before, "MB")
    yield _metric(f"devnet: memory after {TRANSACTIONS:,} transactions, {of}", after, "MB")


def _metric(name: str, value: float, unit: str, *, at_most: float | None = None, note: str = "") -> Metric:
    holds = None if at_most is None else value <= at_most
    return {"name": name, "value": round(value, 3), "target": at_most, "holds": holds, "unit": unit, "note": note}


def _organisations(size: int) -> str:
    return "1 organisation" if size == 1 else f"{size} organisations"


def _start_to_first_commit(size: int) -> float:
    seconds = []
    for _ in range(STARTS if size == ORGANISATIONS else 1):
        begun = time.perf_counter()
        with Network(size, chaincode=CHAINCODE, command=KV) as running:
            until_committed(running.organization("org1"), CHAINCODE)
            seconds.append(time.perf_counter() - begun)
    return median(seconds)


def _devnet(size: int) -> Costs:
    with Network(size, chaincode=CHAINCODE, command=KV) as running:
        profile = running.organization("org1")
        alone = latency(profile, CHAINCODE, CALLS)
        together = throughput(profile, CHAINCODE, CLIENTS, seconds=SECONDS)
        return Costs(alone, together.rate, _resident_mb(running.pid("devnet")))


def _devnet_in_the_long_run() -> tuple[Costs, tuple[float, float]]:
    """Returns three organisations' costs, and devnet's memory before and after ten thousand transactions."""
    with Network(ORGANISATIONS, chaincode=CHAINCODE, command=KV) as running:
        profile, pid = running.organization("org1"), running.pid("devnet")
        before = _resident_mb(pid)
        alone = latency(profile, CHAINCODE, CALLS)
        together = throughput(profile, CHAINCODE, CLIENTS, transactions=TRANSACTIONS)
        return Costs(alone, together.rate), (before, _resident_mb(pid))


def _fabric() -> Costs | None:
    """Returns what the same costs on Fabric's own programs; None where they are not found."""
    if any(find_program(program, os.environ) is None for program in FABRIC_PROGRAMS):
        return None
    with tempfile.TemporaryDirectory(prefix="fabric-fl-bench-") as folder, ExitStack() as stack:
        home = Path(folder) / "network"
        consortium = Consortium.default(ORGANISATIONS).on_free_ports()
        stack.callback(network.down, home, wipe=True)
        network.up(consortium, home=home, engine="fabric")
        ports = free_ports(ORGANISATIONS)
        addresses = {one.name: f"127.0.0.1:{port}" for one, port in zip(consortium.organisations, ports, strict=True)}
        for address in addresses.values():
            stack.enter_context(_chaincode(address))
        external.deploy(CHAINCODE, addresses, home=home)
        profile = home / consortium.organisations[0].name
        until_committed(profile, CHAINCODE)
        alone = latency(profile, CHAINCODE, CALLS)
        return Costs(alone, throughput(profile, CHAINCODE, CLIENTS, seconds=SECONDS).rate)


@contextmanager
def _chaincode(address: str) -> Iterator[None]:
    identifier = external.chaincode_id(CHAINCODE)
    environment = {**os.environ, "CHAINCODE_ID": identifier, "CHAINCODE_SERVER_ADDRESS": address}
    process = subprocess.Popen(KV, env=environment, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def _resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


if __name__ == "__main__":
    for metric in measure():
        shown = f"{metric['value']:>10} {metric['unit']:4} {metric['target'] or ''}"
        print(f"{metric['name']:70} {shown}")
