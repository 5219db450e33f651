"""Audit: nobody has to be believed.

``replay_task`` recomputes a task's rounds from a ledger's records and the blobs, ``replay`` those that were committed.
``export`` writes all that is needed for that into one file, which ``verify`` checks without network, ledger or
TensorFlow: signatures and the chain, what every transaction may have written, and every result. ``without`` rebuilds a
model as if an organisation had not taken part.
"""

from fabric_fl.audit.export import export
from fabric_fl.audit.finding import Finding
from fabric_fl.audit.outcome import RoundReplay, TaskReplay, UncommittedRound
from fabric_fl.audit.rebuild import RebuiltRound, without
from fabric_fl.audit.replay import replay, replay_task
from fabric_fl.audit.verification import Verification, verify

__all__ = [
    "Finding",
    "RebuiltRound",
    "RoundReplay",
    "TaskReplay",
    "UncommittedRound",
    "Verification",
    "export",
    "replay",
    "replay_task",
    "verify",
    "without",
]
