"""Local training in TFF's own executor, without its plumbing.

The loop is a `tff.tensorflow.computation` and runs where TFF's client work does, so the bits are TFF's own. Weights,
data and updates do not travel as arguments, which costs TFF seconds at 100 MB, but in TensorFlow checkpoints that the
computation itself reads and writes.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fabric_fl.learning.data import Array
from fabric_fl.learning.tff_interface import Interface
from fabric_fl.learning.tff_model import build_keras_model
from fabric_fl.learning.tff_runtime import libraries
from fabric_fl.learning.tff_update import Batches, ClientUpdate, hyper_parameters
from fabric_fl.learning.tff_work import Client
from fabric_fl.learning.trainer import TrainingTask


class Executor:
    """Trains in TFF's executor.

    Models without dropout or noise only: nobody can tell TFF's executor where their random numbers start. Its files
    lie in a folder that this user alone may read, below `TMPDIR`; they go with `close`, or with this object.
    """

    def __init__(self, task: TrainingTask, interface: Interface, shapes: Sequence[tuple[int, ...]]) -> None:
        self._task, self._interface, self._shapes = task, interface, tuple(shapes)
        self._options = hyper_parameters(task)
        self._folder = Path(tempfile.mkdtemp(prefix="fabric-fl-training-"))
        self.close = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._written: dict[int, Any] = {}  # each client's features, as they lie in its checkpoint
        self._computation = self._build()

    def train(self, weights: Sequence[Array], clients: Sequence[Client], seed: int) -> list[list[Array]]:
        tf = libraries().tf
        base, update = str(self._folder / "weights"), str(self._folder / "update")
        _save(base, weights)
        found = []
        for index, client in enumerate(clients):
            self._computation(
                base,
                self._data_of(index, client),
                update,
                *Batches.of(client.batches),
                self._options,
            )
            read = _restore(update, [tf.float32] * len(self._shapes))
            found.append([array.numpy() for array in read])
        return found

    def _data_of(self, index: int, client: Client) -> str:
        """The checkpoint with a client's data, written when they are first trained on."""
        path = str(self._folder / f"data{index}")
        if self._written.get(index) is not client.x:
            _save(path, [client.x, client.y])
            self._written[index] = client.x
        return path

    def _build(self) -> Any:
        libs = libraries()
        tf, tff = libs.tf, libs.tff
        vector = tff.TensorType(np.int64, [None])
        architecture = _without_initial_values(self._task.architecture)

        @tff.tensorflow.computation(  # type: ignore[untyped-decorator]  # TFF has no types
            np.str_,
            np.str_,
            np.str_,
            *(vector, vector, vector),
            tff.types.to_type(OrderedDict((name, np.float32) for name in self._options)),
        )
        def train(base: Any, data: Any, target: Any, order: Any, starts: Any, ends: Any, options: Any) -> Any:
            update = ClientUpdate(build_keras_model(architecture), self._task, self._interface.spec(), in_place=False)

            @tf.function  # type: ignore[untyped-decorator]
            def run(base: Any, data: Any, target: Any, batches: Batches, options: Any) -> Any:
                read = _restore(base, [tf.float32] * len(self._shapes))
                initial = [tf.ensure_shape(array, shape) for array, shape in zip(read, self._shapes, strict=True)]
                spec = self._interface.spec()
                read = _restore(data, [part.dtype for part in spec])
                x, y = (tf.ensure_shape(array, part.shape) for array, part in zip(read, spec, strict=True))
                delta = update(initial, x, y, batches, None, options)
                with tf.control_dependencies([_save(target, delta)]):
                    return tf.size(batches.starts)

            return run(base, data, target, Batches(order, starts, ends), options)

        return train


def _save(prefix: Any, arrays: Sequence[Any]) -> Any:
    names = [str(index) for index in range(len(arrays))]
    raw_ops = libraries().tf.raw_ops
    return raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(arrays), tensors=list(arrays))


def _restore(prefix: Any, dtypes: Sequence[Any]) -> Any:
    names = [str(index) for index in range(len(dtypes))]
    raw_ops = libraries().tf.raw_ops
    return raw_ops.RestoreV2(prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(dtypes), dtypes=dtypes)


def _without_initial_values(architecture: str) -> str:
    """The same model, beginning with zeros: the executor makes variables anew each time, and all are assigned to."""
    zeros: dict[str, Any] = {
        "module": "keras.initializers",
        "class_name": "Zeros",
        "config": {},
        "registered_name": None,
    }

    def changed(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: zeros if key.endswith("_initializer") else changed(value) for key, value in part.items()}
        return [changed(value) for value in part] if isinstance(part, list) else part

    return json.dumps(changed(json.loads(architecture)))
