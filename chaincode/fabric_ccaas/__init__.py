"""Chaincode as a service for Python: Fabric's chaincode protocol, and nothing of any application.

::

    from fabric_ccaas import Response, ServerConfig, Stub, serve

    class Counter:
        def invoke(self, stub: Stub) -> Response:
            count = int(stub.get_state("count") or b"0") + 1
            stub.put_state("count", b"%d" % count)
            return Response.success(b"%d" % count)

    serve(Counter(), ServerConfig.from_env(os.environ))
"""

from .chaincode import Chaincode
from .config import ServerConfig
from .errors import (
    CcaasError,
    ConfigError,
    InvalidArgumentError,
    InvalidKeyError,
    NotSupportedError,
    PeerError,
    StreamClosedError,
)
from .identity import ClientIdentity
from .query import KV, KeyModification, Page, Results
from .response import Response
from .server import Server, serve
from .stub import Stub
from .tls import TLSConfig

__all__ = [
    "KV",
    "CcaasError",
    "Chaincode",
    "ClientIdentity",
    "ConfigError",
    "InvalidArgumentError",
    "InvalidKeyError",
    "KeyModification",
    "NotSupportedError",
    "Page",
    "PeerError",
    "Response",
    "Results",
    "Server",
    "ServerConfig",
    "StreamClosedError",
    "Stub",
    "TLSConfig",
    "serve",
]
