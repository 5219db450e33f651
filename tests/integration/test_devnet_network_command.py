"""`fabric-fl network` as docs/devnet.md shows it: a devnet in memory that runs somebody's own chaincode."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from fabric_fl.gateway import connect
from fabric_fl.network import Consortium
from fabric_fl.network.ports import free_ports, is_free

COMMAND = Path(sys.executable).with_name("fabric-fl")
CONTRACT = Path(__file__).parents[1] / "conformance" / "kv_contract.py"
TAKEN = [
    address
    for address in map(str, Consortium.default(2).addresses().values())
    if not is_free(address.rpartition(":")[0], int(address.rpartition(":")[2]))
]

pytestmark = pytest.mark.skipif(
    bool(TAKEN), reason=f"`network up --orgs` takes fixed ports, and of them are in use: {TAKEN}"
)


def call(folder: Path, *arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
    finished = subprocess.run(
        [COMMAND, "network", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert bool(finished.returncode) == fails, finished.stdout + finished.stderr
    return finished


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """One process of one's own, which serves both organisations."""
    address = f"127.0.0.1:{free_ports(1)[0]}"
    environment = {**os.environ, "CHAINCODE_ID": "assets_1.0", "CHAINCODE_SERVER_ADDRESS": address}
    process = subprocess.Popen([sys.executable, CONTRACT], env=environment, stderr=subprocess.DEVNULL)
    try:
        yield address
    finally:
        process.terminate()
        process.wait(15)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("own")
    try:
        said = call(
            *(folder, "up", "--engine", "devnet", "--orgs", "2", "--memory"),
            *("--chaincode", f"assets@org1={address}", "--chaincode", f"assets@org2={address}"),
        )
        assert "The network is up: .network/org1, .network/org2." in said.stdout
        assert "without fault tolerance" in said.stderr
        yield folder
    finally:
        call(folder, "down", "--wipe")
    assert not (folder / ".network").exists()


def test_a_chaincode_of_ones_own_runs_beside_the_contract(folder):
    with connect(folder / ".network" / "org1") as gateway:
        channel = gateway.network("fl")
        channel.contract("assets").submit("Put", "asset-1", "blue")
        assert channel.contract("assets").evaluate("Get", "asset-1") == b"blue"
        assert b"Org2MSP" in channel.contract("fl").evaluate("consortium:Read")


def test_a_network_in_memory_keeps_no_ledger(folder):
    assert not list((folder / ".network").rglob("ledger.sqlite3"))


def test_status_shows_every_process_and_that_each_gateway_endorses(folder):
    shown = call(folder, "status").stdout
    assert "devnet" in shown
    now = json.loads(call(folder, "status", "--format", "json").stdout)
    assert [one["endorses"] for one in now["organisations"]] == [True, True]
    assert [one["name"] for one in now["processes"]] == ["devnet", "fl-org1", "fl-org2"]


def test_logs_hold_what_devnet_says_of_itself(folder):
    assert "one process that holds every key" in call(folder, "logs", "devnet").stdout
    assert "there is no log of nobody" in call(folder, "logs", "nobody", fails=True).stderr


def test_down_ends_it_and_says_so_once(folder):
    assert call(folder, "down").stdout == "The network is down.\n"
    assert call(folder, "down").stdout == "No network was running.\n"
    assert "the network is down" in call(folder, "status", fails=True).stdout
