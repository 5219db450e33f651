"""The official Node gateway client on the network under test: a program that nobody here wrote."""

import json
import secrets

import pytest
from cryptography.hazmat.primitives import serialization
from fabric_network import CHANNEL, MAJORITY
from node_client import needs_node, run

pytestmark = needs_node

ABORTED, UNKNOWN = 10, 2  # gRPC's numbers, as Node shows them


@pytest.fixture(scope="session")
def found(network):
    """What one run of node/client.cjs brought back."""
    own = network.organisations[0]
    endpoint = own.profile.peer
    key = own.identity.private_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    settings = {
        "address": endpoint.address,
        "serverName": endpoint.server_name,
        "tlsCa": endpoint.tls_ca_certs.decode(),
        "mspId": own.msp_id,
        "certificate": own.identity.identity.certificate_pem.decode(),
        "privateKey": key.decode(),
        "channel": CHANNEL,
        "chaincode": MAJORITY,
        "key": f"node-{secrets.token_hex(4)}",
    }
    return json.loads(run("client.cjs", json.dumps(settings)))


def test_node_submits_and_evaluates(found):
    assert found["basics"] == {"submitted": "", "evaluated": "value"}


def test_node_takes_each_step_and_learns_the_commit_status(found):
    steps = found["steps"]
    assert (steps["evaluated"], steps["result"]) == ("hidden", "1")
    status = steps["status"]
    assert (status["successful"], status["code"], status["transactionId"]) == (True, 0, steps["transactionId"])
    assert status["blockNumber"] > 0
    assert steps["again"] == status  # submitted twice, valid once


def test_node_sees_each_peers_words_when_a_transaction_is_refused(found, network):
    error = found["refusals"]["endorse"]
    assert (error["name"], error["code"]) == ("EndorseError", ABORTED)
    own = network.organisations[0]
    assert error["details"] == [
        {"address": own.address, "mspId": own.msp_id, "message": "chaincode response 400, not now"}
    ]
    assert len(error["transactionId"]) == 64


def test_node_sees_each_peers_words_when_a_query_is_refused(found):
    error = found["refusals"]["evaluate"]
    assert (error["name"], error["code"]) == ("GatewayError", UNKNOWN)
    assert error["details"][0]["message"] == "chaincode response 400, not now"


def test_node_is_told_that_results_do_not_match(found):
    error = found["refusals"]["mismatch"]
    assert (error["name"], error["code"]) == ("EndorseError", ABORTED)
    assert {detail["message"] for detail in error["details"]} == {"ProposalResponsePayloads do not match"}


def test_node_is_told_why_a_commit_failed(found):
    error = found["refusals"]["policy"]
    assert (error["name"], error["code"]) == ("CommitError", 10)
    assert found["conflict"]["codes"] == [0, 11]


def test_node_signs_every_step_offline(found):
    assert found["offline"]["status"]["successful"]
    assert found["offline"]["evaluated"] == "offline"


def test_node_replays_events_and_resumes_from_its_checkpoint(found):
    events = found["chaincodeEvents"]
    expected = [
        {**sent, "chaincodeName": MAJORITY, "eventName": name, "payload": name}
        for sent, name in zip(events["sent"], ("one", "two", "three"), strict=True)
    ]
    assert events["replayed"] == expected[:2]
    assert events["checkpoint"]["transactionId"] == expected[1]["transactionId"]
    assert events["resumed"] == expected[2]
    assert events["live"]


def test_node_reads_blocks_whole_and_filtered(found):
    blocks = found["blockEvents"]
    assert blocks["number"] == blocks["filteredNumber"] == blocks["blockNumber"]
    assert blocks["envelopes"] >= 1
    assert blocks["found"]
