"""A committed model, taken out: as a plain Keras model, and as the state that TFF's own programs go on from."""

from __future__ import annotations

from typing import Any

import numpy as np

from fabric_fl.aggregation import (
    FedAdagrad,
    FedAdam,
    FedAvgM,
    FedYogi,
    ModelBlob,
    ServerStep,
    StateBlob,
    Tensors,
    server_step,
)
from fabric_fl.learning.data import Array
from fabric_fl.learning.errors import ModelError
from fabric_fl.learning.tff_interface import Interface
from fabric_fl.learning.tff_model import KIND, build_keras_model, make_optimizer, model_fn
from fabric_fl.learning.tff_runtime import libraries
from fl_chaincode.records import Task

# TFF's Adam and Yogi correct the bias of the first rounds; the steps that validators take, which are the paper's, do
# not. By this step every correction has become a factor of one, so that TFF goes on as the validators do.
_LATE = 1 << 24


def to_keras(task: Task, model: ModelBlob) -> Any:
    """Makes a `tf.keras.Model` with the committed weights, not compiled.

    Raises:
        ModelError: The task's model is no Keras model.
    """
    require_keras(task)
    return build_keras_model(task.model.architecture, model)


def learning_process(task: Task) -> Any:
    """Makes TFF's `build_weighted_fed_avg` with the task's model, client optimizer and server step.

    Raises:
        ModelError: The task's model is no Keras model.
    """
    require_keras(task)
    interface = Interface.of(build_keras_model(task.model.architecture), task.model.loss)
    algorithms = libraries().tff.learning.algorithms
    return algorithms.build_weighted_fed_avg(
        model_fn(task.model.architecture, task.model.loss, interface.spec()),
        client_optimizer_fn=make_optimizer(task.training.optimizer, task.training.learning_rate),
        server_optimizer_fn=_server_optimizer(server_step(task.server.to_json())),
    )


def learning_process_state(task: Task, process: Any, model: ModelBlob, state: StateBlob | None) -> Any:
    """Makes the state from which a TFF process continues after a committed model.

    TFF keeps less than the server step's state: `m` and `v` are rounded to its float32, and the float64 weights `w`
    have no counterpart beside the model's. It keeps one number more, the rounds taken, by which its Adam and Yogi
    correct the bias of the first rounds; it is set so high that they correct nothing, as the validators do not.
    FedAdagrad's epsilon stands elsewhere in TFF (below the root) and becomes 0 there.

    Args:
        task: The model's.
        process: As `learning_process` made it.
        model: The weights.
        state: The server step's state; None before the first step.
    """
    learning = libraries().tff.learning
    found = process.initialize()
    flags = _trained(task)
    finalizer = dict(found.finalizer)
    slots = _start(task, model) if state is None else state.slots
    for slot, name in (("m", "accumulator"), ("v", "preconditioner")):
        if slot in slots:
            finalizer[name] = _chosen(slots[slot], flags, trained=True)
    if "step" in finalizer:
        finalizer["step"] = np.int32(_LATE)
    weights = learning.models.ModelWeights(
        trainable=_chosen(model.tensors, flags, trained=True),
        non_trainable=_chosen(model.tensors, flags, trained=False),
    )
    return found._replace(global_model_weights=weights, finalizer=type(found.finalizer)(finalizer))


def require_keras(task: Task) -> None:
    """Refuse a task whose model TensorFlow does not know.

    Raises:
        ModelError: It is no Keras model.
    """
    if task.model.kind != KIND:
        raise ModelError(
            f"the task's model is of the kind {task.model.kind!r}, and only {KIND!r} can be exported",
            code="FL-MODEL-KIND",
            remedy="Take the weights as they are: `fabric-fl models fetch` writes them as safetensors.",
        )


def _start(task: Task, model: ModelBlob) -> dict[str, Tensors]:
    """The server step's state before its first step."""
    step = server_step(task.server.to_json())
    started = {name: step.init(array.astype(np.float64)) for name, array in model.tensors.items()}
    return {slot: Tensors({name: blocks[slot] for name, blocks in started.items()}) for slot in step.slots}


def _trained(task: Task) -> list[bool]:
    keras_model = build_keras_model(task.model.architecture)
    trained = {id(variable) for variable in keras_model.trainable_weights}
    return [id(variable) in trained for variable in keras_model.weights]


def _chosen(tensors: Tensors, flags: list[bool], *, trained: bool) -> list[Array]:
    return [array.astype(np.float32) for array, flag in zip(tensors.arrays(), flags, strict=True) if flag is trained]


def _server_optimizer(step: ServerStep) -> Any:
    optimizers = libraries().tff.learning.optimizers
    if isinstance(step, FedAvgM):
        return optimizers.build_sgdm(step.learning_rate, step.momentum)
    if isinstance(step, FedAdagrad):
        return optimizers.build_adagrad(step.learning_rate, step.initial_preconditioner_value, epsilon=0.0)
    if isinstance(step, FedYogi):  # before FedAdam, whose kind it is
        start = step.initial_preconditioner_value
        return optimizers.build_yogi(step.learning_rate, step.beta_1, step.beta_2, step.epsilon, start)
    if isinstance(step, FedAdam):
        return optimizers.build_adam(step.learning_rate, step.beta_1, step.beta_2, step.epsilon)
    return optimizers.build_sgdm(step.learning_rate)  # type: ignore[attr-defined]  # FedAvg
