"""The endorser: what it refuses, in Fabric's order and words, and what it signs."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from devnet_endorsers import Event, Response, endorser, process, proposed, put
from devnet_ledgers import CHAINCODE, CHANNEL, LedgerOnTrial, endorsed, organizations
from fabric_protos.common import common_pb2
from fabric_protos.peer import proposal_pb2, proposal_response_pb2

from fabric_fl.devnet.ca.authority import certificate_pem, subject_name
from fabric_fl.devnet.endorser import ProposalRefused
from fabric_fl.devnet.faults import Faults
from fabric_fl.devnet.handler import ChaincodeError
from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric.identity import Identity, SigningIdentity
from fabric_fl.fabric.protoutil import compute_tx_id, create_chaincode_proposal, sign_proposal, unpack_proposal


@pytest.fixture
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    yield trial
    trial.close()


def refused(trial: LedgerOnTrial, signed: proposal_pb2.SignedProposal) -> ProposalRefused:
    with pytest.raises(ProposalRefused) as caught:
        process(endorser(trial, put()), signed)
    return caught.value


def changed(*, signer: SigningIdentity | None = None, chaincode: str = CHAINCODE, **fields: object):
    """Returns a proposal some of whose header fields are wrong, and which is signed all the same."""
    signer = signer or organizations()[0].client
    proposal, _ = create_chaincode_proposal(CHANNEL, chaincode, ["f"], signer.serialize())
    header = common_pb2.Header.FromString(proposal.header)
    channel_header = common_pb2.ChannelHeader.FromString(header.channel_header)
    signature_header = common_pb2.SignatureHeader.FromString(header.signature_header)
    for name, value in fields.items():
        setattr(signature_header if name in ("nonce", "creator") else channel_header, name, value)
    if "nonce" in fields or "creator" in fields:
        channel_header.tx_id = compute_tx_id(signature_header.nonce, signature_header.creator)
    header.channel_header = channel_header.SerializeToString()
    header.signature_header = signature_header.SerializeToString()
    proposal.header = header.SerializeToString()
    return sign_proposal(proposal, signer)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"type": common_pb2.CONFIG_UPDATE}, "invalid header type CONFIG_UPDATE"),
        ({"type": 77}, "invalid header type 77"),
        ({"epoch": 1}, "epoch is non-zero"),
        ({"nonce": b""}, "nonce is empty"),
        ({"creator": b""}, "creator is empty"),
        ({"creator": b"nobody"}, "access denied: channel [fl] creator org unknown, creator is malformed"),
    ],
)
def test_a_wrong_header_is_refused(trial, fields, reason):
    assert str(refused(trial, changed(**fields))) == f"error validating proposal: {reason}"


def test_a_transaction_id_that_is_not_made_of_nonce_and_creator_is_refused(trial):
    assert "incorrectly computed txid 'abc' -- expected '" in str(refused(trial, changed(tx_id="abc")))


def test_an_organisation_that_the_channel_does_not_know_is_refused(trial):
    stranger = Organization.create("org9", "Org9MSP").client
    text = str(refused(trial, proposed(signer=stranger)))
    assert text == "error validating proposal: access denied: channel [fl] creator org unknown, creator is malformed"


def test_a_certificate_of_another_authority_is_refused(trial):
    impostor = Organization.create("org1", "Org1MSP").client
    text = str(refused(trial, proposed(signer=impostor)))
    assert text == "error validating proposal: access denied: channel [fl] creator org [Org1MSP]"


def test_a_signature_over_something_else_is_refused(trial):
    signed = proposed()
    signed.signature = proposed().signature
    assert str(refused(trial, signed)).endswith("creator org [Org1MSP]")


def test_a_proposal_without_signature_is_refused(trial):
    signed = proposed()
    signed.signature = b""
    assert str(refused(trial, signed)) == "error validating proposal: empty signature bytes"


def test_bytes_that_are_no_proposal_are_refused(trial):
    assert "error unmarshalling" in str(refused(trial, proposal_pb2.SignedProposal(proposal_bytes=b"\xff\xff")))


def test_an_expired_client_does_not_get_in(trial):
    organization = organizations()[0]
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = organization.ca.issue(
        key.public_key(),
        subject_name("late", ("client",)),
        not_after=datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=2),
    )
    late = SigningIdentity(Identity("Org1MSP", certificate_pem(certificate)), key)
    error = refused(trial, proposed(signer=late))
    assert str(error) == "proposal client identity expired"
    assert error.filtered


def test_a_revoked_client_does_not_get_in(trial):
    organization = organizations()[1]
    client = organization.client
    crl = organization.ca.sign_crl([(client.identity.certificate.serial_number, datetime.datetime.now(datetime.UTC))])
    msp = trial.config.msps["Org2MSP"]
    process(endorser(trial, put()), proposed(signer=client))
    msp.update_crls([crl])
    assert "creator org [Org2MSP]" in str(refused(trial, proposed(signer=client)))


def test_a_transaction_id_that_is_on_the_ledger_is_refused(trial):
    nonce = b"n" * 24
    trial.commit(endorsed(b"", nonce=nonce))
    signed = proposed(nonce=nonce)
    creator = organizations()[0].client.serialize()
    expected = f"duplicate transaction found [{compute_tx_id(nonce, creator)}]. Creator [{creator.hex()}]"
    assert str(refused(trial, signed)) == expected


def test_only_writers_may_propose(trial):
    """A peer is a member of its organisation, and none of the channel's writers."""
    text = str(refused(trial, proposed(signer=organizations()[0].node)))
    assert text.startswith("Failed evaluating policy on signed data during check policy on channel [fl]")
    assert "[/Channel/Application/Writers]" in text


