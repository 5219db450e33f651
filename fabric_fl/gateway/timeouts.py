"""How long each step of a transaction may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timeouts:
    """Seconds for each step, as the official clients recommend them.

    Attributes:
        evaluate: A query at one peer.
        endorse: Execution at every endorsing organisation.
        submit: The orderer's acceptance.
        commit_status: Ordering, validation and commit at the own peer.
        resume: How long a broken stream of events tries to come back before it gives up.
    """

    evaluate: float = 5.0
    endorse: float = 15.0
    submit: float = 5.0
    commit_status: float = 60.0
    resume: float = 300.0
