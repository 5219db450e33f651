"""The Gateway service: each call and each error that a client has to tell apart."""

import secrets

import grpc
import pytest
from fabric_network import ANY, CHANNEL, TWO
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.msp import identities_pb2
from raw import Invocation, send, submit

from fabric_fl.fabric import protoutil
from fabric_fl.gateway import CommitError, CommitStatusError, EndorseError, EvaluateError, Gateway, SubmitError


def code_of(caught):
    return caught.value.code()


def test_what_was_submitted_is_evaluated_at_once_through_the_same_gateway(contract, key):
    assert contract.submit("Put", key, "value") == b""
    assert contract.evaluate("Get", key) == b"value"


def test_every_organisation_may_submit_through_its_own_gateway(network, key):
    for number, organisation in enumerate(network.organisations):
        contract = organisation.network.contract("kv")
        assert contract.submit("Increment", key) == b"%d" % (number + 1)
        assert contract.evaluate("Caller") == organisation.msp_id.encode()


def test_an_organisation_whose_peer_does_not_run_the_chaincode_calls_it_through_its_own_gateway(network, key):
    first, second, third = network.organisations[:3]
    contract = third.network.contract(TWO)
    transaction = contract.new_proposal("Increment", key).endorse()
    assert endorsers_of(transaction) == {first.msp_id, second.msp_id}
    assert transaction.submit().status().successful
    assert contract.evaluate("Get", key) == b"1"
    assert contract.evaluate("Caller") == third.msp_id.encode()
    with pytest.raises(EndorseError) as caught:
        contract.new_proposal("Increment", key, endorsing_organizations=[third.msp_id]).endorse()
    assert caught.value.grpc_code is grpc.StatusCode.UNAVAILABLE
    assert f"failed to find any endorsing peers for org(s): {third.msp_id}" in caught.value.message


def endorsers_of(transaction):
    """Return the MSP ids of those who signed it."""
    envelope = gateway_pb2.PreparedTransaction.FromString(transaction.get_bytes()).envelope
    action = protoutil.unpack_transaction(protoutil.unpack_envelope(envelope).payload.data)
    return {identities_pb2.SerializedIdentity.FromString(one.endorser).mspid for one in action.endorsements}


def test_a_refused_transaction_names_the_peer_and_what_the_contract_said(network, contract):
    with pytest.raises(EndorseError) as caught:
        contract.submit("Refuse", "400", "FL-NO: not now")
    error = caught.value
    assert error.grpc_code is grpc.StatusCode.ABORTED
    assert "failed to endorse transaction, see attached details for more info" in error.message
    (detail,) = error.details
    own = network.organisations[0]
    assert (detail.msp_id, detail.address) == (own.msp_id, own.address)
    assert detail.message == "chaincode response 400, FL-NO: not now"


@pytest.mark.parametrize("status", ["400", "404", "500", "999"])
def test_a_refused_query_is_unknown_and_carries_the_contracts_words(contract, status):
    with pytest.raises(EvaluateError) as caught:
        contract.evaluate("Refuse", status, "because")
    assert caught.value.grpc_code is grpc.StatusCode.UNKNOWN
    text = f"chaincode response {status}, because"
    assert f"evaluate call to endorser returned error: {text}" in caught.value.message
    assert [detail.message for detail in caught.value.details] == [text]


def test_a_status_of_500_from_the_contract_refuses_a_transaction_too(contract):
    with pytest.raises(EndorseError) as caught:
        contract.submit("Refuse", "500", "broken")
    assert caught.value.details[0].message == "chaincode response 500, broken"


def test_statuses_below_400_are_endorsed(contract):
    assert contract.evaluate("Refuse", "399", "fine") == b""
    contract.submit("Refuse", "201", "fine")


def test_a_refusal_after_a_write_leaves_nothing_behind(contract, key):
    with pytest.raises(EndorseError):
        contract.submit("RefuseAfterPut", key)
    with pytest.raises(EvaluateError, match="chaincode response 404"):
        contract.evaluate("Get", key)


