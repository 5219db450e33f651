"""A program that a network consists of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fabric_fl.network.consortium import Address
from fabric_fl.network.docker.container import Container

_OVERRULING = re.compile(r"(CORE|ORDERER|FABRIC|CHAINCODE)_")


@dataclass(frozen=True)
class Program:
    """What supervisord runs.

    Attributes:
        name: The word for it in `status`, `logs` and `restart`.
        command: Runs in the network's directory.
        listens: Where it will listen, by the field of consortium.yaml that says so.
        container: How it runs in Docker, where the network does.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    listens: Mapping[str, Address] = field(default_factory=dict)
    container: Container | None = None


def program_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment without the variables by which Fabric's programs and chaincodes are configured.

    Somebody who has read `.network/org1/env` into a shell and then starts a network must not configure all its nodes.
    """
    return {name: value for name, value in environ.items() if not _OVERRULING.match(name)}
