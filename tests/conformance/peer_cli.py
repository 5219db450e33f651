"""Fabric's own command line, on PATH or in FABRIC_BIN, as one organisation's ordinary user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from fabric_network import CHANNEL

# The CLI reads nothing of it but does not start without it.
CORE = "peer:\n  BCCSP:\n    Default: SW\n    SW:\n      Hash: SHA2\n      Security: 256\n"


def program(name):
    """Return where a program of Fabric's is, or None."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("FABRIC_BIN", ""), os.environ.get("PATH", ""))))


needs_fabric = [
    pytest.mark.fabric,
    pytest.mark.skipif(
        not (program("peer") and program("configtxgen")),
        reason="Fabric's programs are neither on PATH nor in FABRIC_BIN: the stock CLI was not tried",
    ),
]


class PeerCLI:
    """Runs `peer` for an organisation; what it writes goes to a folder."""

    def __init__(self, organisation, network, folder, msp="msp"):
        self.network = network
        self.folder = folder
        (folder / "core.yaml").write_text(CORE)
        self._environ = os.environ | {
            "FABRIC_CFG_PATH": str(folder),
            "FABRIC_LOGGING_SPEC": "error",
            "CORE_PEER_ADDRESS": organisation.address,
            "CORE_PEER_LOCALMSPID": organisation.msp_id,
            "CORE_PEER_MSPCONFIGPATH": str(organisation.folder / msp),
            "CORE_PEER_TLS_ENABLED": "true",
            "CORE_PEER_TLS_ROOTCERT_FILE": str(self.roots(organisation)),
        }

    def __call__(self, *args, fails=False):
        """Run a command; return its output, or with `fails` what it complained about."""
        finished = subprocess.run(
            [program("peer"), *map(str, args)],
            check=False,
            env=self._environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert bool(finished.returncode) == fails, finished.stdout + finished.stderr
        return finished.stderr if fails else finished.stdout

    def query(self, chaincode, *args, raw=False):
        call = json.dumps({"Args": args})
        options = ["--hex"] if raw else []
        answer = self("chaincode", "query", "-C", CHANNEL, "-n", chaincode, "-c", call, *options).strip()
        return bytes.fromhex(answer) if raw else answer

    def invoke(self, chaincode, *args, organisations, fails=False):
        """Have these organisations' peers endorse, and wait until each of them has committed."""
        peers = []
        for each in organisations:
            peers += ["--peerAddresses", each.address, "--tlsRootCertFiles", self.roots(each)]
        call = json.dumps({"Args": args})
        return self(
            *("chaincode", "invoke", "-C", CHANNEL, "-n", chaincode, "-c", call),
            *self.orderer,
            *peers,
            "--waitForEvent",
            fails=fails,
        )

    @property
    def orderer(self):
        endpoint = self.network.organisations[0].profile.orderers[0]
        roots = self.folder / "orderer.pem"
        roots.write_bytes(endpoint.tls_ca_certs)
        return ["-o", endpoint.address, "--tls", "--cafile", roots]

    def roots(self, organisation):
        path = self.folder / f"{organisation.msp_id}.pem"
        path.write_bytes(organisation.profile.peer.tls_ca_certs)
        return path
