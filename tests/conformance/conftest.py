"""The network under test: the one that CONFORMANCE_NETWORK names, or a devnet that lives as long as the session.

    CONFORMANCE_NETWORK=/path/to/.network pytest tests/conformance

The directory holds one folder for each of at least three organisations, as `fabric-fl network up` writes them. On its
channel `fl` run the contract in kv_contract.py under the names `kv` (the channel's default endorsement policy) and
`kv-any` (endorsed by any one peer of the organisations).
"""

import os
import re
import secrets
from contextlib import ExitStack
from pathlib import Path

import pytest
from devnet_session import devnet
from fabric_network import Network


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    with ExitStack() as stack:
        given = os.environ.get("CONFORMANCE_NETWORK")
        root = Path(given) if given else stack.enter_context(devnet(tmp_path_factory.mktemp("conformance")))
        yield Network(root, stack)


@pytest.fixture
def contract(network):
    """The contract with the channel's default policy, through the first organisation's gateway."""
    return network.contract()


@pytest.fixture
def key(request):
    """A key that no other test uses, in this run or another."""
    return f"{re.sub(r'[^a-z0-9]+', '-', request.node.name.lower())[:40]}-{secrets.token_hex(4)}"
