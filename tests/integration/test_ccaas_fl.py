"""The contract fl behind a real socket: `python -m fl_chaincode`, driven as a peer drives it."""

import json
import sys

import pytest
from ccaas_peer import M, Peer, creator_of
from ccaas_process import ChaincodeProcess
from ccaas_tls import issue

COMMAND = (sys.executable, "-m", "fl_chaincode")
SETTINGS = {"FL_CONSORTIUM": "Org1MSP,Org2MSP,Org3MSP"}
BATCHES = {"use_write_batch": True, "max_size_write_batch": 10}


@pytest.fixture(scope="module")
def chaincode():
    with ChaincodeProcess(env=SETTINGS, command=COMMAND) as process:
        yield process


@pytest.fixture(scope="module")
def administrator(tmp_path_factory):
    certificate = issue(tmp_path_factory.mktemp("org1"), "ana", {"fl.roles": "admin"}, unit="client")
    return creator_of("Org1MSP", certificate.cert_pem)


@pytest.mark.parametrize("offer", [None, BATCHES])
def test_what_one_call_writes_the_next_reads(chaincode, administrator, offer):
    with Peer(chaincode.address, offer=offer) as peer:
        init = peer.transact("consortium:Init", creator=administrator)
        profile = json.dumps({"name": "Hospital One"})
        register = peer.transact("participants:Register", profile, creator=administrator)
        listed = peer.transact("participants:List", creator=administrator)
        read = peer.transact("consortium:Read", creator=administrator)

    assert [one.status for one in (init, register, listed, read)] == [200] * 4
    assert list(init.writes) == ["consortium"]
    assert json.loads(init.payload)["organisations"] == ["Org1MSP", "Org2MSP", "Org3MSP"]
    assert read.payload == init.payload == init.writes["consortium"]
    assert [one["name"] for one in json.loads(listed.payload)] == ["Hospital One"]
    assert (register.event.event_name, register.event.payload) == ("participants:Register", b"{}")
    assert (read.event, read.writes) == (None, {})


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (("rounds:read", "t1", "1"), "FL-FUNCTION-UNKNOWN"),
        ((), "FL-FUNCTION-UNKNOWN"),
        (("rounds:Read", "t1"), "FL-ARGUMENT-COUNT"),
        (("rounds:Read", "t1", "\uff11"), "FL-ARGUMENT-INVALID"),
        (("rounds:Read", b"\xff", "1"), "FL-ARGUMENT-INVALID"),
        (("participants:Register", '{"name":"\\ud800"}'), "FL-JSON-INVALID"),
        (("updates:Submit", "t1", "1", "ab" * 32), "FL-CALLER-ROLE"),
    ],
)
def test_a_refusal_has_status_400_and_begins_with_its_code(chaincode, administrator, call, code):
    with Peer(chaincode.address) as peer:
        outcome = peer.transact(*call, creator=administrator)

    assert (outcome.status, outcome.writes, outcome.event) == (400, {}, None)
    assert outcome.message.startswith(f"{code}: ")


def test_a_creator_without_a_readable_certificate_is_refused(chaincode):
    with Peer(chaincode.address) as peer:
        for creator in (b"", b"\xff", creator_of("Org1MSP", b"no certificate")):
            outcome = peer.transact("consortium:Read", creator=creator)
            assert (outcome.status, outcome.message[:19]) == (400, "FL-CALLER-INVALID: ")


def test_a_peers_error_is_a_failure_and_not_a_refusal(chaincode, administrator):
    with Peer(chaincode.address) as peer:
        peer.refuse[M.GET_STATE] = "ledger is closed"
        outcome = peer.transact("consortium:Read", creator=administrator)

    assert (outcome.status, outcome.message) == (500, "the peer refused GET_STATE: ledger is closed")


def test_a_taken_port_stops_the_program_with_one_sentence(chaincode):
    process = ChaincodeProcess(env=SETTINGS, command=COMMAND, address=chaincode.address)

    assert process.wait() == 1
    assert process.log == f"fl-chaincode: cannot listen on {chaincode.address}: Address already in use\n"
