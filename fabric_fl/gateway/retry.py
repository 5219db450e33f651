"""Acting once, whatever fails on the way.

A transaction that was perhaps sent is pursued under its own id until its fate is known: the same bytes are submitted
again, the same status is asked for again. Only what certainly changed nothing is done anew, from fresh reads.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import grpc

from fabric_fl.gateway.commit import SubmittedTransaction
from fabric_fl.gateway.contract import Contract
from fabric_fl.gateway.errors import (
    CommitError,
    CommitStatusError,
    EndorseError,
    EvaluateError,
    GatewayError,
    SubmitError,
)
from fabric_fl.gateway.transaction import Transaction

CONFLICTS = frozenset({"MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT"})
# A commit takes a second or two; after so many an orderer may have lost the transaction.
ASK_AGAIN = 5.0  # seconds
_UNREACHED = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})
# The gateway reports a peer's troubles as text only. These pass by themselves: a chaincode process that restarts,
# a peer that lags behind or is being replaced, a network that is still finding its members.
_PASSING = (
    "ProposalResponsePayloads do not match",
    "could not launch chaincode",
    "could not find handler",
    "chaincode stream terminated",
    "chaincode registration failed",
    "timeout expired while executing transaction",
    "context deadline exceeded",
    "connection refused",
    "connection error",
    "no peer combination can satisfy the endorsement policy",
    "failed to select a set of endorsers",
    "failed to find any endorsing peers",
)
# The gateway says this when its own peer endorsed and others did not: they see another state than it does.
DISAGREEMENT = "failed to collect enough transaction endorsements"


class Backoff:
    """Waits between attempts, longer each time and never in step with others, until patience ends.

    Args:
        patience: Seconds in all.
        first: Upper bound of the first wait, in seconds; doubled each time.
        longest: Upper bound of every wait, in seconds.
    """

    def __init__(
        self,
        patience: float,
        *,
        first: float = 0.05,
        longest: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._deadline = clock() + patience
        self._bound, self._longest = first, longest

    def wait(self) -> bool:
        """Wait before the next attempt; return False without waiting when patience has ended."""
        delay = self._bound * random.uniform(0.5, 1.0)  # noqa: S311 -- spreads callers, guards nothing
        if self._clock() + delay > self._deadline:
            return False
        self._bound = min(2 * self._bound, self._longest)
        self._sleep(delay)
        return True


class PersistentContract:
    """A contract whose transactions are pursued until their fate is known.

    Args:
        contract: Where calls go.
        patience: Seconds for which a transaction is pursued after it was endorsed.
    """

    def __init__(self, contract: Contract, patience: float) -> None:
        self._contract = contract
        self._patience = patience

    def evaluate(self, name: str, /, *args: str) -> bytes:
        return self._contract.evaluate(name, *args)

    def submit(self, name: str, /, *args: str) -> bytes:
        """Have the function executed once, ordered and committed, and return its result.

        Raises:
            EndorseError: Nothing was sent.
            SubmitError: The orderer refused it, or could not be reached within the patience.
            CommitStatusError: Its fate is still unknown when patience ends.
            CommitError: In the ledger, as invalid.
        """
        return pursue(self._contract.new_proposal(name, *args).endorse(), Backoff(self._patience))


def pursue(transaction: Transaction, backoff: Backoff) -> bytes:
    """Submit a transaction until its fate is known; return its result if it was committed.

    Raises:
        SubmitError: The orderer refused it, or could not be reached within the patience.
        CommitStatusError: Its fate is still unknown when patience ends.
        CommitError: It is in the ledger as invalid.
    """
    submitted: SubmittedTransaction | None = None
    while True:
        try:
            submitted = submitted or transaction.submit()
            status = submitted.status(timeout=ASK_AGAIN)
        except (SubmitError, CommitStatusError) as error:
            if error.grpc_code not in _UNREACHED or not backoff.wait():
                raise
            if error.grpc_code is grpc.StatusCode.DEADLINE_EXCEEDED:
                # An orderer that died may have lost it. Of two copies with one id, only the first can be valid.
                submitted = None
            continue
        if not status.successful:
            raise CommitError(status)
        return transaction.result


def is_passing(error: GatewayError) -> bool:
    """Tell whether the call certainly changed nothing and may succeed when made again."""
    if isinstance(error, CommitError):
        return error.status.name in CONFLICTS
    if not isinstance(error, EndorseError | EvaluateError) or error.refuses_caller:
        return False
    if error.grpc_code in _UNREACHED:
        return True
    return any(text in error.message for text in (*_PASSING, DISAGREEMENT))
