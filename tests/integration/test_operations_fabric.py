"""What docs/operations.md says of watching a network of Fabric's own programs, of backups, and of lost disks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from fabric_programs import needs_fabric
from operators_page import PAGE
from waiting import wait_for

from fabric_fl import network
from fabric_fl.cli.session import open_session
from fabric_fl.network import leftovers
from fabric_fl.network.doctor.ledger import heights
from fabric_fl.network.home import Home
from fabric_fl.network.plan import load

pytestmark = needs_fabric

CONSORTIUM = """\
schema: 1
channel: fl
orderers: [localhost:0]
organisations:
  - {name: org1, msp_id: Org1MSP, peers: [localhost:0], ca: localhost:0, chaincode: localhost:0}
  - {name: org2, msp_id: Org2MSP, peers: [localhost:0], ca: localhost:0, chaincode: localhost:0}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with a network on which something is written."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "network").mkdir()
    (folder / "network" / "consortium.yaml").write_text(CONSORTIUM)
    shell(folder, "fabric-fl network up")
    register(folder, "before")
    yield folder
    network.down(folder / ".network")
    assert leftovers.find(Home.at(folder / ".network")) == []


def shell(folder: Path, script: str) -> None:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "ENGINE": "fabric", "PATH": path}
    done = subprocess.run(
        ["sh", "-euc", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def block(containing: str) -> str:
    (found,) = [one for one in PAGE.read_text().split("```\n")[1::2] if containing in one]
    return found


def register(folder: Path, name: str) -> None:
    with open_session(folder / ".network" / "org1") as session:
        session.ledger.register(name)


def registered(folder: Path, organisation: str) -> str:
    with open_session(folder / ".network" / organisation) as session:
        return session.ledger.participant("Org1MSP").name


def test_every_peer_and_orderer_tells_its_health_and_its_metrics(folder: Path) -> None:
    ports = json.loads((folder / ".network" / "fabric" / "ports.json").read_text())
    told = {}
    for name in ("peer0-org1", "peer0-org2", "orderer1"):
        base = f"http://127.0.0.1:{ports[f'{name} operations']}"
        with urllib.request.urlopen(f"{base}/healthz", timeout=5) as answer:
            assert json.load(answer)["status"] == "OK"
        with urllib.request.urlopen(f"{base}/metrics", timeout=5) as answer:
            told[name] = answer.read().decode()

    page = PAGE.read_text()
    for metric, name in (("ledger_blockchain_height", "peer0-org2"), ("consensus_etcdraft_is_leader", "orderer1")):
        assert f"`{metric}`" in page
        assert f'\n{metric}{{channel="fl"}} ' in told[name]


def test_what_was_backed_up_is_restored_one_peer_alone_and_all_together(folder: Path) -> None:
    place = Home.at(folder / ".network")
    shell(folder, block("cp -a .network backup\n"))
    register(folder, "after")
    height = max(heights(place, load(place)).values())  # of the peer that has told of the commit

    shell(folder, block("cp -a backup/fabric/peer0-org2/data"))

    # it endorses before it has fetched the last blocks
    wait_for(lambda: heights(place, load(place))["peer0-org2"] >= height, 30)
    assert registered(folder, "org2") == "after"

    shell(folder, block("cp -a backup .network\n"))

    assert registered(folder, "org2") == "before"
    register(folder, "again")
    wait_for(lambda: registered(folder, "org2") == "again", 30)  # another organisation's peer is a little later