def test_results_that_differ_between_organisations_are_not_endorsed(contract):
    with pytest.raises(EndorseError) as caught:
        contract.submit("Random")
    assert caught.value.grpc_code is grpc.StatusCode.ABORTED
    assert "failed to collect enough transaction endorsements, see attached details" in caught.value.message
    assert {detail.message for detail in caught.value.details} == {"ProposalResponsePayloads do not match"}


def test_endorsing_organisations_can_be_named(network, key):
    others = [each.msp_id for each in network.organisations[1:]]
    transaction = network.contract().new_proposal("Put", key, "v", endorsing_organizations=others).endorse()
    assert transaction.submit().status().successful
    layers = protoutil.unpack_envelope(gateway_pb2.PreparedTransaction.FromString(transaction.get_bytes()).envelope)
    endorsers = [
        protoutil.unmarshal(type(each), each.SerializeToString()).endorser
        for each in protoutil.unpack_transaction(layers.payload.data).endorsements
    ]
    assert len(endorsers) == len(others)
    assert all(any(other.encode() in endorser for endorser in endorsers) for other in others)


def test_an_organisation_without_a_peer_cannot_be_named(contract, key):
    with pytest.raises(EndorseError) as caught:
        contract.submit("Put", key, "v", endorsing_organizations=["NobodyMSP"])
    assert caught.value.grpc_code is grpc.StatusCode.UNAVAILABLE
    assert "failed to find any endorsing peers for org(s): NobodyMSP" in caught.value.message


def test_too_few_named_organisations_are_found_out_at_the_commit(contract, key, network):
    with pytest.raises(CommitError) as caught:
        contract.submit("Put", key, "v", endorsing_organizations=[network.organisations[0].msp_id])
    assert caught.value.status.name == "ENDORSEMENT_POLICY_FAILURE"


def test_a_chaincode_may_ask_for_fewer_endorsers(network, key):
    contract = network.contract(ANY)
    contract.submit("Put", key, "v", endorsing_organizations=[network.organisations[1].msp_id])
    assert contract.evaluate("Get", key) == b"v"


def test_a_query_can_be_sent_to_another_organisation(network):
    other = network.organisations[1].msp_id
    assert network.contract().evaluate("Echo", "there", endorsing_organizations=[other]) == b"there"


def test_an_unknown_chaincode_is_named(contract, network):
    nobody = network.contract("nobody")
    with pytest.raises(EvaluateError) as caught:
        nobody.evaluate("Get", "k")
    assert caught.value.grpc_code is grpc.StatusCode.FAILED_PRECONDITION
    assert "no peers available to evaluate chaincode nobody in channel fl" in caught.value.message
    with pytest.raises(EndorseError) as caught:
        nobody.submit("Put", "k", "v")
    assert caught.value.grpc_code is grpc.StatusCode.FAILED_PRECONDITION
    assert "No metadata was found for chaincode nobody in channel fl" in caught.value.message


def test_an_unknown_channel_is_named(network):
    contract = network.organisations[0].gateway.network("elsewhere").contract("kv")
    with pytest.raises(EvaluateError, match="elsewhere"):
        contract.evaluate("Get", "k")
    with pytest.raises(EndorseError, match="No metadata was found for chaincode kv in channel elsewhere"):
        contract.submit("Put", "k", "v")


def test_transient_data_reaches_the_contract_and_not_the_chain(network, contract):
    secret = b"nobody may see this"
    assert contract.evaluate("Secret", "s", transient={"s": secret}) == secret
    proposal = contract.new_proposal("Touch", "k", transient={"s": secret})
    transaction = proposal.endorse()
    assert secret in proposal.get_bytes()
    assert secret not in transaction.get_bytes()
    assert transaction.submit().status().successful


def test_the_contract_sees_the_transactions_id_channel_and_time(contract):
    proposal = contract.new_proposal("About")
    about = proposal.evaluate()
    assert f'"tx": "{proposal.transaction_id}"'.encode() in about
    assert b'"channel": "fl"' in about


