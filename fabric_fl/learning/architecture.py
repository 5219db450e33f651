"""Which architectures are safe to build: a closed list of Keras layers, as JSON, and nothing else.

Keras imports whatever module an architecture names and runs the bytecode that a Lambda layer carries, so that of
somebody else's task is read here first. What is not on the lists is refused, whether or not it would do harm.
"""

from __future__ import annotations

import json
from typing import Any

from fabric_fl.learning.errors import ModelError

LIMIT = 1 << 20
"""Bytes of an architecture's text, the same as the contract's."""

MAX_DEPTH = 32

LAYERS = frozenset(
    {
        "Activation", "Add", "Average", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D",
        "BatchNormalization", "Bidirectional", "Concatenate", "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose",
        "Conv3D", "Conv3DTranspose", "Cropping1D", "Cropping2D", "Cropping3D", "Dense", "DepthwiseConv1D",
        "DepthwiseConv2D", "Dot", "Dropout", "ELU", "Embedding", "Flatten", "GRU", "GRUCell", "GaussianDropout",
        "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D",
        "GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D", "GroupNormalization", "InputLayer", "LSTM",
        "LSTMCell", "LayerNormalization", "LeakyReLU", "Masking", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D",
        "Maximum", "Minimum", "MultiHeadAttention", "Multiply", "Normalization", "PReLU", "Permute", "ReLU",
        "RepeatVector", "Rescaling", "Reshape", "SeparableConv1D", "SeparableConv2D", "SimpleRNN", "SimpleRNNCell",
        "Softmax", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "Subtract", "ThresholdedReLU",
        "TimeDistributed", "UnitNormalization", "UpSampling1D", "UpSampling2D", "UpSampling3D", "ZeroPadding1D",
        "ZeroPadding2D", "ZeroPadding3D",
    }
)  # fmt: skip
MODELS = frozenset({"Sequential", "Functional"})
PARTS = frozenset(
    {
        "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "LecunNormal", "LecunUniform",
        "Ones", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling", "Zeros", "L1",
        "L2", "L1L2", "OrthogonalRegularizer", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "RadialConstraint",
        "__tuple__", "TensorShape",
    }
)  # fmt: skip
MODULES = frozenset(
    {
        None,
        "builtins",  # of __tuple__ and TensorShape, which Keras makes itself
        "keras",
        "keras.constraints",
        "keras.initializers",
        "keras.layers",
        "keras.models",
        "keras.regularizers",
        "keras.src.engine.functional",
        "keras.src.engine.sequential",
    }
)
ACTIVATIONS = frozenset(
    {
        None,
        "elu", "exponential", "gelu", "hard_sigmoid", "leaky_relu", "linear", "mish", "relu", "relu6", "selu",
        "sigmoid", "silu", "softmax", "softplus", "softsign", "swish", "tanh",
    }
)  # fmt: skip
DTYPES = frozenset({None, "float32", "int32", "int64"})


def check_architecture(text: str) -> dict[str, Any]:
    """Read an architecture, refusing what is not made of known layers alone.

    Raises:
        ModelError: FL-MODEL-UNSAFE, with the name of what was found.
    """
    if len(text.encode()) > LIMIT:
        raise _unsafe(f"its text is longer than {LIMIT} bytes")
    try:
        architecture = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ModelError("the architecture is not JSON", code="FL-MODEL-SHAPE") from error
    if not isinstance(architecture, dict) or architecture.get("class_name") not in MODELS:
        raise _unsafe("it is neither a Sequential nor a Functional model")
    _check(architecture, 0)
    return architecture


def _check(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise _unsafe(f"it is nested deeper than {MAX_DEPTH}")
    if isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
    elif isinstance(value, dict):
        if {"class_name", "registered_name", "module"} & set(value):
            _check_object(value)
        for key, item in value.items():
            if key.endswith("activation") and (not isinstance(item, str | None) or item not in ACTIVATIONS):
                raise _unsafe(f"it has an activation {_shown(item)}")
            if key == "dtype" and (not isinstance(item, str | None) or item not in DTYPES):
                raise _unsafe(f"it computes in {_shown(item)} instead of float32")
            _check(item, depth + 1)


def _check_object(value: dict[str, Any]) -> None:
    name, module, registered = (value.get(key) for key in ("class_name", "module", "registered_name"))
    if not isinstance(name, str) or name not in LAYERS | MODELS | PARTS:
        raise _unsafe(f"it has a {_shown(name)}, which is not among the layers that are known to be data")
    if not isinstance(module, str | None) or module not in MODULES:
        raise _unsafe(f"it takes {name} from the module {_shown(module)}")
    if registered not in (None, name):
        raise _unsafe(f"it calls {name} by the registered name {_shown(registered)}")
    config = value.get("config")
    if name == "BatchNormalization" and not (isinstance(config, dict) and config.get("trainable") is False):
        raise ModelError(
            "BatchNormalization keeps statistics of each organisation's batches, which federated averaging leaves out",
            code="FL-MODEL-UNSAFE",
            remedy="Use GroupNormalization or LayerNormalization, or set trainable=False on a pretrained layer.",
        )


def _unsafe(reason: str) -> ModelError:
    return ModelError(f"the model's architecture is refused: {reason}", code="FL-MODEL-UNSAFE")


def _shown(value: Any) -> str:
    return repr(value)[:80]
