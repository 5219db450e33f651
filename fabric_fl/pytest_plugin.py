"""A devnet for anybody's tests: pytest finds this plugin by itself, and a test starts a network in one line.

::

    def test_my_chaincode(fabric_devnet):
        network = fabric_devnet(chaincode="assets", command=["python", "assets.py"])
        with network.gateway("org1") as gateway:
            gateway.network("fl").contract("assets").submit("Create", "a1")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from fabric_fl.testing import Network


@pytest.fixture(scope="session")
def fabric_devnet() -> Iterator[Callable[..., Network]]:
    """Returns what starts a `fabric_fl.testing.Network`, the same for equal arguments; all end with the session."""
    from fabric_fl.testing import Network  # not before somebody wants one: every pytest run here loads this module

    networks: dict[str, Network] = {}
    with ExitStack() as stack:

        def start(**arguments: Any) -> Network:
            key = repr(sorted(arguments.items()))
            if key not in networks:
                networks[key] = stack.enter_context(Network(**arguments))
            return networks[key]

        yield start
