"""Validation codes: what a committer finds in transactions that were tampered with, and in honest ones that collide."""

import secrets

import pytest
from fabric_network import ANY, MAJORITY
from fabric_protos.peer import chaincode_event_pb2, transaction_pb2
from raw import Invocation, Layers

from fabric_fl.fabric import protoutil


@pytest.fixture
def put(network, key):
    """A transaction that writes a key, endorsed by a majority."""
    return Invocation(network, "Put", key, "v")


def test_an_endorsed_transaction_is_valid(put, contract, key):
    assert put.submit() == "VALID"
    assert contract.evaluate("Get", key) == b"v"


def test_one_organisations_endorsement_is_no_majority(network, put):
    assert put.submit(organisations=network.organisations[:1]) == "ENDORSEMENT_POLICY_FAILURE"


def test_two_endorsements_of_one_peer_count_as_one(put, network):
    response = put.process(network.organisations[0])
    layers = Layers(protoutil.create_tx(put.proposal, [response]))
    layers.action.action.endorsements.append(layers.action.action.endorsements[0])
    layers.seal_action()
    assert put.submit(layers.envelope()) == "ENDORSEMENT_POLICY_FAILURE"


def test_a_client_cannot_endorse(put, network):
    layers = Layers(put.transaction())
    layers.seal_response(endorsers=[each.identity for each in network.organisations])
    assert put.submit(layers.envelope()) == "ENDORSEMENT_POLICY_FAILURE"


def test_a_transaction_without_endorsements_is_found_out(put):
    layers = Layers(put.transaction())
    del layers.action.action.endorsements[:]
    layers.seal_action()
    assert put.submit(layers.envelope()) == "ENDORSEMENT_POLICY_FAILURE"


def test_a_value_changed_after_endorsement_is_found_out(put):
    layers = Layers(put.transaction())
    rwset = layers.namespace()
    rwset.writes[0].value = b"forged"
    layers.put_namespace(rwset)
    layers.seal_response()
    assert put.submit(layers.envelope()) == "ENDORSEMENT_POLICY_FAILURE"


def test_a_broken_endorsement_beside_enough_good_ones_does_no_harm(network, put):
    layers = Layers(put.transaction(network.organisations))
    layers.action.action.endorsements[0].signature = b"broken"
    layers.seal_action()
    assert put.submit(layers.envelope()) == "VALID"


def test_another_response_than_the_endorsed_one_is_found_out(put):
    layers = Layers(put.transaction())
    layers.chaincode_action.response.payload = b"forged"
    layers.seal_response()
    assert put.submit(layers.envelope()) == "ENDORSEMENT_POLICY_FAILURE"


def test_the_policy_of_every_namespace_that_is_written_has_to_be_met(network, key):
    """A chaincode that any one peer endorses calls one that needs a majority."""
    call = Invocation(network, "CallAndPut", MAJORITY, key, "outer", "Put", key, "inner", chaincode=ANY)
    assert call.submit(organisations=network.organisations[:1]) == "ENDORSEMENT_POLICY_FAILURE"
    again = Invocation(network, "CallAndPut", MAJORITY, key, "outer", "Put", key, "inner", chaincode=ANY)
    assert again.submit() == "VALID"


def test_the_policy_of_a_namespace_that_is_only_read_does_not_matter(network, contract, key):
    contract.submit("Put", key, "v")
    call = Invocation(network, "CallAndPut", MAJORITY, key, "outer", "Get", key, chaincode=ANY)
    assert call.submit(organisations=network.organisations[:1]) == "VALID"


def test_two_actions_in_one_transaction_are_refused(put):
    layers = Layers(put.transaction())
    layers.transaction.actions.append(layers.transaction.actions[0])
    layers.seal_transaction()
    assert put.submit(layers.envelope()) == "INVALID_ENDORSER_TRANSACTION"


def test_a_transaction_without_an_action_is_refused(put):
    layers = Layers(put.transaction())
    del layers.transaction.actions[:]
    layers.seal_transaction()
    assert put.submit(layers.envelope()) == "INVALID_ENDORSER_TRANSACTION"


def test_a_proposal_hash_that_does_not_match_is_refused(put):
    layers = Layers(put.transaction())
    layers.response.proposal_hash = b"\0" * 32
    layers.seal_response()
    assert put.submit(layers.envelope()) == "INVALID_ENDORSER_TRANSACTION"


def test_arguments_changed_after_endorsement_are_found_out(put, network, key):
    layers = Layers(put.transaction())
    other = Invocation(network, "Put", key, "other").proposal.payload
    layers.action.chaincode_proposal_payload = protoutil.strip_transient(other)
    layers.seal_action()
    assert put.submit(layers.envelope()) == "INVALID_ENDORSER_TRANSACTION"


