"""The Endorser service, spoken to directly as the `peer` CLI does."""

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from fabric_network import CHANNEL, MAJORITY
from fabric_protos.common import common_pb2
from fabric_protos.peer import proposal_pb2, query_pb2
from raw import Invocation, Layers

from fabric_fl.fabric import protoutil
from fabric_fl.fabric.identity import Identity, SigningIdentity


@pytest.fixture
def peer(network):
    return network.organisations[0]


def process(peer, proposal_bytes, signature):
    signed = proposal_pb2.SignedProposal(proposal_bytes=proposal_bytes, signature=signature)
    return peer.endorser_stub.ProcessProposal(signed, timeout=10)


def refused(peer, proposal, signature=None):
    """Send a proposal that must fail before it is executed; return the error's text."""
    data = proposal.SerializeToString()
    with pytest.raises(grpc.RpcError) as caught:
        process(peer, data, signature or peer.identity.sign(data))
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    return caught.value.details()


def changed(proposal, **changes):
    """Return a proposal with other fields in its channel header (`channel_…`) or signature header."""
    copy = proposal_pb2.Proposal.FromString(proposal.SerializeToString())
    header = common_pb2.Header.FromString(copy.header)
    channel = common_pb2.ChannelHeader.FromString(header.channel_header)
    signature = common_pb2.SignatureHeader.FromString(header.signature_header)
    for name, value in changes.items():
        part, _, field = name.partition("_")
        setattr(channel if part == "channel" else signature, field, value)
    header.channel_header = channel.SerializeToString()
    header.signature_header = signature.SerializeToString()
    copy.header = header.SerializeToString()
    return copy


@pytest.fixture
def proposal(network, key):
    return Invocation(network, "Put", key, "v").proposal


def test_an_endorsement_is_signed_over_result_and_endorser(network, peer, key):
    response = Invocation(network, "Put", key, "v").process(peer)
    assert (response.version, response.response.status) == (1, 200)
    endorser = Identity.deserialize(response.endorsement.endorser)
    assert (endorser.msp_id, endorser.role) == (peer.msp_id, "peer")
    assert endorser.verify(response.payload + response.endorsement.endorser, response.endorsement.signature)


def test_the_result_names_the_chaincode_its_version_and_the_proposals_hash(network, peer, key):
    invocation = Invocation(network, "Put", key, "v", transient={"s": b"left out of the hash"})
    layers = Layers(protoutil.create_tx(invocation.proposal, [invocation.process(peer)]))
    assert layers.chaincode_action.chaincode_id.name == MAJORITY
    assert layers.chaincode_action.chaincode_id.version
    assert layers.response.proposal_hash == protoutil.unpack_proposal(invocation.proposal.SerializeToString()).hash


def test_every_peer_of_an_honest_channel_returns_the_same_bytes(network, key):
    network.contract().submit("Put", key, "v")
    invocation = Invocation(network, "Increment", "n" + key)
    responses = [invocation.process(each) for each in network.organisations]
    assert len({response.payload for response in responses}) == 1
    assert len({response.endorsement.endorser for response in responses}) == len(responses)


def test_the_read_write_set_holds_keys_versions_and_values_in_order(network, contract, key):
    contract.submit("Put", "n" + key, "7")
    layers = Layers(Invocation(network, "Increment", "n" + key).transaction())
    rwset = layers.namespace()
    (read,) = rwset.reads
    assert read.key == "n" + key
    assert read.version.block_num == network.organisations[0].network.height() - 1
    (write,) = rwset.writes
    assert (write.key, write.value, write.is_delete) == ("n" + key, b"8", False)
    names = [each.namespace for each in layers.rwset.ns_rwset]
    assert names == sorted(names)


def test_a_key_that_was_not_there_is_read_without_a_version(network, key):
    rwset = Layers(Invocation(network, "CreateOnce", key, "v").transaction()).namespace()
    assert not rwset.reads[0].HasField("version")


def test_the_last_write_of_a_key_is_the_one(network, key):
    rwset = Layers(Invocation(network, "PutMany", key, "1", "3").transaction()).namespace()
    assert [write.key for write in rwset.writes] == [f"{key}0000{number}" for number in (1, 2, 3)]


