"""Where a devnet keeps its keys, registries, packages, ports and ledger: together, because none is of use alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path

from fabric_fl.devnet.ca.registry import Registry
from fabric_fl.devnet.identity import Organization

_PORTS = "ports.json"


class Storage:
    """A devnet's folder.

    Args:
        folder: Where it is; None for a temporary one, with ledger and registries in memory.
    """

    def __init__(self, folder: Path | None) -> None:
        self._persistent = folder is not None
        self._temporary = tempfile.TemporaryDirectory(prefix="fabric-devnet-") if folder is None else None
        self.folder = Path(self._temporary.name) if self._temporary is not None else folder or Path()
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        file = self.folder / _PORTS
        self.ports: dict[str, int] = json.loads(file.read_text()) if file.is_file() else {}

    @property
    def ledger(self) -> Path | None:
        """Folder of the ledger; None for memory."""
        return self.folder / "ledger" if self._persistent else None

    def organization(self, name: str, msp_id: str, role: str, client_attributes: Mapping[str, str]) -> Organization:
        """Returns an organisation's keys and certificates, made at its first start."""
        folder = self._organization_folder(name)
        try:
            return Organization.load(folder)
        except FileNotFoundError:
            organization = Organization.create(name, msp_id, node_role=role, client_attributes=client_attributes)
            organization.save(folder)
            return organization

    def tls_files(self, name: str) -> tuple[Path, Path]:
        """Returns the files of an organisation's server certificate and key."""
        folder = self._organization_folder(name) / "tls"
        return folder / "server.crt", folder / "server.key"

    def registry(self, name: str) -> Registry:
        """Opens what an organisation's CA remembers."""
        return Registry(self._organization_folder(name) / "registry.sqlite3" if self._persistent else ":memory:")

    def packages(self, name: str) -> Path | None:
        """Folder of an organisation's installed chaincodes; None for memory."""
        return self._organization_folder(name) / "chaincodes" if self._persistent else None

    def save_ports(self, ports: Mapping[str, int]) -> None:
        """Keeps the ports that were chosen, so that clients find the next start where they found this one."""
        self.ports = dict(ports)
        (self.folder / _PORTS).write_text(json.dumps(self.ports, indent=2) + "\n")

    def close(self) -> None:
        if self._temporary is not None:
            self._temporary.cleanup()

    def _organization_folder(self, name: str) -> Path:
        return self.folder / "organizations" / name
