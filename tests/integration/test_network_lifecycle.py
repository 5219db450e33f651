"""A network of three organisations as the command line starts, shows and ends it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fabric_fl import network
from fabric_fl.cli.session import open_session
from fabric_fl.fabric.ca import CAClient
from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.network import Consortium, leftovers
from fabric_fl.network.engine import find_program
from fabric_fl.network.home import Home
from fabric_fl.network.supervision import Supervisor

COMMAND = Path(sys.executable).with_name("fabric-fl")
CONSORTIUM = """\
schema: 1
channel: fl
orderers: [localhost:0]
organisations:
  - {name: org1, msp_id: Org1MSP, peers: [localhost:0], ca: localhost:0, chaincode: localhost:0}
  - {name: org2, msp_id: Org2MSP, peers: [localhost:0], ca: localhost:0, chaincode: localhost:0}
  - {name: org3, msp_id: Org3MSP, peers: [localhost:0], ca: localhost:0, chaincode: localhost:0}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory whose consortium takes free ports."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "network").mkdir()
    (folder / "network" / "consortium.yaml").write_text(CONSORTIUM)
    yield folder
    network.down(folder / ".network")
    assert leftovers.find(Home.at(folder / ".network")) == []


def call(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ENGINE": "devnet", **variables}
    command = [str(COMMAND), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def up(folder):
    """The network runs: what the test before has ended is started again."""
    consortium = network.load_consortium(folder / "network" / "consortium.yaml")
    return network.up(consortium, home=folder / ".network", engine="devnet")


def pids(folder: Path) -> dict[str, int]:
    return {one.name: one.pid for one in Supervisor(Home.at(folder / ".network")).processes()}


def kill(folder: Path, name: str) -> None:
    """Ends a program for good and returns when another process has taken its place."""
    before = pids(folder)[name]
    os.kill(before, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while pids(folder).get(name, 0) in (0, before):
        assert time.monotonic() < deadline, f"{name} was not started again"
        time.sleep(0.05)


def test_up_ends_with_every_gateway_endorsing_and_names_the_next_two_commands(folder):
    up = call(folder, "network", "up")
    assert up.returncode == 0, up.stderr
    lines = up.stdout.splitlines()
    assert lines[0] == "The network is up: .network/org1, .network/org2, .network/org3. Next:"
    assert lines[1:] == [
        "  fabric-fl participant list --profile .network/org1",
        "  . .network/org1/env && peer channel getinfo -c fl",
    ]
    assert up.stderr.startswith("devnet: the embedded ledger, one process without fault tolerance")

    shown = json.loads(call(folder, "network", "status", "--format", "json").stdout)
    assert [one["endorses"] for one in shown["organisations"]] == [True, True, True]
    assert [one["name"] for one in shown["processes"]] == ["devnet", "fl-org1", "fl-org2", "fl-org3"]
    assert call(folder, *lines[1].split()[1:]).returncode == 0


def test_a_second_up_changes_nothing(folder, up):
    before = pids(folder)

    assert call(folder, "network", "up").returncode == 0

    assert pids(folder) == before


def test_what_was_committed_is_there_after_down_and_up(folder, up):
    assert call(folder, "participant", "register", "Hospital 1", FABRIC_FL_PROFILE=".network/org1").returncode == 0
    assert call(folder, "network", "down").returncode == 0
    assert leftovers.find(Home.at(folder / ".network")) == []
    down = call(folder, "network", "status")
    assert down.returncode == 1
    assert "the network is down" in down.stdout

    assert call(folder, "network", "up").returncode == 0

    shown = call(folder, "participant", "list", "--format", "json", FABRIC_FL_PROFILE=".network/org2")
    assert [one["name"] for one in json.loads(shown.stdout)] == ["Hospital 1"]


@pytest.mark.parametrize("name", ["devnet", "fl-org2"])
def test_a_killed_process_comes_back_and_nothing_is_lost(folder, up, name):
    with open_session(folder / ".network" / "org3") as session:
        session.ledger.register("Hospital 3")

        kill(folder, name)

        # the ledger's client waits by itself until two organisations endorse again
        assert session.ledger.register("Hospital 3").name == "Hospital 3"
    assert call(folder, "network", "up").returncode == 0
    assert set(network.status(folder / ".network").endorses.values()) == {""}


def test_restart_replaces_one_process(folder, up):
    before = pids(folder)

    assert call(folder, "network", "restart", "fl-org1").stdout == "fl-org1 was started again.\n"

    after = pids(folder)
    assert after.pop("fl-org1") != before.pop("fl-org1")
    assert after == before
    assert call(folder, "network", "up").returncode == 0


def test_an_interrupted_up_goes_on_at_the_next(folder, up):
    assert call(folder, "network", "down").returncode == 0
    environment = {**os.environ, "ENGINE": "devnet"}
    interrupted = subprocess.Popen([COMMAND, "network", "up"], cwd=folder, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not pids(folder):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    interrupted.kill()
    interrupted.wait()

    assert call(folder, "network", "up").returncode == 0


def test_logs_are_those_of_the_process_asked_for(folder, up):
    assert "listens on localhost:" in call(folder, "network", "logs", "fl-org2").stdout
    unknown = call(folder, "network", "logs", "fl-org9")
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("error FL-NETWORK-NONE: there is no log of fl-org9")


def test_private_keys_are_for_their_owner_alone(folder, up):
    keys = [*folder.rglob("priv_sk"), *folder.rglob("*.key"), *folder.rglob("key.pem")]

    assert len(keys) > 10
    assert [key for key in keys if key.stat().st_mode & 0o077] == []
    assert (folder / ".network").stat().st_mode & 0o077 == 0


def test_an_identity_is_enrolled_with_the_organisations_authority(folder, up):
    profile = ConnectionProfile.load(folder / ".network" / "org1")
    client = CAClient(profile.authority, profile.msp_id)
    registrar = client.enroll(*profile.authority.registrar)
    secret = client.register(registrar, "ward-7", attributes={"fl.roles": "trainer"})
    arguments = ("enroll", "ward-7", "--profile", ".network/org1", "--out", "ward-7/msp")

    enrolled = call(folder, *arguments, FABRIC_FL_ENROLLMENT_SECRET=secret)

    assert enrolled.returncode == 0, enrolled.stderr
    assert secret not in enrolled.stdout + enrolled.stderr
    identity = SigningIdentity.from_msp_dir(folder / "ward-7" / "msp", "Org1MSP").identity
    assert identity.common_name == "ward-7"
    assert identity.attributes["fl.roles"] == "trainer"

    again = call(folder, *arguments, FABRIC_FL_ENROLLMENT_SECRET=secret)
    assert again.returncode == 1
    assert again.stderr.startswith("error FL-ENROLL-EXISTS: ")


def test_a_wrong_enrolment_secret_is_refused_with_the_remedy(folder, up):
    refused = call(
        folder, "enroll", "nobody", "--profile", ".network/org1", "--out", "nobody", FABRIC_FL_ENROLLMENT_SECRET="no"
    )

    assert refused.returncode == 1
    assert refused.stderr.startswith("error FL-CA-AUTHENTICATION: ")
    assert not (folder / "nobody").exists()


@pytest.mark.fabric
@pytest.mark.skipif(find_program("peer", os.environ) is None, reason="Fabric's peer is not on PATH or in FABRIC_BIN")
def test_the_stock_peer_reads_the_ledger_with_the_env_file(folder, up):
    peer = find_program("peer", os.environ)
    script = f"""set -e; . .network/org1/env
    {peer} channel getinfo -c fl
    {peer} chaincode query -C fl -n fl -c '{{"Args":["consortium:Read"]}}'"""

    result = subprocess.run(["sh", "-c", script], cwd=folder, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["organisations"] == ["Org1MSP", "Org2MSP", "Org3MSP"]


def test_a_network_in_memory_of_one_organisation_comes_up_and_goes(tmp_path):
    running = network.up(Consortium.default(1).on_free_ports(), home=tmp_path / "home", engine="devnet", memory=True)
    try:
        with open_session(running.profiles()[0]) as session:
            assert session.ledger.consortium().organisations == ("Org1MSP",)
        assert not (tmp_path / "home" / "devnet").exists()
    finally:
        assert network.down(tmp_path / "home", wipe=True) is True
    assert not (tmp_path / "home").exists()


def test_a_network_that_cannot_start_says_which_process_and_why(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "devnet").write_text("a file where devnet keeps its ledger")
    try:
        with pytest.raises(network.NotReadyError, match=r"devnet ended as soon as it was started: .*devnet"):
            network.up(Consortium.default(1).on_free_ports(), home=tmp_path / "home", engine="devnet", timeout_s=20)
    finally:
        network.down(tmp_path / "home", wipe=True)
