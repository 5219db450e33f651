"""The patients: Wisconsin diagnostic breast cancer, 569 women, 30 measurements each, shipped with scikit-learn.

The split is made by a fixed seed, 1, which was taken because it comes first and was not searched for. A fifth of the
patients, stratified, is the test set that nobody trains on. The rest goes to three hospitals of very different size
and case mix: the sizes and shares of malignant cases below. Each keeps a fifth of its patients as its private holdout.

References:
    Street, Wolberg, Mangasarian: Nuclear feature extraction for breast tumor diagnosis, 1993.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_breast_cancer

SEED = 1
# hospital: (malignant, benign) patients to train and to validate on; 455 in all
HOSPITALS = {"org1": (30, 170), "org2": (60, 95), "org3": (80, 20)}
HOLDOUT = 0.2

Features = npt.NDArray[np.float32]  # [patients, 30]
Labels = npt.NDArray[np.float32]  # [patients, 1]; 1 is malignant


@dataclass(frozen=True)
class Patients:
    """Measurements, float32[n, 30], and diagnoses, float32[n, 1]."""

    x: Features
    y: Labels

    def __len__(self) -> int:
        return len(self.x)

    def pair(self) -> tuple[Features, Labels]:
        return self.x, self.y


@dataclass(frozen=True)
class Hospital:
    """What one hospital has: patients to train on, and its private holdout."""

    train: Patients
    holdout: Patients


def load() -> tuple[dict[str, Hospital], Patients]:
    """Returns the hospitals by organisation, and the common test set, all scaled alike.

    The scale is one that the consortium can agree on without pooling data: the largest hospital publishes mean and
    standard deviation of each measurement over its own training patients, 60 numbers, and everybody uses them.
    """
    data = load_breast_cancer()
    features = data.data.astype(np.float64)
    malignant = data.target == 0  # scikit-learn counts benign as 1
    random = np.random.default_rng(SEED)
    sick, healthy = random.permutation(np.flatnonzero(malignant)), random.permutation(np.flatnonzero(~malignant))
    parts: dict[str, npt.NDArray[np.int64]] = {}
    for name, (n_sick, n_healthy) in HOSPITALS.items():
        parts[name] = random.permutation(np.concatenate([sick[:n_sick], healthy[:n_healthy]]))
        sick, healthy = sick[n_sick:], healthy[n_healthy:]
    test = np.concatenate([sick, healthy])

    split = {name: int(len(rows) * (1 - HOLDOUT)) for name, rows in parts.items()}
    published = features[parts["org1"][: split["org1"]]]
    mean, deviation = published.mean(axis=0), published.std(axis=0)

    def patients(rows: npt.NDArray[np.int64]) -> Patients:
        scaled = (features[rows] - mean) / deviation
        return Patients(scaled.astype(np.float32), malignant[rows].astype(np.float32).reshape(-1, 1))

    hospitals = {
        name: Hospital(patients(rows[: split[name]]), patients(rows[split[name] :])) for name, rows in parts.items()
    }
    return hospitals, patients(test)