def test_a_channel_that_is_not_there_is_a_response(trial):
    response = process(endorser(trial, put()), proposed(channel="elsewhere"))
    assert (response.response.status, response.response.message) == (500, "channel 'elsewhere' not found")
    assert not response.payload


def test_a_chaincode_that_is_not_defined_is_a_response(trial):
    response = process(endorser(trial, put()), proposed(chaincode="nothing"))
    assert response.response.message == (
        "make sure the chaincode nothing has been successfully defined on channel fl and try again: "
        "chaincode nothing not found"
    )


def test_an_endorsement_is_over_the_results_and_the_endorsers_identity(trial):
    def rule(params):
        put("k", b"v")(params)
        return Response(status=201, payload=b"answer", message="m"), Event(chaincode_id=CHAINCODE, event_name="e")

    signed = proposed(transient={"secret": b"x"})
    response = process(endorser(trial, rule), signed)
    node = organizations()[0].node
    assert response.version == 1
    assert response.endorsement.endorser == node.serialize()
    assert node.identity.verify(response.payload + node.serialize(), response.endorsement.signature)
    payload = proposal_response_pb2.ProposalResponsePayload.FromString(response.payload)
    action = proposal_pb2.ChaincodeAction.FromString(payload.extension)
    assert (action.chaincode_id.name, action.chaincode_id.version) == (CHAINCODE, "1.0")
    assert action.response == Response(status=201, payload=b"answer", message="m")
    assert Event.FromString(action.events).event_name == "e"
    assert [call.name for call in response.interest.chaincodes] == [CHAINCODE]
    # The hash leaves the transient map out, worked out here layer by layer.
    proposal = unpack_proposal(signed.proposal_bytes)
    stripped = proposal_pb2.ChaincodeProposalPayload.FromString(proposal.proposal.payload)
    stripped.ClearField("TransientMap")
    expected = hashlib.sha256(
        proposal.header.channel_header + proposal.header.signature_header + stripped.SerializeToString()
    ).digest()
    assert payload.proposal_hash == expected
    assert b"secret" not in response.payload


def test_equal_simulations_are_equal_bytes_whoever_endorses(trial):
    signed = proposed()
    payloads = {process(endorser(trial, put(), number), signed).payload for number in (1, 2, 3)}
    assert len(payloads) == 1


@pytest.mark.parametrize(
    ("status", "endorsed_", "payload"), [(200, True, True), (399, True, True), (400, False, False)]
)
def test_a_refusal_of_the_chaincode_is_not_endorsed(trial, status, endorsed_, payload):
    response = process(endorser(trial, lambda _: Response(status=status, message="m")), proposed())
    assert response.response == Response(status=status, message="m")
    assert response.HasField("endorsement") is endorsed_
    assert bool(response.payload) is payload


def test_a_failure_of_the_chaincode_has_a_payload_and_a_failure_of_the_peer_has_none(trial):
    by_chaincode = process(endorser(trial, lambda _: Response(status=500, message="m")), proposed())
    assert by_chaincode.payload
    assert not by_chaincode.HasField("endorsement")

    def fail(_params):
        raise ChaincodeError("the stream is gone")

    by_peer = process(endorser(trial, fail), proposed())
    assert by_peer.response == Response(status=500, message="error in simulation: the stream is gone")
    assert not by_peer.payload


def test_an_event_of_a_refused_call_is_dropped(trial):
    response = process(endorser(trial, lambda _: (Response(status=500), Event(event_name="e"))), proposed())
    payload = proposal_response_pb2.ProposalResponsePayload.FromString(response.payload)
    assert proposal_pb2.ChaincodeAction.FromString(payload.extension).events == b""


def test_without_a_channel_only_the_peers_own_organisation_is_heard_and_nothing_is_endorsed(trial):
    peer = endorser(trial, lambda _: Response(status=200, payload=b"channels"))
    own = process(peer, proposed(channel="", chaincode="qscc"))
    assert own.response.payload == b"channels"
    assert not own.HasField("endorsement")
    with pytest.raises(ProposalRefused, match=r"channel \[\] creator org unknown"):
        process(peer, proposed(channel="", chaincode="qscc", signer=organizations()[1].client))


class TestFaults:
    def test_the_nth_endorsement_of_an_organisation_fails_once(self, trial):
        faults = Faults()
        peer = endorser(trial, put(), faults=faults)
        faults.fail_endorsement("Org1MSP", nth=2)
        statuses = [process(peer, proposed()).response.status for _ in range(3)]
        assert statuses == [200, 500, 200]

    def test_an_altered_endorsement_is_signed_and_different(self, trial):
        faults = Faults()
        signed = proposed()
        honest = process(endorser(trial, put()), signed)
        faults.alter_endorsements("Org1MSP")
        peer = endorser(trial, put(), faults=faults)
        altered = process(peer, signed)
        node = organizations()[0].node
        assert altered.payload != honest.payload
        assert node.identity.verify(altered.payload + node.serialize(), altered.endorsement.signature)
        assert process(peer, signed).payload == honest.payload

    def test_other_organisations_are_left_alone(self, trial):
        faults = Faults()
        faults.fail_endorsement("Org2MSP")
        assert process(endorser(trial, put(), faults=faults), proposed()).response.status == 200

    def test_clear_ends_them(self, trial):
        faults = Faults()
        faults.fail_endorsement("Org1MSP")
        faults.clear()
        assert not faults.active
        assert process(endorser(trial, put(), faults=faults), proposed()).response.status == 200
