"""A devnet for anybody's tests, in one line of a ``conftest.py`` or test module.

::

    pytest_plugins = ["fabric_fl.pytest_plugin"]

    def test_my_chaincode(fabric_devnet):
        network = fabric_devnet(chaincode="assets", command=["python", "assets.py"])
        with network.gateway("org1") as gateway:
            gateway.network("fl").contract("assets").submit("Create", "a1")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from fabric_fl.testing import Network


@pytest.fixture(scope="session")
def fabric_devnet() -> Iterator[Callable[..., Network]]:
    """Returns what starts a `Network`, the same one for equal arguments; they all end with the session."""
    networks: dict[str, Network] = {}
    with ExitStack() as stack:

        def start(**arguments: Any) -> Network:
            key = repr(sorted(arguments.items()))
            if key not in networks:
                networks[key] = stack.enter_context(Network(**arguments))
            return networks[key]

        yield start
