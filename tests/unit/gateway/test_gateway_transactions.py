"""The steps of a transaction against a server in this process."""

import hashlib

import grpc
import pytest
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from gateway_server import Failure

from fabric_fl.fabric import protoutil
from fabric_fl.gateway.errors import (
    CommitError,
    CommitStatusError,
    EndorseError,
    ErrorDetail,
    EvaluateError,
    NotSignedError,
    SubmitError,
)
from fabric_fl.gateway.gateway import Gateway

PEER = ("peer0.org2:7051", "Org2MSP", "chaincode response 400, FL-NO: because")


def test_submit_goes_through_all_steps_and_returns_the_result(contract, server):
    assert contract.submit("Put", "k", b"\xff") == b"result of Put k \xff"
    ids = [server.requests[step][0].transaction_id for step in ("Endorse", "Submit")]
    asked = gateway_pb2.CommitStatusRequest.FromString(server.requests["CommitStatus"][0].request)
    assert {*ids, asked.transaction_id} == {server.transactions[0]}


def test_evaluate_asks_one_peer_and_sends_nothing_to_the_orderer(contract, server):
    assert contract.evaluate("Get", "k") == b"result of Get k"
    assert not server.requests["Endorse"]
    assert server.transactions == []


def test_every_step_is_signed_over_the_bytes_that_it_sends(contract, server, identity):
    contract.submit("Put", "k", "v")
    proposal = server.requests["Endorse"][0].proposed_transaction
    envelope = server.requests["Submit"][0].prepared_transaction
    question = server.requests["CommitStatus"][0]
    assert identity.identity.verify(proposal.proposal_bytes, proposal.signature)
    assert identity.identity.verify(envelope.payload, envelope.signature)
    assert identity.identity.verify(question.request, question.signature)


def test_the_transaction_id_is_the_hash_of_nonce_and_creator(contract):
    proposal = contract.new_proposal("Get")
    signed = gateway_pb2.ProposedTransaction.FromString(proposal.get_bytes()).proposal
    header = protoutil.unpack_proposal(signed.proposal_bytes).signature_header
    assert proposal.transaction_id == hashlib.sha256(header.nonce + header.creator).hexdigest()


def test_endorsing_organisations_and_transient_data_reach_the_gateway(contract, server):
    contract.submit("Put", transient={"secret": b"s"}, endorsing_organizations=["Org2MSP"])
    request = server.requests["Endorse"][0]
    assert list(request.endorsing_organizations) == ["Org2MSP"]
    proposal = protoutil.unpack_proposal(request.proposed_transaction.proposal_bytes)
    assert proposal.transient == {"secret": b"s"}
    envelope = server.requests["Submit"][0].prepared_transaction
    assert b"secret" not in envelope.payload


@pytest.mark.parametrize(
    ("step", "error_class"),
    [("Endorse", EndorseError), ("Submit", SubmitError), ("CommitStatus", CommitStatusError)],
)
def test_each_step_fails_in_its_own_way_and_tells_who_said_what(contract, server, step, error_class):
    server.script[step].append(Failure(grpc.StatusCode.ABORTED, "failed", [PEER]))
    with pytest.raises(error_class) as caught:
        contract.submit("Put", "k", "v")
    error = caught.value
    assert error.grpc_code is grpc.StatusCode.ABORTED
    assert error.details == (ErrorDetail(*PEER),)
    assert len(error.transaction_id) == 64
    for part in (*PEER, error.transaction_id, "failed", error.code):
        assert part in str(error)


def test_a_refused_query_names_its_transaction_and_peer(contract, server):
    server.script["Evaluate"].append(Failure(grpc.StatusCode.UNKNOWN, "evaluate call failed", [PEER]))
    with pytest.raises(EvaluateError) as caught:
        contract.evaluate("Get", "k")
    assert caught.value.details[0].msp_id == "Org2MSP"
    assert caught.value.transaction_id == server.requests["Evaluate"][0].transaction_id


def test_an_invalid_transaction_is_known_bad_with_fabrics_name_of_the_code(contract, server):
    def invalidate(request):
        server.codes[request.transaction_id] = 11
        return server._submit(request)

    server.script["Submit"].append(invalidate)
    with pytest.raises(CommitError) as caught:
        contract.submit("Put", "k", "v")
    status = caught.value.status
    assert (status.code, status.name, status.block_number, status.successful) == (11, "MVCC_READ_CONFLICT", 1, False)
    assert caught.value.transaction_id == status.transaction_id == server.transactions[0]


