"""Operators who configured unequal lists of organisations: no consortium is written until they agree."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from ccaas_process import ChaincodeProcess

from fabric_fl.gateway import EndorseError
from fabric_fl.ledger import FLLedger, LedgerRefused
from fabric_fl.testing import FL_CHAINCODE, Network

BOTH = ("Org1MSP", "Org2MSP")


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network(2) as network:
        yield network


def init(network: Network, name: str) -> tuple[str, ...]:
    with network.gateway(name) as gateway:
        ledger = FLLedger(gateway.network(network.channel).contract(network.chaincode), patience=1)
        return ledger.init_consortium().organisations


def test_unequal_lists_cannot_be_endorsed_and_equal_ones_can(network):
    network.kill("fl-org2")
    server = network.config.chaincodes[0].servers["Org2MSP"]
    settings = {"CHAINCODE_ID": "fl_1.0", "FL_CONSORTIUM": "Org1MSP,Org2MSP,MalloryMSP"}
    with ChaincodeProcess(env=settings, command=FL_CHAINCODE, address=server.address):
        for name in network.names:
            with pytest.raises(EndorseError, match="ProposalResponsePayloads do not match"):
                init(network, name)
        with network.gateway() as gateway, pytest.raises(LedgerRefused, match="FL-CONSORTIUM-UNKNOWN"):
            FLLedger(gateway.network(network.channel).contract(network.chaincode)).consortium()
    network.start("fl-org2")
    network.wait_until_ready()
    assert [init(network, name) for name in network.names] == [BOTH, BOTH]
