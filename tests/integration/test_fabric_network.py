"""A network of Fabric's own programs as the command line starts, shows, upgrades and ends it."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fabric_programs import needs_fabric

from fabric_fl import network
from fabric_fl.cli.session import open_session
from fabric_fl.fabric.ca import CAClient
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.gateway import connect
from fabric_fl.network import Consortium, leftovers
from fabric_fl.network.engine import find_program
from fabric_fl.network.fabric import engine as fabric_engine
from fabric_fl.network.home import Home
from fabric_fl.network.supervision import Supervisor

pytestmark = needs_fabric

COMMAND = Path(sys.executable).with_name("fabric-fl")
CONSORTIUM = """\
schema: 1
channel: fl
orderers: [localhost:0]
organisations:
  - {name: org1, msp_id: Org1MSP, peers: [localhost:0], ca: localhost:0, chaincode: localhost:0}
  - {name: org2, msp_id: Org2MSP, peers: [localhost:0, localhost:0], ca: localhost:0, chaincode: localhost:0}
  - {name: org3, msp_id: Org3MSP, peers: [localhost:0], ca: localhost:0, chaincode: localhost:0}
"""
SECONDS_TO_READY = 25  # from nothing, on two cores that do nothing else


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory whose consortium takes free ports."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "network").mkdir()
    (folder / "network" / "consortium.yaml").write_text(CONSORTIUM)
    yield folder
    network.down(folder / ".network")
    assert leftovers.find(Home.at(folder / ".network")) == []


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # a shell that has read an organisation's env file must not configure the nodes
    environment = {
        **os.environ,
        "ENGINE": "fabric",
        "CORE_PEER_LOCALMSPID": "Org9MSP",
        "ORDERER_GENERAL_LISTENPORT": "1",
    }
    command = [str(COMMAND), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def up(folder):
    """The network runs: what the test before has ended is started again."""
    consortium = network.load_consortium(folder / "network" / "consortium.yaml")
    return network.up(consortium, home=folder / ".network", engine="fabric")


def pids(folder: Path) -> dict[str, int]:
    return {one.name: one.pid for one in Supervisor(Home.at(folder / ".network")).processes()}


def peer(folder: Path, organisation: str, *arguments: str) -> str:
    """Runs the stock CLI as whoever has read an organisation's env file."""
    program = find_program("peer", os.environ)
    script = f". .network/{organisation}/env && exec {shlex.join([str(program), *arguments])}"
    done = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def chain(folder: Path, organisation: str) -> dict:
    return json.loads(peer(folder, organisation, "channel", "getinfo", "-c", "fl").removeprefix("Blockchain info: "))


def sequence(folder: Path) -> int:
    said = peer(folder, "org1", "lifecycle", "chaincode", "querycommitted", "-C", "fl", "-n", "fl", "-O", "json")
    return json.loads(said)["sequence"]


def test_from_nothing_to_every_gateway_endorsing(folder, record_property):
    began = time.monotonic()
    done = call(folder, "network", "up")
    seconds = round(time.monotonic() - began, 1)
    record_property("seconds_from_nothing_to_every_gateway_endorses", seconds)

    assert done.returncode == 0, done.stderr
    assert seconds <= SECONDS_TO_READY
    assert done.stderr.startswith("Hyperledger Fabric, its programs from ")
    shown = json.loads(call(folder, "network", "status", "--format", "json").stdout)
    assert shown["engine"] == "fabric"
    assert [one["endorses"] for one in shown["organisations"]] == [True, True, True]
    assert [one["name"] for one in shown["processes"]] == [
        *("ca-org1", "ca-org2", "ca-org3", "fl-org1", "fl-org2", "fl-org3", "orderer-ca", "orderer1"),
        *("peer0-org1", "peer0-org2", "peer0-org3", "peer1-org2"),
    ]


def test_a_second_up_changes_nothing(folder, up):
    before, height = pids(folder), chain(folder, "org1")["height"]

    assert call(folder, "network", "up").returncode == 0

    assert pids(folder) == before
    assert chain(folder, "org1")["height"] == height
    assert sequence(folder) == 1


