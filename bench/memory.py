"""Peak memory of the process that aggregates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fabric_fl.aggregation import (
    AggregationWorker,
    ModelBlob,
    RoundInputs,
    Tensors,
    UpdateBlob,
    UpdateHeader,
    UpdateInput,
    write,
)

ELEMENTS = 25_000_000  # 100 MB of weights, beside which an interpreter with numpy is small
BASE = "0" * 64


def peak_per_model(folder: Path) -> float:
    """Returns the aggregation process's highest resident memory, all of it, divided by the size of the model."""
    names = Tensors.in_order([("kernel", np.zeros(ELEMENTS, np.float32))])
    model = write(ModelBlob(names), folder / "initial.safetensors")
    q = Tensors({name: np.ones(array.shape, np.int32) for name, array in names.items()})
    updates = []
    for number in (1, 2, 3):
        who = f"Org{number}MSP"
        file = write(UpdateBlob(UpdateHeader("memory", 1, who, BASE, 10, 24), q), folder / f"update-{number}")
        updates.append(UpdateInput(who, file.path, file.digest, file.size, 10))
    inputs = RoundInputs(
        task="memory",
        round=1,
        attempt=1,
        base=BASE,
        model=model,
        state=None,
        updates=tuple(updates),
        f=24,
        bound=2**30,
        max_examples=10,
        server={"step": "fedavg", "learning_rate": "1"},
    )
    with AggregationWorker() as worker:
        worker.aggregate(inputs, folder)
        status = Path(f"/proc/{worker.pid}/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0]) / (4 * ELEMENTS)
