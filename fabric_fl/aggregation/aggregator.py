"""The sum of a round and the model that follows from it.

One pass over the updates, block by block: hash, check the bound, add, digest the sum, take the server step, write.
Memory is a few blocks, whatever the size of the model and the number of updates. An update found invalid half-way
spoils the blocks before it, so the pass is then repeated without it; by then every update has been checked, so once is
enough.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fabric_fl.aggregation import ring
from fabric_fl.aggregation.codec import model_header, state_header
from fabric_fl.aggregation.errors import AggregationError
from fabric_fl.aggregation.files import BlobFile
from fabric_fl.aggregation.floats import require_subnormals
from fabric_fl.aggregation.output import OutputStream
from fabric_fl.aggregation.rounds import AggregationResult, RoundInputs, UpdateInput
from fabric_fl.aggregation.server import ServerStep, server_step
from fabric_fl.aggregation.streams import BLOCK, StartStream, UpdateStream
from fl_chaincode import hashes


@dataclass(frozen=True)
class _Sum:
    aggregate: str
    model: BlobFile
    state: BlobFile


def aggregate(inputs: RoundInputs, directory: Path) -> AggregationResult:
    """Sum a round's updates exactly and write the next model and state into `directory`.

    Raises:
        AggregationError: FL-AGGREGATE-UNAVAILABLE where files are missing or differ from their digests,
            FL-AGGREGATE-EMPTY where no update is valid, FL-AGGREGATE-NOT-FINITE, FL-AGGREGATE-CAPACITY,
            FL-AGGREGATE-STEP, FL-AGGREGATE-FLUSH-TO-ZERO.
    """
    require_subnormals()
    step = server_step(inputs.server)
    updates = sorted(inputs.updates, key=lambda update: update.participant)
    refused: dict[str, str] = {}
    while True:
        if not updates:
            message = "no update of this round is valid: " + ", ".join(f"{who} {why}" for who, why in refused.items())
            raise AggregationError(message, code="FL-AGGREGATE-EMPTY", refused=refused)
        outcome = _pass(inputs, step, updates, directory)
        if isinstance(outcome, _Sum):
            break
        refused |= outcome
        updates = [update for update in updates if update.participant not in outcome]
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


def _pass(
    inputs: RoundInputs, step: ServerStep, updates: Sequence[UpdateInput], directory: Path
) -> _Sum | dict[str, str]:
    """Sum these updates; or, where some turn out invalid, say which and why."""
    num_examples = sum(update.num_examples for update in updates)
    ring.check_capacity(num_examples, inputs.bound)
    with ExitStack() as stack:
        start = _start(stack, inputs, step)
        layout = start.layout
        streams = [stack.enter_context(closing(UpdateStream(update, inputs, layout))) for update in updates]
        model = OutputStream(directory / "model.safetensors", model_header(layout))
        stack.callback(model.discard)
        state = OutputStream(directory / "state.safetensors", state_header(layout, step.slots))
        stack.callback(state.discard)
        # hashes.aggregate_digest(S), without holding S
        digest = hashlib.sha256(_framed("fl/aggregate/v1") + (8 * layout.size).to_bytes(8, "big"))
        for offset, count in blocks(layout.size):
            total = _sum_block(streams, count)
            if all(stream.usable for stream in streams):
                digest.update(total.astype("<i8", copy=False).data)
                after = step.apply(start.state(step, offset, count), ring.dequantise(total, num_examples, inputs.f))
                model.write(offset, after["w"])
                for index, slot in enumerate(sorted(step.slots)):
                    state.write(index * layout.size + offset, after[slot])
        for stream in streams:
            stream.close()
        _require_present(streams)
        refused = {stream.participant: stream.refused for stream in streams if stream.refused is not None}
        return refused or _Sum(digest.hexdigest(), model.finish(), state.finish())


def leave_one_out_models(inputs: RoundInputs, included: Sequence[str], directory: Path) -> dict[str, BlobFile]:
    """Write the model that each included participant's absence would have led to, for scoring.

    Returns:
        The model by the participant that is left out; empty where only one is included, because then it is the base.

    Raises:
        AggregationError: As `aggregate`; also where an update, which was valid then, is not any more.
    """
    require_subnormals()
    step = server_step(inputs.server)
    updates = sorted((u for u in inputs.updates if u.participant in included), key=lambda update: update.participant)
    if len(updates) < 2:
        return {}
    num_examples = sum(update.num_examples for update in updates)
    ring.check_capacity(num_examples, inputs.bound)
    with ExitStack() as stack:
        start = _start(stack, inputs, step)
        layout = start.layout
        streams = [stack.enter_context(closing(UpdateStream(update, inputs, layout))) for update in updates]
        outputs = [
            OutputStream(directory / f"without-{index}.safetensors", model_header(layout))
            for index in range(len(updates))
        ]
        for output in outputs:
            stack.callback(output.discard)
        for offset, count in blocks(layout.size):
            parts = [np.zeros(count, np.int64) for _ in streams]
            scratch = np.empty(count, np.int64)
            q = np.empty(count, np.int32)
            for stream, part in zip(streams, parts, strict=True):
                stream.read(q)
                ring.add(part, q, stream.num_examples, scratch)
            total = np.zeros(count, np.int64)
            for part in parts:
                np.add(total, part, out=total)
            before = start.state(step, offset, count)
            for stream, part, output in zip(streams, parts, outputs, strict=True):
                mean = ring.dequantise(total - part, num_examples - stream.num_examples, inputs.f)
                output.write(offset, step.apply(before, mean)["w"])
        for stream in streams:
            stream.close()
        _require_present(streams)
        if not all(stream.usable for stream in streams):
            raise AggregationError(
                "an update that was valid when it was summed is not any more", code="FL-AGGREGATE-CHANGED"
            )
        return {stream.participant: output.finish() for stream, output in zip(streams, outputs, strict=True)}


def blocks(size: int) -> Iterator[tuple[int, int]]:
    """Offset and length of each block of a model with `size` elements."""
    for offset in range(0, size, BLOCK):
        yield offset, min(BLOCK, size - offset)


def _sum_block(streams: Sequence[UpdateStream], count: int) -> ring.Int64:
    total, scratch, q = np.zeros(count, np.int64), np.empty(count, np.int64), np.empty(count, np.int32)
    for stream in streams:
        stream.read(q)
        if stream.usable:
            ring.add(total, q, stream.num_examples, scratch)
    return total


def _start(stack: ExitStack, inputs: RoundInputs, step: ServerStep) -> StartStream:
    start = stack.enter_context(closing(StartStream(inputs)))
    if start.slots and start.slots != tuple(sorted(step.slots)):
        message = f"the state holds {', '.join(start.slots)}, the task's server step needs {', '.join(step.slots)}"
        raise AggregationError(message, code="FL-AGGREGATE-STEP")
    return start


def _require_present(streams: Sequence[UpdateStream]) -> None:
    missing = tuple(stream.participant for stream in streams if stream.missing)
    if missing:
        raise AggregationError(
            f"the updates of {', '.join(missing)} are missing here, or are not the bytes that were revealed",
            code="FL-AGGREGATE-UNAVAILABLE",
            remedy="Fetch them again, from the author's store or from another validator's.",
            participants=missing,
        )


def _framed(text: str) -> bytes:
    return len(text).to_bytes(8, "big") + text.encode()
