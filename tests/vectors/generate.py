"""Write the test vectors of docs/codec.md: `python tests/vectors/generate.py`.

What comes out is what fabric_fl computes; tests/unit/test_vectors.py compares it with a second implementation.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fabric_fl.aggregation import (
    MaskedUpdateBlob,
    ModelBlob,
    RoundInputs,
    StateBlob,
    Tensors,
    UpdateBlob,
    UpdateHeader,
    UpdateInput,
    aggregate,
    digest,
    encode,
    masked,
    quantise,
    read_model,
    robust_rule,
    write,
)
from fl_chaincode import hashes, selection

HERE = Path(__file__).parent
SHAPES = (("dense/kernel", (3, 2)), ("dense/bias", (2,)), ("scale", ()), ("unused", (0, 4)))
TASK, F, BOUND = "vectors", 20, 1 << 24
ADAPTIVE = {"epsilon": "0.001", "initial_preconditioner_value": "0.000001"}
DECAYS = {"beta_1": "0.9", "beta_2": "0.99"}
SERVERS: tuple[dict[str, str], ...] = (
    {"step": "fedavg", "learning_rate": "0.7"},
    {"step": "fedavgm", "learning_rate": "1", "momentum": "0.9"},
    {"step": "fedadagrad", "learning_rate": "0.1", **ADAPTIVE},
    {"step": "fedadam", "learning_rate": "0.01", **DECAYS, **ADAPTIVE},
    {"step": "fedyogi", "learning_rate": "0.01", **DECAYS, **ADAPTIVE},
)
RULES: tuple[dict[str, str | int], ...] = (
    {"rule": "norm-bound", "norm": "1.5"},
    {"rule": "median"},
    {"rule": "trimmed-mean", "byzantine": 1},
    {"rule": "krum", "byzantine": 1},
    {"rule": "multi-krum", "byzantine": 1},
)


def main() -> None:
    logging.getLogger("fabric_fl.aggregation.ring").setLevel(logging.ERROR)  # some deltas are there to be clipped
    for name, make in (("blobs", blobs), ("quantisation", quantisation), ("hashes", ledger_hashes), ("rounds", rounds)):
        (HERE / f"{name}.json").write_text(json.dumps(make(), indent=1, ensure_ascii=True) + "\n")


def blobs() -> list[dict[str, Any]]:
    """One blob of every kind, with values at the edges of its type."""
    header = UpdateHeader(TASK, 7, "Org1MSP", "ab" * 32, 120, F)
    tiny = [0.0, -0.0, 2.0**-149, -(2.0**-126), 1.0, -3.4028234663852886e38]
    model = _tensors(tiny, np.float32)
    weights = _tensors([0.0, -0.0, 5e-324, -(2.0**-1022), 0.1, -1.7976931348623157e308], np.float64)
    limits = np.iinfo(np.int64)
    cases = (
        ("model", ModelBlob(model)),
        ("state", StateBlob({"w": weights, "m": weights, "v": weights})),
        ("update", UpdateBlob(header, _tensors([0, 1, -1, 2**31 - 1, -(2**31), 305419896], np.int32))),
        ("masked-update", MaskedUpdateBlob(header, _tensors([0, 1, -1, limits.max, limits.min, 7], np.int64))),
    )
    return [
        {
            "kind": kind,
            "facts": header.metadata() if "update" in kind else None,
            "slots": sorted(blob.slots) if isinstance(blob, StateBlob) else [],
            "tensors": _entries(blob.slots["w"] if isinstance(blob, StateBlob) else blob.tensors),
            "blob": encode(blob).hex(),
            "digest": digest(encode(blob)),
        }
        for kind, blob in cases
    ]


def quantisation() -> dict[str, Any]:
    """Halves, limits and subnormal numbers; then masks that add up to 0."""
    generator = np.random.default_rng(1)
    halves = [0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.0, -0.0, 5e-324, 1e300, -1e300, 0.49999999999999994]
    plain = []
    for f, bound in ((0, 1000), (1, 2), (20, 1 << 24), (24, 2**31 - 1), (52, 2**31 - 1)):
        delta = np.array([*halves, *generator.standard_normal(6)])
        q = quantise(Tensors.in_order([("k", delta)]), f, bound)["000:k"]
        plain.append({"f": f, "bound": bound, "delta": delta.astype("<f8").tobytes().hex(), "q": q.tolist()})
    limits = np.iinfo(np.int64)
    secrets = generator.integers(limits.min, limits.max, (2, 4), endpoint=True)
    secrets = np.vstack([secrets, -secrets.sum(axis=0)])
    q = generator.integers(-BOUND, BOUND, (3, 4), endpoint=True).astype(np.int32)
    y = [masked.mask(row, 100 + index, secret) for index, (row, secret) in enumerate(zip(q, secrets, strict=True))]
    total = np.zeros(4, np.int64)
    for row in y:
        masked.add(total, row)
    hidden = [
        {"num_examples": 100 + index, "q": q[index].tolist(), "mask": _text(secrets[index]), "y": _text(y[index])}
        for index in range(3)
    ]
    return {"plain": plain, "masked": {"updates": hidden, "sum": _text(total)}}


def ledger_hashes() -> dict[str, Any]:
    """The hashes of rules that no tensor takes part in, each with all that goes into it."""
    names = [f"Org{number}MSP" for number in range(1, 8)]
    base, nonce, digest_ = "ab" * 32, "0123456789abcdef" * 4, "cd" * 32
    selections, commitments, proofs, scores = [], [], [], []
    for task, j, moved in ((TASK, 1, []), (TASK, 12345678, ["Org4MSP", "Org2MSP"]), ("a", 2, ["Org7MSP"])):
        ranks = {who: hashes.selection_rank(task, j, base, who) for who in names}
        order = selection.order(task, j, base, names, moved)
        selections.append({"task": task, "j": j, "base": base, "ranks": ranks, "moved": moved, "order": order})
    for number, who, examples in ((1, "Org1MSP", 1), (99999999, "org.with-other_signs", 9007199254740991)):
        opening = {"task": TASK, "round": number, "participant": who, "base": base, "num_examples": examples}
        value = hashes.update_commitment(TASK, number, who, base, examples, digest_, nonce)
        commitments.append({**opening, "digest": digest_, "nonce": nonce, "commitment": value})
    for total, attempt in (([], 1), ([0, 1, -1, 2**63 - 1, -(2**63)], 2)):
        aggregate_ = hashes.aggregate_digest(np.array(total, "<i8").tobytes())
        one = {"task": TASK, "round": 3, "attempt": attempt, "organisation": "Org1MSP"}
        value = hashes.proof(*one.values(), aggregate_)
        proofs.append({**one, "sum": [str(element) for element in total], "aggregate": aggregate_, "proof": value})
    for effects, metrics in (({}, {}), ({"Org2MSP": -7, "Org1MSP": 0, "Org10MSP": 10**12}, {"loss": 1, "accuracy": 2})):
        one = {"task": TASK, "round": 3, "organisation": "Org1MSP", "nonce": nonce}
        value = hashes.score_commitment(*one.values(), effects, metrics)
        scores.append({**one, "scores": effects, "metrics": metrics, "commitment": value})
    return {"selections": selections, "commitments": commitments, "proofs": proofs, "scores": scores}


def rounds() -> list[dict[str, Any]]:
    """Two rounds of three participants under every server step, and of five under every rule; one in attempt 2."""
    cases = [(server, {"rule": "none"}, 3, 1) for server in SERVERS] + [(SERVERS[0], rule, 5, 1) for rule in RULES]
    return [_case(seed, *case) for seed, case in enumerate([*cases, (SERVERS[0], {"rule": "none"}, 3, 2)])]


def _case(seed: int, server: dict[str, str], rule: Mapping[str, str | int], count: int, last: int) -> dict[str, Any]:
    """`last` is the attempt that commits the second round."""
    generator = np.random.default_rng(seed)
    names = [f"Org{number}MSP" for number in range(1, count + 1)]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        initial = ModelBlob(Tensors.in_order([(name, _random(generator, shape)) for name, shape in SHAPES]))
        model, state = write(initial, folder / "initial"), None
        found = []
        for number in (1, 2):
            base, updates, inputs = model.digest, [], []
            start = read_model(model.path, model.digest, model.size).tensors
            attempt = last if number == 2 else 1
            for index, who in enumerate(names):
                # The last one is far off, so that a rule has something to do.
                scale = 4 if who == names[-1] else 0.25
                final = Tensors({name: _trained(generator, array, scale) for name, array in start.items()})
                delta = Tensors({name: array - final[name] for name, array in start.items()})  # float32
                examples = int(generator.integers(1, 500))
                header = UpdateHeader(TASK, number, who, base, examples, F)
                blob = UpdateBlob(header, quantise(delta, F, BOUND))
                file = write(blob, folder / f"{number}-{index}")
                inputs.append(UpdateInput(who, file.path, file.digest, file.size, examples))
                nonce = generator.bytes(32).hex()
                updates.append(
                    {
                        "participant": who,
                        "num_examples": examples,
                        "final": final.flat().astype("<f4").tobytes().hex(),
                        "delta": delta.flat().astype("<f4").tobytes().hex(),
                        "q": blob.tensors.flat().tolist(),
                        "blob": encode(blob).hex(),
                        "digest": file.digest,
                        "nonce": nonce,
                        "commitment": hashes.update_commitment(TASK, number, who, base, examples, file.digest, nonce),
                    }
                )
            out = folder / str(number)
            out.mkdir()
            result = aggregate(
                RoundInputs(TASK, number, attempt, base, model, state, tuple(inputs), F, BOUND, 1000, server, rule), out
            )
            model, state = result.model, result.state
            found.append(
                {
                    "round": number,
                    "attempt": attempt,
                    "base": base,
                    "updates": updates,
                    "included": list(result.included),
                    "refused": dict(result.refused),
                    **_sum(rule, [update for update in updates if update["participant"] in result.included]),
                    "aggregate": result.aggregate,
                    "state": {"blob": state.path.read_bytes().hex(), "digest": state.digest},
                    "model": {"blob": model.path.read_bytes().hex(), "digest": model.digest},
                    "result": result.result,
                    "proofs": {who: result.proof(TASK, number, attempt, who) for who in names},
                }
            )
        return {
            "task": TASK,
            "f": F,
            "bound": BOUND,
            "server": server,
            "aggregation": dict(rule),
            "initial": {"tensors": _entries(initial.tensors), "blob": encode(initial).hex()},
            "rounds": found,
        }


def _sum(rule: Mapping[str, str | int], updates: list[dict[str, Any]]) -> dict[str, Any]:
    robust, examples = robust_rule(rule), [update["num_examples"] for update in updates]
    q = np.array([update["q"] for update in updates], np.int32)
    weights = np.array(robust.weights(examples), np.int64)[:, None]
    total = (weights * q).sum(axis=0) if robust.trim is None else robust.trim.total(q)
    return {"sum": _text(total), "divisor": robust.divisor(examples)}


def _trained(generator: np.random.Generator, start: Any, scale: float) -> Any:
    """Weights as training might leave them, float32."""
    return start - _random(generator, start.shape, scale)


def _random(generator: np.random.Generator, shape: tuple[int, ...], scale: float = 1) -> Any:
    return (scale * generator.standard_normal(shape)).astype(np.float32)


def _tensors(values: list[Any], dtype: Any) -> Tensors:
    """Six values in four tensors, one of them a scalar and one of them empty."""
    array = np.array(values, dtype)
    parts = (("dense/kernel", array[:4].reshape(2, 2)), ("dense/bias", array[4:5]), ("scale", array[5]))
    return Tensors.in_order([*parts, ("unused", np.zeros((0, 4), dtype))])


def _entries(tensors: Tensors) -> list[dict[str, Any]]:
    return [
        {"name": name, "shape": list(array.shape), "data": array.astype(array.dtype.newbyteorder("<")).tobytes().hex()}
        for name, array in tensors.items()
    ]


def _text(values: Any) -> list[str]:
    return [str(value) for value in values.tolist()]


if __name__ == "__main__":
    main()
