"""`fabric-fl ledger history`: every version of a record with the certificate of who signed it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cryptography import x509
from devnet_tasks import Tasks, three_organisations

from fabric_fl.audit.chain import Chain
from fabric_fl.audit.derived import derived_ledger
from fabric_fl.cli import main
from fabric_fl.creators import creator
from fabric_fl.errors import FabricFLError


@pytest.fixture(scope="module")
def tasks() -> Iterator[Tasks]:
    """Org2 has registered, and the two others have suspended it together."""
    with three_organisations() as running:
        for msp_id in ("Org1MSP", "Org3MSP"):
            running.ledgers[msp_id].vote_on_motion("out", "suspend", "Org2MSP")
        yield running


def certificate(folder: Path) -> x509.Certificate:
    (file,) = (folder / "msp" / "signcerts").iterdir()
    return x509.load_pem_x509_certificate(file.read_bytes())


def test_each_version_is_printed_with_the_certificate_of_who_wrote_it(tasks: Tasks) -> None:
    command = ["ledger", "history", "participant/Org2MSP", "--profile", str(tasks.folder("Org1MSP"))]
    expected = [(one, certificate(tasks.folder(one))) for one in ("Org3MSP", "Org2MSP")]
    found = [json.loads(line) for line in CliRunner().invoke(main, [*command, "--format", "json"]).stdout.splitlines()]
    assert [one["record"]["status"] for one in found] == ["suspended", "active"]
    for one, (msp_id, own) in zip(found, expected, strict=True):
        assert (one["creator"]["msp_id"], one["creator"]["subject"]) == (msp_id, own.subject.rfc4514_string())
        assert x509.load_pem_x509_certificate(one["creator"]["certificate"].encode()) == own
    lines = CliRunner().invoke(main, command).stdout.splitlines()
    for line, (msp_id, own) in zip(lines, expected, strict=True):
        assert f"  {msp_id} ({own.subject.rfc4514_string()})  {{" in line


def test_an_exports_blocks_give_the_same_history(tasks: Tasks) -> None:
    key = "participant/Org2MSP"
    with tasks.network.gateway("org1") as gateway, closing(Chain("fl", "fl")) as chain:
        network = gateway.network("fl")
        for number in range(network.height()):
            chain.add(number, network.contract("qscc").evaluate("GetBlockByNumber", "fl", str(number)))
        derived = list(derived_ledger(chain.ledger, "fl").history(key))
    assert len(derived) == 2
    assert derived == list(tasks.ledgers["Org1MSP"].history(key))


class Peer:
    """A channel whose peer answers with something else than what it was asked for."""

    name = "fl"

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def contract(self, name: str) -> Any:
        assert name == "qscc"
        return self

    def evaluate(self, *_: str) -> bytes:
        return self._answer


@pytest.mark.parametrize("lie", ["another transaction", "another signature", "noise"])
def test_a_peer_that_answers_something_else_is_not_believed(tasks: Tasks, lie: str) -> None:
    versions = list(tasks.ledgers["Org1MSP"].history("participant/Org2MSP"))
    with tasks.network.gateway("org1") as gateway:
        network = gateway.network("fl")
        answers = [network.contract("qscc").evaluate("GetTransactionByID", "fl", one.transaction) for one in versions]
    first, second = answers
    assert creator(Peer(first), versions[0].transaction).msp_id == "Org3MSP"  # type: ignore[arg-type]
    changed = bytearray(first)
    changed[-3] ^= 1  # within the signature, which comes last
    given = {"another transaction": second, "another signature": bytes(changed), "noise": b"\xff" * 40}[lie]
    with pytest.raises(FabricFLError) as refusal:
        creator(Peer(given), versions[0].transaction)  # type: ignore[arg-type]
    assert refusal.value.code == "FL-LEDGER-CREATOR"
