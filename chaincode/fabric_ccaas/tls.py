"""The server's own certificate, and whose clients it takes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from fabric_ccaas.errors import ConfigError
from fabric_ccaas.setting import read_flag, read_setting

# A name of fabric-samples and one of Fabric's documentation each; all take a path, and the text of a PEM file too.
KEY = ("CHAINCODE_TLS_KEY", "CHAINCODE_TLS_KEY_FILE", "CORE_CHAINCODE_TLS_KEY_FILE")
CERT = ("CHAINCODE_TLS_CERT", "CHAINCODE_TLS_CERT_FILE", "CORE_CHAINCODE_TLS_CERT_FILE")
CLIENT_CA = ("CHAINCODE_CLIENT_CA_CERT", "CHAINCODE_CLIENT_CA_CERT_FILE", "CORE_CHAINCODE_TLS_CLIENT_CACERT_FILE")
DISABLED = "CHAINCODE_TLS_DISABLED"


@dataclass(frozen=True)
class TLSConfig:
    """Keys and certificates in PEM.

    Attributes:
        key: The server's private key.
        cert: Its certificate, with intermediate ones if there are any.
        client_ca: The authorities whose clients are served; None serves every client.
    """

    key: bytes = field(repr=False)
    cert: bytes = field(repr=False)
    client_ca: bytes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        try:
            private_key = serialization.load_pem_private_key(self.key, None)
        except (ValueError, TypeError):
            raise ConfigError(f"{KEY[0]} holds no unencrypted private key in PEM") from None
        certificates = _load_certificates(self.cert, CERT[0])
        if self.client_ca is not None:
            _load_certificates(self.client_ca, CLIENT_CA[0])
        if private_key.public_key() != certificates[0].public_key():
            raise ConfigError(f"{KEY[0]} is not the key of the certificate in {CERT[0]}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "TLSConfig | None":
        """Read Fabric's variables.

        Returns:
            None for a server without TLS: `CHAINCODE_TLS_DISABLED` is true, or no variable is set at all.

        Raises:
            ConfigError: One is missing, contradicts another, or names a file that cannot be read.
        """
        disabled = read_flag(environ, DISABLED)
        key, cert, client_ca = (read_setting(environ, names) for names in (KEY, CERT, CLIENT_CA))
        given = [names[0] for names, value in ((KEY, key), (CERT, cert), (CLIENT_CA, client_ca)) if value]
        if disabled and given:
            raise ConfigError(f"{DISABLED} is true although {given[0]} is set: unset one of the two")
        if disabled or (disabled is None and not given):
            return None
        if not key or not cert:
            raise ConfigError(f"TLS needs {KEY[0]} and {CERT[0]}, and {CERT[0] if key else KEY[0]} is not set")
        return cls(_read_pem(key, KEY[0]), _read_pem(cert, CERT[0]), _read_pem(client_ca, CLIENT_CA[0]) or None)

    def server_credentials(self) -> grpc.ServerCredentials:
        return grpc.ssl_server_credentials(
            [(self.key, self.cert)],
            root_certificates=self.client_ca,
            require_client_auth=self.client_ca is not None,
        )


def _read_pem(value: str, name: str) -> bytes:
    if not value or value.lstrip().startswith("-----BEGIN"):
        return value.encode()
    try:
        return Path(value).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name} names {value}, which cannot be read: {error.strerror}") from error


def _load_certificates(pem: bytes, name: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ConfigError(f"{name} holds no X.509 certificate in PEM") from None