def test_an_endorse_request_needs_a_proposal(network):
    with pytest.raises(grpc.RpcError) as caught:
        network.organisations[0].gateway_stub.Endorse(gateway_pb2.EndorseRequest(channel_id=CHANNEL), timeout=5)
    assert code_of(caught) is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "the proposed transaction must contain a signed proposal"


def test_an_evaluate_request_needs_a_proposal(network):
    with pytest.raises(grpc.RpcError) as caught:
        network.organisations[0].gateway_stub.Evaluate(gateway_pb2.EvaluateRequest(channel_id=CHANNEL), timeout=5)
    assert code_of(caught) is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "failed to unpack transaction proposal: a signed proposal is required"


def test_a_submit_request_needs_a_signed_transaction(network, key):
    stub = network.organisations[0].gateway_stub
    with pytest.raises(grpc.RpcError) as caught:
        stub.Submit(gateway_pb2.SubmitRequest(channel_id=CHANNEL), timeout=5)
    assert code_of(caught) is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "a prepared transaction is required"
    unsigned = Invocation(network, "Put", key, "v").transaction()
    with pytest.raises(grpc.RpcError) as caught:
        send(network, unsigned)
    assert code_of(caught) is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "prepared transaction must be signed"


def test_a_wrong_signature_over_a_transaction_is_refused_by_the_orderer(network, key):
    invocation = Invocation(network, "Put", key, "v")
    envelope = invocation.transaction()
    forged = common_pb2.Envelope(payload=envelope.payload, signature=invocation.identity.sign(b"something else"))
    with pytest.raises(grpc.RpcError) as caught:
        send(network, forged, invocation.tx_id)
    assert code_of(caught) is grpc.StatusCode.ABORTED
    assert "received unsuccessful response from orderer: status=FORBIDDEN" in caught.value.details()


def test_a_malformed_transaction_is_refused_by_the_orderer(network):
    with pytest.raises(grpc.RpcError) as caught:
        send(network, common_pb2.Envelope(payload=b"\xff\xff\xff", signature=b"x"))
    assert code_of(caught) is grpc.StatusCode.ABORTED
    assert "status=BAD_REQUEST" in caught.value.details()


def test_a_gateway_reports_a_refusal_of_the_orderer_as_a_submit_error(network, contract, key):
    own = network.organisations[0]
    transaction = contract.new_proposal("Put", key, "v").endorse()
    wrong = own.identity.sign(b"something else")
    with pytest.raises(SubmitError, match="FORBIDDEN"):
        own.gateway.new_signed_transaction(transaction.get_bytes(), wrong).submit()


def test_a_transaction_submitted_twice_takes_effect_once(network, contract, key):
    transaction = contract.new_proposal("Increment", key).endorse()
    first = transaction.submit().status()
    again = transaction.submit().status()
    assert first == again
    assert contract.evaluate("Get", key) == b"1"


def test_the_status_of_a_transaction_is_known_at_every_organisations_gateway(network, contract, key):
    submitted = contract.submit_async("Put", key, "v")
    statuses = {each.network.commit(submitted.transaction_id).status(timeout=15) for each in network.organisations}
    assert statuses == {submitted.status()}


def test_a_status_may_be_asked_for_before_the_transaction_is_sent(network, contract, key):
    transaction = contract.new_proposal("Put", key, "v").endorse()
    stub = network.organisations[0].gateway_stub
    request = _status_request(network, transaction.transaction_id)
    waiting = stub.CommitStatus.future(request, timeout=20)
    transaction.submit()
    assert waiting.result().result == 0


def test_the_status_of_an_unknown_transaction_is_waited_for(network):
    with pytest.raises(CommitStatusError) as caught:
        network.organisations[0].network.commit(secrets.token_hex(32)).status(timeout=0.5)
    assert caught.value.grpc_code is grpc.StatusCode.DEADLINE_EXCEEDED