def test_the_stock_command_line_sees_one_chain_in_every_organisation(folder, up):
    with open_session(folder / ".network" / "org1") as session:
        session.ledger.register("Hospital 1")

    tips = {organisation: chain(folder, organisation) for organisation in ("org1", "org2", "org3")}
    deadline = time.monotonic() + 10
    while len({one["currentBlockHash"] for one in tips.values()}) > 1 and time.monotonic() < deadline:
        tips = {organisation: chain(folder, organisation) for organisation in tips}

    assert len({one["currentBlockHash"] for one in tips.values()}) == 1
    query = ("chaincode", "query", "-C", "fl", "-n", "fl", "-c", '{"Args":["participants:Read","Org1MSP"]}')
    assert json.loads(peer(folder, "org3", *query))["name"] == "Hospital 1"


def test_the_organisations_client_has_its_roles_and_its_registrar_enrols_others(folder, up):
    profile = ConnectionProfile.load(folder / ".network" / "org2")
    assert profile.identity.identity.role == "client"
    assert profile.identity.identity.attributes["fl.roles"] == "trainer,validator,coordinator,auditor,admin"
    assert profile.admin.identity.role == "admin"

    client = CAClient(profile.authority, "Org2MSP")
    registrar = client.enroll(*profile.authority.registrar)
    secret = client.register(registrar, "ward-7", attributes={"fl.roles": "trainer"})
    assert client.enroll("ward-7", secret).identity.attributes["fl.roles"] == "trainer"
    others = json.loads(profile.file.read_text())["certificateAuthorities"]
    assert [name for name, one in others.items() if "registrar" in one] == ["ca-org2"]


def test_a_chaincode_port_serves_nobody_without_the_organisations_certificate(folder, up):
    import grpc
    from fabric_protos.peer import chaincode_shim_pb2_grpc

    address = str(up.consortium.organisations[0].chaincode)
    root = (folder / ".network" / "org1" / "tls" / "ca.pem").read_bytes()
    for channel in (
        grpc.insecure_channel(address),
        grpc.secure_channel(address, grpc.ssl_channel_credentials(root)),
    ):
        with channel, pytest.raises(grpc.RpcError) as refused:
            next(iter(chaincode_shim_pb2_grpc.ChaincodeStub(channel).Connect(iter(()), timeout=5)))
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


def test_the_doctor_finds_nothing_on_a_sound_network(folder, up):
    done = call(folder, "doctor")

    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines() == [
        f"ok       {name}"
        for name in (
            *("Fabric's programs", "one version of Fabric", "certificates", "endorsement policy", "processes"),
            *("clocks", "heights", "approvals", "endorsement"),
        )
    ]


@pytest.mark.parametrize("name", ["peer0-org2", "orderer1", "ca-org3", "fl-org1"])
def test_a_killed_process_comes_back_and_nothing_is_lost(folder, up, name):
    before = pids(folder)[name]
    os.kill(before, signal.SIGKILL)
    with open_session(folder / ".network" / "org3") as session:
        # the ledger's client waits by itself until the network takes it
        assert session.ledger.register("Hospital 3").name == "Hospital 3"

    deadline = time.monotonic() + 20
    while pids(folder).get(name, 0) in (0, before):
        assert time.monotonic() < deadline, f"{name} was not started again"
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["peer1-org2", "orderer1", "ca-org1", "fl-org3"])
def test_restart_replaces_one_process_and_everybody_endorses_again(folder, up, name):
    before = pids(folder)

    assert call(folder, "network", "restart", name).stdout == f"{name} was started again.\n"

    after = pids(folder)
    assert after.pop(name) != before.pop(name)
    assert after == before
    deadline = time.monotonic() + 30
    while any(problems := network.status(folder / ".network").endorses.values()):
        assert time.monotonic() < deadline, list(problems)
        time.sleep(0.1)


