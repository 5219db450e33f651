"""A devnet and its chaincodes as processes: killed, restarted, made to fail, and the ledger stays what it was."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import grpc
import pytest

from fabric_fl.errors import FabricFLError
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.fabric.protoutil import block_header_hash
from fabric_fl.gateway import (
    CommitStatusError,
    Contract,
    EndorseError,
    EvaluateError,
    Timeouts,
    connect,
)
from fabric_fl.testing import Network

KV = (sys.executable, str(Path(__file__).parents[1] / "conformance" / "kv_contract.py"))


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with Network(2, chaincode="kv", command=KV) as network:
        yield network


@pytest.fixture
def contract(network: Network) -> Iterator[Contract]:
    with network.gateway("org1") as gateway:
        yield gateway.network("fl").contract("kv")
    network.fault("clear")


def until(action, seconds: float = 10.0):
    """Repeats what fails for a while; returns its result."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except FabricFLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


class TestProcesses:
    def test_what_was_committed_is_there_after_devnet_was_killed_and_the_client_goes_on(self, network, contract):
        submitted = contract.submit_async("Put", "kept", "1")
        status = submitted.status()
        files = {path: path.read_bytes() for path in network.organization("org1").rglob("*") if path.is_file()}
        network.kill("devnet")
        with pytest.raises(EvaluateError) as caught:
            contract.evaluate("Get", "kept")
        assert caught.value.grpc_code == grpc.StatusCode.UNAVAILABLE
        started = time.monotonic()
        network.start("devnet")
        assert time.monotonic() - started < 5
        assert until(lambda: contract.evaluate("Get", "kept")) == b"1"
        assert submitted.status() == status
        assert {path: path.read_bytes() for path in files} == files
        contract.submit("Put", "kept", "2")
        assert contract.evaluate("Get", "kept") == b"2"

    def test_the_chain_goes_on_where_it_was_cut(self, network):
        with network.gateway() as gateway:
            channel = gateway.network("fl")
            channel.contract("kv").submit("Put", "chained", "1")
            network.restart("devnet")
            until(lambda: channel.contract("kv").submit("Put", "chained", "2"))
            height = channel.height()
            previous = b""
            with channel.block_events(start_block=0) as blocks:
                for number, block in enumerate(islice(blocks, height)):
                    assert (block.header.number, block.header.previous_hash) == (number, previous)
                    previous = block_header_hash(block.header)

    def test_a_chaincode_that_was_killed_is_named_and_dialled_again(self, network, contract):
        contract.submit("Put", "k", "1")
        network.kill("kv-org1")
        with pytest.raises(EndorseError) as caught:
            contract.submit("Put", "k", "2")
        (detail,) = caught.value.details
        assert detail.msp_id == "Org1MSP"
        assert "could not launch chaincode kv" in detail.message
        network.start("kv-org1")
        until(lambda: contract.submit("Put", "k", "3"))
        assert contract.evaluate("Get", "k") == b"3"

    def test_while_one_organisations_chaincode_is_gone_the_others_still_answers_queries(self, network, contract):
        contract.submit("Put", "asked", "1")
        network.kill("kv-org1")
        assert contract.evaluate("Get", "asked") == b"1"
        network.start("kv-org1")
        until(lambda: contract.new_proposal("Get", "asked", endorsing_organizations=["Org1MSP"]).evaluate())

    def test_a_chaincode_that_ends_orderly_takes_nothing_with_it(self, network, contract):
        with ThreadPoolExecutor(8) as pool:
            running = [pool.submit(contract.evaluate, "Get", "asked") for _ in range(50)]
            network.kill("kv-org2", signal.SIGTERM)
            network.start("kv-org2")
            assert {future.result() for future in running} == {b"1"}
        until(lambda: contract.submit("Put", "asked", "2"))

    def test_an_organisations_events_are_replayed_after_a_restart(self, network, contract):
        contract.submit("Emit", "before")
        network.restart("devnet")
        until(lambda: contract.submit("Emit", "after"))
        with network.gateway("org2") as gateway, gateway.network("fl").chaincode_events("kv", start_block=0) as events:
            found = [event.event_name for event in islice(events, 2)]
        assert found == ["before", "after"]


