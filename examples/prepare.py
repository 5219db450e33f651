"""Writes examples/out: the model that the coordinator proposes, and the patients of three hospitals.

The patients are those of Wisconsin diagnostic breast cancer, which scikit-learn ships; in earnest every hospital has
its own and this file does not exist.
"""

from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer

from fabric_fl.aggregation import write
from fabric_fl.learning import describe_keras_model

out = Path(__file__).parent / "out"
out.mkdir(exist_ok=True)

keras.utils.set_random_seed(0)
layers = [keras.layers.InputLayer((30,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(1, "sigmoid")]
described = describe_keras_model(keras.Sequential(layers), loss="binary_crossentropy")
(out / "model.json").write_text(described.architecture)
write(described.initial, out / "initial.safetensors")

x, y = load_breast_cancer(return_X_y=True)
x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
y = y.astype(np.float32).reshape(-1, 1)
rows = np.random.default_rng(0).permutation(len(x))
for number in (1, 2, 3):
    mine = rows[number - 1 :: 3]
    train, holdout = mine[:150], mine[150:]
    data = {"x": x[train], "y": y[train], "x_holdout": x[holdout], "y_holdout": y[holdout]}
    np.savez(out / f"hospital-{number}.npz", **data)
