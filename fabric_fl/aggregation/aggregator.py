"""The sum of a round and the model that follows from it.

One pass over the updates, block by block and on all cores: hash, check the bound, add, digest the sum, take the server
step, write and hash the outputs. Memory is a few blocks, whatever the size of the model and the number of updates. A
rule that leaves out whole updates takes a pass before it. An update found invalid half-way spoils the blocks before it,
so a pass is then repeated without it; by then every update has been checked, so once is enough.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fabric_fl.aggregation import ring
from fabric_fl.aggregation.codec import model_header, state_header
from fabric_fl.aggregation.errors import AggregationError
from fabric_fl.aggregation.files import BlobFile
from fabric_fl.aggregation.floats import require_subnormals
from fabric_fl.aggregation.output import OutputStream
from fabric_fl.aggregation.passes import Pass
from fabric_fl.aggregation.pipeline import Step
from fabric_fl.aggregation.products import Products
from fabric_fl.aggregation.rounds import AggregationResult, RoundInputs, UpdateInput
from fabric_fl.aggregation.rules import Rule, Selection, robust_rule
from fabric_fl.aggregation.server import State
from fl_chaincode import hashes


@dataclass(frozen=True)
class _Sum:
    aggregate: str
    model: BlobFile
    state: BlobFile


@dataclass(frozen=True)
class _Spoiled:
    refused: dict[str, str]
    others: list[UpdateInput]


def aggregate(inputs: RoundInputs, directory: Path) -> AggregationResult:
    """Sum a round's updates exactly and write the next model and state into `directory`.

    Raises:
        AggregationError: FL-AGGREGATE-UNAVAILABLE where files are missing or differ from their digests,
            FL-AGGREGATE-EMPTY where no update is valid, or fewer than the rule needs, or the rule leaves out all,
            FL-AGGREGATE-NOT-FINITE, FL-AGGREGATE-CAPACITY, FL-AGGREGATE-STEP, FL-AGGREGATE-RULE,
            FL-AGGREGATE-FLUSH-TO-ZERO, FL-AGGREGATE-THREADS.
    """
    require_subnormals()
    rule = robust_rule(inputs.rule)
    updates = sorted(inputs.updates, key=lambda update: update.participant)
    refused: dict[str, str] = {}
    if rule.selection is not None:
        refused, updates = _select(inputs, rule, rule.selection, updates)
    while True:
        _require(updates, 1 if rule.selection is not None else rule.least, refused)
        outcome = _sum(inputs, rule, updates, directory)
        if isinstance(outcome, _Sum):
            break
        refused |= outcome.refused
        updates = outcome.others
    included = tuple(update.participant for update in updates)
    refused = dict(sorted(refused.items()))
    result = hashes.result_digest(
        inputs.task,
        inputs.round,
        inputs.attempt,
        inputs.base,
        included,
        refused,
        outcome.model.digest,
        outcome.state.digest,
    )
    return AggregationResult(
        aggregate=outcome.aggregate,
        included=included,
        refused=refused,
        model=outcome.model,
        state=outcome.state,
        result=result,
        num_examples=sum(update.num_examples for update in updates),
    )


def _select(
    inputs: RoundInputs, rule: Rule, selection: Selection, updates: Sequence[UpdateInput]
) -> tuple[dict[str, str], list[UpdateInput]]:
    """Say which updates are invalid or are left out by the rule, and which remain."""
    refused: dict[str, str] = {}
    while True:
        _require(updates, rule.least, refused)
        with Pass(inputs, updates) as reading:
            products = selection.products(len(updates))

            def measure(number: int, reading: Pass = reading, products: Products = products) -> None:
                products.add(reading.q(number))

            invalid = reading.run(Step(measure))
        updates = reading.updates
        if not invalid:
            left_out = selection.left_out(products, inputs.f)
            refused |= {updates[index].participant: code for index, code in left_out.items()}
            return refused, _without(updates, refused)
        refused |= invalid
        updates = _without(updates, invalid)


def _sum(inputs: RoundInputs, rule: Rule, updates: Sequence[UpdateInput], directory: Path) -> _Sum | _Spoiled:
    """Sum these updates; or, where some turn out invalid, say which and why."""
    with Pass(inputs, updates) as reading, ExitStack() as stack:
        step, layout = reading.step, reading.layout
        model = OutputStream(directory / "model.safetensors", model_header(layout))
        stack.callback(model.discard)
        state = OutputStream(directory / "state.safetensors", state_header(layout, step.slots))
        stack.callback(state.discard)
        # hashes.aggregate_digest(S), without holding S
        digest = hashlib.sha256(_framed("fl/aggregate/v1") + (8 * layout.size).to_bytes(8, "big"))
        divisor = rule.divisor(reading.num_examples)
        after: list[State] = [{}] * reading.threads

        def add(number: int) -> None:
            reading.add_up(rule, number)

        def take_digest(number: int) -> None:
            digest.update(reading.total(number).astype("<i8", copy=False).data)

        def take_step(number: int) -> None:
            mean = ring.dequantise(reading.total(number), divisor, inputs.f)
            after[reading.place(number)] = step.apply(reading.start.state(step, *reading.blocks[number]), mean)

        def write_model(number: int) -> None:
            model.write(reading.blocks[number][0], after[reading.place(number)]["w"])

        def write_state(number: int) -> None:
            for index, slot in enumerate(sorted(step.slots)):
                state.write(index * layout.size + reading.blocks[number][0], after[reading.place(number)][slot])

        refused = reading.run(
            Step(add, ordered=False),
            Step(take_digest),
            Step(take_step, ordered=False),
            Step(write_model),
            Step(write_state),
        )
        if refused:
            return _Spoiled(refused, _without(reading.updates, refused))
        return _Sum(digest.hexdigest(), model.finish(), state.finish())


def leave_one_out_models(inputs: RoundInputs, included: Sequence[str], directory: Path) -> dict[str, BlobFile]:
    """Write the model that each included participant's absence would have led to, for scoring.

    Returns:
        The model by the participant that is left out; empty where only one is included, because then it is the base.

    Raises:
        AggregationError: As `aggregate`; also where an update, which was valid then, is not any more.
    """
    require_subnormals()
    rule = robust_rule(inputs.rule)
    updates = sorted((u for u in inputs.updates if u.participant in included), key=lambda update: update.participant)
    if len(updates) < 2:
        return {}
    with Pass(inputs, updates) as reading, ExitStack() as stack:
        step = reading.step
        outputs = [
            OutputStream(directory / f"without-{index}.safetensors", model_header(reading.layout))
            for index in range(len(updates))
        ]
        for output in outputs:
            stack.callback(output.discard)
        before: list[State] = [{}] * reading.threads

        def prepare(number: int) -> None:
            before[reading.place(number)] = reading.start.state(step, *reading.blocks[number])
            if rule.trim is None:
                reading.add_up(rule, number)

        def writing(index: int) -> Step:
            counts = reading.num_examples[:index] + reading.num_examples[index + 1 :]
            divisor, weight = rule.divisor(counts), rule.weights(reading.num_examples)[index]

            def write(number: int) -> None:
                q = reading.q(number)
                if rule.trim is not None:
                    total = rule.trim.total(np.delete(q, index, axis=0))
                else:
                    total = reading.total(number) - np.multiply(q[index], np.int64(weight), dtype=np.int64)
                mean = ring.dequantise(total, divisor, inputs.f)
                outputs[index].write(reading.blocks[number][0], step.apply(before[reading.place(number)], mean)["w"])

            return Step(write)

        if reading.run(Step(prepare, ordered=False), *map(writing, range(len(updates)))):
            raise AggregationError(
                "an update that was valid when it was summed is not any more", code="FL-AGGREGATE-CHANGED"
            )
        return {update.participant: output.finish() for update, output in zip(updates, outputs, strict=True)}


def _without(updates: Sequence[UpdateInput], refused: Mapping[str, str]) -> list[UpdateInput]:
    return [update for update in updates if update.participant not in refused]


def _require(updates: Sequence[UpdateInput], least: int, refused: Mapping[str, str]) -> None:
    if len(updates) >= least:
        return
    told = f" ({', '.join(f'{who} {why}' for who, why in refused.items())})" if refused else ""
    message = (
        "no update of this round is valid" if not updates else f"the rule needs {least} updates, not {len(updates)}"
    )
    raise AggregationError(f"{message}{told}", code="FL-AGGREGATE-EMPTY", refused=refused)


def _framed(text: str) -> bytes:
    return len(text).to_bytes(8, "big") + text.encode()