class TestDecisions:
    """Each code once; the conformance suite has the details."""

    def test_a_transaction_does_not_see_its_own_writes(self, contract):
        contract.submit("Put", "swap", "old")
        assert contract.submit("Swap", "swap", "new") == b"old"
        assert contract.evaluate("Get", "swap") == b"new"

    def test_of_two_stale_increments_one_conflicts(self, contract):
        first, second = (contract.new_proposal("Increment", "counter").endorse() for _ in range(2))
        assert first.submit().status().code == 0
        assert second.submit().status().code == 11

    def test_a_key_that_appears_in_a_range_meanwhile_is_a_phantom(self, contract):
        counting = contract.new_proposal("CountInto", "range-", "range-z", "total").endorse()
        contract.submit("Put", "range-1", "v")
        assert counting.submit().status().code == 12

    def test_one_endorsement_is_not_a_majority(self, contract):
        proposal = contract.new_proposal("Put", "lonely", "1", endorsing_organizations=["Org1MSP"])
        status = proposal.endorse().submit().status()
        assert (status.code, status.successful) == (10, False)
        with pytest.raises(EvaluateError):
            contract.evaluate("Get", "lonely")

    def test_the_same_transaction_twice_is_a_duplicate_and_keeps_its_first_code(self, network, contract):
        transaction = contract.new_proposal("Put", "twice", "1").endorse()
        first = transaction.submit().status()
        again = transaction.submit().status()
        assert (again.code, again.block_number) == (first.code, first.block_number) == (0, first.block_number)
        with network.gateway() as gateway:
            channel = gateway.network("fl")
            contract.submit("Put", "after", "1")
            with channel.filtered_block_events(start_block=first.block_number + 1) as blocks:
                block = next(iter(blocks))
        codes = {each.txid: each.tx_validation_code for each in block.filtered_transactions}
        assert codes[transaction.transaction_id] == 9

    def test_a_chaincode_that_is_not_deterministic_is_not_endorsed(self, contract):
        with pytest.raises(EndorseError) as caught:
            contract.submit("Random")
        assert [detail.message for detail in caught.value.details] == ["ProposalResponsePayloads do not match"]


def test_executed_once_for_all_what_is_not_deterministic_goes_unnoticed():
    with (
        Network(2, chaincode="kv", command=KV, settings={"execution": "once"}) as network,
        network.gateway() as gateway,
    ):
        contract = gateway.network("fl").contract("kv")
        contract.submit("Put", "k", "v")
        status = contract.submit_async("Random").status()  # valid with both organisations' signatures
        assert status.successful
        network.kill("kv-org2")
        contract.submit("Put", "k", "w")  # nobody needed the second organisation's chaincode
        assert contract.evaluate("Get", "k") == b"w"


