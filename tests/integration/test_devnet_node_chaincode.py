"""`fabric-fl network up` with a contract on the official Node shim beside our own in Python."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import node_programs
import pytest

from fabric_fl.gateway import CommitError, Contract, EndorseError, Network, connect
from fabric_fl.network.ports import free_ports

FOLDER = Path(__file__).with_name("node_shim")
WHAT = "a contract on the official Node shim"
COMMAND = Path(sys.executable).with_name("fabric-fl")
CONSORTIUM = """\
schema: 1
channel: fl
orderers: [localhost:0]
organisations:
  - {name: org1, msp_id: Org1MSP, peers: [localhost:0], ca: localhost:0, chaincode: localhost:0}
  - {name: org2, msp_id: Org2MSP, peers: [localhost:0], ca: localhost:0, chaincode: localhost:0}
"""

pytestmark = node_programs.needs_node(WHAT)


def command(folder: Path, *arguments: str) -> str:
    finished = subprocess.run(
        [COMMAND, "network", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A network in memory that the command line started, with one Node process for both organisations."""
    folder = tmp_path_factory.mktemp("node")
    (folder / "consortium.yaml").write_text(CONSORTIUM)
    environment = node_programs.node_environment(FOLDER, WHAT)
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    with (folder / "node.log").open("wb") as log:
        node = subprocess.Popen(
            ["node", FOLDER / "chaincode.cjs", address, "assets_1.0"], env=environment, stdout=log, stderr=log
        )
    try:
        command(
            *(folder, "up", "--engine", "devnet", "--memory", "--consortium", "consortium.yaml"),
            *("--chaincode", f"assets@org1={address}", "--chaincode", f"assets@org2={address}"),
        )
        yield folder
    finally:
        command(folder, "down", "--wipe")
        node.terminate()
        node.wait(10)


@pytest.fixture(scope="module")
def network(folder: Path) -> Iterator[Network]:
    with ExitStack() as stack:
        yield stack.enter_context(connect(folder / ".network" / "org1")).network("fl")


@pytest.fixture
def assets(network: Network) -> Contract:
    return network.contract("assets")


def test_the_ledger_in_memory_runs_with_both_chaincodes(folder: Path, network: Network) -> None:
    shown = json.loads(command(folder, "status", "--format", "json"))
    assert [each["endorses"] for each in shown["organisations"]] == [True, True]
    assert not (folder / ".network" / "devnet").exists()
    assert "no fault tolerance and no decentralisation" in command(folder, "logs", "devnet")
    assert json.loads(network.contract("fl").evaluate("consortium:Read"))["organisations"] == ["Org1MSP", "Org2MSP"]


def test_what_a_node_contract_writes_is_read_at_every_organisation(folder: Path, assets: Contract) -> None:
    assets.submit("put", "a", "één")
    assert assets.submit("increment", "counter") == b"1"
    assert assets.submit("increment", "counter") == b"2"
    with connect(folder / ".network" / "org2") as gateway:
        other = gateway.network("fl").contract("assets")
        assert other.evaluate("get", "a").decode() == "één"
        assert other.evaluate("get", "absent") == b""
        assert other.evaluate("caller") == b"Org2MSP"


def test_ranges_pages_and_composite_keys_come_back_in_order(assets: Contract) -> None:
    for number in (3, 1, 2):
        assets.submit("put", f"range-{number}", "v")
        assets.submit("pair", "owner", "alice" if number < 3 else "bob", str(number))
    assert json.loads(assets.evaluate("range", "range-", "range.")) == ["range-1", "range-2", "range-3"]
    first = json.loads(assets.evaluate("page", "range-", "range.", "2", ""))
    assert first == {"keys": ["range-1", "range-2"], "count": 2, "bookmark": "range-3"}
    second = json.loads(assets.evaluate("page", "range-", "range.", "2", first["bookmark"]))
    assert second == {"keys": ["range-3"], "count": 1, "bookmark": ""}
    assert json.loads(assets.evaluate("pairs", "owner", "alice")) == [["alice", "1"], ["alice", "2"]]


def test_history_is_newest_first_with_deletions(assets: Contract) -> None:
    assets.submit("put", "h", "1")
    assets.submit("put", "h", "2")
    assets.submit("remove", "h")
    assert json.loads(assets.evaluate("history", "h")) == [
        {"value": "", "deleted": True},
        {"value": "2", "deleted": False},
        {"value": "1", "deleted": False},
    ]


def test_events_and_transient_data_pass(network: Network, assets: Contract) -> None:
    commit = assets.submit_async("emit", "Sold", "for 5")
    block = commit.status().block_number
    with network.chaincode_events("assets", start_block=block) as events:
        event = next(iter(events))
    assert (event.event_name, event.payload, event.transaction_id) == ("Sold", b"for 5", commit.transaction_id)
    assert assets.new_proposal("secret", transient={"secret": b"hidden"}).evaluate() == b"hidden"


def test_it_calls_our_python_chaincode_in_the_same_transaction(assets: Contract) -> None:
    assert json.loads(assets.evaluate("call", "fl", "consortium:Read"))["organisations"] == ["Org1MSP", "Org2MSP"]


def test_what_it_refuses_and_what_it_makes_up_is_not_endorsed(assets: Contract) -> None:
    with pytest.raises(EndorseError) as refused:
        assets.submit("refuse", "not for sale")
    assert [detail.message for detail in refused.value.details] == ["chaincode response 500, not for sale"]
    with pytest.raises(EndorseError) as mismatch:
        assets.submit("random")
    assert {detail.message for detail in mismatch.value.details} == {"ProposalResponsePayloads do not match"}


def test_of_two_increments_of_one_value_the_second_is_invalid(assets: Contract) -> None:
    first, second = (assets.new_proposal("increment", "contended").endorse() for _ in range(2))
    assert first.submit().status().successful
    status = second.submit().status()
    assert (status.name, status.successful) == ("MVCC_READ_CONFLICT", False)


def test_one_organisations_endorsement_is_not_enough_for_a_node_contract_either(assets: Contract) -> None:
    with pytest.raises(CommitError, match="ENDORSEMENT_POLICY_FAILURE"):
        assets.submit("put", "a", "alone", endorsing_organizations=["Org1MSP"])
