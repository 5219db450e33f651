"""docs/codec.md written a second time, from the text alone: standard library, exact arithmetic, nothing of ours.

Numbers are rationals or Python integers until they become bytes. The server steps come from exact_steps.py, which keeps
to the same.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import prod
from typing import Any

import exact_steps

Entries = Sequence[tuple[str, Sequence[int]]]
SIZES = {"F32": 4, "F64": 8, "I32": 4, "I64": 8}


def H(domain: str, *fields: str | int | bytes) -> str:
    hasher = hashlib.sha256()
    for field in (domain, *fields):
        data = field if isinstance(field, bytes) else str(field).encode()
        hasher.update(struct.pack(">Q", len(data)) + data)
    return hasher.hexdigest()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def header(dtype: str, entries: Entries, metadata: Mapping[str, str]) -> bytes:
    fields: dict[str, Any] = {"__metadata__": dict(metadata)}
    start = 0
    for name, shape in entries:
        stop = start + SIZES[dtype] * prod(shape)
        fields[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}
        start = stop
    text = canonical(fields)
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def blob(dtype: str, entries: Entries, metadata: Mapping[str, str], data: bytes) -> bytes:
    return header(dtype, entries, metadata) + data


def model_blob(entries: Entries, data: bytes) -> bytes:
    return blob("F32", entries, {"kind": "model", "schema": "1"}, data)


def state_blob(entries: Entries, slots: Mapping[str, Sequence[Fraction]]) -> bytes:
    names = [(f"{slot}/{name}", shape) for slot in sorted(slots) for name, shape in entries]
    data = b"".join(float64(value) for slot in sorted(slots) for value in slots[slot])
    return blob("F64", names, {"kind": "state", "schema": "1"}, data)


def update_metadata(facts: Mapping[str, Any], kind: str = "update") -> dict[str, str]:
    named = ("task", "round", "participant", "base", "num_examples", "f")
    return {"kind": kind, "schema": "1"} | {name: str(facts[name]) for name in named}


def update_blob(entries: Entries, facts: Mapping[str, Any], q: Sequence[int]) -> bytes:
    return blob("I32", entries, update_metadata(facts), struct.pack(f"<{len(q)}i", *q))


def masked_blob(entries: Entries, facts: Mapping[str, Any], y: Sequence[int]) -> bytes:
    return blob("I64", entries, update_metadata(facts, "masked-update"), struct.pack(f"<{len(y)}q", *y))


def masked(q: int, num_examples: int, secret: int) -> int:
    return (num_examples * q + secret + 2**63) % 2**64 - 2**63


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def float64(value: Fraction) -> bytes:
    return struct.pack("<d", float(value))  # exact: the value is a float64 already


def float32(value: Fraction) -> bytes:
    return struct.pack("<f", float(value))  # struct rounds a double to the nearest float, halves to even


def floats(data: bytes, dtype: str) -> list[Fraction]:
    """The numbers in little-endian bytes; -0.0 is 0."""
    letter = {"F32": "f", "F64": "d"}[dtype]
    return [Fraction(value) for (value,) in struct.iter_unpack(f"<{letter}", data)]


def difference(initial: Fraction, final: Fraction) -> Fraction:
    """In float32: rounded to a double first, which changes nothing, since that has more than twice the digits."""
    return Fraction(struct.unpack("<f", float32(initial - final))[0])


def quantise(delta: Fraction, f: int, bound: int) -> int:
    return max(-bound, min(bound, round(delta * 2**f)))  # Python rounds a rational's halves to even


def select(rule: Mapping[str, Any], updates: Mapping[str, Sequence[int]], f: int) -> dict[str, str]:
    """Who is left out whole, and why."""
    ids = sorted(updates)
    if rule["rule"] == "norm-bound":
        limit = (Fraction(rule["norm"]) * 2**f) ** 2
        return {who: "FL-RULE-NORM" for who in ids if sum(q * q for q in updates[who]) > limit}
    if rule["rule"] not in ("krum", "multi-krum"):
        return {}
    scores = {}
    for who in ids:
        far = sorted(
            sum((a - b) ** 2 for a, b in zip(updates[who], updates[other], strict=True))
            for other in ids
            if other != who
        )
        scores[who] = sum(far[: len(ids) - rule["byzantine"] - 1])
    best = sorted(ids, key=lambda who: (scores[who], who))
    kept = best[: 1 if rule["rule"] == "krum" else len(ids) - rule["byzantine"]]
    return {who: "FL-RULE-DISTANCE" for who in ids if who not in kept}


def combine(
    rule: Mapping[str, Any], updates: Mapping[str, Sequence[int]], num_examples: Mapping[str, int]
) -> tuple[list[int], int]:
    """The sum S and what it is divided by."""
    columns = list(zip(*(updates[who] for who in sorted(updates)), strict=True))
    count = len(updates)
    if rule["rule"] in ("median", "trimmed-mean"):
        most = (count - 1) // 2
        trimmed = min(rule.get("byzantine", most), most)
        return [sum(sorted(column)[trimmed : count - trimmed]) for column in columns], count - 2 * trimmed
    weights = [num_examples[who] if rule["rule"] in ("none", "norm-bound") else 1 for who in sorted(updates)]
    return [sum(w * q for w, q in zip(weights, column, strict=True)) for column in columns], sum(weights)


def mean(total: int, divisor: int, f: int) -> Fraction:
    near = exact_steps.nearest
    return near(near(near(Fraction(total)) / near(Fraction(divisor))) / 2**f)


def next_state(
    server: Mapping[str, str], state: Mapping[str, Sequence[Fraction]], d: Sequence[Fraction]
) -> dict[str, list[Fraction]]:
    slots = sorted(state)
    steps = [
        exact_steps.step(server, dict(zip(slots, values, strict=True)), one)
        for *values, one in zip(*(state[slot] for slot in slots), d, strict=True)
    ]
    return {slot: [step[slot] for step in steps] for slot in slots}


def first_state(server: Mapping[str, str], weights: Sequence[Fraction]) -> dict[str, list[Fraction]]:
    starts = [exact_steps.start(server, weight) for weight in weights]
    return {slot: [start[slot] for start in starts] for slot in sorted(exact_steps.start(server, Fraction(0)))}


def selection(ranks: Mapping[str, str], moved: Sequence[str]) -> list[str]:
    """Who comes when: by rank, and at the end those who were moved there."""
    return [who for who in sorted(ranks, key=lambda who: ranks[who]) if who not in moved] + list(moved)


def proof(facts: Mapping[str, Any], aggregate: str) -> str:
    return H("fl/proof/v1", *(facts[name] for name in ("task", "round", "attempt", "organisation")), aggregate)


def score_commitment(facts: Mapping[str, Any]) -> str:
    named = [facts[name] for name in ("task", "round", "organisation", "nonce")]
    return H("fl/score/v1", *named, canonical({name: facts[name] for name in ("metrics", "scores")}))


def update_commitment(facts: Mapping[str, Any]) -> str:
    names = ("task", "round", "participant", "base", "num_examples", "digest", "nonce")
    return H("fl/update/v1", *(facts[name] for name in names))


def aggregate_digest(total: Sequence[int]) -> str:
    return H("fl/aggregate/v1", struct.pack(f"<{len(total)}q", *total))


def result(facts: Mapping[str, Any]) -> str:
    names = ("task", "round", "attempt", "base", "included", "refused", "model", "state")
    return H("fl/result/v1", canonical({name: facts[name] for name in names}))