class TestFaults:
    def test_a_dropped_commit_status_leaves_the_client_in_doubt_and_asking_again_tells(self, network):
        network.fault("drop_commit_status", msp_id="Org1MSP")
        with connect(network.organization("org1"), timeouts=Timeouts(commit_status=0.5)) as gateway:
            channel = gateway.network("fl")
            submitted = channel.contract("kv").submit_async("Put", "doubt", "1")
            with pytest.raises(CommitStatusError):
                submitted.status()
            network.fault("clear")
            assert channel.commit(submitted.transaction_id).status().successful

    def test_a_delayed_commit_status_comes_late(self, network, contract):
        network.fault("delay_commit_status", msp_id="Org1MSP", seconds=0.3)
        started = time.monotonic()
        contract.submit("Put", "late", "1")
        assert time.monotonic() - started >= 0.3

    def test_stalled_ordering_holds_transactions_back_and_loses_none(self, network, contract):
        network.fault("stall_ordering")
        submitted = contract.submit_async("Put", "stalled", "1")
        with pytest.raises(CommitStatusError):
            submitted.status(timeout=0.3)
        network.fault("resume_ordering")
        assert submitted.status().successful

    def test_a_full_disk_stops_the_ledger_and_freeing_it_loses_nothing(self, network, contract):
        network.fault("fill_disk")
        submitted = contract.submit_async("Put", "full", "1")
        with pytest.raises(CommitStatusError):
            submitted.status(timeout=0.3)
        with pytest.raises(FabricFLError, match="disk is full"):
            contract.submit("Put", "fuller", "1")
        network.fault("free_disk")
        assert submitted.status().successful

    def test_a_lagging_peer_answers_with_what_was(self, network, contract):
        contract.submit("Put", "lag", "old")
        network.fault("lag", msp_id="Org1MSP")
        with network.gateway("org2") as gateway:
            other = gateway.network("fl").contract("kv")
            other.submit("Put", "lag", "new", endorsing_organizations=["Org2MSP", "Org1MSP"])
            assert other.new_proposal("Get", "lag", endorsing_organizations=["Org2MSP"]).evaluate() == b"new"
        assert contract.evaluate("Get", "lag") == b"old"
        # The two peers read different versions, so nothing that reads can be endorsed by both.
        with pytest.raises(EndorseError, match="do not match"):
            contract.submit("Swap", "lag", "newest")
        network.fault("catch_up", msp_id="Org1MSP")
        assert contract.evaluate("Get", "lag") == b"new"

    def test_a_stream_that_is_cut_is_resumed_by_the_client_without_a_gap(self, network, contract):
        with network.gateway() as gateway:
            channel = gateway.network("fl")
            start = channel.height()
            contract.submit("Emit", "one")
            with channel.chaincode_events("kv", start_block=start) as events:
                iterator = iter(events)
                assert next(iterator).event_name == "one"
                assert network.fault("cut_streams", msp_id="Org1MSP") >= 1
                contract.submit("Emit", "two")
                assert next(iterator).event_name == "two"

    def test_an_endorsement_that_fails_on_request_is_named(self, network, contract):
        network.fault("fail_endorsement", msp_id="Org2MSP", nth=2)
        contract.submit("Put", "first", "1")
        with pytest.raises(EndorseError) as caught:
            contract.submit("Put", "second", "1")
        assert {detail.msp_id: detail.message for detail in caught.value.details} == {
            "Org2MSP": "this endorsement fails on request"
        }
        contract.submit("Put", "third", "1")

    def test_an_altered_endorsement_does_not_match(self, network, contract):
        network.fault("alter_endorsements", msp_id="Org2MSP", times=1)
        with pytest.raises(EndorseError, match="do not match"):
            contract.submit("Put", "altered", "1")

    def test_reordering_turns_a_block_round(self, network, contract):
        first, second = (contract.new_proposal("Put", "order", value).endorse() for value in ("1", "2"))
        network.fault("reorder")
        network.fault("stall_ordering")
        waiting = [first.submit(), second.submit()]
        network.fault("resume_ordering")
        blocks = {each.status().block_number for each in waiting}
        assert len(blocks) == 1
        assert contract.evaluate("Get", "order") == b"1"

    @pytest.mark.parametrize(
        ("name", "arguments", "text"),
        [
            ("explode", {}, "there is no fault 'explode'"),
            ("lag", {}, "missing a required argument: 'msp_id'"),
            ("lag", {"msp_id": "Org9MSP"}, "there is no organisation 'Org9MSP'"),
            ("fail_endorsement", {"msp_id": "Org1MSP", "nth": "x"}, "every argument but msp_id is a number"),
        ],
    )
    def test_what_cannot_be_asked_for_is_refused(self, network, name, arguments, text):
        with pytest.raises(ValueError, match=text):
            network.fault(name, **arguments)


def test_the_profile_names_everybody(network):
    profile = ConnectionProfile.load(network.organization("org2"))
    assert profile.msp_id == "Org2MSP"
    assert profile.msp_ids == ("Org1MSP", "Org2MSP")
    assert profile.identity.identity.attributes["fl.roles"] == "trainer,validator,coordinator,auditor,admin"
    assert profile.admin.identity.role == "admin"
    assert profile.authority.registrar == ("admin", "adminpw")


def test_private_data_is_refused_with_a_sentence(network):
    peer = ConnectionProfile.load(network.organization("org1")).peer
    credentials = grpc.ssl_channel_credentials(peer.tls_ca_certs)
    with grpc.secure_channel(peer.address, credentials) as channel, pytest.raises(grpc.RpcError) as caught:
        next(channel.stream_stream("/protos.Deliver/DeliverWithPrivateData")(iter([b""]), timeout=5))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details().startswith("devnet has no private data collections")


@pytest.mark.parametrize(
    ("where", "method"),
    [
        ("peer", "/discovery.Discovery/Discover"),
        ("peer", "/protos.Snapshot/Generate"),
        ("peer", "/gossip.Gossip/Ping"),
        ("orderer", "/gateway.Gateway/Evaluate"),
    ],
)
def test_services_that_devnet_has_not_are_unimplemented(network, where, method):
    profile = ConnectionProfile.load(network.organization("org1"))
    endpoint = profile.peer if where == "peer" else profile.orderers[0]
    credentials = grpc.ssl_channel_credentials(endpoint.tls_ca_certs)
    with grpc.secure_channel(endpoint.address, credentials) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(method)(b"", timeout=5)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert "run Hyperledger Fabric" in caught.value.details()
