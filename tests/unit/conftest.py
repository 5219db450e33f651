"""Commands as organisations call them, on the contract's real rules in memory."""

import contextlib
import json

import pytest
from click.testing import CliRunner

from fabric_fl import creators, gateway
from fabric_fl.cli import main
from fabric_fl.ledger import FLLedger
from fabric_fl.memory_ledger import MemoryLedger

ORGANISATIONS = ("Org1MSP", "Org2MSP", "Org3MSP")


class Gateway:
    """A connection to the ledger in memory."""

    def __init__(self, chain: MemoryLedger, msp_id: str) -> None:
        self._ledger = chain.client(msp_id)

    def network(self, channel: str) -> FLLedger:
        assert channel == "fl"
        return self._ledger


@pytest.fixture
def chain():
    return MemoryLedger(ORGANISATIONS)


@pytest.fixture
def clients(chain):
    clients = {msp_id: chain.client(msp_id) for msp_id in ORGANISATIONS}
    clients["Org1MSP"].init_consortium()
    for number, client in enumerate(clients.values(), start=1):
        client.register(f"Hospital {number}")
    return clients


@pytest.fixture
def call(chain, tmp_path, monkeypatch):
    """Runs a command as an organisation; returns its exit code, stdout and stderr."""
    for number, msp_id in enumerate(ORGANISATIONS, start=1):
        folder = tmp_path / f"org{number}"
        folder.mkdir()
        profile = {"client": {"organization": msp_id}, "organizations": {msp_id: {"mspid": msp_id, "peers": []}}}
        (folder / "connection.json").write_text(json.dumps(profile))
        others = {f"Org{n}MSP": f"../org{n}/blobs" for n in (1, 2, 3) if n != number}
        settings = {"schema": 1, "msp_id": msp_id, "channel": "fl", "chaincode": "fl", "private": "private"}
        (folder / "participant.json").write_text(json.dumps({**settings, "store": "blobs", "stores": others}))

    @contextlib.contextmanager
    def connect(profile):
        yield Gateway(chain, profile.msp_id)

    monkeypatch.setattr(gateway, "connect", connect)
    # nobody signs what is written to the ledger in memory
    monkeypatch.setattr(creators, "creator", lambda *_: creators.Creator("Org1MSP", "CN=somebody", "a certificate"))
    monkeypatch.setattr(FLLedger, "on", lambda ledger, chaincode, **_: {"fl": ledger}[chaincode])

    def run(*arguments: object, organisation: int = 1):
        profile = str(tmp_path / f"org{organisation}")
        result = CliRunner().invoke(main, list(map(str, arguments)), env={"FABRIC_FL_PROFILE": profile})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run
