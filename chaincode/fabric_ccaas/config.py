"""Where a chaincode listens, under which name, and how much it takes on."""

from collections.abc import Mapping
from dataclasses import dataclass

from fabric_ccaas.errors import ConfigError
from fabric_ccaas.setting import require_setting
from fabric_ccaas.tls import TLSConfig

CHAINCODE_ID = ("CHAINCODE_ID", "CORE_CHAINCODE_ID_NAME")
SERVER_ADDRESS = ("CHAINCODE_SERVER_ADDRESS",)


@dataclass(frozen=True)
class ServerConfig:
    """What a chaincode server needs to know.

    Attributes:
        chaincode_id: The package id under which peers installed it, ``label:hash``.
        address: ``host:port`` to listen on; port 0 takes a free one.
        tls: None serves without TLS.
        workers: How many rules run at the same time.
        max_in_flight: How many transactions may run or wait for a worker; the next is refused with status 503.
        reply_timeout: How long a rule waits for one answer of its peer, in seconds. A peer's own time limit for a
            transaction is 30 s by default and it answers much sooner, so this only frees what a dead peer holds.
        drain_timeout: How long running transactions may take after SIGTERM, in seconds: less than the 10 s after
            which Docker kills.
    """

    chaincode_id: str
    address: str
    tls: TLSConfig | None = None
    workers: int = 32
    max_in_flight: int = 1024
    reply_timeout: float = 120.0
    drain_timeout: float = 8.0

    def __post_init__(self) -> None:
        host, colon, port = self.address.rpartition(":")
        if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise ConfigError(f"{SERVER_ADDRESS[0]} must be host:port, as 0.0.0.0:9999, and is {self.address!r}")

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "ServerConfig":
        """Read the variables that Fabric documents for chaincode as a service.

        Raises:
            ConfigError: One is missing or contradicts another.
        """
        return cls(
            chaincode_id=require_setting(environ, CHAINCODE_ID, "the package id, as `peer lifecycle` prints it"),
            address=require_setting(environ, SERVER_ADDRESS, "where to listen, as 0.0.0.0:9999"),
            tls=TLSConfig.from_env(environ),
        )
