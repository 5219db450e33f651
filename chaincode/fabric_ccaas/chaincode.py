"""What a chaincode is, and how one transaction of it is run to its end."""

import logging
import traceback
from typing import Protocol

from fabric_ccaas.errors import CcaasError, InvalidArgumentError, PeerError
from fabric_ccaas.features import PeerFeatures
from fabric_ccaas.message import MAX_PAYLOAD_BYTES, Message, type_name
from fabric_ccaas.response import Response
from fabric_ccaas.stub import Stub
from fabric_ccaas.transaction import Transaction

logger = logging.getLogger(__name__)


class Chaincode(Protocol):
    """The rules of a chaincode."""

    def invoke(self, stub: Stub) -> Response:
        """Run the function that `stub.args` names.

        Called from several threads at once. It must depend on nothing but the stub, or peers will not agree.
        """
        ...


def execute(chaincode: Chaincode, transaction: Transaction, message: Message, features: PeerFeatures) -> None:
    """Run a transaction and answer it with COMPLETED, whatever happens: a peer waits 30 s for an answer."""
    event = None
    try:
        stub = Stub(transaction, message, features)
        response = chaincode.invoke(stub)
        if not isinstance(response, Response):
            raise CcaasError(f"the chaincode returned {type(response).__name__} instead of a Response")  # noqa: TRY301
        if response.endorsable:
            event = stub.finish()
        serialized = _serialize(response)
    except BaseException as error:  # noqa: BLE001 - SystemExit in a rule must be answered too
        event = None
        serialized = _failure(error, transaction, message).serialize()
    transaction.complete(serialized, event)


def _serialize(response: Response) -> bytes:
    serialized = response.serialize()
    if len(serialized) > MAX_PAYLOAD_BYTES:
        raise InvalidArgumentError(f"an answer of {len(serialized)} bytes is larger than a message may be")
    return serialized


def _failure(error: BaseException, transaction: Transaction, message: Message) -> Response:
    """Log where an exception came from and say to the client what it may know.

    An exception's message may quote an argument or a value, so only the errors of this package, which do not,
    pass theirs on; and a peer's words, which may, go to the client alone.
    """
    if isinstance(error, PeerError):
        why = f"the peer refused {error.request}"
    else:
        why = str(error) if isinstance(error, CcaasError) else "an unexpected exception"
    logger.warning("%s %s failed: %s (%s)", type_name(message.type), transaction.tx_id, why, _trail(error))
    if isinstance(error, CcaasError):
        return Response.refusal(str(error), error.status)
    return Response.refusal(f"the chaincode failed on transaction {transaction.tx_id}: see its log", 500)


def _trail(error: BaseException) -> str:
    """Name an exception and what led to it by type and line, without their messages."""
    trails = []
    cause: BaseException | None = error
    while cause is not None:
        frames = traceback.walk_tb(cause.__traceback__)
        lines = [f"{frame.f_code.co_filename}:{line}" for frame, line in frames]
        trails.append(" > ".join([*lines, type(cause).__name__]))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "; after ".join(trails)