def test_a_transaction_goes_on_at_the_organisations_other_peer_when_its_gateway_dies(folder, up):
    """Sent through one peer; what became of it, the events since and the next transaction come from the other."""
    supervisor = Supervisor(Home.at(folder / ".network"))
    with connect(folder / ".network" / "org2") as gateway:
        channel = gateway.network("fl")
        contract, start = channel.contract("fl"), channel.height()
        sent = contract.new_proposal("participants:Register", '{"name":"Hospital 2"}').endorse().submit()
        with supervisor._rpc() as rpc:
            rpc.stopProcess("peer0-org2")
        try:
            assert sent.status(timeout=20).successful
            with channel.chaincode_events("fl", start_block=start) as events:
                assert next(events).transaction_id == sent.transaction_id
            contract.submit("participants:Register", '{"name":"Clinic 2"}')
            assert json.loads(contract.evaluate("participants:Read", "Org2MSP"))["name"] == "Clinic 2"
        finally:
            supervisor.restart("peer0-org2")
    deadline = time.monotonic() + 30
    while any(network.status(folder / ".network").endorses.values()):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_was_committed_is_there_after_down_and_up(folder, up):
    height = chain(folder, "org2")["height"]
    assert call(folder, "network", "down").returncode == 0
    assert leftovers.find(Home.at(folder / ".network")) == []

    assert call(folder, "network", "up").returncode == 0

    assert chain(folder, "org2")["height"] >= height
    assert sequence(folder) == 1


def test_another_contract_is_the_next_sequence_and_the_ledger_stays(folder, up, monkeypatch):
    with open_session(folder / ".network" / "org1") as session:
        session.ledger.register("Hospital 1")
    before = pids(folder)
    monkeypatch.setattr(fabric_engine, "rules_digest", lambda: "of other rules")

    network.up(
        network.load_consortium(folder / "network" / "consortium.yaml"), home=folder / ".network", engine="fabric"
    )

    assert sequence(folder) == 2
    changed = {name for name, pid in pids(folder).items() if pid != before[name]}
    assert changed == {"fl-org1", "fl-org2", "fl-org3"}
    with connect(folder / ".network" / "org2") as gateway:
        said = gateway.network("fl").contract("fl").evaluate("participants:Read", "Org1MSP")
    assert json.loads(said)["name"] == "Hospital 1"


def test_certificates_are_renewed_as_the_operators_page_says(folder, up):
    home = folder / ".network"
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    (block,) = [one for one in page.split("```")[1::2] if "rm -r fabric/peer0-org2/msp" in one]
    watched = [home / "fabric" / "peer0-org2" / "tls" / "server.crt", home / "fabric/chaincode/org2/client/server.crt"]
    before = [path.read_bytes() for path in watched]
    commands = block.replace("network up --home .", "network up --home . --consortium ../network/consortium.yaml")

    subprocess.run(
        ["sh", "-euc", commands],
        cwd=folder,
        env={**os.environ, "ENGINE": "fabric", "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
    )

    for path, old in zip(watched, before, strict=True):
        assert path.read_bytes() != old
    deadline = time.monotonic() + 30
    while any(problems := network.status(home).endorses.values()):
        assert time.monotonic() < deadline, list(problems)
        time.sleep(0.2)
    released = home.glob("fabric/peer0-org2/data/externalbuilder/builds/*/release/chaincode/server/connection.json")
    # one for each package that was ever installed
    assert {json.loads(path.read_text())["client_cert"] for path in released} == {watched[1].read_text()}


def test_an_interrupted_up_goes_on(tmp_path):
    consortium = Consortium.default(2).on_free_ports()
    (tmp_path / "network").mkdir()
    home = tmp_path / ".network"
    program = (
        "from fabric_fl.network import *; import sys; up(Consortium.from_json({}), home=sys.argv[1], engine='fabric')"
    )
    command = [sys.executable, "-c", program.format(repr(consortium.to_json())), str(home)]
    try:
        for sign in ("fabric/ca-org2/ca-cert.pem", "fabric/genesis.block", "fabric/fl.tgz"):
            interrupted = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + 60
            while not (home / sign).exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            interrupted.kill()
            interrupted.wait()
            assert (home / sign).exists()

        network.up(consortium, home=home, engine="fabric")

        assert not any(network.status(home).endorses.values())
    finally:
        network.down(home, wipe=True)
    assert leftovers.find(Home.at(home)) == []
    assert not home.exists()
