import contextlib
import hashlib

import pytest
from fabric_protos.common import common_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import chaincode_pb2, proposal_pb2, proposal_response_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric_fl.fabric import protoutil

CREATOR = b"creator"
OK = proposal_response_pb2.Response(status=200, payload=b"answer")


class Signer:
    """Signs by naming what it was given, so that a test sees exactly which bytes were signed."""

    def __init__(self, name=CREATOR):
        self.name = name

    def serialize(self):
        return self.name

    def sign(self, message):
        return b"signed:" + message


def proposal(**options):
    return protoutil.create_chaincode_proposal("fl", "asset", ["put", b"key"], CREATOR, **options)


def response(to, endorser=b"peer", status=200, results=b"rwset"):
    unpacked = protoutil.unpack_proposal(to.SerializeToString())
    payload = protoutil.proposal_response_payload(
        unpacked.hash, OK, results, b"", chaincode_pb2.ChaincodeID(name="asset", version="1")
    )
    return proposal_response_pb2.ProposalResponse(
        version=1,
        response=proposal_response_pb2.Response(status=status),
        payload=payload,
        endorsement=protoutil.endorse(payload, Signer(endorser)),
    )


def test_the_transaction_id_is_the_hash_of_nonce_and_creator():
    made, tx_id = proposal(nonce=b"n" * 24)
    assert tx_id == hashlib.sha256(b"n" * 24 + CREATOR).hexdigest()
    assert protoutil.unpack_proposal(made.SerializeToString()).tx_id == tx_id


def test_a_proposal_unpacks_to_what_went_in():
    made, _ = proposal(transient={"secret": b"1"})
    unpacked = protoutil.unpack_proposal(made.SerializeToString())
    assert (unpacked.channel_id, unpacked.chaincode, unpacked.creator) == ("fl", "asset", CREATOR)
    assert list(unpacked.input.args) == [b"put", b"key"]
    assert unpacked.transient == {"secret": b"1"}
    assert unpacked.channel_header.type == common_pb2.ENDORSER_TRANSACTION
    assert unpacked.channel_header.timestamp.seconds > 1_700_000_000


def test_two_proposals_never_share_a_nonce():
    assert proposal()[1] != proposal()[1]


def test_the_proposal_hash_leaves_the_transient_map_out():
    made, _ = proposal(transient={"secret": b"1"})
    header = common_pb2.Header.FromString(made.header)
    bare = proposal_pb2.ChaincodeProposalPayload(
        input=proposal_pb2.ChaincodeProposalPayload.FromString(made.payload).input
    )
    by_hand = hashlib.sha256(header.channel_header + header.signature_header + bare.SerializeToString()).digest()
    assert protoutil.proposal_hash(header.channel_header, header.signature_header, made.payload) == by_hand
    assert protoutil.unpack_proposal(made.SerializeToString()).hash == by_hand


def test_an_endorsement_signs_the_payload_and_then_the_endorser():
    endorsement = protoutil.endorse(b"payload", Signer(b"peer"))
    assert (endorsement.endorser, endorsement.signature) == (b"peer", b"signed:payloadpeer")


def test_a_transaction_reuses_the_proposals_header_bytes_even_from_a_foreign_encoder():
    made, _ = proposal(transient={"secret": b"1"})
    header = common_pb2.Header.FromString(made.header)
    # The same channel header as another encoder may write it: its first field again at the end.
    header.channel_header += b"\x08\x03"
    made.header = header.SerializeToString()
    envelope = protoutil.unpack_envelope(protoutil.create_tx(made, [response(made)]))
    assert envelope.payload.header.channel_header == header.channel_header
    transaction = protoutil.unpack_transaction(envelope.payload.data)
    assert transaction.header == header.signature_header
    assert b"secret" not in envelope.envelope.payload
    assert transaction.response_payload.proposal_hash == protoutil.transaction_proposal_hash(
        header.channel_header, header.signature_header, transaction.action_payload.chaincode_proposal_payload
    )
    assert transaction.chaincode_action.response.payload == b"answer"
    assert list(transaction.spec.input.args) == [b"put", b"key"]


def test_each_endorser_counts_once_and_in_the_order_of_the_responses():
    made, _ = proposal()
    answers = [response(made, name) for name in (b"b", b"a", b"b", b"c")]
    payload = protoutil.unpack_envelope(protoutil.create_tx(made, answers)).payload
    endorsements = protoutil.unpack_transaction(payload.data).endorsements
    assert [each.endorser for each in endorsements] == [b"b", b"a", b"c"]


