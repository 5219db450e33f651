"""Declaring data: what goes on the ledger about a file of examples."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from fabric_fl.learning import DataError
from fabric_fl.ledger import FLLedger
from fl_chaincode.records import Declaration

_REMEDY = "Write the file with numpy.savez(file, x=features, y=labels)."


def declare_data(ledger: FLLedger, msp_id: str, purpose: str, data: Path, last_round: int | None = None) -> Declaration:
    """Declares a file of examples for a purpose; repeating it changes nothing.

    On the ledger go the SHA-256 of the file, as `sha256sum` prints it, and the number of its examples.

    Args:
        ledger: In the name of the organisation that owns the data.
        msp_id: That organisation.
        purpose: What for; tasks name it.
        data: An .npz file with arrays x and y.
        last_round: Of any task, the last round that may use it; None for no end.

    Raises:
        DataError: The file cannot be read, or has no arrays x and y of equal length.
        LedgerRefused: The contract refuses it.
    """
    digest, num_examples = hashlib.sha256(_bytes(data)).hexdigest(), _count(data)
    newest = [one for one in ledger.declarations(msp_id) if one.purpose == purpose][-1:]
    for one in newest:
        if (one.digest, one.num_examples, one.last_round, one.revoked) == (digest, num_examples, last_round, False):
            return one
    number = newest[0].number + 1 if newest else 1
    return ledger.declare(purpose, number, digest=digest, num_examples=num_examples, last_round=last_round)


def _bytes(data: Path) -> bytes:
    try:
        return data.read_bytes()
    except OSError as error:
        raise _error(f"{data} cannot be read: {error.strerror}") from error


def _count(data: Path) -> int:
    try:
        # without pickle: a data set is data, never code
        with np.load(data, allow_pickle=False) as arrays:
            count, labels = len(arrays["x"]), len(arrays["y"])
    except (OSError, ValueError, KeyError, EOFError, TypeError) as error:
        raise _error(f"{data} has no arrays x and y: {error}") from error
    if count != labels or not count:
        raise _error(f"{data} has {count} rows in x and {labels} in y")
    return count


def _error(message: str) -> DataError:
    return DataError(message, code="FL-DATA-FILE", remedy=_REMEDY)
