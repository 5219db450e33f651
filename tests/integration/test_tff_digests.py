"""The same bytes whether or not TensorFlow is loaded in the process that asks for them."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "unit"))
from rounds_on_disk import make_round, write_update

from fabric_fl.aggregation import AggregationWorker, ModelBlob, Tensors, aggregate, write
from fabric_fl.aggregation.worker import messages
from fabric_fl.learning.tff_runtime import libraries

pytestmark = pytest.mark.tff

SCRIPT = """
import json, sys
from pathlib import Path
from fabric_fl.aggregation import aggregate
from fabric_fl.aggregation.worker import messages
assert not any(name.startswith("tensorflow") for name in sys.modules)
inputs = messages.inputs_from_json(json.loads(sys.stdin.read()))
print(aggregate(inputs, Path(sys.argv[1])).result)
"""


def test_a_process_with_tensorflow_gets_the_digests_of_one_without(tmp_path):
    inputs = make_round(tmp_path, shapes=((40, 30), (30,)))
    tiny = np.ldexp(np.random.default_rng(0).standard_normal(1230), -140).astype(np.float32)  # subnormal weights
    base = ModelBlob(Tensors.in_order([("l0", tiny[:1200].reshape(40, 30)), ("l1", tiny[1200:])]))
    small = Tensors.in_order([("l0", np.zeros((40, 30), np.int32)), ("l1", np.ones(30, np.int32))])
    updates = tuple(write_update(tmp_path, f"Org{i}MSP", small, 100 * i) for i in (1, 2, 3))
    inputs = replace(inputs, model=write(base, tmp_path / "tiny"), updates=updates)

    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    text = json.dumps(messages.inputs_to_json(inputs))
    expected = subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout.strip()

    tf = libraries().tf
    tf.linalg.matmul(tf.ones((64, 64)), tf.ones((64, 64)))  # its thread pools are running
    with AggregationWorker() as worker:
        assert worker.aggregate(inputs, tmp_path).result == expected
    # Importing it set no flags in this thread; where a version of it does, the sum is refused here, never wrong.
    assert aggregate(inputs, tmp_path).result == expected