def test_an_action_of_another_creator_is_refused(put, network):
    layers = Layers(put.transaction())
    other = protoutil.signature_header(network.organisations[1].identity.serialize())
    layers.transaction.actions[0].header = other.SerializeToString()
    layers.seal_transaction()
    assert put.submit(layers.envelope()) == "INVALID_ENDORSER_TRANSACTION"


def test_an_id_that_is_not_the_hash_of_nonce_and_creator_is_refused(put):
    layers = Layers(put.transaction())
    put.tx_id = layers.channel_header.tx_id = secrets.token_hex(32)
    layers.seal_header()
    assert put.submit(layers.envelope()) == "BAD_PROPOSAL_TXID"


def test_a_later_epoch_is_refused(put):
    layers = Layers(put.transaction())
    layers.channel_header.epoch = 1
    layers.seal_header()
    assert put.submit(layers.envelope()) == "BAD_COMMON_HEADER"


def test_a_header_without_a_nonce_is_refused(put):
    layers = Layers(put.transaction())
    layers.signature_header.nonce = b""
    layers.seal_header()
    assert put.submit(layers.envelope()) == "BAD_COMMON_HEADER"


def test_a_header_extension_that_cannot_be_read_is_refused(put):
    layers = Layers(put.transaction())
    layers.channel_header.extension = b"\xff\xff\xff"
    layers.seal_header()
    layers.seal_proposal_hash()
    assert put.submit(layers.envelope()) == "BAD_HEADER_EXTENSION"


def test_a_header_extension_without_a_chaincode_is_refused(put):
    layers = Layers(put.transaction())
    layers.channel_header.extension = b""
    layers.seal_header()
    layers.seal_proposal_hash()
    assert put.submit(layers.envelope()) == "INVALID_OTHER_REASON"


def test_a_chaincode_action_that_cannot_be_read_is_refused(put):
    layers = Layers(put.transaction())
    layers.response.extension = b"\xff\xff\xff"
    layers.action.action.proposal_response_payload = layers.response.SerializeToString()
    layers.seal_action()
    assert put.submit(layers.envelope()) == "BAD_RESPONSE_PAYLOAD"


def test_a_read_write_set_that_cannot_be_read_is_refused(put):
    layers = Layers(put.transaction())
    layers.chaincode_action.results = b"\xff\xff\xff"
    layers.seal_response()
    assert put.submit(layers.envelope()) == "BAD_RWSET"


def test_a_transaction_of_an_undefined_chaincode_is_refused(put):
    layers = Layers(put.transaction())
    layers.channel_header.extension = protoutil.chaincode_header_extension("nobody")
    layers.seal_header()
    layers.chaincode_action.chaincode_id.name = "nobody"
    layers.chaincode_action.results = b""  # of several namespaces, Fabric takes any one first
    layers.seal_proposal_hash()
    assert put.submit(layers.envelope()) == "INVALID_CHAINCODE"


def test_an_action_that_names_another_chaincode_is_refused(put):
    layers = Layers(put.transaction())
    layers.chaincode_action.chaincode_id.name = ANY
    layers.seal_response()
    assert put.submit(layers.envelope()) == "INVALID_CHAINCODE"


def test_an_action_without_a_version_is_refused(put):
    layers = Layers(put.transaction())
    layers.chaincode_action.chaincode_id.version = ""
    layers.seal_response()
    assert put.submit(layers.envelope()) == "INVALID_CHAINCODE"


def test_an_event_of_another_chaincode_is_refused(put):
    layers = Layers(put.transaction())
    event = chaincode_event_pb2.ChaincodeEvent(chaincode_id=ANY, tx_id=put.tx_id, event_name="x")
    layers.chaincode_action.events = event.SerializeToString()
    layers.seal_response()
    assert put.submit(layers.envelope()) == "INVALID_OTHER_REASON"


def test_a_namespace_that_occurs_twice_is_refused(put):
    layers = Layers(put.transaction())
    twice = layers.rwset.ns_rwset.add()
    twice.CopyFrom(layers.rwset.ns_rwset[0])
    layers.chaincode_action.results = layers.rwset.SerializeToString()
    layers.seal_response()
    assert put.submit(layers.envelope()) == "ILLEGAL_WRITESET"


def test_the_second_copy_of_a_transaction_is_marked_in_its_block(network, put):
    envelope = protoutil.sign_envelope(put.transaction(), put.identity)
    assert put.submit(envelope) == "VALID"
    organisation = network.organisations[0].network
    with organisation.filtered_block_events(start_block=organisation.height()) as blocks:
        assert put.submit(envelope) == "VALID"  # the first occurrence is what is reported
        found = [each for block in _first(blocks) for each in block.filtered_transactions if each.txid == put.tx_id]
    assert [transaction_pb2.TxValidationCode.Name(each.tx_validation_code) for each in found] == ["DUPLICATE_TXID"]


def _first(blocks):
    return [next(blocks)]