def test_a_refusal_of_the_chaincode_is_not_endorsed(network, peer):
    response = Invocation(network, "Refuse", "404", "no").process(peer)
    assert (response.response.status, response.response.message) == (404, "no")
    assert response.endorsement.endorser == b""


def test_an_unknown_channel_is_a_failed_response_and_no_error(network, peer):
    response = Invocation(network, "Get", "k", channel="elsewhere").process(peer)
    assert response.response.status == 500
    assert "channel 'elsewhere' not found" in response.response.message


def test_an_unknown_chaincode_is_a_failed_response_and_no_error(network, peer):
    response = Invocation(network, "Get", "k", chaincode="nobody").process(peer)
    assert response.response.status == 500
    assert "nobody" in response.response.message
    assert response.payload == b""


def test_a_signature_over_something_else_is_refused(peer, proposal):
    text = refused(peer, proposal, peer.identity.sign(b"something else"))
    assert text.startswith("error validating proposal: access denied")


def test_a_signature_with_a_high_s_is_refused(peer, proposal):
    r, s = decode_dss_signature(peer.identity.sign(proposal.SerializeToString()))
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    assert "access denied" in refused(peer, proposal, encode_dss_signature(r, order - s))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"channel_tx_id": "ab" * 32}, "incorrectly computed txid"),
        ({"channel_epoch": 1}, "epoch is non-zero"),
        ({"channel_type": 77}, "invalid header type"),
        ({"signature_nonce": b""}, "nonce is empty"),
        ({"signature_creator": b""}, "creator is empty"),
    ],
    ids=["transaction id", "epoch", "type", "nonce", "creator"],
)
def test_a_header_that_is_wrong_is_refused(peer, proposal, changes, text):
    assert text in refused(peer, changed(proposal, **changes))


def test_a_creator_that_is_no_identity_is_refused(network, peer, key):
    class Nobody:
        sign = peer.identity.sign

        def serialize(self):
            return b"nobody"

    with pytest.raises(grpc.RpcError, match="access denied"):
        Invocation(network, "Put", key, "v", identity=Nobody()).process(peer)


def test_bytes_that_are_no_proposal_are_refused(peer):
    with pytest.raises(grpc.RpcError) as caught:
        process(peer, b"\xff\xff\xff", b"x")
    assert caught.value.code() is grpc.StatusCode.UNKNOWN
    assert "error validating proposal" in caught.value.details() or "error unmarshalling" in caught.value.details()


def test_an_empty_proposal_is_refused(peer):
    assert refused(peer, proposal_pb2.Proposal(), b"x")


def test_a_proposal_in_the_name_of_another_organisation_is_refused(network, peer, key):
    """A certificate of one organisation does not become another's by a word."""
    other = network.organisations[1]
    forged = SigningIdentity(Identity(other.msp_id, peer.identity.identity.certificate_pem), peer.identity.private_key)
    with pytest.raises(grpc.RpcError, match="access denied"):
        Invocation(network, "Put", key, "v", identity=forged).process(peer)


def test_a_certificate_that_no_authority_of_the_channel_issued_is_refused(network, peer, key, stranger):
    with pytest.raises(grpc.RpcError, match="access denied"):
        Invocation(network, "Put", key, "v", identity=stranger(peer.msp_id)).process(peer)


def test_an_organisation_outside_the_channel_is_refused(network, peer, key, stranger):
    with pytest.raises(grpc.RpcError, match="access denied"):
        Invocation(network, "Put", key, "v", identity=stranger("NobodyMSP")).process(peer)


def test_a_peers_own_channels_are_listed_without_a_channel(peer):
    """What `peer channel list` asks: a system chaincode, on no channel."""
    proposal, _ = protoutil.create_chaincode_proposal("", "cscc", ["GetChannels"], peer.identity.serialize())
    response = peer.endorser_stub.ProcessProposal(protoutil.sign_proposal(proposal, peer.identity), timeout=10)
    channels = query_pb2.ChannelQueryResponse.FromString(response.response.payload).channels
    assert CHANNEL in {channel.channel_id for channel in channels}
