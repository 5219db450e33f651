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

from fabric_ccaas.chaincode import Chaincode
from fabric_ccaas.config import ServerConfig
from fabric_ccaas.errors import (
    CcaasError,
    ConfigError,
    InvalidArgumentError,
    InvalidKeyError,
    NotSupportedError,
    PeerError,
    StreamClosedError,
)
from fabric_ccaas.identity import ClientIdentity
from fabric_ccaas.query import KV, KeyModification, Page, Results
from fabric_ccaas.response import Response
from fabric_ccaas.server import Server, serve
from fabric_ccaas.stub import Stub
from fabric_ccaas.tls import TLSConfig

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
