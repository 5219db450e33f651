"""Rounds for the tests of aggregation: a base model and updates as files, with what the ledger says about them."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np

from fabric_fl.aggregation import ModelBlob, RoundInputs, Tensors, UpdateBlob, UpdateHeader, UpdateInput, write

TASK, BASE, F, BOUND = "t1", "ab" * 32, 24, 2**31 - 1


def random_model(generator, shapes=((7, 5), (5,), (), (0, 3))):
    return Tensors.in_order(
        [(f"l{i}", generator.standard_normal(shape).astype(np.float32)) for i, shape in enumerate(shapes)]
    )


def write_update(directory: Path, participant: str, tensors: Tensors, num_examples: int, /, **header) -> UpdateInput:
    """Write an update; `header` replaces what its own header says."""
    facts = {"task": TASK, "round": 2, "participant": participant, "base": BASE, "num_examples": num_examples, "f": F}
    file = write(UpdateBlob(UpdateHeader(**(facts | header)), tensors), directory / f"update-{participant}")
    return UpdateInput(participant, file.path, file.digest, file.size, num_examples)


def random_update(generator, model, bound):
    return Tensors(
        {name: generator.integers(-bound, bound + 1, array.shape).astype(np.int32) for name, array in model.items()}
    )


def make_round(directory: Path, *, count=3, seed=0, shapes=((7, 5), (5,), (), (0, 3)), bound=BOUND) -> RoundInputs:
    """A first round with `count` random updates from Org1MSP, Org2MSP, … on 100, 200, … examples."""
    generator = np.random.default_rng(seed)
    model = random_model(generator, shapes)
    directory.mkdir(exist_ok=True)
    updates = [
        write_update(directory, f"Org{i}MSP", random_update(generator, model, bound), 100 * i)
        for i in range(1, count + 1)
    ]
    return RoundInputs(
        task=TASK,
        round=2,
        attempt=1,
        base=BASE,
        model=write(ModelBlob(model), directory / "base"),
        state=None,
        updates=tuple(updates),
        f=F,
        bound=bound,
        max_examples=100_000,
        server={"step": "fedavg", "learning_rate": "1"},
    )


def with_update(inputs: RoundInputs, index: int, **changes) -> RoundInputs:
    """The same round, with one update changed."""
    updates = list(inputs.updates)
    updates[index] = replace(updates[index], **changes)
    return replace(inputs, updates=tuple(updates))


def with_bytes(inputs: RoundInputs, index: int, data: bytes) -> RoundInputs:
    """The same round, with one participant having published and revealed these bytes."""
    path = inputs.updates[index].path
    path.write_bytes(data)
    return with_update(inputs, index, digest=sha256(data).hexdigest(), size=len(data))
