"""The chaincode's package and the external builder that every peer runs on it."""

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from fabric_fl.network import Consortium
from fabric_fl.network.fabric import connections, programs
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.package import package, rules_digest
from fabric_fl.network.home import Home

BUILDER = Path(programs.__file__).with_name("ccaas_builder") / "bin"


def files(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
        return {entry.name: opened.extractfile(entry).read() for entry in opened}


def test_a_package_holds_a_name_a_digest_and_nothing_else():
    outer = files(package("fl", "ab12").content)

    assert json.loads(outer["metadata.json"]) == {"label": "fl_1.0", "type": "ccaas"}
    inner = files(outer["code.tar.gz"])
    assert {name: json.loads(content) for name, content in inner.items()} == {
        "chaincode.json": {"name": "fl", "source": "ab12"}
    }


def test_equal_rules_give_equal_packages_and_other_rules_another():
    assert package("fl", "ab12") == package("fl", "ab12")
    assert len({package("fl", "ab12").id, package("fl", "ab13").id, package("fl").id, package("kv").id}) == 4


def test_the_digest_is_of_the_contract_that_is_installed(tmp_path, monkeypatch):
    here = rules_digest()
    for name in ("fl_chaincode", "fabric_ccaas"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
        monkeypatch.delitem(sys.modules, name, raising=False)  # what is imported already is not looked for again
    monkeypatch.syspath_prepend(tmp_path)

    elsewhere = rules_digest()
    (tmp_path / "fl_chaincode" / "rule.py").write_text("forged = True\n")

    assert len({here, elsewhere, rules_digest()}) == 3


@pytest.fixture
def built(tmp_path):
    """Returns a function that has a package go through detect and build, as a peer does."""

    def build(archive: bytes) -> Path:
        for folder in ("source", "metadata", "built", "released"):
            (tmp_path / folder).mkdir()
        outer = files(archive)
        (tmp_path / "metadata" / "metadata.json").write_bytes(outer["metadata.json"])
        for name, content in files(outer["code.tar.gz"]).items():
            (tmp_path / "source" / name).write_bytes(content)
        run("detect", tmp_path / "source", tmp_path / "metadata").check_returncode()
        run("build", tmp_path / "source", tmp_path / "metadata", tmp_path / "built").check_returncode()
        return tmp_path

    return build


def run(step: str, *arguments: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BUILDER / step, *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_release_puts_in_address_and_keys_that_are_this_peers_own(built, tmp_path):
    folder = built(package("fl", "ab12").content)
    layout = Layout.of(Home.at(tmp_path / "home"))
    own = Consortium.default(2).organisations[1]
    client = layout.chaincode("org2") / "client"
    client.mkdir(parents=True)
    for name, text in (("server.key", "KEY"), ("server.crt", "CERTIFICATE"), ("ca.crt", "ROOT")):
        (client / name).write_text(text)
    connections.write_trusted("fl", own, layout)

    run(
        "release",
        *(folder / "built", folder / "released"),
        FABRIC_FL_CCAAS=str(layout.chaincode("org2") / "connections"),
    ).check_returncode()

    released = folder / "released" / "chaincode" / "server" / "connection.json"
    assert json.loads(released.read_text()) == {
        "address": "localhost:7062",
        "dial_timeout": "5s",
        "tls_required": True,
        "client_auth_required": True,
        "client_key": "KEY",
        "client_cert": "CERTIFICATE",
        "root_cert": "ROOT",
    }
    assert released.stat().st_mode & 0o077 == 0


def test_a_peer_that_does_not_know_the_address_refuses_with_a_sentence(built, tmp_path):
    folder = built(package("kv").content)

    done = run("release", folder / "built", folder / "released", FABRIC_FL_CCAAS=str(tmp_path))

    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}/kv.json does not exist: this peer does not know where the chaincode kv listens\n"


def test_packages_of_other_kinds_are_left_to_other_builders(tmp_path):
    (tmp_path / "metadata.json").write_text('{"label": "x", "type": "golang"}')
    (tmp_path / "chaincode.json").write_text("{}")
    assert run("detect", tmp_path, tmp_path).returncode != 0

    (tmp_path / "metadata.json").write_text('{"label": "x", "type": "ccaas"}')
    assert run("detect", tmp_path, tmp_path).returncode == 0
    (tmp_path / "chaincode.json").unlink()
    assert run("detect", tmp_path, tmp_path).returncode != 0
