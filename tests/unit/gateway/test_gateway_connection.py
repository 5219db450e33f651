"""Connections from profiles and from the environment."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from gateway_server import GatewayServer

from fabric_fl.fabric.profile import ProfileError
from fabric_fl.gateway import connect, connect_from_environment


@pytest.fixture
def folder(tmp_path, identity, server):
    """What `network up` writes for an organisation, without TLS."""
    key = identity.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for name, content in (("signcerts/cert.pem", identity.identity.certificate_pem), ("keystore/key.pem", key)):
        path = tmp_path / "msp" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    write_profile(tmp_path, server)
    return tmp_path


def write_profile(folder, *servers):
    names = [f"peer{number}" for number in range(len(servers))]
    profile = {
        "client": {"organization": "Org1"},
        "organizations": {"Org1": {"mspid": "Org1MSP", "peers": names}},
        "peers": {name: {"url": f"grpc://{server.address}"} for name, server in zip(names, servers, strict=True)},
    }
    (folder / "connection.json").write_text(json.dumps(profile))


def test_an_organisations_folder_is_all_that_is_needed(folder, identity):
    with connect(folder) as gateway:
        assert gateway.identity == identity.identity
        assert gateway.network("fl").contract("kv").submit("Put") == b"result of Put"


def test_with_several_peers_the_gateway_goes_on_to_the_next(folder, server):
    second = GatewayServer().start()
    write_profile(folder, server, second)
    try:
        with connect(folder) as gateway:
            server.stop()
            assert gateway.network("fl").contract("kv").submit("Put") == b"result of Put"
    finally:
        second.stop()


def test_the_connection_is_closed_in_the_end(folder):
    with connect(folder) as gateway:
        contract = gateway.network("fl").contract("kv")
    with pytest.raises(ValueError, match="closed channel"):
        contract.evaluate("Get")


def test_an_organisation_without_a_peer_is_an_error_that_names_the_file(folder):
    write_profile(folder)
    with pytest.raises(ProfileError, match=r"connection\.json.*no peer"), connect(folder):
        pass


def test_the_variables_of_the_peer_cli_are_enough(folder, server):
    environ = {
        "CORE_PEER_ADDRESS": server.address,
        "CORE_PEER_LOCALMSPID": "Org1MSP",
        "CORE_PEER_MSPCONFIGPATH": str(folder / "msp"),
        "CORE_PEER_TLS_ENABLED": "false",
    }
    with connect_from_environment(environ) as gateway:
        assert gateway.network("fl").contract("kv").evaluate("Get") == b"result of Get"
    for name in ("CORE_PEER_ADDRESS", "CORE_PEER_LOCALMSPID", "CORE_PEER_MSPCONFIGPATH"):
        lacking = {key: value for key, value in environ.items() if key != name}
        with pytest.raises(ProfileError, match=name), connect_from_environment(lacking):
            pass
    with (
        pytest.raises(ProfileError, match="signcerts"),
        connect_from_environment(environ | {"CORE_PEER_MSPCONFIGPATH": str(folder / "no")}),
    ):
        pass
