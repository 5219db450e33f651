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
from fabric_fl.gateway.errors import (
    CommitError,
    CommitStatusError,
    EndorseError,
    EvaluateError,
    GatewayError,
    SubmitError,
)

CONFLICTS = frozenset({"MVCC_READ_CONFLICT", "PHANTOM_READ_CONFLICT"})
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


def pursue(error: SubmitError | CommitStatusError, backoff: Backoff) -> bytes:
    """Find out what became of a transaction that was perhaps sent; return its result if it was committed.

    Raises:
        CommitError: It is in the ledger as invalid.
        SubmitError: The orderer refused it, or could not be reached within the patience.
        CommitStatusError: Its fate is still unknown.
    """
    while True:
        if error.grpc_code not in _UNREACHED or not backoff.wait():
            raise error
        try:
            submitted = _again(error)
            status = submitted.status()
        except (SubmitError, CommitStatusError) as again:
            error = again
            continue
        if not status.successful:
            raise CommitError(status)
        return submitted.result


def _again(error: SubmitError | CommitStatusError) -> SubmittedTransaction:
    if isinstance(error, SubmitError):
        if error.transaction is None:
            raise error
        return error.transaction.submit()
    submitted = error.commit
    if not isinstance(submitted, SubmittedTransaction):
        raise error
    if error.grpc_code is grpc.StatusCode.DEADLINE_EXCEEDED:
        # An orderer that died may have lost it. Of two copies with one id, only the first can be valid.
        return submitted.transaction.submit()
    return submitted


def is_passing(error: GatewayError) -> bool:
    """Tell whether the call certainly changed nothing and may succeed when made again."""
    if isinstance(error, CommitError):
        return error.status.name in CONFLICTS
    if not isinstance(error, EndorseError | EvaluateError):
        return False
    if error.grpc_code in _UNREACHED:
        return True
    return any(text in error.message for text in (*_PASSING, DISAGREEMENT))
