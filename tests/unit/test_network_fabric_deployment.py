"""The lifecycle's steps against a `peer` program that remembers what it was asked."""

import json
import stat
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fabric_fl.network import Consortium, NotReadyError
from fabric_fl.network.fabric.channel import Admission
from fabric_fl.network.fabric.deployment import Deployment, package_of
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.package import package
from fabric_fl.network.fabric.tools import ToolError, Tools, until_it_works
from fabric_fl.network.fabric.topology import Topology, local_ports
from fabric_fl.network.home import Home
from fabric_fl.network.program import program_environment

MEMBERS = ("Org1MSP", "Org2MSP", "Org3MSP")


@dataclass
class Peers:
    """Answers like the `peer` program: what is installed, approved and committed."""

    installed: dict[str, set[str]] = field(default_factory=dict)
    approved: dict[tuple[str, int], str] = field(default_factory=dict)
    committed: int = 0
    did: list[tuple[str, str]] = field(default_factory=list)
    failing: dict[str, int] = field(default_factory=dict)
    endorsed: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, program, *arguments, environment):
        assert program == "peer"
        msp_id = environment["CORE_PEER_LOCALMSPID"]
        verb, flags = arguments[2], [str(one) for one in arguments[3:]]
        with self.lock:
            if self.failing.get(verb, 0):
                self.failing[verb] -= 1
                raise ToolError(f"{verb}: no Raft leader", "Error: no Raft leader")
            return getattr(self, verb)(msp_id, flags)

    def install(self, msp_id, _flags):
        self.did.append(("install", msp_id))
        self.installed.setdefault(msp_id, set()).add(package("fl").id)
        return ""

    def queryinstalled(self, msp_id, _flags):
        found = [{"package_id": one} for one in self.installed.get(msp_id, ())]
        return json.dumps({"installed_chaincodes": found} if found else {})

    def querycommitted(self, _msp_id, _flags):
        definitions = [{"name": "fl", "sequence": self.committed}] if self.committed else []
        return json.dumps({"chaincode_definitions": [{"name": "other", "sequence": 9}, *definitions]})

    def queryapproved(self, msp_id, flags):
        found = self.approved.get((msp_id, int(flags[flags.index("--sequence") + 1])))
        if found is None:
            raise ToolError("x", "Error: could not fetch approved chaincode definition (name: 'fl')")
        return json.dumps({"source": {"Type": {"LocalPackage": {"package_id": found}}}})

    def approveformyorg(self, msp_id, flags):
        sequence = int(flags[flags.index("--sequence") + 1])
        found = flags[flags.index("--package-id") + 1]
        if self.approved.get((msp_id, sequence)) == found:
            raise ToolError("x", "Error: attempted to redefine uncommitted sequence (1) with unchanged content")
        self.approved[msp_id, sequence] = found
        self.did.append((f"approve {sequence}", msp_id))
        return ""

    def checkcommitreadiness(self, _msp_id, flags):
        sequence = int(flags[flags.index("--sequence") + 1])
        return json.dumps({"approvals": {one: (one, sequence) in self.approved for one in MEMBERS}})

    def commit(self, msp_id, flags):
        self.committed = int(flags[flags.index("--sequence") + 1])
        self.endorsed = [flags[at + 1] for at, flag in enumerate(flags) if flag == "--peerAddresses"]
        assert len(self.endorsed) == 2
        self.did.append((f"commit {self.committed}", msp_id))
        return ""


@pytest.fixture
def home(tmp_path):
    place = Home.at(tmp_path)
    Layout.of(place).root.mkdir()
    return place


@pytest.fixture
def peers():
    return Peers()


@pytest.fixture
def deployment(home, peers):
    consortium = Consortium.default(2)
    topology = Topology.of(consortium, {name: 20_000 + index for index, name in enumerate(local_ports(consortium))})
    return Deployment(peers, "fl", topology, home, time.monotonic() + 5, lambda: "")


def test_a_chaincode_is_installed_everywhere_then_approved_by_all_then_committed_once(deployment, peers):
    assert deployment.deploy(package("fl")) == 1

    assert [{step for step, _ in peers.did[at : at + 2]} for at in (0, 2)] == [{"install"}, {"approve 1"}]
    assert sorted(peers.did[:4]) == [
        ("approve 1", "Org1MSP"),
        ("approve 1", "Org2MSP"),
        ("install", "Org1MSP"),
        ("install", "Org2MSP"),
    ]
    assert peers.did[4:] == [("commit 1", "Org1MSP")]


def test_a_second_deployment_changes_nothing(deployment, peers):
    deployment.deploy(package("fl"))
    before = list(peers.did)

    assert deployment.deploy(package("fl")) == 1
    assert peers.did == before


def test_an_interrupted_deployment_goes_on_where_it_stopped(deployment, peers):
    peers.installed["Org1MSP"] = {package("fl").id}
    peers.approved["Org1MSP", 1] = package("fl").id

    deployment.deploy(package("fl"))

    assert peers.did == [("install", "Org2MSP"), ("approve 1", "Org2MSP"), ("commit 1", "Org1MSP")]


def test_another_package_is_the_next_sequence(deployment, peers):
    peers.committed = 4
    peers.approved = {("Org1MSP", 4): "fl_1.0:old", ("Org2MSP", 4): "fl_1.0:old"}

    assert deployment.deploy(package("fl")) == 5

    assert peers.did[-1] == ("commit 5", "Org1MSP")
    assert {("approve 5", "Org1MSP"), ("approve 5", "Org2MSP")} < set(peers.did)