def test_an_unknown_commit_status_is_asked_again_under_the_same_id(contract, server):
    server.script["CommitStatus"].append(Failure(grpc.StatusCode.UNAVAILABLE, "peer is gone"))
    with pytest.raises(CommitStatusError) as caught:
        contract.submit("Put", "k", "v")
    assert caught.value.commit.status().successful
    assert caught.value.commit.result == b"result of Put k v"
    assert len(server.requests["Endorse"]) == len(server.requests["Submit"]) == 1


def test_a_transaction_that_was_perhaps_sent_is_sent_again_as_it_was(contract, server):
    server.script["Submit"].append(Failure(grpc.StatusCode.UNAVAILABLE, "answer lost", after=True))
    with pytest.raises(SubmitError) as caught:
        contract.submit("Put", "k", "v")
    assert caught.value.transaction.submit().status().block_number == 1
    first, second = server.requests["Submit"]
    assert first == second
    assert len(server.transactions) == 1


def test_a_step_that_takes_too_long_ends_at_its_own_time_limit(contract, server):
    server.script["Endorse"].append(lambda _: server.stopped.wait(5))
    with pytest.raises(EndorseError) as caught:
        contract.new_proposal("Put").endorse(timeout=0.1)
    assert caught.value.grpc_code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_the_status_of_a_transaction_known_by_id_alone_can_be_asked(network, contract):
    submitted = contract.submit_async("Put", "k", "v")
    assert network.commit(submitted.transaction_id).status() == submitted.status()


def test_details_that_cannot_be_read_do_not_hide_the_error(contract, server, monkeypatch):
    failure = Failure(grpc.StatusCode.ABORTED, "failed")

    def abort(context):
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff"),))
        context.abort(failure.code, failure.text)

    monkeypatch.setattr(failure, "abort", abort)
    server.script["Endorse"].append(failure)
    with pytest.raises(EndorseError, match="failed") as caught:
        contract.submit("Put")
    assert caught.value.details == ()


def test_every_step_can_be_signed_in_another_process(channel, server, identity):
    offline = Gateway(channel, identity.identity)
    unsigned = offline.network("fl").contract("kv").new_proposal("Put", "k", "v")
    signature = identity.sign_digest(unsigned.get_digest())
    proposal = offline.new_signed_proposal(unsigned.get_bytes(), signature)
    unsigned_transaction = proposal.endorse()
    signature = identity.sign_digest(unsigned_transaction.get_digest())
    transaction = offline.new_signed_transaction(unsigned_transaction.get_bytes(), signature)
    unsigned_commit = transaction.submit()
    signature = identity.sign_digest(unsigned_commit.get_digest())
    commit = offline.new_signed_commit(unsigned_commit.get_bytes(), signature)
    assert commit.status().successful
    assert transaction.result == b"result of Put k v"
    envelope = server.requests["Submit"][0].prepared_transaction
    assert identity.identity.verify(envelope.payload, envelope.signature)
    assert identity.identity.verify(*_signed(server.requests["CommitStatus"][0]))


def _signed(request):
    return request.request, request.signature


def test_an_unsigned_step_is_never_sent(channel, server, identity):
    contract = Gateway(channel, identity.identity).network("fl").contract("kv")
    with pytest.raises(NotSignedError):
        contract.evaluate("Get")
    assert not server.requests


def test_a_hook_signs_digests_and_its_high_s_is_made_low(channel, server, identity):
    digests = []

    def hook(digest):
        digests.append(digest)
        return _with_high_s(identity.sign_digest(digest))

    Gateway(channel, identity.identity, sign=hook).network("fl").contract("kv").submit("Put")
    assert [len(digest) for digest in digests] == [32, 32, 32]
    envelope: common_pb2.Envelope = server.requests["Submit"][0].prepared_transaction
    assert identity.identity.verify(envelope.payload, envelope.signature)


def _with_high_s(signature):
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

    r, s = decode_dss_signature(signature)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    return encode_dss_signature(r, order - s)


def test_no_key_appears_in_a_repr(gateway, identity):
    assert "private" not in repr(gateway) + repr(gateway._signer) + repr(identity)
    assert repr(gateway) == "Gateway('Org1MSP')"
