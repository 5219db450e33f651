"""The hashes of PROTOCOL.md §2, for the rules, the SDK and the auditor alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from fl_chaincode.canonical import H, hash_json


def selection_rank(task: str, j: int, base: str, participant: str) -> str:
    """Return what the task's trainers are ordered by for the j-th model."""
    return H("fl/select/v1", task, j, base, participant)


def update_commitment(
    task: str, round_number: int, participant: str, base: str, num_examples: int, digest: str, nonce: str
) -> str:
    """Return the commitment to an update; the nonce is 64 hex digits and known to its owner only."""
    return H("fl/update/v1", task, round_number, participant, base, num_examples, digest, nonce)


def result_digest(
    task: str,
    round_number: int,
    attempt: int,
    base: str,
    included: Sequence[str],
    refused: Mapping[str, str],
    model: str,
    state: str,
) -> str:
    """Return the result that a quorum has to agree on; `included` is hashed in sorted order."""
    fields: dict[str, Any] = {
        "task": task,
        "round": round_number,
        "attempt": attempt,
        "base": base,
        "included": sorted(included),
        "refused": dict(refused),
        "model": model,
        "state": state,
    }
    return hash_json("fl/result/v1", value=fields)


def aggregate_digest(total: bytes) -> str:
    """Return A from the sum S, given as little-endian int64 elements in model order."""
    return H("fl/aggregate/v1", total)


def proof(task: str, round_number: int, attempt: int, organisation: str, aggregate: str) -> str:
    """Return the proof that an organisation knows the aggregate digest A without showing it."""
    return H("fl/proof/v1", task, round_number, attempt, organisation, aggregate)


def score_commitment(
    task: str,
    round_number: int,
    organisation: str,
    nonce: str,
    scores: Mapping[str, int],
    metrics: Mapping[str, int],
) -> str:
    """Return the commitment to an organisation's scores and metrics of a round."""
    value = {"scores": dict(scores), "metrics": dict(metrics)}
    return hash_json("fl/score/v1", task, round_number, organisation, nonce, value=value)
