"""What `fabric-fl doctor` says of a network of Fabric's own programs that something is the matter with."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from fabric_programs import needs_fabric

from fabric_fl import network
from fabric_fl.network.consortium import Address, Consortium
from fabric_fl.network.doctor import examine
from fabric_fl.network.doctor.finding import Finding
from fabric_fl.network.doctor.ledger import heights
from fabric_fl.network.engine import FABRIC_PROGRAMS, find_program
from fabric_fl.network.fabric.deployment import Deployment
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.package import package
from fabric_fl.network.fabric.tools import Tools
from fabric_fl.network.fabric.topology import Topology, settle_ports
from fabric_fl.network.home import Home
from fabric_fl.network.plan import load
from fabric_fl.network.supervision import Supervisor

pytestmark = needs_fabric


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three organisations, the second with two peers."""
    consortium = Consortium.default(3)
    first, second, third = consortium.organisations
    second = replace(second, peers=(*second.peers, Address("localhost", 0)))
    path = tmp_path_factory.mktemp("network")
    network.up(replace(consortium, organisations=(first, second, third)).on_free_ports(), home=path, engine="fabric")
    yield path
    network.down(path, wipe=True)


def findings(home: Path) -> dict[str, list[Finding]]:
    return {check.name: list(check.findings) for check in examine(home) if check.findings}


def test_the_height_of_every_peer_is_asked_for(home: Path) -> None:
    found = heights(Home.at(home), load(Home.at(home)))

    assert sorted(found) == ["peer0-org1", "peer0-org2", "peer0-org3", "peer1-org2"]
    assert max(found.values()) - min(found.values()) <= 1


def test_a_chaincode_process_that_does_not_run_is_found_and_who_cannot_endorse(home: Path) -> None:
    supervisor = Supervisor(Home.at(home))
    with supervisor._rpc() as rpc:
        rpc.stopProcess("fl-org2")
    try:
        found = findings(home)
    finally:
        supervisor.restart("fl-org2")

    assert found["processes"][0].problem.startswith("fl-org2 does not run: STOPPED")
    assert found["processes"][0].remedy == (
        "`fabric-fl network logs fl-org2` shows why; `network restart fl-org2` tries again."
    )
    assert len(found["endorsement"]) == 3
    assert all("not every organisation endorses: FL-GATEWAY-ENDORSE" in one.problem for one in found["endorsement"])
    assert set(found) == {"processes", "endorsement"}


def test_an_organisation_that_has_not_approved_an_upgrade_is_found(home: Path) -> None:
    """Two of three approve and commit another definition; the third one's peers endorse nothing from then on."""
    place = Home.at(home)
    consortium = load(place).consortium
    topology = Topology.of(consortium, settle_ports(Layout.of(place), consortium))
    tools = Tools({name: path for name in FABRIC_PROGRAMS if (path := find_program(name, os.environ))})
    deployment = Deployment(
        tools, "fl", topology, place, time.monotonic() + 60, lambda: "", topology.part(["org1", "org2"])
    )
    deployment.deploy(package("fl", "of other rules"))

    found = findings(home)

    assert [one.problem for one in found["approvals"]] == [
        "Org3MSP has not approved the definition of the chaincode fl: its peers do not endorse"
    ]
    assert "approveformyorg" in found["approvals"][0].remedy


def test_what_is_wrong_with_a_network_that_is_down_is_found(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.down(home)
    consortium = load(Home.at(home)).consortium
    ports = settle_ports(Layout.of(Home.at(home)), consortium)
    for name in FABRIC_PROGRAMS[:-1]:
        (tmp_path / name).symlink_to(str(find_program(name, os.environ)))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("FABRIC_BIN", "")
    assert shutil.which("fabric-ca-client") is None

    with (
        closing(socket.create_server(("127.0.0.1", consortium.orderers[0].port))),
        closing(socket.create_server(("127.0.0.1", ports["orderer1 admin"]))),
    ):
        found = findings(home)

    assert [one.problem for one in found["Fabric's programs"]] == ["the program fabric-ca-client was not found"]
    assert "hyperledger-fabric.readthedocs.io/en/latest/install.html" in found["Fabric's programs"][0].remedy
    assert [one.problem.partition(" (")[2] for one in found["ports"]] == [
        "orderers[0]) is taken by another process",
        "orderer1 admin) is taken by another process",
    ]
    assert [one.problem for one in found["processes"]] == ["the network is down"]
