"""What can go wrong between a rule, its peer and its operator.

::

    CcaasError
    ├── ConfigError            a setting is missing or contradicts another; one sentence for the operator
    ├── PeerError              the peer answered a request with ERROR
    ├── StreamClosedError      the peer's stream is gone, or the peer does not answer any more
    ├── InvalidKeyError        a key or a composite attribute that Fabric could not keep apart from others
    ├── InvalidArgumentError   an argument that is no UTF-8, a value that Fabric would read as a deletion
    └── NotSupportedError      a part of Fabric's chaincode interface that this adapter leaves out

A rule may catch any of them. What it does not catch ends its transaction: `InvalidKeyError` and
`InvalidArgumentError` with status 400, the others with status 500. None of the messages quotes a key, an
argument or a value, save that a `PeerError` repeats to the client, and not to the log, what the peer said.
"""


class CcaasError(Exception):
    """The root of all errors of this package."""

    status = 500


class ConfigError(CcaasError):
    pass


class PeerError(CcaasError):
    """The peer refused a request.

    Attributes:
        request: The message type that was refused, as ``GET_STATE``.
        detail: The peer's own words. They may name keys.
    """

    def __init__(self, request: str, detail: str) -> None:
        super().__init__(f"the peer refused {request}: {detail}")
        self.request = request
        self.detail = detail


class StreamClosedError(CcaasError):
    pass


class InvalidKeyError(CcaasError, ValueError):
    status = 400


class InvalidArgumentError(CcaasError, ValueError):
    status = 400


class NotSupportedError(CcaasError):
    pass
