"""Connections from profiles and from the environment."""

import json
import time

import pytest
from cryptography.hazmat.primitives import serialization
from gateway_server import GatewayServer

from fabric_fl.fabric.profile import ConnectionProfile, ProfileError
from fabric_fl.gateway import EvaluateError, connect, connect_from_environment, open_channel


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


def test_a_peer_that_was_away_for_seconds_is_found_again_within_one(folder, server):
    """gRPC's own back-off would by then wait for longer than the peer was away."""
    with connect(folder) as gateway:
        contract = gateway.network("fl").contract("kv")
        assert contract.evaluate("Get") == b"result of Get"
        server.stop()
        away_until = time.monotonic() + 4
        while time.monotonic() < away_until:
            with pytest.raises(EvaluateError, match="UNAVAILABLE"):
                contract.evaluate("Get")
            time.sleep(0.2)
        back = GatewayServer().start(int(server.address.rpartition(":")[2]))
        try:
            answered = time.monotonic()
            while True:
                try:
                    contract.evaluate("Get")
                    break
                except EvaluateError:
                    assert time.monotonic() - answered < 2.5, "a second at most between attempts"
                    time.sleep(0.02)
        finally:
            back.stop()


def test_idle_connections_are_kept_alive_less_often_than_peers_forbid(monkeypatch, folder):
    """A peer hangs up on who pings more than once a minute; without pings a dead connection looks alive for hours."""
    given = {}
    monkeypatch.setattr("grpc.insecure_channel", lambda _address, options: given.update(options))

    open_channel(ConnectionProfile.load(folder).peer)

    assert 60_000 < given["grpc.keepalive_time_ms"] < 120_000
    assert given["grpc.keepalive_timeout_ms"] <= 20_000
    assert given["grpc.max_receive_message_length"] == given["grpc.max_send_message_length"] == 100 * 1024 * 1024
