"""A task whose organisations are processes, on a network of processes: what tests kill parts of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from organisations import ORGANISATIONS, Consortium, task_specification
from waiting import wait_for

from fabric_fl.blobs import BlobStore
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.gateway import connect
from fabric_fl.ledger import FLLedger
from fabric_fl.network import lifecycle
from fabric_fl.network.consortium import Consortium as NetworkConsortium

PROGRAM = Path(__file__).with_name("organisation_process.py")


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
        for ledger in self.ledgers.values():  # another organisation's peer has the block a little later
            wait_for(lambda ledger=ledger: any(one.id == task for one in ledger.tasks()), 30)

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

    def wait_until_submitted(self, task: str) -> None:
        """Returns when the first update of the task's first round is on the ledger."""
        deadline = time.monotonic() + 60
        while not self.ledgers["Org3MSP"].status(task).submitted and time.monotonic() < deadline:
            time.sleep(0.02)

    def kill(self, name: str) -> None:
        os.kill(self.pid_of(name), signal.SIGKILL)


@contextmanager
def running_network(home: Path, consortium: NetworkConsortium, engine: str) -> Iterator[Network]:
    """Starts a network with its organisations registered, and ends it with all that was started on it."""
    try:
        running = lifecycle.up(consortium, home=home, engine=engine)
        with ExitStack() as resources:
            ledgers = {}
            for folder, msp_id in zip(running.profiles(), ORGANISATIONS, strict=True):
                gateway = resources.enter_context(connect(folder))
                ledgers[msp_id] = FLLedger.on(gateway.network("fl"))
                ledgers[msp_id].register(msp_id)
            started = Network(home, ledgers, running.profiles())
            resources.callback(started.end)
            yield started
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
