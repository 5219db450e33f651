import datetime

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from gateway_server import GatewayServer

from fabric_fl.fabric.identity import Identity, SigningIdentity
from fabric_fl.gateway.gateway import Gateway
from fabric_fl.gateway.timeouts import Timeouts


@pytest.fixture(scope="session")
def identity():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "user")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36500))
        .sign(key, hashes.SHA256())
    )
    return SigningIdentity(Identity("Org1MSP", certificate.public_bytes(serialization.Encoding.PEM)), key)


@pytest.fixture
def server():
    server = GatewayServer().start()
    yield server
    server.stop()


@pytest.fixture
def channel(server):
    options = [
        ("grpc.initial_reconnect_backoff_ms", 50),
        ("grpc.min_reconnect_backoff_ms", 50),
        ("grpc.max_reconnect_backoff_ms", 100),
    ]
    with grpc.insecure_channel(server.address, options=options) as channel:
        yield channel


@pytest.fixture
def gateway(channel, identity):
    timeouts = Timeouts(evaluate=2, endorse=2, submit=2, commit_status=2, resume=5)
    with Gateway(channel, identity, timeouts=timeouts) as gateway:
        yield gateway


@pytest.fixture
def network(gateway):
    return gateway.network("fl")


@pytest.fixture
def contract(network):
    return network.contract("kv")
