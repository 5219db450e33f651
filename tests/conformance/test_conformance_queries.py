"""System chaincodes: qscc, cscc and _lifecycle, as clients and the `peer` CLI query them."""

import pytest
from fabric_network import ANY, CHANNEL, MAJORITY
from fabric_protos.common import common_pb2, configtx_pb2, ledger_pb2
from fabric_protos.peer import query_pb2, transaction_pb2
from fabric_protos.peer.lifecycle import lifecycle_pb2
from raw import Invocation, seek, specified

from fabric_fl.fabric import protoutil
from fabric_fl.gateway import EvaluateError


@pytest.fixture
def qscc(network):
    contract = network.contract("qscc")
    return lambda function, *args: contract.evaluate(function, CHANNEL, *args)


@pytest.fixture
def committed(contract, key):
    """A committed transaction's id and block number."""
    submitted = contract.submit_async("Put", key, "v")
    return submitted.transaction_id, submitted.status().block_number


def test_the_chains_height_and_hash_are_those_of_its_last_block(network, qscc, committed):
    info = ledger_pb2.BlockchainInfo.FromString(qscc("GetChainInfo"))
    last = common_pb2.Block.FromString(qscc("GetBlockByNumber", str(info.height - 1)))
    assert info.currentBlockHash == protoutil.block_header_hash(last.header)
    assert info.previousBlockHash == last.header.previous_hash


def test_a_block_is_found_by_number_by_hash_and_by_a_transaction(network, qscc, committed):
    tx_id, number = committed
    by_number = common_pb2.Block.FromString(qscc("GetBlockByNumber", str(number)))
    by_hash = common_pb2.Block.FromString(qscc("GetBlockByHash", protoutil.block_header_hash(by_number.header)))
    by_transaction = common_pb2.Block.FromString(qscc("GetBlockByTxID", tx_id))
    (_, delivered), _ = seek(network.organisations[0], specified(number), specified(number))
    assert by_number == by_hash == by_transaction == delivered


def test_a_transaction_is_found_by_its_id_with_its_code(network, contract, qscc, committed, key):
    found = transaction_pb2.ProcessedTransaction.FromString(qscc("GetTransactionByID", committed[0]))
    assert found.validationCode == 0
    assert protoutil.unpack_envelope(found.transactionEnvelope).channel_header.tx_id == committed[0]
    stale = Invocation(network, "Increment", "n" + key)
    envelope = stale.transaction()
    contract.submit("Increment", "n" + key)
    assert stale.submit(envelope) == "MVCC_READ_CONFLICT"
    found = transaction_pb2.ProcessedTransaction.FromString(qscc("GetTransactionByID", stale.tx_id))
    assert found.validationCode == transaction_pb2.MVCC_READ_CONFLICT


@pytest.mark.parametrize(
    ("function", "argument"),
    [
        ("GetBlockByNumber", "99999999"),
        ("GetBlockByNumber", "x"),
        ("GetBlockByHash", b"\0" * 32),
        ("GetBlockByTxID", "ab" * 31),
        ("GetTransactionByID", "ab" * 31),
        ("GetNothing", "x"),
    ],
)
def test_what_qscc_does_not_have_is_an_error(qscc, function, argument):
    with pytest.raises(EvaluateError):
        qscc(function, argument)


def test_qscc_knows_only_the_peers_channels(network):
    with pytest.raises(EvaluateError):
        network.contract("qscc").evaluate("GetChainInfo", "elsewhere")


def test_the_configuration_block_and_its_configuration_agree(network):
    cscc = network.contract("cscc")
    block = common_pb2.Block.FromString(cscc.evaluate("GetConfigBlock", CHANNEL))
    payload = protoutil.unpack_envelope(block.data.data[0]).payload
    config = configtx_pb2.Config.FromString(cscc.evaluate("GetChannelConfig", CHANNEL))
    assert configtx_pb2.ConfigEnvelope.FromString(payload.data).config == config
    application = config.channel_group.groups["Application"]
    assert set(application.groups) == {each.msp_id for each in network.organisations}
    assert {"Readers", "Writers", "Admins", "Endorsement", "LifecycleEndorsement"} <= set(application.policies)


def test_the_channels_of_a_peer_are_listed(network):
    answer = query_pb2.ChannelQueryResponse.FromString(network.contract("cscc").evaluate("GetChannels"))
    assert CHANNEL in {channel.channel_id for channel in answer.channels}


def test_a_committed_chaincode_definition_can_be_read(network):
    arguments = lifecycle_pb2.QueryChaincodeDefinitionArgs(name=MAJORITY).SerializeToString()
    answer = network.contract("_lifecycle").evaluate("QueryChaincodeDefinition", arguments)
    definition = lifecycle_pb2.QueryChaincodeDefinitionResult.FromString(answer)
    assert (definition.sequence, definition.version) == (1, "1.0")
    assert (definition.endorsement_plugin, definition.validation_plugin) == ("escc", "vscc")
    assert set(definition.approvals) == {each.msp_id for each in network.organisations}
    assert all(definition.approvals.values())


def test_all_committed_chaincode_definitions_can_be_listed(network):
    arguments = lifecycle_pb2.QueryChaincodeDefinitionsArgs().SerializeToString()
    answer = network.contract("_lifecycle").evaluate("QueryChaincodeDefinitions", arguments)
    definitions = lifecycle_pb2.QueryChaincodeDefinitionsResult.FromString(answer).chaincode_definitions
    assert {MAJORITY, ANY} <= {definition.name for definition in definitions}


def test_an_undefined_chaincode_is_not_found(network):
    arguments = lifecycle_pb2.QueryChaincodeDefinitionArgs(name="nobody").SerializeToString()
    with pytest.raises(EvaluateError, match="chaincode response 404, namespace nobody is not defined"):
        network.contract("_lifecycle").evaluate("QueryChaincodeDefinition", arguments)


def test_installed_packages_are_for_administrators_alone(network):
    arguments = lifecycle_pb2.QueryInstalledChaincodesArgs().SerializeToString()
    own = network.organisations[0]

    def ask(identity):
        proposal, _ = protoutil.create_chaincode_proposal(
            "", "_lifecycle", ["QueryInstalledChaincodes", arguments], identity.serialize()
        )
        return own.endorser_stub.ProcessProposal(protoutil.sign_proposal(proposal, identity), timeout=10).response

    assert ask(own.identity).status == 500
    answer = ask(own.admin)
    assert answer.status == 200
    installed = lifecycle_pb2.QueryInstalledChaincodesResult.FromString(answer.payload).installed_chaincodes
    assert any(each.label.startswith(MAJORITY) for each in installed)