def test_an_id_that_was_used_is_not_endorsed_again(network, put):
    assert put.submit() == "VALID"
    with pytest.raises(Exception, match="duplicate transaction found") as caught:
        put.process(network.organisations[0])
    assert caught.value.code().name == "UNKNOWN"


def test_of_two_increments_from_one_state_the_second_conflicts(network, contract, key):
    contract.submit("Put", key, "5")
    one, two = Invocation(network, "Increment", key), Invocation(network, "Increment", key)
    first, second = one.transaction(), two.transaction()
    assert [one.submit(first), two.submit(second)] == ["VALID", "MVCC_READ_CONFLICT"]
    assert contract.evaluate("Get", key) == b"6"


def test_of_two_creations_of_one_key_the_second_conflicts(network, contract, key):
    one, two = Invocation(network, "CreateOnce", key, "1"), Invocation(network, "CreateOnce", key, "2")
    first, second = one.transaction(), two.transaction()
    assert [one.submit(first), two.submit(second)] == ["VALID", "MVCC_READ_CONFLICT"]
    assert contract.evaluate("Get", key) == b"1"


def test_a_key_deleted_after_it_was_read_conflicts(network, contract, key):
    contract.submit("Put", key, "5")
    increment = Invocation(network, "Increment", key)
    envelope = increment.transaction()
    contract.submit("Delete", key)
    assert increment.submit(envelope) == "MVCC_READ_CONFLICT"


def test_a_key_written_with_the_same_value_is_another_version(network, contract, key):
    contract.submit("Put", key, "5")
    increment = Invocation(network, "Increment", key)
    envelope = increment.transaction()
    contract.submit("Put", key, "5")
    assert increment.submit(envelope) == "MVCC_READ_CONFLICT"


def test_a_transaction_that_only_reads_conflicts_too(network, contract, key):
    contract.submit("Put", key, "5")
    touch = Invocation(network, "Touch", key)
    envelope = touch.transaction()
    contract.submit("Put", key, "6")
    assert touch.submit(envelope) == "MVCC_READ_CONFLICT"


def test_writes_without_reads_never_conflict(network, contract, key):
    one, two = Invocation(network, "Put", key, "1"), Invocation(network, "Put", key, "2")
    first, second = one.transaction(), two.transaction()
    assert [one.submit(first), two.submit(second)] == ["VALID", "VALID"]
    assert contract.evaluate("Get", key) == b"2"


def test_a_stale_read_in_a_called_chaincode_conflicts(network, contract, key):
    contract.submit("Put", key, "5")
    call = Invocation(network, "CallAndPut", MAJORITY, key, "outer", "Increment", key, chaincode=ANY)
    envelope = call.transaction()
    contract.submit("Put", key, "9")
    assert call.submit(envelope) == "MVCC_READ_CONFLICT"


@pytest.mark.parametrize("size", [3, 250], ids=["as single reads", "as a Merkle summary"])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("Put", "00001x", "new"), "PHANTOM_READ_CONFLICT"),
        (("Put", "00002", "changed"), "PHANTOM_READ_CONFLICT"),
        (("Delete", "00002"), "PHANTOM_READ_CONFLICT"),
        (("Put", "99999", "outside"), "VALID"),
    ],
    ids=["insert", "update", "delete", "outside"],
)
def test_a_range_that_changed_after_it_was_read_conflicts(network, contract, key, size, change, expected):
    contract.submit("PutMany", key, "1", str(size))
    count = Invocation(network, "CountInto", key + "00000", key + "10000", "count-" + key)
    envelope = count.transaction()
    function, suffix, *rest = change
    contract.submit(function, key + suffix, *rest)
    assert count.submit(envelope) == expected


def test_large_ranges_travel_as_a_merkle_summary_and_small_ones_as_reads(network, contract, key):
    contract.submit("PutMany", key, "1", "250")
    large = Invocation(network, "CountInto", key, key + "~", "count-" + key).transaction()
    (query,) = Layers(large).namespace().range_queries_info
    assert query.WhichOneof("reads_info") == "reads_merkle_hashes"
    assert query.reads_merkle_hashes.max_degree == 50
    small = Invocation(network, "CountInto", key, key + "00051", "count-" + key).transaction()
    (query,) = Layers(small).namespace().range_queries_info
    assert query.WhichOneof("reads_info") == "raw_reads"
    assert len(query.raw_reads.kv_reads) == 50
    assert query.itr_exhausted


def test_what_lies_behind_the_part_of_a_range_that_was_fetched_may_change(network, contract, key):
    contract.submit("PutMany", key, "1", "250")
    first = Invocation(network, "FirstInto", key, key + "~", "first-" + key)
    envelope = first.transaction()
    contract.submit("Delete", key + "00249")
    assert first.submit(envelope) == "VALID"
    again = Invocation(network, "FirstInto", key, key + "~", "first-" + key)
    envelope = again.transaction()
    contract.submit("Delete", key + "00050")
    assert again.submit(envelope) == "PHANTOM_READ_CONFLICT"
