"""The system chaincodes that answer queries of ledger and channel."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from devnet_ledgers import CHAINCODE, CHANNEL, LedgerOnTrial, organizations
from devnet_system_chaincodes import acl, invoke
from fabric_protos.common import common_pb2, configtx_pb2, ledger_pb2
from fabric_protos.peer import proposal_response_pb2, query_pb2, transaction_pb2

from fabric_fl.devnet.syscc import CSCC, QSCC
from fabric_fl.fabric.protoutil import block_header_hash, unpack_envelope

Response = proposal_response_pb2.Response


@pytest.fixture
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    trial.put({"k": b"v"})
    yield trial
    trial.close()


class TestQSCC:
    @pytest.fixture
    def qscc(self, trial: LedgerOnTrial) -> QSCC:
        return QSCC(trial.ledger, acl(trial))

    def test_chain_info_has_the_height_and_the_last_two_hashes(self, trial, qscc):
        info = ledger_pb2.BlockchainInfo.FromString(invoke(qscc, ["GetChainInfo", CHANNEL]).payload)
        last, before = (trial.ledger.block(number) for number in (2, 1))
        assert (info.height, info.currentBlockHash, info.previousBlockHash) == (
            3,
            block_header_hash(last.header),
            block_header_hash(before.header),
        )

    def test_a_block_is_found_by_number_hash_and_transaction(self, trial, qscc):
        data = trial.ledger.block_bytes(2)
        block = common_pb2.Block.FromString(data)
        tx_id = unpack_envelope(block.data.data[0]).channel_header.tx_id
        assert invoke(qscc, ["GetBlockByNumber", CHANNEL, "2"]).payload == data
        assert invoke(qscc, ["GetBlockByNumber", CHANNEL, str(2**64 - 1)]).payload == data
        assert invoke(qscc, ["GetBlockByHash", CHANNEL, block_header_hash(block.header)]).payload == data
        assert invoke(qscc, ["GetBlockByTxID", CHANNEL, tx_id]).payload == data
        found = transaction_pb2.ProcessedTransaction.FromString(
            invoke(qscc, ["GetTransactionByID", CHANNEL, tx_id]).payload
        )
        assert found.validationCode == 0
        assert found.transactionEnvelope.SerializeToString() == block.data.data[0]

    @pytest.mark.parametrize(
        ("args", "text"),
        [
            (["GetChainInfo"], "Incorrect number of arguments, 1"),
            (["GetBlockByNumber", CHANNEL], "missing 3rd argument for GetBlockByNumber"),
            (["GetChainInfo", "elsewhere"], "Invalid chain ID, elsewhere"),
            (
                ["GetBlockByNumber", CHANNEL, "9"],
                "Failed to get block number 9, error no such block number [9] in index",
            ),
            (["GetBlockByNumber", CHANNEL, "x"], 'parsing "x": invalid syntax'),
            (["GetBlockByNumber", CHANNEL, "-1"], 'parsing "-1": invalid syntax'),
            (["GetBlockByNumber", CHANNEL, str(2**64)], "value out of range"),
            (["GetBlockByNumber", CHANNEL, "9" * 5000], "value out of range"),
            (["GetBlockByNumber", CHANNEL, str(2**63)], "no such block number [9223372036854775808] in index"),
            (["GetBlockByNumber", CHANNEL, "²"], "invalid syntax"),
            (["GetTransactionByID", CHANNEL, "t"], "Failed to get transaction with id t"),
            (["GetBlockByTxID", CHANNEL, "t"], "Failed to get block for txID t"),
            (["GetBlockByHash", CHANNEL, b"\xff"], "no such block hash [ff] in index"),
            (["DropTables", CHANNEL, ""], "access denied for [DropTables][fl]: [Unmapped policy for qscc/DropTables]"),
        ],
    )
    def test_what_cannot_be_answered_is_an_error_in_fabrics_words(self, qscc, args, text):
        response = invoke(qscc, args)
        assert response.status == 500
        assert text in response.message

    def test_only_readers_may_ask(self, qscc):
        orderer = organizations()[3].client
        response = invoke(qscc, ["GetChainInfo", CHANNEL], signer=orderer)
        assert response.message.startswith("access denied for [GetChainInfo][fl]: [Failed evaluating policy")

    def test_a_chaincode_may_not_ask(self, qscc):
        response = invoke(qscc, ["GetChainInfo", CHANNEL], invoked=CHAINCODE)
        assert response.message.endswith(f"original invocation for '{CHAINCODE}'")


class TestCSCC:
    @pytest.fixture
    def cscc(self, trial: LedgerOnTrial) -> CSCC:
        return CSCC(trial.ledger, trial.config, acl(trial))

    def test_members_see_the_channels(self, cscc):
        channels = query_pb2.ChannelQueryResponse.FromString(invoke(cscc, ["GetChannels"], channel="").payload)
        assert [each.channel_id for each in channels.channels] == [CHANNEL]
        denied = invoke(cscc, ["GetChannels"], signer=organizations()[1].client, channel="")
        assert denied.message.startswith("access denied for [GetChannels]")

    def test_the_configuration_comes_as_block_and_alone(self, trial, cscc):
        assert invoke(cscc, ["GetConfigBlock", CHANNEL]).payload == trial.ledger.block_bytes(0)
        config = configtx_pb2.Config.FromString(invoke(cscc, ["GetChannelConfig", CHANNEL]).payload)
        assert set(config.channel_group.groups["Application"].groups) == {"Org1MSP", "Org2MSP", "Org3MSP"}

    @pytest.mark.parametrize(
        ("args", "text"),
        [
            ([], "Incorrect number of arguments, 0"),
            (["GetConfigBlock"], "Incorrect number of arguments, 1"),
            (["GetChannelConfig", ""], "empty channel name provided"),
            (["GetConfigBlock", "elsewhere"], "Failed to get policy manager for channel [elsewhere]"),
            (["JoinChain", b"block"], "join no other: run Hyperledger Fabric"),
            (["JoinBySnapshotStatus"], "join no other: run Hyperledger Fabric"),
            (["Dance", "x"], "Requested function Dance not found."),
        ],
    )
    def test_what_cannot_be_answered_is_an_error(self, cscc, args, text):
        response = invoke(cscc, args)
        assert response.status == 500
        assert text in response.message
