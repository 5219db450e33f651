"""Real processes on a real network: killed with SIGKILL at any step, started again, and the digests are the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from organisations import ORGANISATIONS, Consortium, task_specification

from fabric_fl.blobs import BlobStore
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.gateway import connect
from fabric_fl.ledger import FLLedger
from fabric_fl.network import lifecycle
from fabric_fl.network.consortium import Consortium as NetworkConsortium

PROGRAM = Path(__file__).with_name("organisation_process.py")
STEPS = ("trained", "journaled", "submitted", "published", "revealed", "fetched", "aggregated", "scored", "attested")
LATE_STEPS = ("committed", "opened")


class Network:
    """A network of three organisations and the processes that a test starts on it."""

    def __init__(self, home: Path, ledgers: dict[str, FLLedger], folders: list[Path]) -> None:
        self.home = home
        self.ledgers = ledgers
        self.folders = folders
        self.processes: list[subprocess.Popen[str]] = []

    def create_task(self, task: str) -> None:
        store = BlobStore(ConnectionProfile.load(self.folders[0]).participant.store)
        spec = task_specification(self.home, store, id=task, rounds=2, k=3, min_updates=3, patience_s=30, budget=0)
        spec["scoring"] = {"rule": "leave-one-out", "cap_percent": 200}
        self.ledgers["Org1MSP"].create_task(spec)

    def start(self, index: int, task: str, *fatal: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(PROGRAM), str(self.folders[index]), str(index), task, *fatal]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def pid_of(self, name: str) -> int:
        (process,) = [one for one in lifecycle.status(self.home).processes if one.name == name]
        assert process.pid is not None
        return process.pid

    def digests(self, task: str) -> list[str]:
        ledger = self.ledgers["Org1MSP"]
        return [ledger.model(task, j).digest for j in range(ledger.latest_model(task).j + 1)]

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    home = tmp_path_factory.mktemp("network")
    try:
        running = lifecycle.up(NetworkConsortium.default(3).on_free_ports(), home=home, engine="devnet")
        with ExitStack() as resources:
            ledgers = {}
            for folder, msp_id in zip(running.profiles(), ORGANISATIONS, strict=True):
                gateway = resources.enter_context(connect(folder))
                ledgers[msp_id] = FLLedger.on(gateway.network("fl"))
                ledgers[msp_id].register(msp_id)
            started = Network(home, ledgers, running.profiles())
            yield started
            started.end()
    finally:
        lifecycle.down(home, wipe=True)


def undisturbed(task: str, folder: Path) -> list[str]:
    """Returns the digests of the same task on a ledger in memory, where nothing is killed."""
    consortium = Consortium(folder, task)
    consortium.create_task(rounds=2, k=3, min_updates=3, patience_s=30)
    consortium.run()
    ledger = consortium.ledgers["Org1MSP"]
    return [ledger.model(task, j).digest for j in range(3)]


def finish(processes: list[subprocess.Popen[str]]) -> set[str]:
    """Waits for processes to end well and returns the digests they printed."""
    printed = set()
    for process in processes:
        output, errors = process.communicate(timeout=90)
        assert process.returncode == 0, errors
        printed.add(output.strip())
    return printed


@pytest.mark.parametrize("step", [*STEPS, *LATE_STEPS])
def test_an_organisation_killed_after_a_step_goes_on_to_the_same_digests(
    step: str, network: Network, tmp_path: Path
) -> None:
    task = f"killed-{step}"
    network.create_task(task)
    others = [network.start(0, task), network.start(2, task)]
    victim = network.start(1, task, step)
    if step in LATE_STEPS:  # whether it is this one that commits or opens depends on who is faster
        victim.wait(timeout=90)
        again = [] if victim.returncode == 0 else [network.start(1, task)]
        finish([*others, *again])
    else:
        assert victim.wait(timeout=90) == -signal.SIGKILL
        finish([*others, network.start(1, task)])
    assert network.digests(task) == undisturbed(task, tmp_path)


@pytest.mark.parametrize("name", ["devnet", "fl-org2"])
def test_the_ledger_or_a_chaincode_process_killed_in_a_round_changes_no_digest(
    name: str, network: Network, tmp_path: Path
) -> None:
    task = f"killed-{name}"
    network.create_task(task)
    processes = [network.start(index, task) for index in range(3)]
    deadline = time.monotonic() + 60
    while not network.ledgers["Org3MSP"].status(task).submitted and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(network.pid_of(name), signal.SIGKILL)
    finish(processes)
    assert network.digests(task) == undisturbed(task, tmp_path)
