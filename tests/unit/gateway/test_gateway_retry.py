"""A transaction is pursued until its fate is known, and never made twice."""

import grpc
import pytest
from gateway_server import Failure

from fabric_fl.gateway.commit import Status
from fabric_fl.gateway.errors import (
    CommitError,
    CommitStatusError,
    EndorseError,
    ErrorDetail,
    EvaluateError,
    SubmitError,
)
from fabric_fl.gateway.retry import Backoff, PersistentContract, is_passing, pursue

LOST = Failure(grpc.StatusCode.UNAVAILABLE, "connection lost")
LATE = Failure(grpc.StatusCode.DEADLINE_EXCEEDED, "too late")


class Clock:
    def __init__(self):
        self.now = 0.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


def patient(clock=None, patience=60.0):
    clock = clock or Clock()
    return Backoff(patience, clock=clock, sleep=clock.sleep)


@pytest.fixture
def transaction(contract):
    return contract.new_proposal("Put", "k", "v").endorse()


@pytest.mark.parametrize("after", [False, True], ids=["not sent", "sent"])
def test_a_lost_submission_is_submitted_again_with_the_same_bytes(transaction, server, after):
    server.script["Submit"].extend([Failure(grpc.StatusCode.UNAVAILABLE, "lost", after=after), LOST])
    assert pursue(transaction, patient()) == b"result of Put k v"
    assert len({request.SerializeToString() for request in server.requests["Submit"]}) == 1
    assert len(server.requests["Submit"]) == 3
    assert len(server.transactions) == 1


def test_a_lost_commit_status_is_asked_for_again_without_submitting(transaction, server):
    server.script["CommitStatus"].extend([LOST, LOST])
    assert pursue(transaction, patient()) == b"result of Put k v"
    assert len(server.requests["Submit"]) == 1
    assert len(server.requests["CommitStatus"]) == 3


def test_a_transaction_that_an_orderer_may_have_lost_is_submitted_again_with_the_same_bytes(transaction, server):
    server.script["CommitStatus"].append(LATE)
    assert pursue(transaction, patient()) == b"result of Put k v"
    first, second = server.requests["Submit"]
    assert first == second
    assert len(server.transactions) == 1


def test_a_transaction_found_invalid_is_reported_as_such(transaction, server):
    server.script["Submit"].append(Failure(grpc.StatusCode.UNAVAILABLE, "lost", after=True))
    server.codes[transaction.transaction_id] = 12
    with pytest.raises(CommitError) as caught:
        pursue(transaction, patient())
    assert caught.value.status.name == "PHANTOM_READ_CONFLICT"


def test_what_the_orderer_refused_is_not_sent_again(transaction, server):
    server.script["Submit"].append(Failure(grpc.StatusCode.ABORTED, "status=FORBIDDEN"))
    with pytest.raises(SubmitError, match="FORBIDDEN"):
        pursue(transaction, patient())
    assert len(server.requests["Submit"]) == 1


def test_an_unknown_fate_stays_an_error_with_the_commit_to_ask_later(transaction, server):
    server.script["CommitStatus"].extend([LOST] * 100)
    clock = Clock()
    with pytest.raises(CommitStatusError) as caught:
        pursue(transaction, patient(clock, patience=10))
    assert caught.value.commit.transaction_id == transaction.transaction_id
    assert 5 <= clock.now <= 10


def test_a_persistent_contract_executes_each_call_once(contract, server):
    server.script["Submit"].append(LOST)
    server.script["CommitStatus"].append(LOST)
    persistent = PersistentContract(contract, patience=5)
    assert persistent.submit("Put", "k", "v") == b"result of Put k v"
    assert persistent.evaluate("Get", "k") == b"result of Get k"
    assert len(server.requests["Endorse"]) == 1


def test_waits_grow_to_a_limit_are_never_equal_and_end_with_patience():
    clock = Clock()
    backoff = patient(clock, patience=20)
    while backoff.wait():
        pass
    assert clock.now <= 20
    for number, slept in enumerate(clock.slept):
        bound = min(0.05 * 2**number, 2.0)
        assert bound / 2 <= slept <= bound
    assert len(set(clock.slept)) == len(clock.slept)


def endorse_error(*messages, text="failed to endorse transaction", code=grpc.StatusCode.ABORTED):
    details = tuple(ErrorDetail("peer0", "Org1MSP", message) for message in messages)
    return EndorseError(text, grpc_code=code, details=details)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (CommitError(Status("t", 11, 1)), True),
        (CommitError(Status("t", 12, 1)), True),
        (CommitError(Status("t", 10, 1)), False),
        (endorse_error("ProposalResponsePayloads do not match"), True),
        (endorse_error("error in simulation: ... could not launch chaincode fl_1.0:abc: connection refused"), True),
        (endorse_error(text="lost", code=grpc.StatusCode.UNAVAILABLE), True),
        (endorse_error(text="late", code=grpc.StatusCode.DEADLINE_EXCEEDED), True),
        (endorse_error("chaincode response 400, FL-TASK-UNKNOWN: no such task"), False),
        (endorse_error("access denied: creator org unknown, creator is malformed"), False),
        (EvaluateError("lost", grpc_code=grpc.StatusCode.UNAVAILABLE), True),
        (SubmitError("lost", grpc_code=grpc.StatusCode.UNAVAILABLE), False),
        (CommitStatusError("lost", grpc_code=grpc.StatusCode.UNAVAILABLE), False),
    ],
    ids=str,
)
def test_only_what_changed_nothing_and_passes_by_itself_is_made_anew(error, expected):
    assert is_passing(error) is expected
