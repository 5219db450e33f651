"""docs/operations.md on several machines: companies that share nothing but the files which the page has them send."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fabric_programs import needs_fabric
from machines import Machine, machines, why_not
from operators_page import blocks, example
from task_processes import finish, running_network

from fabric_fl.network.consortium import Consortium
from fabric_fl.network.engine import FABRIC_PROGRAMS, find_program
from fabric_fl.network.home import Home
from fabric_fl.network.supervision import Supervisor

_WHY_NOT = why_not()
pytestmark = [
    *needs_fabric,
    pytest.mark.skipif(bool(_WHY_NOT), reason=f"several machines were not tried: {_WHY_NOT}"),
]

HERE = Path(__file__).parent
FOUNDERS = ("org1", "org2", "org3")
NEWCOMER = "org4"
MEMBER = """\
  - name: org4
    msp_id: Org4MSP
    peers: [node.org4.example:7051]
    ca: node.org4.example:7054
    chaincode: node.org4.example:7052
    blobs: http://node.org4.example:8080
"""


@dataclass
class Company:
    """An organisation and its machine."""

    name: str
    machine: Machine

    def shell(self, script: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.machine.run("bash", "-euc", script, check=check, **self.environment)

    @property
    def environment(self) -> dict[str, str]:
        programs = {str(path.parent) for name in FABRIC_PROGRAMS if (path := find_program(name, os.environ))}
        path = os.pathsep.join([str(Path(sys.executable).parent), *sorted(programs), os.environ["PATH"]])
        return {"ENGINE": "fabric", "ORG": self.name, "PATH": path, "FABRIC_LOGGING_SPEC": "error"}

    def agree(self, consortium: str) -> None:
        (self.machine.folder / "network").mkdir(exist_ok=True)
        (self.machine.folder / "network" / "consortium.yaml").write_text(consortium)

    def send(self, other: Company, file: str) -> None:
        """What mail does between companies."""
        (other.machine.folder / file).write_bytes((self.machine.folder / file).read_bytes())

    def status(self) -> dict[str, Any]:
        return json.loads(self.shell("fabric-fl network status --format json || true").stdout)

    @property
    def problem(self) -> str:
        (own,) = self.status()["organisations"]
        return own["problem"]

    def asks(self, msp: str) -> subprocess.CompletedProcess[str]:
        """Has an identity of this company's ask for the chain's height."""
        script = f'. .network/$ORG/env; export CORE_PEER_MSPCONFIGPATH="$PWD/{msp}"; peer channel getinfo -c fl'
        return self.shell(script, check=False)


class Companies(dict[str, Company]):
    """By name; `prelude` is the shell of an administrator as the page sets it up."""

    prelude = ""

    def carry_out(self, heading: str, everybody: Sequence[str] = FOUNDERS) -> None:
        """Runs the commands under a heading of the page, all who run a block at the same time."""
        for block in blocks(heading, tuple(everybody)):
            running = [
                self[who].machine.start("bash", "-euc", self.prelude + block.script, **self[who].environment)
                for who in block.who
            ]
            for process in running:
                printed, errors = process.communicate(timeout=170)
                assert process.returncode == 0, f"{heading}: {block.script}\n{printed}\n{errors}"
            for who in block.who:
                for file, receivers in block.sent:
                    for receiver in receivers:
                        if receiver != who:
                            self[who].send(self[receiver], file.replace("$ORG", who))


@pytest.fixture(scope="module")
def companies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companies]:
    names = (*FOUNDERS, NEWCOMER)
    with ExitStack() as stack:
        made = stack.enter_context(machines(tmp_path_factory.mktemp("m"), [f"node.{name}.example" for name in names]))
        companies = Companies({name: Company(name, machine) for name, machine in zip(names, made, strict=True)})
        for one in companies.values():
            one.agree(example())
            stack.callback(one.shell, "fabric-fl network down --wipe", check=False)
        yield companies


@pytest.fixture(scope="module")
def founded(companies: Companies) -> Companies:
    """The channel is there, as the page says."""
    companies.carry_out("Founding the channel")
    (shell,) = blocks("Changing the channel", FOUNDERS)
    companies.prelude = shell.script
    return companies


def test_each_machine_runs_its_own_part_and_holds_nobody_elses_key(founded: Companies) -> None:
    for name in FOUNDERS:
        one = founded[name]
        shown = one.status()
        assert [process["name"] for process in shown["processes"]] == [
            f"{kind}-{name}" for kind in ("ca", "fl", "orderer0", "peer0")
        ]
        assert [(each["name"], each["endorses"]) for each in shown["organisations"]] == [(name, True)]
        keys = one.shell("grep -rl 'PRIVATE KEY' .").stdout.splitlines()
        assert any(name in path for path in keys)
        assert not [path for path in keys if any(other in path for other in FOUNDERS if other != name)]
        assert not [path for path in keys if path.endswith(".json") and path.count("/") == 1]


def test_a_first_block_that_founds_another_channel_than_agreed_is_not_taken(founded: Companies) -> None:
    """The founder cannot slip in a policy: everybody renders the configuration for themselves."""
    founder, other = founded["org1"], founded["org2"]
    (founder.machine.folder / "forged.yaml").write_text(example().replace("fl\n", "fl\nendorsement: any\n", 1))
    program = HERE / "forged_block.py"
    founder.shell(f"python {program} forged.yaml org1.json > forged.json")
    founder.send(other, "forged.json")
    block = ".network/fabric/genesis.block"

    refused = other.shell(f"mv {block} kept; fabric-fl network import forged.json", check=False)
    other.shell(f"test ! -e {block}; mv kept {block}")

    assert refused.returncode == 1
    assert "the first block holds another configuration than consortium.yaml and the parts here give" in refused.stderr


def test_a_task_across_machines_commits_the_digests_of_devnet(
    founded: Companies, tmp_path: Path, record_property
) -> None:
    task, members = "across", [founded[name] for name in FOUNDERS]
    with ExitStack() as stack:
        for one in members:
            # a company's web server
            command = ("-m", "http.server", "8080", "--directory", f".network/{one.name}/blobs")
            serving = one.machine.start(sys.executable, *command)
            stack.callback(serving.communicate)
            stack.callback(serving.kill)
        members[0].shell(f"python {HERE / 'coordinator_process.py'} .network/org1 {task}")
        running = [
            one.machine.start(
                sys.executable, str(HERE / "organisation_process.py"), f".network/{one.name}", str(index), task
            )
            for index, one in enumerate(members)
        ]
        across = finish(running)

    with running_network(tmp_path / "devnet", Consortium.default(3).on_free_ports(), "devnet") as devnet:
        devnet.create_task(task)
        on_devnet = finish([devnet.start(index, task) for index in range(3)])
    record_property("digest_across_machines", ", ".join(across))
    assert across == on_devnet


def test_a_revoked_certificate_counts_until_the_channel_knows(founded: Companies) -> None:
    company = founded["org2"]
    company.shell(f"python {HERE / 'enrol_process.py'} .network/org2 ward-7 ward/msp")
    assert company.asks("ward/msp").returncode == 0

    founded.carry_out("Revocation")

    deadline = time.monotonic() + 20
    while company.asks("ward/msp").returncode == 0 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert "access denied" in company.asks("ward/msp").stderr
    assert company.asks(".network/org2/msp").returncode == 0


def test_an_orderer_shows_a_new_certificate_that_the_others_know_already(founded: Companies) -> None:
    certificate = founded["org3"].machine.folder / ".network/fabric/orderer0-org3/tls/server.crt"
    before = certificate.read_bytes()

    founded.carry_out("An orderer's TLS certificate")

    assert certificate.read_bytes() != before
    # without org1's, the two others order only if they trust each other
    supervisor = Supervisor(Home.at(founded["org1"].machine.folder / ".network"))
    with supervisor._rpc() as rpc:
        rpc.stopProcess("orderer0-org1")
    try:
        register = 'fabric-fl participant register "Company 2" --profile .network/org2'
        deadline = time.monotonic() + 90  # org3's starts, notices that org1's is gone, and a leader is elected
        while (said := founded["org2"].shell(register, check=False)).returncode:
            assert time.monotonic() < deadline, said.stderr
    finally:
        supervisor.restart("orderer0-org1")


def test_an_organisation_joins_and_leaves(founded: Companies) -> None:
    for one in founded.values():
        one.agree(example() + MEMBER)

    founded.carry_out("Adding an organisation")

    for one in founded.values():
        assert one.problem == ""
    assert members_of(founded["org4"]) == ["Org1MSP", "Org2MSP", "Org3MSP", "Org4MSP"]

    for name in FOUNDERS:
        founded[name].agree(example())
    founded.carry_out("Removing an organisation")

    assert [founded[name].problem for name in FOUNDERS] == ["", "", ""]
    assert members_of(founded["org1"]) == ["Org1MSP", "Org2MSP", "Org3MSP"]
    founded["org4"].shell("fabric-fl network down")
    outside = founded["org1"].shell(
        ". .network/org1/env; peer channel fetch config - -c fl | strings | grep -c Org4MSP || true"
    )
    assert outside.stdout.strip() == "0"


def test_an_export_of_all_this_holds(founded: Companies) -> None:
    """Its channel was changed four times: a revocation, an orderer's certificate, a member who came and went."""
    company = founded["org1"]
    company.shell("fabric-fl audit export across across.tar --profile .network/org1")
    found = json.loads(company.shell("fabric-fl audit verify across.tar --format json").stdout)

    assert found["holds"], found["findings"]
    assert [one["identical"] for one in found["rounds"]] == [True, True]
    assert "Org4MSP" in found["roots"]


def members_of(company: Company) -> list[str]:
    query = """peer chaincode query -C fl -n fl -c '{"Args":["consortium:Read"]}'"""
    return json.loads(company.shell(f". .network/$ORG/env; export FABRIC_LOGGING_SPEC=error; {query}").stdout)[
        "organisations"
    ]
