"""What the walk's calls look like on the ledger: their arguments, with all hashes."""

from __future__ import annotations

from typing import Any

from contract_scenario import argument
from ledger_model import Model
from round_model import EXAMPLES, INVALID, model_digest

from fl_chaincode.canonical import H
from fl_chaincode.hashes import aggregate_digest, proof, result_digest, score_commitment, update_commitment

Call = tuple[Any, ...]  # who, function, arguments as the model takes them
IN_A_ROUND = ("updates:Submit", "updates:Reveal", "rounds:Vote", "attestations:Submit", "rounds:Commit", "scores:Open")


def spell(model: Model, call: Call) -> list[str]:
    who, function, *given = call
    if function in IN_A_ROUND:
        given = _in_a_round(model, who.partition("/")[0], function, *given)
    return [argument(one) for one in given]


def _in_a_round(
    model: Model, who: str, function: str, task: str, number: int, given: Any = None, *rest: Any
) -> list[Any]:
    rounds = model.tasks[task]["rounds"] if task in model.tasks else []
    base = rounds[number - 1]["base"] if number <= len(rounds) else H("no base")
    digest, nonce = _digest(task, number, who), _nonce(task, number, who)
    if function == "updates:Submit":
        commitment = update_commitment(task, number, who, base, EXAMPLES, digest, nonce)
        return [task, number, commitment if given else H("of nothing", who)]
    if function == "updates:Reveal":
        return [task, number, {"digest": digest, "size": 9, "num_examples": EXAMPLES, "nonce": nonce}]
    if function == "rounds:Vote":
        attempt, blamed = rest
        reason = [{"refused": dict.fromkeys(blamed, INVALID)}] if blamed else []
        return [task, number, given, attempt, *reason]
    if function == "rounds:Commit":
        return [task, number] if given is None else [task, number, _sum(task, number, *given)]
    if function == "scores:Open":
        return [task, number, {"nonce": nonce, **given}]
    return [task, number, _attestation(who, task, number, base, given)]


def _attestation(who: str, task: str, number: int, base: str, claim: dict[str, Any]) -> dict[str, Any]:
    included, refused, wrong, attempt = (claim[name] for name in ("included", "refused", "wrong", "attempt"))
    model = model_digest(base, included, wrong)
    state, scored, commitment = H("a state", model), claim["scored"], None
    if scored is not None:
        nonce = _nonce(task, number, who)
        commitment = score_commitment(task, number, who, nonce, scored["scores"], scored["metrics"])
    return {
        "attempt": attempt,
        "version": claim["version"],
        "result": result_digest(task, number, attempt, base, included, refused, model, state),
        "included": list(included),
        "refused": refused,
        "model": model,
        "state": state,
        "fetched": [_digest(task, number, one) for one in claim["served"]],
        "proof": proof(task, number, attempt, who, _sum(task, number, included, wrong)),
        "score_commitment": commitment,
        "openings": [{"round": one, "nonce": _nonce(task, one, who), **opening} for one, opening in claim["openings"]],
    }


def _digest(task: str, number: int, who: str) -> str:
    return H("an update's blob", task, number, who)


def _nonce(task: str, number: int, who: str) -> str:
    return H("nonce", task, number, who)


def _sum(task: str, number: int, included: tuple[str, ...], wrong: str) -> str:
    return aggregate_digest(H("a sum", task, number, *included, wrong).encode())
