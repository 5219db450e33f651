"""Exact aggregation: canonical blobs, the integer sum, the server step, and the process that computes them.

Needs numpy alone. What a validator calls is `AggregationWorker.aggregate`.
"""

from fabric_fl.aggregation.aggregator import aggregate, leave_one_out_models
from fabric_fl.aggregation.codec import (
    Blob,
    MaskedUpdateBlob,
    ModelBlob,
    StateBlob,
    UpdateBlob,
    UpdateHeader,
    decode,
    decode_masked_update,
    decode_model,
    decode_state,
    decode_update,
    digest,
    encode,
    model_size,
    update_size,
)
from fabric_fl.aggregation.errors import REFUSALS, AggregationError, BlobError, NotFiniteError, WorkerError
from fabric_fl.aggregation.files import BlobFile, read_model, read_state, write
from fabric_fl.aggregation.ring import quantise
from fabric_fl.aggregation.rounds import AggregationResult, RoundInputs, UpdateInput
from fabric_fl.aggregation.rules import NormBound, Rule, robust_rule
from fabric_fl.aggregation.server import (
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedYogi,
    ServerStep,
    server_step,
    state_size,
)
from fabric_fl.aggregation.tensors import Layout, Tensors
from fabric_fl.aggregation.worker import AggregationWorker

__all__ = [
    "REFUSALS",
    "AggregationError",
    "AggregationResult",
    "AggregationWorker",
    "Blob",
    "BlobError",
    "BlobFile",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedYogi",
    "Layout",
    "MaskedUpdateBlob",
    "ModelBlob",
    "NormBound",
    "NotFiniteError",
    "RoundInputs",
    "Rule",
    "ServerStep",
    "StateBlob",
    "Tensors",
    "UpdateBlob",
    "UpdateHeader",
    "UpdateInput",
    "WorkerError",
    "aggregate",
    "decode",
    "decode_masked_update",
    "decode_model",
    "decode_state",
    "decode_update",
    "digest",
    "encode",
    "leave_one_out_models",
    "model_size",
    "quantise",
    "read_model",
    "read_state",
    "robust_rule",
    "server_step",
    "state_size",
    "update_size",
    "write",
]