def test_an_organisation_that_came_later_approves_what_is_committed(deployment, peers):
    peers.committed = 1
    peers.installed["Org1MSP"] = {package("fl").id}
    peers.approved["Org1MSP", 1] = package("fl").id

    assert deployment.deploy(package("fl")) == 1

    assert peers.did == [("install", "Org2MSP"), ("approve 1", "Org2MSP")]


def test_a_step_that_fails_for_a_while_is_tried_again(deployment, peers):
    peers.failing = {"approveformyorg": 2, "commit": 1}

    assert deployment.deploy(package("fl")) == 1


def test_a_step_that_does_not_succeed_in_time_is_named():
    def fail():
        raise ToolError("peer lifecycle chaincode commit: no Raft leader", "")

    with pytest.raises(NotReadyError, match="commit: no Raft leader"):
        until_it_works(fail, time.monotonic() + 0.3, lambda: "")


def test_nobody_waits_for_a_program_that_cannot_start():
    def fail():
        raise ToolError("connection refused", "")

    began = time.monotonic()
    with pytest.raises(NotReadyError, match="orderer1 ended as soon as it was started"):
        until_it_works(fail, began + 60, lambda: "orderer1 ended as soon as it was started: panic")
    assert time.monotonic() - began < 5


def test_an_organisation_that_approved_without_a_package_has_none():
    assert package_of({"sequence": 1, "source": {"Type": {"Unavailable": {}}}}) is None
    assert package_of({"source": {"Type": {"LocalPackage": {"package_id": "fl_1.0:ab"}}}}) == "fl_1.0:ab"


def program(folder: Path, name: str, script: str) -> Tools:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return Tools({name: path})


def test_a_failing_program_is_quoted_with_its_last_error(tmp_path):
    tools = program(tmp_path, "peer", "echo 'Error: proposal failed with status: 500'; echo 'Usage: …'; exit 1")

    with pytest.raises(ToolError) as failed:
        tools.run("peer", "channel", "join", "-b", "/secret/path")
    assert failed.value.message == "peer channel join -b: Error: proposal failed with status: 500"


@pytest.mark.parametrize(("said", "version"), [("Version: 3.1.5", (3, 1, 5)), (" Version: v2.5.12", (2, 5, 12))])
def test_the_version_is_what_the_program_says(said, version, tmp_path):
    assert program(tmp_path, "peer", f"printf 'peer:\\n {said}\\n Commit SHA: x\\n'").version() == version


def test_a_program_that_says_no_version_is_refused(tmp_path):
    with pytest.raises(ToolError, match="which is no version"):
        program(tmp_path, "peer", "echo hello").version()


@pytest.mark.parametrize(
    ("script", "calls"),
    [
        ("""echo "Status: 200"; echo '{"name": "fl"}'""", ["list"]),
        ("""case "$*" in *"channel list"*) echo "Status: 404";; *) echo "Status: 201";; esac""", ["list", "join"]),
    ],
)
def test_an_orderer_joins_unless_it_has(script, calls, home):
    tools = program(home.root, "osnadmin", f'echo "$2" >> {home.root}/calls; {script}')
    consortium = Consortium.default(1)
    topology = Topology.of(consortium, dict.fromkeys(local_ports(consortium), 20_000))

    Admission(tools, "fl", home, time.monotonic() + 5, lambda: "").orderer(topology.orderers[0])

    assert (home.root / "calls").read_text().split() == calls


def test_an_orderer_that_refuses_is_a_failure_although_osnadmin_ends_with_code_0(home):
    tools = program(home.root, "osnadmin", "echo 'Status: 400'")
    consortium = Consortium.default(1)
    topology = Topology.of(consortium, dict.fromkeys(local_ports(consortium), 20_000))

    with pytest.raises(NotReadyError, match="orderer1 does not join fl: status 400"):
        Admission(tools, "fl", home, time.monotonic() + 0.3, lambda: "").orderer(topology.orderers[0])


def test_a_shell_that_acts_as_one_organisation_configures_no_node():
    environ = {"PATH": "/bin", "CORE_PEER_ADDRESS": "x", "FABRIC_CFG_PATH": "y", "ORDERER_CA": "z", "CHAINCODE_ID": "w"}

    assert program_environment(environ) == {"PATH": "/bin"}


def alone(home, peers, *own, seconds=5.0):
    """A machine that acts for some of three organisations."""
    consortium = Consortium.default(3)
    topology = Topology.of(consortium, {name: 20_000 + index for index, name in enumerate(local_ports(consortium))})
    return Deployment(peers, "fl", topology, home, time.monotonic() + seconds, lambda: "", topology.part(own))


def test_an_organisation_on_its_own_machine_acts_for_itself_and_waits_for_a_majority(home, peers):
    with pytest.raises(NotReadyError, match="definition waits for the approval of org2, org3"):
        alone(home, peers, "org1", seconds=0.3).deploy(package("fl"))
    assert peers.did == [("install", "Org1MSP"), ("approve 1", "Org1MSP")]

    assert alone(home, peers, "org3").deploy(package("fl")) == 1

    assert peers.did[2:] == [("install", "Org3MSP"), ("approve 1", "Org3MSP"), ("commit 1", "Org3MSP")]
    assert peers.endorsed == ["localhost:7051", "localhost:7071"], "who has not approved endorses no commit"


def test_an_organisation_that_comes_later_approves_what_is_committed(home, peers):
    alone(home, peers, "org1", "org2").deploy(package("fl"))
    before = len(peers.did)

    assert alone(home, peers, "org3").deploy(package("fl")) == 1

    assert peers.did[before:] == [("install", "Org3MSP"), ("approve 1", "Org3MSP")]
