"""The job on Fabric's own programs: the same digests as on any ledger, whatever process is killed in the middle."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fabric_programs import needs_fabric
from task_processes import Network, finish, running_network, undisturbed

from fabric_fl.network.consortium import Consortium

pytestmark = needs_fabric


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    """Three organisations and three orderers."""
    consortium = Consortium.default(3)
    orderers = tuple(replace(consortium.orderers[0], port=port) for port in (7050, 8050, 9050))
    consortium = replace(consortium, orderers=orderers).on_free_ports()
    with running_network(tmp_path_factory.mktemp("network"), consortium, "fabric") as started:
        yield started


def test_a_task_commits_the_same_digests_on_both_engines_and_in_memory(
    network: Network, tmp_path: Path, record_property
) -> None:
    def run(on: Network) -> list[str]:
        on.create_task("digests")
        printed = finish([on.start(index, "digests") for index in range(3)])
        committed = on.digests("digests")
        assert printed == {committed[-1]}
        return committed

    on_fabric = run(network)
    with running_network(tmp_path / "devnet", Consortium.default(3).on_free_ports(), "devnet") as devnet:
        on_devnet = run(devnet)

    record_property("digests_on_fabric", json.dumps(on_fabric))
    record_property("digests_on_devnet", json.dumps(on_devnet))
    assert on_fabric == on_devnet == undisturbed("digests", tmp_path / "memory")


@pytest.mark.parametrize("step", ["submitted", "attested"])
def test_an_organisation_killed_after_a_step_goes_on_to_the_same_digests(
    step: str, network: Network, tmp_path: Path
) -> None:
    task = f"killed-{step}"
    network.create_task(task)
    others = [network.start(0, task), network.start(2, task)]
    network.start(1, task, step).wait(timeout=90)

    finish([*others, network.start(1, task)])

    assert network.digests(task) == undisturbed(task, tmp_path)


@pytest.mark.parametrize("name", ["peer0-org1", "peer0-org2", "orderer1", "orderer2", "fl-org3", "ca-org1"])
def test_any_one_process_killed_in_a_round_changes_no_digest(
    name: str, network: Network, tmp_path: Path, record_property
) -> None:
    task = f"killed-{name}"
    network.create_task(task)
    processes = [network.start(index, task) for index in range(3)]
    network.wait_until_submitted(task)

    killed = time.monotonic()
    network.kill(name)
    finish(processes)

    record_property("seconds_from_kill_to_the_end_of_the_task", round(time.monotonic() - killed, 1))
    assert network.digests(task) == undisturbed(task, tmp_path)
