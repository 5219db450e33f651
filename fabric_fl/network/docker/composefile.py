"""compose.yaml, rendered from the programs of a network.

The containers share the host's network and find the network's directory where it lies outside: an address of
consortium.yaml means the same to a peer in a container, to the channel's configuration and to a client, and Fabric's
programs read the very files that they would read natively.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

import yaml

from fabric_fl.network.docker.container import Container
from fabric_fl.network.home import Home
from fabric_fl.network.program import Program
from fabric_fl.network.supervisorconf import LOG_FILES, LOG_MEGABYTES, STOP_SECONDS

# The official images declare volumes there, which would pile up unnamed; nothing is kept in them.
_UNUSED = ("/etc/hyperledger/fabric", "/var/hyperledger")


def project(home: Home) -> str:
    """Returns the name by which Docker tells this network's containers from all others."""
    return f"fabric-fl-{hashlib.sha256(os.fsencode(home.root)).hexdigest()[:12]}"


def render(home: Home, programs: list[Program]) -> str:
    """Returns the text of compose.yaml; every program has a container."""
    services = {one.name: _service(home, one, one.container) for one in programs if one.container is not None}
    return yaml.safe_dump(_literal({"name": project(home), "services": services}), sort_keys=False)


def _service(home: Home, program: Program, container: Container) -> dict[str, Any]:
    return {
        "image": container.image,
        **({"build": {"context": str(container.build)}} if container.build else {}),
        **({"command": list(container.command)} if container.command else {}),
        # the operator's own: what only he may read, his containers can read, and what they write is his
        "user": f"{os.getuid()}:{os.getgid()}",
        "working_dir": str(home.root),
        "network_mode": "host",
        "environment": dict(program.environment),
        "volumes": [
            *(_bind(home, path, read_only=True) for path in container.reads),
            *(_bind(home, path, read_only=False) for path in container.writes),
        ],
        "read_only": True,
        "tmpfs": ["/tmp", *_UNUSED],  # noqa: S108 -- the container's own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        # Docker's own back-off: 0.1 s, doubled up to a minute
        "restart": "unless-stopped",
        "stop_signal": "SIGTERM",
        "stop_grace_period": f"{STOP_SECONDS}s",
        "healthcheck": {
            "test": ["CMD", *container.alive],
            "interval": "10s",
            "timeout": "5s",
            "retries": 3,
            "start_period": "30s",
        },
        "logging": {
            "driver": "json-file",
            "options": {"max-size": f"{LOG_MEGABYTES}m", "max-file": str(LOG_FILES)},
        },
    }


def _bind(home: Home, path: str, *, read_only: bool) -> dict[str, Any]:
    there = str(home.root / path)
    return {
        "type": "bind",
        "source": there,
        "target": there,
        **({"read_only": True} if read_only else {}),
        # what is missing is an error, not an empty directory of root's
        "bind": {"create_host_path": False},
    }


def _literal(value: Any) -> Any:
    """Doubles every dollar sign: a single one is a variable to Compose."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {name: _literal(one) for name, one in value.items()}
    return [_literal(one) for one in value] if isinstance(value, list) else value