def test_unequal_unsuccessful_or_missing_endorsements_make_no_transaction():
    made, _ = proposal()
    with pytest.raises(protoutil.EndorsementMismatch, match="ProposalResponsePayloads do not match"):
        protoutil.create_tx(made, [response(made), response(made, b"other", results=b"different")])
    with pytest.raises(protoutil.EndorsementMismatch, match="error code 500"):
        protoutil.create_tx(made, [response(made, status=500)])
    with pytest.raises(protoutil.EndorsementMismatch, match="no endorsements"):
        protoutil.create_tx(made, [])


def test_an_envelopes_signature_is_over_its_payload_bytes():
    made, _ = proposal()
    unsigned = protoutil.create_tx(made, [response(made)])
    assert not unsigned.signature
    assert protoutil.sign_envelope(unsigned, Signer()).signature == b"signed:" + unsigned.payload


def test_a_seek_without_limits_is_from_the_newest_block_for_ever():
    envelope = protoutil.unpack_envelope(protoutil.seek_envelope("fl", Signer()))
    seek = ab_pb2.SeekInfo.FromString(envelope.payload.data)
    assert envelope.channel_header.type == common_pb2.DELIVER_SEEK_INFO
    assert envelope.signature_header.creator == CREATOR
    assert seek.start.WhichOneof("Type") == "newest"
    assert seek.stop.specified.number == 2**64 - 1
    assert seek.behavior == ab_pb2.SeekInfo.BLOCK_UNTIL_READY


# DER written by hand: SEQUENCE, INTEGER (a leading zero byte where the top bit would be a sign), two OCTET STRINGs.
@pytest.mark.parametrize(
    ("number", "integer"),
    [
        (0, "020100"),
        (127, "02017f"),
        (128, "02020080"),
        (256, "02020100"),
        (2**63, "0209008000000000000000"),
        (2**64 - 1, "020900ffffffffffffffff"),
    ],
)
def test_block_headers_hash_as_der(number, integer):
    header = common_pb2.BlockHeader(number=number, previous_hash=b"\xaa" * 2, data_hash=b"\xbb")
    content = integer + "0402aaaa" + "0401bb"
    der = bytes.fromhex(f"30{len(content) // 2:02x}{content}")
    assert protoutil.block_header_bytes(header) == der
    assert protoutil.block_header_hash(header) == hashlib.sha256(der).digest()


def test_a_header_longer_than_127_bytes_has_a_long_form_length():
    header = common_pb2.BlockHeader(number=1, previous_hash=b"p" * 64, data_hash=b"d" * 64)
    body = bytes.fromhex("020101") + b"\x04\x40" + b"p" * 64 + b"\x04\x40" + b"d" * 64
    assert protoutil.block_header_bytes(header) == b"\x30\x81" + bytes([len(body)]) + body


def test_the_data_hash_is_over_the_concatenated_envelopes():
    block = protoutil.new_block(1, b"previous", [b"one", b"two"])
    assert block.header.data_hash == hashlib.sha256(b"onetwo").digest()
    assert list(block.metadata.metadata) == [b""] * 5


def test_the_orderer_signs_value_signature_header_and_block_header():
    block = protoutil.new_block(7, b"previous", [b"one"])
    protoutil.sign_block(block, Signer(b"orderer"), last_config=3)
    metadata = protoutil.block_metadata(block, protoutil.SIGNATURES)
    signature = metadata.signatures[0]
    signed = metadata.value + signature.signature_header + protoutil.block_header_bytes(block.header)
    assert signature.signature == b"signed:" + signed
    assert protoutil.last_config_index(block) == 3


def test_a_block_without_metadata_says_so():
    with pytest.raises(protoutil.MalformedMessage, match="no metadata at index"):
        protoutil.block_metadata(common_pb2.Block(), protoutil.SIGNATURES)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_whatever_bytes_come_in_the_answer_is_a_message_or_one_error(data):
    for read in (protoutil.unpack_proposal, protoutil.unpack_envelope, protoutil.unpack_transaction):
        with contextlib.suppress(protoutil.MalformedMessage):
            assert read(data)


def test_a_missing_part_is_named():
    made, _ = proposal()
    made.payload = b""
    with pytest.raises(protoutil.MalformedMessage, match="did not contain chaincode spec"):
        protoutil.unpack_proposal(made.SerializeToString())
    with pytest.raises(protoutil.MalformedMessage, match="error unmarshalling Header"):
        protoutil.unpack_proposal(proposal_pb2.Proposal(header=b"\xff").SerializeToString())
    with pytest.raises(protoutil.MalformedMessage, match="has no header"):
        protoutil.unpack_envelope(b"")
    with pytest.raises(protoutil.MalformedMessage, match="only one action"):
        protoutil.unpack_transaction(b"")
