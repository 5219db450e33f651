"""Connections to an organisation's own peers, from a profile or from the variables that the `peer` CLI reads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc

from fabric_fl.fabric.identity import Identity, InvalidIdentity, SigningIdentity
from fabric_fl.fabric.profile import ConnectionProfile, Endpoint, ProfileError
from fabric_fl.gateway.failover import FailoverChannel
from fabric_fl.gateway.gateway import Gateway
from fabric_fl.gateway.signable import Sign
from fabric_fl.gateway.timeouts import Timeouts

MAX_MESSAGE_BYTES = 100 * 1024 * 1024  # what Fabric's own servers take
_OPTIONS = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Peers cut off clients that ping more often than once a minute.
    ("grpc.keepalive_time_ms", 65_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # gRPC's own back-off grows to minutes: a peer that restarts in 3 s would be missed for longer than it was away.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Channels with equal settings share connections otherwise, and with them the back-off of each other's failures.
    ("grpc.use_local_subchannel_pool", 1),
)


@contextmanager
def connect(
    profile: ConnectionProfile | str | Path,
    *,
    identity: SigningIdentity | Identity | None = None,
    sign: Sign | None = None,
    timeouts: Timeouts | None = None,
) -> Iterator[Gateway]:
    """Open a gateway for an organisation, and close its connections in the end.

    With several peers in the profile, calls go on to the next one when the present one is unavailable.

    Args:
        profile: An organisation's folder such as `.network/org1`, a profile's file, or a loaded profile.
        identity: In whose name; by default the client in the profile's folder.
        sign: Signs SHA-256 digests for an identity without its private key.
        timeouts: Seconds for each step.

    Raises:
        ProfileError: A file is missing or malformed.
    """
    if not isinstance(profile, ConnectionProfile):
        profile = ConnectionProfile.load(profile)
    if not profile.peers:
        raise ProfileError(f"{profile.file}: the organisation {profile.msp_id} has no peer")
    with _open(profile.peers, identity or profile.identity, sign, timeouts) as gateway:
        yield gateway


@contextmanager
def connect_from_environment(
    environ: Mapping[str, str] = os.environ, *, sign: Sign | None = None, timeouts: Timeouts | None = None
) -> Iterator[Gateway]:
    """Open a gateway as the `peer` CLI would connect: CORE_PEER_ADDRESS, _LOCALMSPID, _MSPCONFIGPATH and _TLS_*.

    Raises:
        ProfileError: A variable is missing, or names what is not there.
    """
    try:
        identity = SigningIdentity.from_msp_dir(
            _variable(environ, "CORE_PEER_MSPCONFIGPATH"), _variable(environ, "CORE_PEER_LOCALMSPID")
        )
        roots = None
        if environ.get("CORE_PEER_TLS_ENABLED", "").lower() == "true":
            roots = Path(_variable(environ, "CORE_PEER_TLS_ROOTCERT_FILE")).read_bytes()
    except (InvalidIdentity, OSError) as error:
        raise ProfileError(f"CORE_PEER_*: {error}") from error
    address = _variable(environ, "CORE_PEER_ADDRESS")
    endpoint = Endpoint(address, address, roots, environ.get("CORE_PEER_TLS_SERVERHOSTOVERRIDE") or None)
    with _open([endpoint], identity, sign, timeouts) as gateway:
        yield gateway


def open_channel(endpoint: Endpoint) -> grpc.Channel:
    """Return a connection to a peer or an orderer, for the caller to close."""
    options: list[tuple[str, int | str]] = list(_OPTIONS)
    if endpoint.tls_ca_certs is None:
        return grpc.insecure_channel(endpoint.address, options)
    if endpoint.server_name:
        options.append(("grpc.ssl_target_name_override", endpoint.server_name))
    credentials = grpc.ssl_channel_credentials(endpoint.tls_ca_certs)
    return grpc.secure_channel(endpoint.address, credentials, options)


@contextmanager
def _open(
    endpoints: Sequence[Endpoint],
    identity: SigningIdentity | Identity,
    sign: Sign | None,
    timeouts: Timeouts | None,
) -> Iterator[Gateway]:
    with ExitStack() as stack:
        channels = [stack.enter_context(open_channel(endpoint)) for endpoint in endpoints]
        channel = channels[0] if len(channels) == 1 else FailoverChannel(channels)
        yield stack.enter_context(Gateway(channel, identity, sign=sign, timeouts=timeouts))


def _variable(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise ProfileError(f"the environment variable {name} is not set", remedy="Source the organisation's env file.")
    return value
