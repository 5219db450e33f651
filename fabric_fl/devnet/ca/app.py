"""Fabric CA's REST API as an ASGI application: routes, and the envelope around every answer."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from fabric_fl.devnet.ca import affiliations, certificates, enrollment, identities
from fabric_fl.devnet.ca.errors import METHOD_NOT_ALLOWED, READING_BODY, UNKNOWN, RequestRefused
from fabric_fl.devnet.ca.fabricca import FabricCA
from fabric_fl.devnet.ca.request import Request

_log = logging.getLogger(__name__)
_MAX_BODY = 1024 * 1024
Handler = Callable[[FabricCA, Request], dict[str, Any]]


def cainfo(ca: FabricCA, request: Request) -> dict[str, Any]:
    """Answers with the CA's name, certificate chain and version, to anybody."""
    ca.check_name(request)
    return {**ca.info()}


# By path: method to handler and status of success.
_ROUTES: Mapping[str, Mapping[str, tuple[Handler, int]]] = {
    "cainfo": {"GET": (cainfo, 200), "POST": (cainfo, 200), "HEAD": (cainfo, 200)},
    "enroll": {"POST": (enrollment.enroll, 201)},
    "reenroll": {"POST": (enrollment.reenroll, 201)},
    "register": {"POST": (identities.register, 201)},
    "revoke": {"POST": (certificates.revoke, 200)},
    "gencrl": {"POST": (certificates.generate_crl, 200)},
    "certificates": {"GET": (certificates.list_certificates, 200)},
    "identities": {"GET": (identities.list_identities, 200), "POST": (identities.add_identity, 201)},
    "identities/{name:path}": {
        "GET": (identities.get_identity, 200),
        "PUT": (identities.modify_identity, 200),
        "DELETE": (identities.remove_identity, 200),
    },
    "affiliations": {"GET": (affiliations.list_affiliations, 200), "POST": (affiliations.add_affiliation, 201)},
    "affiliations/{name}": {
        "GET": (affiliations.get_affiliation, 200),
        "PUT": (affiliations.modify_affiliation, 200),
        "DELETE": (affiliations.remove_affiliation, 200),
    },
}


def create_app(ca: FabricCA) -> Starlette:
    """Returns the application that serves ``ca``, each path with and without ``/api/v1``."""
    return Starlette(
        routes=[
            Route(f"{prefix}/{path}", _Endpoint(ca, methods))
            for path, methods in _ROUTES.items()
            for prefix in ("/api/v1", "")
        ],
        exception_handlers={404: _not_found},
    )


async def _not_found(http: HTTPRequest, _: Exception) -> Response:
    message = f"devnet's CA has no {http.url.path}: for Idemix and intermediate CAs, run Fabric's own fabric-ca-server"
    return _envelope("", 404, RequestRefused(404, UNKNOWN, message))


class _Endpoint:
    """One path. An object rather than a function, so that it sees every method and refuses in Fabric CA's form."""

    def __init__(self, ca: FabricCA, methods: Mapping[str, tuple[Handler, int]]) -> None:
        self._ca = ca
        self._methods = methods

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HTTPRequest(scope, receive)
        try:
            response = await self._answer(http)
        except ClientDisconnect:
            return
        except RequestRefused as refusal:
            response = _envelope("", refusal.status, refusal)
        except Exception:  # noqa: BLE001 -- a client gets an envelope whatever happens, the log the cause
            _log.exception("%s %s failed", http.method, http.url.path)
            response = _envelope("", 500, RequestRefused(500, UNKNOWN, "internal error"))
        await response(scope, receive, send)

    async def _answer(self, http: HTTPRequest) -> Response:
        if http.method not in self._methods:
            raise RequestRefused(405, METHOD_NOT_ALLOWED, f"Method {http.method} is not allowed")
        handler, status = self._methods[http.method]
        query = http.scope["query_string"].decode("latin-1")
        path = http.scope["raw_path"].decode("latin-1")
        request = Request(
            method=http.method,
            uri=f"{path}?{query}" if query else path,
            authorization=http.headers.get("authorization", ""),
            body=await _read_body(http),
            query=dict(http.query_params),
            name=http.path_params.get("name", ""),
        )
        # Signing, hashing secrets and SQLite block: keep them off the event loop, which others share.
        return _envelope(await run_in_threadpool(handler, self._ca, request), status)


async def _read_body(http: HTTPRequest) -> bytes:
    body = bytearray()
    async for chunk in http.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise RequestRefused(413, READING_BODY, f"Failed reading request body: more than {_MAX_BODY} bytes")
    return bytes(body)


def _envelope(result: dict[str, Any] | str, status: int, refusal: RequestRefused | None = None) -> Response:
    errors = [{"code": refusal.code, "message": refusal.message}] if refusal else []
    content = {"result": result, "errors": errors, "messages": [], "success": refusal is None}
    return Response(json.dumps(content), status, media_type="application/json")
