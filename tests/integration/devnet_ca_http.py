"""Requests to the CA's application without a network: what a client sends, byte for byte."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fabric_fl.devnet.ca.app import create_app
from fabric_fl.devnet.ca.fabricca import FabricCA
from fabric_fl.devnet.ca.registry import Registry
from fabric_fl.devnet.identity import Organization
from fabric_fl.fabric.identity import Identity, SigningIdentity

REGISTRAR = ("admin", "adminpw")


def organization_ca(organization: Organization, registry: Registry) -> FabricCA:
    """Returns an organisation's CA with its first registrar, as devnet makes it."""
    ca = FabricCA(f"ca-{organization.name}", organization.ca, organization.tls_ca, registry)
    ca.add_registrar(*REGISTRAR)
    for member in (organization.node, organization.admin, organization.client):
        ca.adopt(member.identity)
    return ca


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    envelope: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.envelope = json.loads(self.body)

    @property
    def result(self) -> Any:
        return self.envelope["result"]

    @property
    def code(self) -> int:
        """The error's number; 0 of a success."""
        return self.envelope["errors"][0]["code"] if self.envelope["errors"] else 0


class Client:
    """Calls an application directly."""

    def __init__(self, ca: FabricCA) -> None:
        self.app = create_app(ca)

    def request(self, method: str, uri: str, body: bytes = b"", authorization: str = "") -> Answer:
        path, _, query = uri.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": query.encode(),
            "headers": [(b"authorization", authorization.encode())] if authorization else [],
        }
        sent: list[dict[str, Any]] = []
        incoming = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> dict[str, Any]:
            return next(incoming)

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], headers, b"".join(message["body"] for message in sent[1:]))

    def enroll(self, name: str, secret: str, **fields: Any) -> Answer:
        body = json.dumps({"certificate_request": csr(name), **fields}).encode()
        return self.request("POST", "/api/v1/enroll", body, basic(name, secret))

    def enrolled(self, name: str, secret: str, msp_id: str = "Org1MSP") -> SigningIdentity:
        answer = self.enroll(name, secret)
        assert answer.status == 201, answer.envelope
        return SigningIdentity(Identity(msp_id, base64.b64decode(answer.result["Cert"])), KEY)

    def call(self, signer: SigningIdentity, method: str, path: str, fields: Any = None) -> Answer:
        uri = f"/api/v1/{path}"
        body = b"" if fields is None else json.dumps(fields).encode()
        return self.request(method, uri, body, token(signer, method, uri, body))


KEY = ec.generate_private_key(ec.SECP256R1())


def csr(name: str, key: Any = KEY, extensions: tuple[x509.ExtensionType, ...] = (), **subject: str) -> str:
    names = [x509.NameAttribute(getattr(NameOID, oid), value) for oid, value in subject.items()]
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def basic(name: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{secret}".encode()).decode()


def token(signer: SigningIdentity, method: str, uri: str, body: bytes) -> str:
    uri64, body64, certificate = (
        base64.b64encode(part).decode() for part in (uri.encode(), body, signer.identity.certificate_pem)
    )
    signature = signer.sign(f"{method}.{uri64}.{body64}.{certificate}".encode())
    return f"{certificate}.{base64.b64encode(signature).decode()}"
