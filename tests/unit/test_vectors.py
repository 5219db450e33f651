"""The test vectors for other languages, against an implementation that shares nothing with the one that made them."""

import json
from fractions import Fraction
from pathlib import Path

import exact_steps
import independent_round as independent
import pytest
from vectors import generate

FOLDER = Path(generate.__file__).parent


def read(name):
    return json.loads((FOLDER / f"{name}.json").read_text())


BLOBS, QUANTISATION, HASHES, ROUNDS = (read(name) for name in ("blobs", "quantisation", "hashes", "rounds"))


@pytest.mark.parametrize("name", ["blobs", "quantisation", "ledger_hashes", "rounds"])
def test_the_vectors_are_what_the_command_writes(name):
    assert json.loads(json.dumps(getattr(generate, name)())) == read(name.removeprefix("ledger_"))


@pytest.mark.parametrize("case", HASHES["selections"])
def test_participants_are_selected_in_the_order_of_their_hashes_and_those_who_were_moved_come_last(case):
    ranks = {who: independent.H("fl/select/v1", case["task"], case["j"], case["base"], who) for who in case["ranks"]}
    assert case["ranks"] == ranks
    assert case["order"] == independent.selection(ranks, case["moved"])
    assert case["order"] != sorted(ranks)


def test_commitments_and_proofs_are_hashes_of_what_stands_beside_them():
    for case in HASHES["commitments"]:
        assert case["commitment"] == independent.update_commitment(case)
    for case in HASHES["proofs"]:
        assert case["aggregate"] == independent.aggregate_digest([int(value) for value in case["sum"]])
        assert case["proof"] == independent.proof(case, case["aggregate"])
    for case in HASHES["scores"]:
        assert case["commitment"] == independent.score_commitment(case)


@pytest.mark.parametrize("case", BLOBS, ids=lambda case: case["kind"])
def test_a_blob_of_every_kind_is_the_one_that_the_page_describes(case):
    entries = [(one["name"], one["shape"]) for one in case["tensors"]]
    data = b"".join(bytes.fromhex(one["data"]) for one in case["tensors"])
    metadata = case["facts"] or {"schema": "1"}
    if case["kind"] == "state":
        entries = [(f"{slot}/{name}", shape) for slot in case["slots"] for name, shape in entries]
        data *= len(case["slots"])
    dtype = {"model": "F32", "state": "F64", "update": "I32", "masked-update": "I64"}[case["kind"]]
    expected = independent.blob(dtype, entries, {**metadata, "kind": case["kind"]}, data)
    assert case["blob"] == expected.hex()
    assert case["digest"] == independent.sha256(expected)


@pytest.mark.parametrize("case", QUANTISATION["plain"], ids=lambda case: f"f={case['f']}")
def test_quantised_values_are_those_of_rationals(case):
    delta = independent.floats(bytes.fromhex(case["delta"]), "F64")
    assert case["q"] == [independent.quantise(value, case["f"], case["bound"]) for value in delta]


def test_masked_values_and_their_sum_are_those_of_integers():
    updates = QUANTISATION["masked"]["updates"]
    for update in updates:
        expected = [
            independent.masked(q, update["num_examples"], int(mask))
            for q, mask in zip(update["q"], update["mask"], strict=True)
        ]
        assert [int(y) for y in update["y"]] == expected
    totals = [sum(column) for column in zip(*([u["num_examples"] * q for q in u["q"]] for u in updates), strict=True)]
    assert [int(value) for value in QUANTISATION["masked"]["sum"]] == totals


@pytest.mark.parametrize("case", ROUNDS, ids=lambda case: f"{case['server']['step']}, {case['aggregation']['rule']}")
def test_two_rounds_give_the_bytes_that_exact_arithmetic_gives(case):
    task, f, bound, rule = case["task"], case["f"], case["bound"], case["aggregation"]
    entries = [(one["name"], one["shape"]) for one in case["initial"]["tensors"]]
    data = b"".join(bytes.fromhex(one["data"]) for one in case["initial"]["tensors"])
    model = independent.model_blob(entries, data)
    assert case["initial"]["blob"] == model.hex()
    state = independent.first_state(case["server"], independent.floats(data, "F32"))
    for number, found in enumerate(case["rounds"], start=1):
        base = independent.sha256(model)
        assert (found["round"], found["base"]) == (number, base)
        values, examples = {}, {}
        for update in found["updates"]:
            who, examples[who] = update["participant"], update["num_examples"]
            start = independent.floats(model[-len(data) :], "F32")
            final = independent.floats(bytes.fromhex(update["final"]), "F32")
            delta = [independent.difference(*pair) for pair in zip(start, final, strict=True)]
            assert update["delta"] == b"".join(independent.float32(value) for value in delta).hex()
            values[who] = [independent.quantise(value, f, bound) for value in delta]
            facts = {"task": task, "round": number, "participant": who, "base": base, "f": f}
            blob = independent.update_blob(entries, {**facts, "num_examples": examples[who]}, values[who])
            assert update["q"] == values[who]
            assert update["blob"] == blob.hex()
            assert update["digest"] == independent.sha256(blob)
            assert update["commitment"] == independent.update_commitment({**facts, **update})
        refused = independent.select(rule, values, f)
        included = sorted(set(values) - set(refused))
        assert (found["included"], found["refused"]) == (included, refused)
        total, divisor = independent.combine(rule, {who: values[who] for who in included}, examples)
        assert (found["sum"], found["divisor"]) == ([str(one) for one in total], divisor)
        assert found["aggregate"] == independent.aggregate_digest(total)
        state = independent.next_state(case["server"], state, [independent.mean(one, divisor, f) for one in total])
        blob = independent.state_blob(entries, state)
        model = independent.model_blob(entries, b"".join(independent.float32(value) for value in state["w"]))
        assert found["state"] == {"blob": blob.hex(), "digest": independent.sha256(blob)}
        assert found["model"] == {"blob": model.hex(), "digest": independent.sha256(model)}
        facts = {"task": task, "round": number, "attempt": found["attempt"], "base": base}
        facts |= {"included": included, "refused": refused}
        digests = {"model": found["model"]["digest"], "state": found["state"]["digest"]}
        assert found["result"] == independent.result({**facts, **digests})
        for who, proof in found["proofs"].items():
            assert proof == independent.proof({**facts, "organisation": who}, found["aggregate"])


def test_one_round_of_the_vectors_is_committed_in_its_second_attempt():
    assert [round_["attempt"] for case in ROUNDS for round_ in case["rounds"]].count(2) == 1


def test_every_rule_that_leaves_out_somebody_does_so_in_the_vectors():
    codes = {case["aggregation"]["rule"]: case["rounds"][0]["refused"] for case in ROUNDS}
    assert codes["norm-bound"] == {"Org5MSP": "FL-RULE-NORM"}
    assert codes["multi-krum"] == {"Org5MSP": "FL-RULE-DISTANCE"}
    assert len(codes["krum"]) == 4
    assert not codes["median"]


def test_the_second_implementation_knows_nothing_of_the_first():
    for module in (independent, exact_steps):
        source = Path(module.__file__).read_text()
        assert "import numpy" not in source
        assert "fabric_fl" not in source
    assert exact_steps.nearest(Fraction(1, 3)) == Fraction(1 / 3)
