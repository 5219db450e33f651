"""What the ledger tries again, and what it never does twice."""

from collections import deque

import grpc
import pytest

from fabric_fl.gateway.commit import Status
from fabric_fl.gateway.errors import CommitError, EndorseError, ErrorDetail, EvaluateError, GatewayError
from fabric_fl.ledger import FLLedger, LedgerRefused

SUPPLY = b'{"supply":5}'
VOTE = b'{"attempt":0,"kind":"close","organisation":"Org1MSP","round":1,"schema":1,"task":"t"}'


class ScriptedContract:
    """Raises what it was given, one after the other, and then answers."""

    def __init__(self, answer, *errors):
        self.answer, self.errors, self.calls = answer, deque(errors), []

    def submit(self, *call):
        self.calls.append(call)
        if self.errors:
            raise self.errors.popleft()
        return self.answer

    evaluate = submit


def endorse_error(*messages, text="failed to endorse transaction, see attached details for more info"):
    details = tuple(ErrorDetail("peer", "Org1MSP", message) for message in messages)
    return EndorseError(text, grpc_code=grpc.StatusCode.ABORTED, details=details)


COLLECT = "failed to collect enough transaction endorsements, see attached details for more info"
REFUSED = "chaincode response 400, FL-ROUND-SEALED: round 1 takes no more updates"


def vote(*errors, patience=5.0):
    contract = ScriptedContract(VOTE, *errors)
    return contract, lambda: FLLedger(contract, patience=patience).vote("t", 1, "close", 0)


@pytest.mark.parametrize(
    "error",
    [
        CommitError(Status("x", 11, 7)),
        CommitError(Status("x", 12, 7)),
        endorse_error("ProposalResponsePayloads do not match"),
        endorse_error("could not launch chaincode fl_1.0: connection refused"),
        endorse_error(REFUSED, text=COLLECT),
        EndorseError("gone", grpc_code=grpc.StatusCode.UNAVAILABLE),
    ],
    ids=["mvcc", "phantom", "mismatch", "chaincode restarts", "a peer lags", "gateway restarts"],
)
def test_what_changed_nothing_is_done_again_from_fresh_reads(error):
    contract, call = vote(error, error)
    assert call().organisation == "Org1MSP"
    assert len(contract.calls) == 3


def test_a_refusal_of_the_contract_is_final():
    contract, call = vote(endorse_error(REFUSED))
    with pytest.raises(LedgerRefused) as caught:
        call()
    assert (caught.value.code, caught.value.message) == ("FL-ROUND-SEALED", "round 1 takes no more updates")
    assert len(contract.calls) == 1


def test_peers_that_go_on_refusing_make_it_a_refusal():
    contract, call = vote(*[endorse_error(REFUSED, text=COLLECT)] * 100, patience=0.3)
    with pytest.raises(LedgerRefused):
        call()
    assert 2 < len(contract.calls) < 20


@pytest.mark.parametrize("error", [CommitError(Status("x", 10, 7)), endorse_error("access denied")], ids=str)
def test_what_would_fail_again_is_raised_at_once(error):
    contract, call = vote(error)
    with pytest.raises(GatewayError) as caught:
        call()
    assert caught.value is error
    assert len(contract.calls) == 1


def test_an_unavailable_gateway_is_an_error_when_patience_ends():
    contract, call = vote(*[EndorseError("gone", grpc_code=grpc.StatusCode.UNAVAILABLE)] * 100, patience=0.3)
    with pytest.raises(EndorseError, match="gone"):
        call()
    assert len(contract.calls) > 2


def test_a_query_is_asked_again_while_the_gateway_restarts():
    gone = EvaluateError("gone", grpc_code=grpc.StatusCode.UNAVAILABLE)
    assert FLLedger(ScriptedContract(SUPPLY, gone, gone)).supply() == 5


def test_a_refused_query_is_a_refusal():
    details = (ErrorDetail("peer", "Org1MSP", "chaincode response 400, FL-TASK-UNKNOWN: no task t"),)
    error = EvaluateError("evaluate call failed", grpc_code=grpc.StatusCode.UNKNOWN, details=details)
    with pytest.raises(LedgerRefused) as caught:
        FLLedger(ScriptedContract(SUPPLY, error)).supply()
    assert caught.value.code == "FL-TASK-UNKNOWN"


def test_a_code_that_this_version_does_not_know_is_passed_on():
    with pytest.raises(LedgerRefused) as caught:
        vote(endorse_error("chaincode response 400, FL-NEW-THING: of another version"))[1]()
    assert caught.value.code == "FL-NEW-THING"
    assert "upgrade" in caught.value.remedy
