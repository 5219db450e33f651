"""How requests reach Fabric CA: signed as it wants it, with a time limit, failures as our errors.

Imported by `CAClient` alone, because the library below is optional.
"""

from __future__ import annotations

import base64
from typing import Any

import requests
from hfc.fabric_ca.caservice import CAClient, Enrollment

from fabric_fl.fabric import signing
from fabric_fl.fabric.ca import CAError, CAUnavailable


class Transport(CAClient):  # type: ignore[misc]  # the library has no types
    """The library's transport with another signature, another error, and a limit of time."""

    def __init__(self, target: str, ca_certs_path: str | None, *, ca_name: str, timeout: float) -> None:
        super().__init__(target, ca_certs_path, ca_name=ca_name)
        self._timeout = timeout

    def generateAuthToken(self, req: Any, registrar: Enrollment) -> Enrollment:  # noqa: N802 -- theirs
        """Passes the caller on: what is signed is known only once the request is prepared."""
        return registrar

    def call(self, method: str, path: str) -> dict[str, Any]:
        """Asks something that needs no authentication."""
        answer, _ = self._send(method, path)
        result: dict[str, Any] = answer["result"]
        return result

    def _send_ca_post(self, path: str, **param: Any) -> tuple[dict[str, Any], int]:
        return self._send("POST", path, **param)

    def _send(
        self,
        method: str,
        path: str,
        *,
        json: dict[str, Any] | None = None,
        headers: dict[str, Enrollment] | None = None,
        auth: tuple[str, str] | None = None,
        verify: str | None = None,
    ) -> tuple[dict[str, Any], int]:
        url = self._base_url + path
        body = dict(json or {})
        if self._ca_name and method == "POST":
            body.setdefault("caname", self._ca_name)
        try:
            with requests.Session() as session:
                request = requests.Request(method, url, json=body or None, auth=auth)
                prepared = session.prepare_request(request)
                prepared.headers["Connection"] = "close"  # or it lives as long as an error that refers to it
                if headers:
                    prepared.headers["Authorization"] = _token(prepared, headers["Authorization"])
                settings = session.merge_environment_settings(url, {}, None, verify or self._ca_certs_path, None)
                response = session.send(prepared, timeout=self._timeout, **settings)
        except (requests.RequestException, OSError) as error:
            raise CAUnavailable(f"{self._base_url}: {_plain(error)}") from error
        try:
            answer = response.json()
            if answer["success"]:
                return answer, response.status_code
            errors = answer["errors"] or [{"code": 0, "message": f"HTTP {response.status_code}"}]
            message, number = "; ".join(str(each["message"]) for each in errors), int(errors[0]["code"])
        except (ValueError, TypeError, LookupError) as error:
            raise CAUnavailable(f"{self._base_url} does not answer like a Fabric CA") from error
        raise CAError(message, number=number)


def _token(request: requests.PreparedRequest, caller: Enrollment) -> str:
    """Signs method, path with query, body as sent, and certificate."""
    body = request.body or b""
    body = body.encode() if isinstance(body, str) else bytes(body)  # type: ignore[arg-type]  # JSON is no stream
    uri, payload, certificate = (
        base64.b64encode(part).decode() for part in (request.path_url.encode(), body, caller.cert)
    )
    signature = signing.sign(caller.private_key, f"{request.method}.{uri}.{payload}.{certificate}".encode())
    return f"{certificate}.{base64.b64encode(signature).decode()}"


def _plain(error: Exception) -> str:
    """Returns what went wrong without the names of the library's objects."""
    if isinstance(error, requests.exceptions.SSLError):
        return "its TLS certificate is not accepted"
    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.ReadTimeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "connection refused or lost"
    return str(error)
