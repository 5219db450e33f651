"""Every command of docs/audit.md, run in one shell on both engines; each block prints what the page says."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fabric_programs import needs_fabric
from task_processes import finish, running_network

from fabric_fl.fabric.ca import CAClient
from fabric_fl.fabric.mspdir import write_msp_dir
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.network.consortium import Consortium
from fabric_fl.network.engine import find_program

pytestmark = needs_fabric

PAGE = Path(__file__).parents[2] / "docs" / "audit.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(PAGE.read_text())
MARK = "=== end of block ==="


@pytest.fixture(params=["devnet", "fabric"], scope="module")
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with a network on which a task has run, and an auditor's identity."""
    tmp_path = tmp_path_factory.mktemp(request.param)
    consortium = Consortium.default(3).on_free_ports()
    with running_network(tmp_path / ".network", consortium, request.param) as network:
        network.create_task("task-1")
        finish([network.start(index, "task-1") for index in range(3)])
        # the newest block holds one transaction: two organisations may have settled the last round in one block
        network.ledgers["Org1MSP"].register("Hospital 1")
        enrol_auditor(tmp_path / ".network" / "org3", tmp_path / "auditor" / "msp")
        yield tmp_path


def enrol_auditor(organisation: Path, msp: Path) -> None:
    profile = ConnectionProfile.load(organisation)
    client = CAClient(profile.authority, profile.msp_id)
    registrar = client.enroll(*profile.authority.registrar)
    secret = client.register(registrar, "auditor", attributes={"fl.roles": "auditor"})
    tls = [profile.authority.tls_ca_certs]
    write_msp_dir(msp, ca_certs=[client.ca_certificates()], tls_ca_certs=tls, signer=client.enroll("auditor", secret))


def pattern(printed: str) -> re.Pattern[str]:
    """Returns what matches a block's output; … stands for anything within a line."""
    return re.compile(".*".join(re.escape(part) for part in printed.strip().split("…")))


def test_every_command_of_the_audit_page_prints_what_the_page_says(folder: Path) -> None:
    programs = {str(find_program(name, os.environ).parent) for name in ("peer", "configtxgen")}
    script = "set -u\n" + "".join(f"{commands}\necho '{MARK}'\n" for commands, _ in BLOCKS)

    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={"PATH": os.pathsep.join([*sorted(programs), "/usr/bin", "/bin"]), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert len(BLOCKS) >= 8
    outputs = done.stdout.split(f"{MARK}\n")[:-1]
    assert len(outputs) == len(BLOCKS), done.stderr
    for (commands, expected), output in zip(BLOCKS, outputs, strict=True):
        # peer ends what it prints with an empty line in some versions
        said = "\n".join(line for line in output.splitlines() if line.strip())
        assert pattern(expected).fullmatch(said), f"{commands}\nprinted\n{output}\nand to stderr\n{done.stderr}"


def test_without_the_stock_cli_fabric_fl_audit_prints_the_same_records(folder: Path) -> None:
    programs = os.pathsep.join(sorted({str(find_program(name, os.environ).parent) for name in ("peer", "configtxgen")}))
    home = folder / ".network"

    def shell(script: str, organisation: str = "org3") -> str:
        entered = f". .network/{organisation}/env; export FABRIC_LOGGING_SPEC=error PATH={programs}:$PATH; {script}"
        return subprocess.run(["bash", "-euc", entered], cwd=folder, capture_output=True, text=True, check=True).stdout

    def ask(*args: str) -> object:
        return json.loads(shell(f"peer chaincode query -C fl -n fl -c '{json.dumps({'Args': args})}'"))

    heights = [shell("peer channel getinfo -c fl", name) for name in ("org1", "org2", "org3")]
    command = [
        str(Path(sys.executable).with_name("fabric-fl")),
        "audit",
        "records",
        "task-1",
        "--profile",
        home / "org3",
    ]
    without = {**os.environ, "PATH": "/nowhere", "FABRIC_BIN": ""}
    printed = subprocess.run(command, cwd=folder, env=without, capture_output=True, text=True, check=False)
    assert printed.returncode == 0, printed.stderr
    found = json.loads(printed.stdout)

    assert list(found["chain"].values()) == [json.loads(one.removeprefix("Blockchain info: ")) for one in heights]
    committed = json.loads(shell("peer lifecycle chaincode querycommitted -C fl -n fl -O json"))
    assert found["definition"] == {name: committed[name] for name in ("version", "sequence", "approvals")}
    assert found["task"] == ask("tasks:Read", "task-1")
    assert found["rounds"] == [ask("rounds:Read", "task-1", number) for number in ("1", "2")]
    assert found["attestations"] == {number: ask("attestations:List", "task-1", number) for number in ("1", "2")}
    assert found["models"] == [ask("models:Read", "task-1", j) for j in ("0", "1", "2")]
    assert found["scores"] == ask("scores:List", "task-1")
    members = ("Org1MSP", "Org2MSP", "Org3MSP")
    assert found["balances"] == {msp_id: ask("tokens:BalanceOf", msp_id) for msp_id in members}
    assert found["supply"] == ask("tokens:TotalSupply")
    shell("peer channel fetch newest newest.block -c fl")
    inspected = shell("configtxgen -inspectBlock newest.block")
    newest = found["newest"]
    # a transaction's event names it too
    shown = list(dict.fromkeys(re.findall(r'"tx_id": "([0-9a-f]+)"', inspected)))
    assert [one["id"] for one in newest["transactions"]] == shown
    assert {one["code"] for one in newest["transactions"]} == {"VALID"}
    certificates = [
        re.search(rb"-----BEGIN.*", base64.b64decode(one), re.DOTALL).group().decode()
        for one in re.findall(r'"endorser": "([^"]+)"', inspected)
    ]
    assert [one["certificate"] for each in newest["transactions"] for one in each["endorsers"]] == certificates
    assert certificates