def _status_request(network, tx_id, *, channel=CHANNEL, identity=None, signature=None):
    own = network.organisations[0].identity
    creator = own.serialize() if identity is None else identity
    request = gateway_pb2.CommitStatusRequest(transaction_id=tx_id, channel_id=channel, identity=creator)
    data = request.SerializeToString()
    return gateway_pb2.SignedCommitStatusRequest(request=data, signature=signature or own.sign(data))


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"tx_id": ""}, "INVALID_ARGUMENT", "transaction ID should not be empty"),
        ({"channel": ""}, "INVALID_ARGUMENT", "no channel ID provided"),
        ({"channel": "elsewhere"}, "PERMISSION_DENIED", ""),
        ({"signature": b"x"}, "PERMISSION_DENIED", ""),
        ({"identity": b"nobody"}, "PERMISSION_DENIED", ""),
    ],
    ids=["no transaction", "no channel", "unknown channel", "bad signature", "bad identity"],
)
def test_a_request_for_a_status_is_checked(network, changes, code, text):
    request = _status_request(network, **{"tx_id": "ab" * 32} | changes)
    with pytest.raises(grpc.RpcError) as caught:
        network.organisations[0].gateway_stub.CommitStatus(request, timeout=5)
    assert code_of(caught) is grpc.StatusCode[code]
    assert text in caught.value.details()


def test_an_empty_request_for_a_status_is_refused(network):
    with pytest.raises(grpc.RpcError) as caught:
        network.organisations[0].gateway_stub.CommitStatus(gateway_pb2.SignedCommitStatusRequest(), timeout=5)
    assert code_of(caught) is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "a commit status request is required"


def test_every_step_can_be_signed_offline(network, key):
    own = network.organisations[0]
    offline = Gateway(own.channel, own.identity.identity)
    proposal = offline.network(CHANNEL).contract("kv").new_proposal("Put", key, "offline")
    proposal = offline.new_signed_proposal(proposal.get_bytes(), own.identity.sign_digest(proposal.get_digest()))
    transaction = proposal.endorse()
    signature = own.identity.sign_digest(transaction.get_digest())
    commit = offline.new_signed_transaction(transaction.get_bytes(), signature).submit()
    commit = offline.new_signed_commit(commit.get_bytes(), own.identity.sign_digest(commit.get_digest()))
    assert commit.status().successful
    assert network.contract().evaluate("Get", key) == b"offline"


def test_the_creators_organisation_need_not_be_the_gateways(network, key):
    """A gateway serves identities of other organisations as well, if the channel's policies let them write."""
    invocation = Invocation(network, "Put", key, "v", identity=network.organisations[1].identity)
    assert invocation.submit() == "VALID"


def test_a_megabyte_travels_there_and_back(contract, key):
    text = "x" * 2**20
    contract.submit("Put", key, text)
    assert contract.evaluate("Get", key) == text.encode()


def test_answers_of_several_megabytes_come_through(contract):
    assert len(contract.evaluate("Fill", str(8 * 2**20))) == 8 * 2**20


def test_values_hold_any_bytes(contract, key):
    contract.submit("Bytes", key)
    assert contract.evaluate("GetBytes", key) == bytes(range(256))


def test_an_envelope_that_is_too_large_is_refused(network):
    limit = _absolute_max_bytes(network)
    header = common_pb2.Header(
        channel_header=protoutil.channel_header(common_pb2.ENDORSER_TRANSACTION, CHANNEL).SerializeToString(),
        signature_header=protoutil.signature_header(network.organisations[0].identity.serialize()).SerializeToString(),
    )
    payload = common_pb2.Payload(header=header, data=b"\0" * limit).SerializeToString()
    envelope = common_pb2.Envelope(payload=payload, signature=b"x")
    with pytest.raises(grpc.RpcError) as caught:
        submit(network, envelope, "ab" * 32)
    assert code_of(caught) is grpc.StatusCode.ABORTED
    assert "status=BAD_REQUEST" in caught.value.details()
    assert "exceeds maximum allowed" in caught.value.details()


def _absolute_max_bytes(network):
    from fabric_protos.common import configtx_pb2
    from fabric_protos.orderer import configuration_pb2

    answer = network.contract("cscc").evaluate("GetChannelConfig", CHANNEL)
    orderer = configtx_pb2.Config.FromString(answer).channel_group.groups["Orderer"]
    return configuration_pb2.BatchSize.FromString(orderer.values["BatchSize"].value).absolute_max_bytes
