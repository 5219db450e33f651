"""What `fabric-fl network` refuses before it starts anything."""

import json

import pytest
from click.testing import CliRunner

from fabric_fl.cli import main


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, **variables: str):
        return CliRunner().invoke(main, ["network", *arguments], env={"ENGINE": None, **variables})

    return run


def test_a_mistake_in_the_consortium_file_is_an_error_with_line_and_remedy(call, tmp_path):
    (tmp_path / "network").mkdir()
    (tmp_path / "network" / "consortium.yaml").write_text("schema: 1\nchannel: FL\norganisations: []\norderers: []\n")

    result = call("up")

    assert result.exit_code == 1
    assert result.stdout == ""
    sentence, remedy = result.stderr.splitlines()
    assert (
        sentence
        == "error FL-NETWORK-CONSORTIUM: network/consortium.yaml, line 4: orderers: expected 1 to 5 entries, found 0"
    )
    assert remedy.startswith("Correct that line")
    assert not (tmp_path / ".network").exists()


def test_the_fabric_engine_says_in_a_sentence_what_is_missing(call, tmp_path):
    result = call("up", "--orgs", "2", ENGINE="fabric", PATH="", FABRIC_BIN="")

    assert result.exit_code == 1
    assert result.stderr.startswith("error FL-NETWORK-ENGINE: peer, orderer, configtxgen, osnadmin, fabric-ca-server")
    assert "peer, orderer, configtxgen, osnadmin, fabric-ca-server, fabric-ca-client not found" in result.stderr
    assert not (tmp_path / ".network").exists()


@pytest.mark.parametrize("chaincode", ["fl", "fl@org1", "fl@=host:1", "@org1=host:1", "fl@org1="])
def test_a_chaincode_that_is_not_name_organisation_and_address_is_a_usage_error(call, chaincode):
    result = call("up", "--chaincode", chaincode)

    assert result.exit_code == 2
    assert "is not NAME@ORG=ADDRESS" in result.stderr


def test_a_number_of_organisations_and_a_file_exclude_each_other(call):
    result = call("up", "--orgs", "2", "--consortium", "mine.yaml")

    assert result.exit_code == 2
    assert "--orgs and --consortium exclude each other" in result.stderr


def test_down_without_a_network_says_so_and_creates_nothing(call, tmp_path):
    result = call("down", "--format", "json")

    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"home": ".network", "was_running": False}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("status",), ("restart", "devnet"), ("logs",)])
def test_without_a_network_there_is_nothing_to_show(call, command):
    result = call(*command)

    assert result.exit_code == 1
    assert result.stderr.startswith("error FL-NETWORK-NONE: ")
    assert result.stderr.splitlines()[1].startswith("Start one with `fabric-fl network up`")
