"""An expired certificate: refused at every entrance, and nowhere else."""

import grpc
import pytest
from fabric_network import CHANNEL
from fabric_protos.common import common_pb2
from raw import Invocation, broadcast, deliver

from fabric_fl.fabric import protoutil
from fabric_fl.fabric.identity import SigningIdentity
from fabric_fl.gateway import EndorseError, EvaluateError, Gateway


@pytest.fixture(scope="session")
def expired(network):
    """A client whose certificate has ended: `expired/msp` in the first organisation's folder."""
    own = network.organisations[0]
    folder = own.folder / "expired" / "msp"
    if not folder.is_dir():
        pytest.skip("the network's directory holds no org1/expired/msp: expiry was not tried")
    return SigningIdentity.from_msp_dir(folder, own.msp_id)


def test_a_proposal_is_refused_by_the_endorser(network, expired, key):
    with pytest.raises(grpc.RpcError, match="expired") as caught:
        Invocation(network, "Put", key, "v", identity=expired).process(network.organisations[0])
    assert caught.value.code() is grpc.StatusCode.UNKNOWN


def test_a_gateway_endorses_and_evaluates_nothing(network, expired, key):
    contract = Gateway(network.organisations[0].channel, expired).network(CHANNEL).contract("kv")
    with pytest.raises(EndorseError, match="expired"):
        contract.submit("Put", key, "v")
    with pytest.raises(EvaluateError, match="expired"):
        contract.evaluate("Get", key)


def test_an_envelope_is_refused_by_the_orderer(network, expired):
    envelope = protoutil.create_signed_envelope(common_pb2.ENDORSER_TRANSACTION, CHANNEL, expired, b"x")
    answer = broadcast(network, envelope)
    assert common_pb2.Status.Name(answer.status) == "BAD_REQUEST"
    assert "expired" in answer.info


@pytest.mark.parametrize("source", ["peer", "orderer"])
def test_blocks_are_not_delivered(network, expired, source):
    newest = protoutil.seek_newest()
    request = protoutil.seek_envelope(CHANNEL, expired, newest, newest)
    method = network.organisations[0].deliver_stub.Deliver if source == "peer" else network.orderer_stub.Deliver
    assert deliver(method, request) == [("status", "FORBIDDEN")]


def test_a_commit_status_is_still_told(network, contract, expired, key):
    """What was sent in time may be asked about later: this is no entrance."""
    submitted = contract.submit_async("Put", key, "v")
    late = Gateway(network.organisations[0].channel, expired).network(CHANNEL)
    assert late.commit(submitted.transaction_id).status(timeout=10) == submitted.status()
