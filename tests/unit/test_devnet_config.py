"""The configuration file: what it may say, and how it says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fabric_fl.devnet.__main__ import _chaincodes
from fabric_fl.devnet.chaincode import ChaincodeServer
from fabric_fl.devnet.config import ChaincodeConfig, DevnetConfig, InvalidConfig
from fabric_fl.devnet.definitions import configured_chaincodes
from fabric_fl.fabric import policydsl
from fabric_fl.fabric.channel.channelconfig import BatchSettings

MINIMAL = {
    "schema": 1,
    "output": "/tmp/net",
    "organisations": [{"name": "org1", "msp_id": "Org1MSP"}, {"name": "org2", "msp_id": "Org2MSP"}],
}
CHAINCODE = {"name": "kv", "addresses": {"Org1MSP": "127.0.0.1:7052"}}


def read(**changes: object) -> DevnetConfig:
    return DevnetConfig.from_json(json.dumps({**MINIMAL, **changes}))


def test_little_needs_to_be_said():
    config = read()
    assert config.channel == "fl"
    assert config.state is None
    assert config.endorsement == "majority"
    assert config.batch.timeout == 0
    assert [each.peer_port for each in config.organizations] == [0, 0]


def test_a_configuration_is_read_as_it_was_written():
    tls = ChaincodeServer("h:1", "kv_1.0", root_cert="ROOT", client_cert="CERT", client_key="KEY")
    config = DevnetConfig.default(
        Path("/tmp/home"),
        3,
        chaincodes=(ChaincodeConfig("kv", {"Org2MSP": tls}, version="2", sequence=4, init_required=True),),
        client_attributes={"role": "x"},
        endorsement="any",
        batch=BatchSettings(timeout=0.25),
        execution="once",
        control_port=0,
    )
    assert DevnetConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"schema": 2}, "schema: this devnet reads version 1, not 2"),
        ({"colour": "red"}, "colour: unknown field"),
        ({"organisations": []}, "at least one is needed"),
        ({"organisations": [{"name": "org1"}]}, "msp_id"),
        ({"organisations": [{"name": "Org 1", "msp_id": "A"}]}, "'Org 1' is no host name"),
        ({"organisations": 2 * [{"name": "org1", "msp_id": "A"}]}, "two have the same name"),
        ({"organisations": [{"name": "a", "msp_id": "A"}, {"name": "b", "msp_id": "A"}]}, "two have the same MSP id"),
        (
            {"organisations": [{"name": "a", "msp_id": "A", "peer_port": "7051"}]},
            "peer_port: '7051' has the wrong type",
        ),
        ({"organisations": [{"name": "a", "msp_id": "A", "peer_port": True}]}, "peer_port: True has the wrong type"),
        ({"organisations": [{"name": "a", "msp_id": "A", "peer_port": 7, "ca_port": 7}]}, "ports: one is given twice"),
        ({"organisations": ["org1"]}, r"organisations\[0\]"),
        ({"channel": "FL"}, "'FL' is no channel's name"),
        ({"execution": "twice"}, "execution: either"),
        ({"output": None}, "output: None has the wrong type"),
        (
            {"chaincodes": [{**CHAINCODE, "addresses": {"Org9MSP": "h:1"}}]},
            "kv names Org9MSP, which is no organisation",
        ),
        ({"chaincodes": [{**CHAINCODE, "addresses": {"Org1MSP": 7052}}]}, "the address of Org1MSP must be"),
        ({"chaincodes": [{**CHAINCODE, "addresses": {"Org1MSP": {"tls_required": True}}}]}, "address not provided"),
        ({"batch": {"max": 1}}, "batch.max: unknown field"),
        ({"client_attributes": {"a": 1}}, "client_attributes.a: 1 has the wrong type"),
    ],
)
def test_what_is_wrong_is_named(changes, text):
    with pytest.raises(InvalidConfig, match=text):
        read(**changes)


def test_what_is_no_json_says_so():
    with pytest.raises(InvalidConfig, match="no JSON"):
        DevnetConfig.from_json("{")
    with pytest.raises(InvalidConfig, match="an object is needed"):
        DevnetConfig.from_json("[]")


def policy_of(endorsement: str) -> str:
    config = read(chaincodes=[CHAINCODE], endorsement=endorsement)
    definition = configured_chaincodes(config)["kv"].definition
    parameter = definition.validation_parameter
    if endorsement == "majority":
        assert b"/Channel/Application/Endorsement" in parameter
        return "majority"
    from fabric_protos.peer import policy_pb2

    return policydsl.to_string(policy_pb2.ApplicationPolicy.FromString(parameter).signature_policy)


def test_an_endorsement_policy_has_a_name_or_is_written_out():
    assert policy_of("majority") == "majority"
    assert policydsl.parse(policy_of("all")) == policydsl.parse("AND('Org1MSP.peer', 'Org2MSP.peer')")
    assert policydsl.parse(policy_of("any")) == policydsl.parse("OR('Org1MSP.peer', 'Org2MSP.peer')")
    assert policydsl.parse(policy_of("OR('Org2MSP.peer')")) == policydsl.parse("OR('Org2MSP.peer')")
    with pytest.raises(InvalidConfig, match="endorsement"):
        policy_of("NOT('Org1MSP.peer')")


def test_a_chaincodes_own_policy_is_stronger_than_the_general_one():
    config = read(chaincodes=[{**CHAINCODE, "endorsement": "any"}, {**CHAINCODE, "name": "other"}])
    one, other = configured_chaincodes(config).values()
    assert one.definition.validation_parameter != other.definition.validation_parameter


def test_chaincodes_are_named_on_the_command_line():
    (kv,) = _chaincodes(["kv@org1=127.0.0.1:1", "kv@org3=127.0.0.1:3"])
    assert kv == ChaincodeConfig(
        "kv", {"Org1MSP": ChaincodeServer("127.0.0.1:1"), "Org3MSP": ChaincodeServer("127.0.0.1:3")}
    )


@pytest.mark.parametrize("text", ["kv", "kv@org1", "kv@=h:1", "@org1=h:1", "kv@hospital=h:1"])
def test_a_chaincode_that_is_named_wrongly_shows_how(text):
    with pytest.raises(InvalidConfig, match="NAME@ORG=ADDRESS is needed"):
        _chaincodes([text])
