"""A stock script deploys a chaincode as a service with Fabric's own `peer`, on devnet as on Fabric."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fabric_fl.gateway import Contract, EndorseError
from fabric_fl.network.engine import find_program
from fabric_fl.network.ports import free_ports
from fabric_fl.testing import Network

KV = (sys.executable, str(Path(__file__).parents[1] / "conformance" / "kv_contract.py"))
SCRIPT = Path(__file__).with_name("deploy_ccaas.sh")
PEER = find_program("peer", os.environ)

pytestmark = [
    pytest.mark.fabric,
    pytest.mark.skipif(
        PEER is None, reason="Fabric's peer is not on PATH or in FABRIC_BIN: no script deployed with it"
    ),
]


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network(2, chaincode="kv", command=KV) as network:
        yield network


def deploy(network: Network, name: str, address: str, sequence: int, *organisations: str) -> str:
    command = [SCRIPT, PEER, network.directory, name, address, str(sequence), *organisations]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    if finished.returncode:
        raise RuntimeError(finished.stderr)
    return finished.stdout.strip()


@contextmanager
def chaincode(identifier: str, address: str) -> Iterator[None]:
    environment = {**os.environ, "CHAINCODE_ID": identifier, "CHAINCODE_SERVER_ADDRESS": address}
    process = subprocess.Popen(KV, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        while "listens on" not in process.stderr.readline():
            assert process.poll() is None
        yield
    finally:
        process.terminate()
        process.communicate()


def test_what_the_script_deploys_is_there_for_every_client_and_can_be_upgraded(network: Network) -> None:
    first, second = (f"127.0.0.1:{port}" for port in free_ports(2))
    with network.gateway("org2") as gateway:
        channel = gateway.network("fl")
        contract: Contract = channel.contract("later")
        identifier = deploy(network, "later", first, 1, "org1", "org2")
        with pytest.raises(EndorseError, match=r"ABORTED|FAILED_PRECONDITION"):
            contract.submit("Put", "k", "v")  # it is defined, and nobody listens there yet
        with chaincode(identifier, first):
            contract.submit("Put", "k", "v")
            assert contract.evaluate("Get", "k") == b"v"
            assert channel.contract("kv").evaluate("Call", "later", "Get", "k") == b"v"

        upgraded = deploy(network, "later", second, 2, "org1", "org2")
        assert upgraded != identifier
        with chaincode(upgraded, second):
            assert contract.evaluate("Get", "k") == b"v"  # the state stays
            assert contract.submit("Increment", "n") == b"1"


def test_a_definition_that_a_majority_has_not_approved_is_not_committed(network: Network) -> None:
    (port,) = free_ports(1)
    with pytest.raises(RuntimeError, match="ENDORSEMENT_POLICY_FAILURE"):
        deploy(network, "alone", f"127.0.0.1:{port}", 1, "org1")
