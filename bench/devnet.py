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

from bench.clients import latency, throughput, until_committed
from bench.results import Result
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
SECONDS = 10
"""For which Fabric is written to; devnet for as long as its transactions take."""
TRANSACTIONS = 10_000


@dataclass(frozen=True)
class Costs:
    """Of one network: its start, a lone client's transaction, many clients' transactions, devnet's memory."""

    start_s: float
    latency_ms: float
    rate: float
    memory_mb: tuple[float, float] = (0.0, 0.0)
    """When started, and after the transactions."""


def measure() -> list[Result]:
    """Returns every figure; one without a target is for information."""
    costs = {size: _devnet(size) for size in SIZES}
    return [*_devnet_metrics(costs), *_fabric_metrics(costs[ORGANISATIONS], _fabric())]


def _devnet_metrics(costs: Mapping[int, Costs]) -> Iterator[Result]:
    for size, found in costs.items():
        of = _organisations(size)
        note = "devnet and one chaincode process for each organisation, from nothing to a committed transaction"
        target = 3.0 if size == ORGANISATIONS else None
        yield Result(f"devnet: start to first commit, {of}", found.start_s, target, "s", note)
        yield Result(
            f"devnet: submit to commit, one client, {of}", found.latency_ms, unit="ms", note=f"median of {CALLS}"
        )
        note = f"{TRANSACTIONS:,} transactions; the clients on the same cores"
        yield Result(f"devnet: {CLIENTS} clients, {of}", found.rate, unit="tx/s", note=note)
        before, after = found.memory_mb
        note = f"{before:.0f} MB when started"
        yield Result(f"devnet: memory after {TRANSACTIONS:,} transactions, {of}", after, unit="MB", note=note)


def _fabric_metrics(devnet: Costs, fabric: Costs | None) -> Iterator[Result]:
    if fabric is None:
        return
    of = _organisations(ORGANISATIONS)
    note = "the same clients and chaincode on Hyperledger Fabric's programs, on this machine, in this run"
    yield Result(f"Fabric: start to first commit, {of}", fabric.start_s, unit="s", note=note)
    yield Result(f"Fabric: submit to commit, one client, {of}", fabric.latency_ms, unit="ms", note=note)
    yield Result(f"Fabric: {CLIENTS} clients, {of}", fabric.rate, unit="tx/s", note=note)
    yield Result("devnet / Fabric: start to first commit", devnet.start_s / fabric.start_s, note=note)
    yield Result("devnet / Fabric: submit to commit", devnet.latency_ms / fabric.latency_ms, note=note)
    yield Result(f"devnet / Fabric: {CLIENTS} clients", devnet.rate / fabric.rate, note=note)


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
    start = _start_to_first_commit(size)
    with Network(size, chaincode=CHAINCODE, command=KV) as running:
        profile, pid = running.organization("org1"), running.pid("devnet")
        before = _resident_mb(pid)
        alone = latency(profile, CHAINCODE, CALLS)
        together = throughput(profile, CHAINCODE, CLIENTS, transactions=TRANSACTIONS)
        return Costs(start, alone, together.rate, (before, _resident_mb(pid)))


def _fabric() -> Costs | None:
    """Returns what the same costs on Fabric's own programs; None where they are not found."""
    if any(find_program(program, os.environ) is None for program in FABRIC_PROGRAMS):
        return None
    with tempfile.TemporaryDirectory(prefix="fabric-fl-bench-") as folder, ExitStack() as stack:
        home = Path(folder) / "network"
        consortium = Consortium.default(ORGANISATIONS).on_free_ports()
        stack.callback(network.down, home, wipe=True)
        begun = time.perf_counter()
        network.up(consortium, home=home, engine="fabric")
        ports = free_ports(ORGANISATIONS)
        addresses = {one.name: f"127.0.0.1:{port}" for one, port in zip(consortium.organisations, ports, strict=True)}
        for address in addresses.values():
            stack.enter_context(_chaincode(address))
        external.deploy(CHAINCODE, addresses, home=home)
        profile = home / consortium.organisations[0].name
        until_committed(profile, CHAINCODE)
        start = time.perf_counter() - begun
        alone = latency(profile, CHAINCODE, CALLS)
        return Costs(start, alone, throughput(profile, CHAINCODE, CLIENTS, seconds=SECONDS).rate)


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
