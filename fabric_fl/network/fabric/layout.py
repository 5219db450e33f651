"""What lies where below `.network/fabric`, the part of a network's directory that holds Fabric's own files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fabric_fl.network.home import Home


@dataclass(frozen=True)
class Layout:
    root: Path

    @classmethod
    def of(cls, home: Home) -> Layout:
        return cls(home.root / "fabric")

    @classmethod
    def inside(cls) -> Layout:
        """The same relative to the network's directory, where all programs run: supervisord takes no odd paths."""
        return cls(Path("fabric"))

    @property
    def ports(self) -> Path:
        """The ports that consortium.yaml does not name."""
        return self.root / "ports.json"

    @property
    def builder(self) -> Path:
        """The external builder that every peer runs."""
        return self.root / "ccaas_builder"

    @property
    def genesis(self) -> Path:
        return self.root / "genesis.block"

    @property
    def configtx(self) -> Path:
        """The directory of configtx.yaml."""
        return self.root / "configtx"

    def package(self, name: str) -> Path:
        return self.root / f"{name}.tgz"

    def node(self, name: str) -> Path:
        """The directory of a CA, peer or orderer: its configuration, identity and data."""
        return self.root / name

    def ca_certificate(self, authority: str) -> Path:
        """The root of an organisation's certificates, which its CA makes at its first start."""
        return self.node(authority) / "ca-cert.pem"

    def secret(self, authority: str, enrollment_id: str) -> Path:
        """What an identity enrols with."""
        return self.node(authority) / "secrets" / enrollment_id

    def msp(self, organisation: str) -> Path:
        """What the channel knows an organisation by: no key in it."""
        return self.root / "organisations" / organisation / "msp"

    def orderer_admin(self, organisation: str) -> Path:
        """The TLS certificate and key with which an organisation's administrator joins its orderers to a channel."""
        return self.root / "orderer-admin" / organisation

    def chaincode(self, organisation: str) -> Path:
        """An organisation's chaincode process's TLS files, and the connection files for its peers."""
        return self.root / "chaincode" / organisation
