"""Kills every process of a network of Fabric's own programs in turn, each in a running task: `make chaos`.

For each it measures how long it took until every gateway endorsed again and until the task had ended, and compares the
committed digests with those of the same task where nothing was killed. The table goes to docs/chaos.md.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from fabric_programs import MISSING

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from task_processes import Network, finish, running_network, undisturbed  # noqa: E402 -- after its directory is known

from fabric_fl.network import Consortium, Plan, lifecycle, readiness  # noqa: E402
from fabric_fl.network.home import Home  # noqa: E402

TABLE = ROOT / "docs" / "chaos.md"
_RECOVERY_SECONDS = 60.0
_HEAD = """\
# What was killed, and what it cost

Written by `make chaos`: three organisations and three Raft orderers of Hyperledger Fabric on one machine; each process
in turn gets SIGKILL while a task of two rounds runs, right after the first update is on the ledger. supervisord starts
it again; nobody else does anything.

| killed | every gateway endorses again after | the task ended after | digests as undisturbed |
|---|---|---|---|
"""


@dataclass(frozen=True)
class Loss:
    """One kill: times in seconds from it."""

    killed: str
    endorses: float
    ended: float
    same_digests: bool

    def row(self) -> str:
        same = "yes" if self.same_digests else "**no**"
        return f"| {self.killed} | {self.endorses:.1f} s | {self.ended:.1f} s | {same} |\n"


def main() -> int:
    """Runs it and returns the process's exit code."""
    if MISSING:
        print(f"make chaos: {', '.join(MISSING)} not found on PATH or in FABRIC_BIN.", file=sys.stderr)
        return 2
    consortium = Consortium.default(3)
    orderers = tuple(replace(consortium.orderers[0], port=port) for port in (7050, 8050, 9050))
    consortium = replace(consortium, orderers=orderers).on_free_ports()
    losses = []
    with (
        tempfile.TemporaryDirectory(prefix="fabric-fl-") as folder,
        running_network(Path(folder) / "network", consortium, "fabric") as network,
    ):
        for name in [process.name for process in lifecycle.status(network.home).processes]:
            losses.append(lose(name, network, consortium, Path(folder) / name))
            print(losses[-1].row(), end="", flush=True)
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(_HEAD + "".join(one.row() for one in losses))
    return 0 if all(one.same_digests for one in losses) else 1


def lose(name: str, network: Network, consortium: Consortium, scratch: Path) -> Loss:
    """Kills a process in a task and returns what that cost."""
    task = f"without-{name}"
    network.create_task(task)
    processes = [network.start(index, task) for index in range(3)]
    network.wait_until_submitted(task)
    before, plan = network.pid_of(name), Plan("fabric", consortium)
    killed = time.monotonic()
    network.kill(name)
    while network.pid_of(name) in (0, before) or any(readiness.probe(Home.at(network.home), plan).values()):
        if time.monotonic() - killed > _RECOVERY_SECONDS:
            raise SystemExit(f"{name} did not recover within {_RECOVERY_SECONDS:.0f} s")
        time.sleep(0.05)
    endorses = time.monotonic() - killed
    finish(processes)
    ended = time.monotonic() - killed
    return Loss(name, endorses, ended, network.digests(task) == undisturbed(task, scratch))


if __name__ == "__main__":
    sys.exit(main())
