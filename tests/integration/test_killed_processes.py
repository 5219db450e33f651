"""Real processes on a real network: killed with SIGKILL at any step, started again, and the digests are the same."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from task_processes import Network, finish, running_network, undisturbed

from fabric_fl.network.consortium import Consortium

STEPS = ("trained", "journaled", "submitted", "published", "revealed", "aggregated", "scored", "attested")
LATE_STEPS = ("committed", "opened")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    consortium = Consortium.default(3).on_free_ports()
    with running_network(tmp_path_factory.mktemp("network"), consortium, "devnet") as started:
        yield started


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
    network.wait_until_submitted(task)
    network.kill(name)
    finish(processes)
    assert network.digests(task) == undisturbed(task, tmp_path)
