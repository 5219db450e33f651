"""The network under test: one that lives as long as the session, or the one that CONFORMANCE_NETWORK names.

    pytest tests/conformance                                          a devnet
    CONFORMANCE_ENGINE=fabric pytest tests/conformance                Fabric's own programs
    CONFORMANCE_NETWORK=/path/to/.network pytest tests/conformance    a network that runs already

That directory holds one folder for each of at least three organisations, as `fabric-fl network up` writes them. On its
channel `fl` run the contract in kv_contract.py under the names `kv` (the channel's default endorsement policy),
`kv-any` (endorsed by any one peer of the organisations) and `kv-two` (which only the first two organisations run).
"""

import datetime
import os
import re
import secrets
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from devnet_session import devnet
from fabric_network import Network
from fabric_session import fabric

from fabric_fl.fabric.identity import Identity, SigningIdentity

ENGINES = {"devnet": devnet, "fabric": fabric}


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    with ExitStack() as stack:
        given = os.environ.get("CONFORMANCE_NETWORK")
        start = ENGINES[os.environ.get("CONFORMANCE_ENGINE", "devnet")]
        root = Path(given) if given else stack.enter_context(start(tmp_path_factory.mktemp("conformance")))
        yield Network(root, stack)


@pytest.fixture
def contract(network):
    """The contract with the channel's default policy, through the first organisation's gateway."""
    return network.contract()


@pytest.fixture
def key(request):
    """A key that no other test uses, in this run or another."""
    return f"{re.sub(r'[^a-z0-9]+', '-', request.node.name.lower())[:40]}-{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def stranger():
    """Makes a client of an authority that no channel knows, under any organisation's name."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "stranger"),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "client"),
        ]
    )
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    return lambda msp_id: SigningIdentity(Identity(msp_id, certificate), key)
