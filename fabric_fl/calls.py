"""How the contract's functions are called: JSON goes in, records come out.

Whatever passes by itself is tried again, from fresh reads: conflicts with other transactions, peers that disagree for a
moment, a gateway or chaincode process that restarts. A transaction that was perhaps sent is pursued under its own id
and never made a second time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from fabric_fl.errors import FabricFLError
from fabric_fl.gateway.errors import GatewayError
from fabric_fl.gateway.retry import DISAGREEMENT, Backoff, is_passing
from fl_chaincode import canonical
from fl_chaincode.codec import Record
from fl_chaincode.errors import HELP, FLError
from fl_chaincode.errors import parse as parse_refusal

R = TypeVar("R", bound=Record)
T = TypeVar("T")
PATIENCE = 60.0  # seconds for which a call is tried again


class Contract(Protocol):
    """What the ledger is reached through: a channel's contract, or one in memory."""

    def submit(self, name: str, /, *args: str) -> bytes: ...

    def evaluate(self, name: str, /, *args: str) -> bytes: ...


class LedgerRefused(FabricFLError):  # noqa: N818 -- what happened; nothing is wrong with the program
    """The contract refused the call; nothing was written.

    Attributes:
        code: The contract's own code, such as FL-ROUND-SEALED.
        remedy: What the contract's vocabulary says about it.
    """

    code = "FL-LEDGER-REFUSED"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code, remedy=HELP.get(code, "A newer contract than this program: upgrade it."))


class LedgerFormatError(FabricFLError):
    """An answer of the contract cannot be read by this version."""

    code = "FL-LEDGER-FORMAT"
    remedy = "The contract is newer than this program: upgrade it."


class ContractCalls:
    """What every group of functions is called by.

    Args:
        contract: Where calls go.
        patience: Seconds for which a call is tried again after it first failed.

    Every method raises LedgerRefused where the contract refuses, and a GatewayError when patience has ended.
    """

    def __init__(self, contract: Contract, *, patience: float = PATIENCE) -> None:
        self._contract = contract
        self._patience = patience

    def _write(self, kind: type[R], function: str, *args: Any) -> R:
        return parsed(kind.from_json, self._submit(function, *args))

    def _read(self, kind: type[R], function: str, *args: Any) -> R:
        return parsed(kind.from_json, self._evaluate(function, *args))

    def _list(self, read: Callable[[Any], T], function: str, *args: Any) -> tuple[T, ...]:
        return parsed(lambda items: tuple(read(item) for item in items), self._evaluate(function, *args))

    def _evaluate(self, function: str, *args: Any) -> bytes:
        return self._persist(self._contract.evaluate, function, *map(_argument, args))

    def _submit(self, function: str, *args: Any) -> bytes:
        return self._persist(self._contract.submit, function, *map(_argument, args))

    def _persist(self, call: Callable[..., bytes], function: str, *args: str) -> bytes:
        backoff: Backoff | None = None
        while True:
            try:
                return call(function, *args)
            except GatewayError as error:
                refused = _refusal(error)
                if refused is not None and DISAGREEMENT not in error.message:
                    raise refused from error
                backoff = backoff or Backoff(self._patience)
                if not is_passing(error) or not backoff.wait():
                    raise (refused or error) from error


def _argument(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return str(value)
    return canonical.encode(value).decode()


def decoded(data: bytes) -> Any:
    try:
        return canonical.decode(data)
    except FLError as error:
        raise LedgerFormatError(error.message) from error


def parsed(read: Callable[[Any], T], data: bytes) -> T:
    value = decoded(data)
    try:
        return read(value)
    except FLError as error:
        raise LedgerFormatError(error.message) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise LedgerFormatError(f"a field of the answer is missing or of another kind: {error}") from error


def _refusal(error: GatewayError) -> LedgerRefused | None:
    for detail in error.details:
        found = parse_refusal(detail.message)
        if found is not None:
            return LedgerRefused(*found)
    return None
