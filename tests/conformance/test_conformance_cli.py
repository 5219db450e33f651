"""The stock `peer` CLI on the network under test, as an organisation's ordinary user."""

import json
import re
import subprocess

import pytest
from fabric_network import ANY, CHANNEL, MAJORITY
from fabric_protos.common import common_pb2, ledger_pb2
from fabric_protos.peer import transaction_pb2
from peer_cli import PeerCLI, needs_fabric, program

from fabric_fl.fabric import protoutil

pytestmark = needs_fabric


@pytest.fixture
def peer(network, tmp_path):
    return PeerCLI(network.organisations[0], network, tmp_path)


def fetched(peer, which, *options):
    peer("channel", "fetch", which, "out.block", "-c", CHANNEL, *options)
    return common_pb2.Block.FromString((peer.folder / "out.block").read_bytes())


def test_the_cli_lists_its_peers_channels(peer):
    assert CHANNEL in peer("channel", "list").split()


def test_the_cli_reads_the_height(peer, network):
    info = json.loads(peer("channel", "getinfo", "-c", CHANNEL).partition("Blockchain info: ")[2])
    assert info["height"] == network.organisations[0].network.height()


def test_the_cli_invokes_with_several_peers_and_waits_for_the_event(peer, network, contract, key):
    peer.invoke(MAJORITY, "Put", key, "from the CLI", organisations=network.majority)
    assert peer.query(MAJORITY, "Get", key) == "from the CLI"
    assert contract.evaluate("Get", key) == b"from the CLI"


def test_the_cli_finds_out_that_endorsers_disagree(peer, network):
    text = peer.invoke(MAJORITY, "Random", organisations=network.majority, fails=True)
    assert "ProposalResponsePayloads do not match" in text


def test_the_cli_learns_why_a_transaction_is_invalid(peer, network, key):
    text = peer.invoke(MAJORITY, "Put", key, "v", organisations=network.organisations[:1], fails=True)
    assert "transaction invalidated with status (ENDORSEMENT_POLICY_FAILURE)" in text


def test_the_cli_shows_what_a_chaincode_refused(peer, network):
    text = peer.invoke(MAJORITY, "Refuse", "400", "FL-NO: not now", organisations=network.majority, fails=True)
    assert "FL-NO: not now" in text


@pytest.mark.parametrize("source", ["peer", "orderer"])
def test_the_cli_fetches_blocks_by_any_name(peer, network, contract, key, source):
    options = peer.orderer if source == "orderer" else []
    contract.submit("Put", key, "v")
    height = network.organisations[0].network.height()
    assert fetched(peer, "oldest", *options).header.number == 0
    assert fetched(peer, "newest", *options).header.number >= height - 1
    assert fetched(peer, "2", *options).header.number == 2
    config = fetched(peer, "config", *options)
    envelope = protoutil.unpack_envelope(config.data.data[0])
    assert envelope.channel_header.type == common_pb2.CONFIG


def test_what_qscc_answers_in_hex_is_the_block_as_fetched(peer):
    assert peer.query("qscc", "GetBlockByNumber", CHANNEL, "2", raw=True) == fetched(peer, "2").SerializeToString()


def test_qscc_tells_the_height_and_finds_a_block_by_the_hash_of_its_header(peer, network):
    info = ledger_pb2.BlockchainInfo.FromString(peer.query("qscc", "GetChainInfo", CHANNEL, raw=True))
    assert 0 < info.height <= network.organisations[0].network.height()
    tip = fetched(peer, str(info.height - 1))
    assert info.currentBlockHash == protoutil.block_header_hash(tip.header)
    assert info.previousBlockHash == tip.header.previous_hash
    by_hash = network.contract("qscc").evaluate("GetBlockByHash", CHANNEL, info.currentBlockHash)
    assert common_pb2.Block.FromString(by_hash) == tip


def test_what_became_of_transactions_stands_in_a_peers_block_and_not_in_the_orderers(peer, network, key):
    peer.invoke(MAJORITY, "Put", key, "v", organisations=network.organisations[:1], fails=True)
    number = network.organisations[0].network.height() - 1
    theirs = fetched(peer, str(number))
    ordered = fetched(peer, str(number), *peer.orderer)
    index = common_pb2.BlockMetadataIndex.TRANSACTIONS_FILTER
    assert transaction_pb2.ENDORSEMENT_POLICY_FAILURE in theirs.metadata.metadata[index]
    assert not any(ordered.metadata.metadata[index])
    assert (ordered.header, ordered.data) == (theirs.header, theirs.data)


def test_qscc_finds_a_transaction_and_its_block(peer, contract, key):
    submitted = contract.submit_async("Put", key, "v")
    number = submitted.status().block_number
    found = peer.query("qscc", "GetTransactionByID", CHANNEL, submitted.transaction_id, raw=True)
    assert transaction_pb2.ProcessedTransaction.FromString(found).validationCode == 0
    block = peer.query("qscc", "GetBlockByTxID", CHANNEL, submitted.transaction_id, raw=True)
    assert common_pb2.Block.FromString(block) == fetched(peer, str(number))


def test_the_cli_lists_committed_chaincodes(peer, network):
    answer = json.loads(peer("lifecycle", "chaincode", "querycommitted", "-C", CHANNEL, "-O", "json"))
    assert {MAJORITY, ANY} <= {definition["name"] for definition in answer["chaincode_definitions"]}
    answer = json.loads(peer("lifecycle", "chaincode", "querycommitted", "-C", CHANNEL, "-n", MAJORITY, "-O", "json"))
    assert answer["approvals"] == {each.msp_id: True for each in network.organisations}


def test_installed_packages_are_shown_to_administrators(peer, network, tmp_path):
    assert "not an admin" in peer("lifecycle", "chaincode", "queryinstalled", fails=True)
    admin = PeerCLI(network.organisations[0], network, tmp_path, msp="admin/msp")
    labels = re.findall(r"Label: (\S+)", admin("lifecycle", "chaincode", "queryinstalled"))
    assert any(label.startswith(MAJORITY) for label in labels)


def test_an_unknown_channel_is_an_error_that_names_it(peer):
    assert "elsewhere" in peer("channel", "getinfo", "-c", "elsewhere", fails=True)


@pytest.mark.parametrize("which", ["oldest", "newest"])
def test_configtxgen_reads_the_blocks(peer, which):
    fetched(peer, which)
    finished = subprocess.run(
        [program("configtxgen"), "-inspectBlock", peer.folder / "out.block"],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=peer.folder,
    )
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout)["header"]["number"] is not None
