"""Three companies, each on a machine of its own, that share nothing but the files which docs/operations.md names."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from fabric_programs import needs_fabric
from machines import Machine, machines, why_not
from task_processes import finish, running_network

from fabric_fl.network.consortium import Consortium

_WHY_NOT = why_not()
pytestmark = [
    *needs_fabric,
    pytest.mark.skipif(bool(_WHY_NOT), reason=f"several machines were not tried: {_WHY_NOT}"),
]

HERE = Path(__file__).parent
COMMAND = str(Path(sys.executable).with_name("fabric-fl"))
ORGANISATIONS = ("org1", "org2", "org3")
CONSORTIUM = """\
schema: 1
channel: fl
organisations:
""" + "".join(
    f"""\
  - name: {name}
    msp_id: {name.capitalize()}MSP
    peers: [node.{name}.example:7051]
    orderers: [node.{name}.example:7050]
    ca: node.{name}.example:7054
    chaincode: node.{name}.example:7052
    blobs: http://node.{name}.example:8080
"""
    for name in ORGANISATIONS
)


@dataclass
class Company:
    """An organisation and its machine."""

    name: str
    machine: Machine

    @property
    def profile(self) -> str:
        return f".network/{self.name}"

    def fl(self, *arguments: str, check: bool = True):
        return self.machine.run(COMMAND, *arguments, check=check, ENGINE="fabric")

    @property
    def up(self) -> tuple[str, ...]:
        return ("network", "up", "--org", self.name, "--consortium", "consortium.yaml")

    def send(self, other: Company, file: str) -> None:
        """What mail does between companies."""
        content = self.machine.run("cat", file).stdout
        other.machine.run("sh", "-c", 'printf "%s" "$1" > "$0"', file, content)


@pytest.fixture(scope="module")
def companies(tmp_path_factory) -> Iterator[list[Company]]:
    root = tmp_path_factory.mktemp("machines")
    with ExitStack() as stack:
        made = stack.enter_context(machines(root, [f"node.{name}.example" for name in ORGANISATIONS]))
        companies = [Company(name, machine) for name, machine in zip(ORGANISATIONS, made, strict=True)]
        for one in companies:
            (one.machine.folder / "consortium.yaml").write_text(CONSORTIUM)
            stack.callback(one.fl, "network", "down", "--wipe", check=False)
        yield companies


def test_each_company_prepares_its_part_and_takes_what_the_others_share(companies) -> None:
    founder, *others = companies
    for one in companies:
        prepared = one.fl(*one.up, check=False)
        assert prepared.returncode == 1
        assert f"{one.name} is prepared; what " in prepared.stderr
        one.fl("network", "share", f"{one.name}.json")
    for one in companies:
        rest = [other for other in companies if other is not one]
        for other in rest:
            other.send(one, f"{other.name}.json")
        one.fl("network", "import", *(f"{other.name}.json" for other in rest))
    assert (
        "the channel's first block, which org1 makes, is not here yet"
        in others[0].fl(*others[0].up, check=False).stderr
    )
    founder.fl("network", "share", "org1.json")
    for one in others:
        founder.send(one, "org1.json")
        one.fl("network", "import", "org1.json")

    for one in companies:
        for other in companies:
            shared = one.machine.run("cat", f"{other.name}.json").stdout
            assert "PRIVATE" not in shared
            assert set(json.loads(shared)) == {"schema", "consortium", "parts", "genesis"}


def test_a_block_that_founds_another_channel_than_agreed_is_not_taken(companies) -> None:
    """The founder cannot slip in a policy: everybody renders the configuration for themselves."""
    founder, one, _ = companies
    document = json.loads(founder.machine.run("cat", "org1.json").stdout)
    other = CONSORTIUM.replace("channel: fl\n", "channel: fl\nendorsement: any\n")
    (founder.machine.folder / "other.yaml").write_text(other)
    program = (
        "from fabric_fl.network.consortiumfile import load_consortium; from fabric_fl.network.sharing import *;"
        "from fabric_fl.network.sharing import _topology; from fabric_fl.network.fabric.channel import make_genesis;"
        "from pathlib import Path; import os, base64; place = Home.at('.network'); plan = load(place);"
        "tools = Tools({n: find_program(n, os.environ) for n in FABRIC_PROGRAMS}); layout = Layout.of(place);"
        "make_genesis(tools, load_consortium(Path('other.yaml')), _topology(plan, place), layout, Path('other.block'));"
        "print(base64.b64encode(Path('other.block').read_bytes()).decode())"
    )
    document["genesis"] = founder.machine.run(sys.executable, "-c", program).stdout.strip()
    one.machine.run("sh", "-c", "rm .network/fabric/genesis.block; cp org1.json kept.json")
    (founder.machine.folder / "forged.json").write_text(json.dumps(document))
    founder.send(one, "forged.json")

    refused = one.fl("network", "import", "forged.json", check=False)

    assert refused.returncode == 1
    assert "the first block holds another configuration than consortium.yaml and the parts here give" in refused.stderr
    one.fl("network", "import", "org1.json")


def test_a_task_across_machines_commits_the_digests_of_devnet(companies, tmp_path: Path, record_property) -> None:
    task = "across"
    with ExitStack() as stack:
        for one in companies:
            # what a web server does that only the other companies reach
            serving = one.machine.start(
                *(sys.executable, "-m", "http.server", "8080", "--directory", f"{one.profile}/blobs")
            )
            stack.callback(serving.communicate)
            stack.callback(serving.kill)
        starting = [one.machine.start(COMMAND, *one.up, ENGINE="fabric") for one in companies]
        for process in starting:
            _, said = process.communicate(timeout=170)
            assert process.returncode == 0, said
        for one in reversed(companies):
            tasks = [task] if one is companies[0] else []
            one.machine.run(sys.executable, str(HERE / "coordinator_process.py"), one.profile, *tasks)
        processes = [
            one.machine.start(sys.executable, str(HERE / "organisation_process.py"), one.profile, str(index), task)
            for index, one in enumerate(companies)
        ]
        across = finish(processes)

    with running_network(tmp_path / "devnet", Consortium.default(3).on_free_ports(), "devnet") as devnet:
        devnet.create_task(task)
        on_devnet = finish([devnet.start(index, task) for index in range(3)])
    record_property("digest_across_machines", ", ".join(across))
    assert across == on_devnet


def test_each_machine_runs_and_knows_its_own_part_alone(companies) -> None:
    for one in companies:
        shown = json.loads(one.fl("network", "status", "--format", "json").stdout)
        assert [process["name"] for process in shown["processes"]] == [
            f"{kind}-{one.name}" for kind in ("ca", "fl", "orderer0", "peer0")
        ]
        assert [(each["name"], each["endorses"]) for each in shown["organisations"]] == [(one.name, True)]
        keys = one.machine.run("grep", "-rl", "PRIVATE KEY", ".").stdout.splitlines()
        others = [other.name for other in companies if other is not one]
        assert keys
        assert not [path for path in keys if any(name in path for name in others)]
