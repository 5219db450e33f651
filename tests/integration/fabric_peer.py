"""A real Fabric peer, run from its program, without gossip to anybody and with everything in one directory."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml
from fabric_protos.common import common_pb2

from fabric_fl.devnet.identity import Organization
from fabric_fl.network.engine import find_program
from fabric_fl.network.ports import free_ports

PEER = find_program("peer", os.environ)

_CORE = {
    "peer": {
        "networkId": "devnet",
        "gossip": {
            "useLeaderElection": False,
            "orgLeader": True,
            "state": {"enabled": False},
            "pvtData": {"pullRetryThreshold": "0s"},  # there is nobody to pull from
        },
        "BCCSP": {"Default": "SW", "SW": {"Hash": "SHA2", "Security": 256}},
        "deliveryclient": {"policy": "simple", "minimalReconnectInterval": "100ms"},
        "handlers": {
            "authFilters": [{"name": "DefaultAuth"}],
            "decorators": [{"name": "DefaultDecorator"}],
            "endorsers": {"escc": {"name": "DefaultEndorsement"}},
            "validators": {"vscc": {"name": "DefaultValidation"}},
        },
        "limits": {"concurrency": {"endorserService": 100, "deliverService": 100, "gatewayService": 100}},
    },
    "vm": {"endpoint": ""},
    "chaincode": {
        "externalBuilders": [{"name": "none", "path": "/nowhere"}],  # a peer wants one; nothing is installed here
        "system": {"_lifecycle": "enable", "cscc": "enable", "qscc": "enable"},
        "logging": {"level": "info", "shim": "warning"},
        "executetimeout": "30s",
    },
    "ledger": {"state": {"stateDatabase": "goleveldb"}, "history": {"enableHistoryDatabase": True}},
    "metrics": {"provider": "disabled"},
}


@dataclass
class FabricPeer:
    """One organisation's peer that runs, and its administrator's command line."""

    environment: Mapping[str, str]
    directory: Path
    log: Path

    def join(self, genesis: bytes) -> None:
        path = self.directory / "genesis.block"
        path.write_bytes(genesis)
        self.command("channel", "join", "-b", str(path))

    def block(self, channel: str, number: int) -> common_pb2.Block:
        """Returns a block as the peer has stored it; waits for it."""
        path = self.directory / "fetched.block"
        self.command("channel", "fetch", str(number), str(path), "-c", channel)
        return common_pb2.Block.FromString(path.read_bytes())

    def command(self, *arguments: str) -> str:
        assert PEER is not None
        done = subprocess.run(
            [PEER, *arguments], env=dict(self.environment), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"peer {' '.join(arguments)}: {done.stderr}\n{self.log.read_text()[-3000:]}"
        return done.stdout


@contextmanager
def running_peer(organization: Organization, directory: Path) -> Iterator[FabricPeer]:
    """Starts an organisation's peer and ends it."""
    assert PEER is not None
    port, chaincode_port, operations_port = free_ports(3)
    directory.mkdir(parents=True)
    (directory / "core.yaml").write_text(yaml.safe_dump(_CORE))
    (directory / "tls.key").write_bytes(organization.tls.private_key_pem)
    (directory / "tls.crt").write_bytes(organization.tls.certificate_pem)
    (directory / "tls-ca.crt").write_bytes(organization.tls_ca.certificate_pem)
    node = organization.write_msp(directory / "node", organization.node)
    admin = organization.write_msp(directory / "admin", organization.admin)
    common = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "FABRIC_CFG_PATH": str(directory),
        "FABRIC_LOGGING_SPEC": "warning",
        "CORE_PEER_LOCALMSPID": organization.msp_id,
        "CORE_PEER_ADDRESS": f"localhost:{port}",
        "CORE_PEER_TLS_ENABLED": "true",
        "CORE_PEER_TLS_ROOTCERT_FILE": str(directory / "tls-ca.crt"),
    }
    server = {
        **common,
        "CORE_PEER_ID": organization.name,
        "CORE_PEER_LISTENADDRESS": f"127.0.0.1:{port}",
        "CORE_PEER_CHAINCODELISTENADDRESS": f"127.0.0.1:{chaincode_port}",
        "CORE_PEER_GOSSIP_BOOTSTRAP": f"127.0.0.1:{port}",
        "CORE_OPERATIONS_LISTENADDRESS": f"127.0.0.1:{operations_port}",
        "CORE_PEER_TLS_CERT_FILE": str(directory / "tls.crt"),
        "CORE_PEER_TLS_KEY_FILE": str(directory / "tls.key"),
        "CORE_PEER_MSPCONFIGPATH": str(node),
        "CORE_PEER_FILESYSTEMPATH": str(directory / "data"),
        "CORE_LEDGER_SNAPSHOTS_ROOTDIR": str(directory / "snapshots"),
    }
    log = directory / "peer.log"
    with log.open("wb") as output:
        process = subprocess.Popen([PEER, "node", "start"], env=server, stdout=output, stderr=output, cwd=directory)
    try:
        _wait_until_it_listens(process, port, log)
        yield FabricPeer({**common, "CORE_PEER_MSPCONFIGPATH": str(admin)}, directory, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the peer has ended: {log.read_text()[-3000:]}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"the peer does not listen: {log.read_text()[-3000:]}")
