"""The devnet: N organisations' peers and CAs and one orderer, in one process, behind Fabric's own protocols.

It has no fault tolerance and no decentralisation: whoever runs the process holds every key.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import grpc
import grpc.aio
from fabric_protos.orderer import ab_pb2_grpc
from fabric_protos.peer import transaction_pb2

from fabric_ccaas.grpcserver import new_server
from fabric_fl.devnet.acl import ACL
from fabric_fl.devnet.ca.fabricca import FabricCA
from fabric_fl.devnet.ca.server import CAServer
from fabric_fl.devnet.channel import Channel
from fabric_fl.devnet.clientfiles import REGISTRAR, Addresses, write_client_files
from fabric_fl.devnet.committer import Committer
from fabric_fl.devnet.config import DevnetConfig, InvalidConfig, OrganizationConfig
from fabric_fl.devnet.control import ControlServer
from fabric_fl.devnet.definitions import configured_chaincodes, define
from fabric_fl.devnet.deliver import orderer_deliver
from fabric_fl.devnet.deployment import Definitions
from fabric_fl.devnet.faults import Faults
from fabric_fl.devnet.genesis import genesis_block
from fabric_fl.devnet.identity import Organization
from fabric_fl.devnet.orderer import AtomicBroadcastService, Orderer
from fabric_fl.devnet.peer import Peer
from fabric_fl.devnet.storage import Storage
from fabric_fl.devnet.transport import SERVER_OPTIONS
from fabric_fl.devnet.unmarshalling import UnmarshallingInterceptor
from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.channel.txvalidator import TxValidator
from fabric_fl.fabric.ledger.kvledger import KVLedger

_log = logging.getLogger(__name__)

WHAT_IT_IS_NOT = (
    "devnet is a ledger for development: one process that holds every key, "
    "with no fault tolerance and no decentralisation."
)

_LEFT_OUT = (
    "devnet does not offer this service: for gossip, discovery, snapshots, operations and the like, "
    "run Hyperledger Fabric"
)
_ORDERER = "orderer"
_CHANNEL_READERS = "/Channel/Readers"
_GRACE = 0.5
"""Seconds that running calls get when the devnet stops; streams of events have no end of their own."""


class PortTaken(OSError):  # noqa: N818 -- says what is the matter
    """Somebody else listens where the devnet should."""


@dataclass(frozen=True)
class Endpoint:
    """Where an organisation can be reached (``host:port``), and the folder of its client files."""

    name: str
    msp_id: str
    peer: str
    ca: str
    directory: Path


@dataclass(frozen=True)
class _Node:
    """An organisation while the devnet is put together."""

    config: OrganizationConfig
    organization: Organization
    server: grpc.aio.Server
    address: str


class Devnet:
    """A devnet; started and stopped once, in one event loop.

    Args:
        config: What it is made of.

    Attributes:
        faults: Faults on request.
        orderer_address: ``host:port`` of the orderer, once started.
        control_port: Where faults can be asked for, once started; 0 for nowhere.
        endpoints: Each organisation's, once started.
    """

    def __init__(self, config: DevnetConfig) -> None:
        self.config = config
        self.faults = Faults()
        self.orderer_address = ""
        self.control_port = 0
        self.endpoints: tuple[Endpoint, ...] = ()
        self._stack = contextlib.AsyncExitStack()
        self._ports: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Starts everything; when it returns, clients are served.

        Raises:
            PortTaken: A port is in use.
            InvalidConfig: The configuration does not fit what is stored.
            LedgerInUse: Another devnet runs on the same files.
        """
        _log.warning(WHAT_IT_IS_NOT)
        try:
            await self._start()
        except BaseException:
            await self.stop()  # nothing may run on that nobody will stop
            raise

    async def stop(self) -> None:
        """Stops everything, in the reverse order; what was committed stays."""
        await self._stack.aclose()

    async def _start(self) -> None:
        config = self.config
        storage = Storage(config.state)
        self._stack.callback(storage.close)
        orderer = storage.organization(_ORDERER, config.orderer.msp_id, _ORDERER, {})
        orderer_server, self.orderer_address = await self._bind(
            storage, _ORDERER, config.orderer.host, config.orderer.port, orderer
        )
        nodes = [await self._bind_peer(storage, each) for each in config.organizations]
        ledger = self._open_ledger(storage, nodes, orderer)
        signatures, channel = await self._open_channel(ledger, orderer)
        await self._start_peers(storage, channel, nodes, orderer, signatures)
        self._serve_orderer(orderer_server, channel, orderer, signatures)
        authorities = await self._start_authorities(storage, channel.config, nodes)
        storage.save_ports(self._ports)
        addresses = [
            Addresses(each.organization, each.address, authority)
            for each, authority in zip(nodes, authorities, strict=True)
        ]
        write_client_files(config.output, config.channel, addresses, orderer, self.orderer_address)
        if config.control_port is not None:
            await self._start_control(config.control_port)
        for server in (orderer_server, *(each.server for each in nodes)):
            await server.start()
            # Pushed last, so that no call arrives at what is being closed.
            self._stack.push_async_callback(server.stop, _GRACE)
        self.endpoints = tuple(
            Endpoint(
                each.config.name,
                each.config.msp_id,
                each.address,
                authority,
                (config.output / each.config.name).resolve(),
            )
            for each, authority in zip(nodes, authorities, strict=True)
        )

    async def _bind_peer(self, storage: Storage, config: OrganizationConfig) -> _Node:
        organization = storage.organization(config.name, config.msp_id, "peer", self.config.client_attributes)
        server, address = await self._bind(storage, config.name, config.host, config.peer_port, organization)
        return _Node(config, organization, server, address)

    async def _bind(
        self, storage: Storage, name: str, host: str, port: int, organization: Organization
    ) -> tuple[grpc.aio.Server, str]:
        """Takes a port; nothing is served yet, because the genesis block must know all ports before."""
        wanted = port or storage.ports.get(name, 0)
        server = new_server([UnmarshallingInterceptor()], SERVER_OPTIONS, unknown=_LEFT_OUT)
        self._stack.push_async_callback(server.stop, None)
        if wanted:
            _check_free(_interface(host), wanted, host, name)
        tls = organization.tls
        credentials = grpc.ssl_server_credentials([(tls.private_key_pem, tls.certificate_pem)])
        try:
            bound = server.add_secure_port(f"{_interface(host)}:{wanted}", credentials)
        except RuntimeError as error:
            raise _port_taken(wanted, host, name) from error
        self._ports[name] = bound
        return server, f"{host}:{bound}"

    def _open_ledger(self, storage: Storage, nodes: list[_Node], orderer: Organization) -> KVLedger:
        ledger = KVLedger.open(storage.ledger, self.config.channel)
        self._stack.callback(ledger.close)
        if ledger.height == 0:
            host = self.config.orderer.host
            genesis = genesis_block(
                self.config.channel,
                [each.organization for each in nodes],
                orderer,
                orderer_address=(host, self._ports[_ORDERER]),
                anchor_peers={each.config.msp_id: (each.config.host, self._ports[each.config.name]) for each in nodes},
                # Fabric's peers read this too, and refuse a timeout of nothing.
                batch=replace(self.config.batch, timeout=max(self.config.batch.timeout, 0.001)),
            )
            ledger.commit(genesis, [transaction_pb2.VALID])
        return ledger

    async def _open_channel(self, ledger: KVLedger, orderer: Organization) -> tuple[SignatureCache, Channel]:
        block = ledger.last_config_block()
        assert block is not None  # the genesis block at least
        config = ChannelConfig.from_block(block)
        if set(config.organizations) != {each.msp_id for each in self.config.organizations}:
            raise InvalidConfig(
                f"organisations: the channel that is stored has {', '.join(config.organizations)}: "
                "configure these, or another state folder"
            )
        signatures = SignatureCache(config.msps)
        committer = Committer(ledger, TxValidator(config, ledger, signatures))
        self._stack.push_async_callback(committer.close)
        ordering = Orderer(config, ledger, committer, orderer.node, batch=self.config.batch, signatures=signatures)
        await ordering.start()
        self._stack.push_async_callback(ordering.stop)
        self.faults.attach(ledger, committer, ordering)
        self._stack.callback(self.faults.clear)
        return signatures, Channel(
            config=config,
            ledger=ledger,
            definitions=Definitions(ledger),
            committer=committer,
            orderer=ordering,
            orderer_address=self.orderer_address,
            orderer_msp_id=orderer.msp_id,
            faults=self.faults,
        )

    async def _start_peers(
        self,
        storage: Storage,
        channel: Channel,
        nodes: list[_Node],
        orderer: Organization,
        signatures: SignatureCache,
    ) -> None:
        configured = configured_chaincodes(self.config)
        await define(channel, configured, orderer.node, [each.organization for each in nodes])
        peers = {}
        for node in nodes:
            peer = Peer(
                node.organization,
                node.address,
                channel,
                configured,
                storage.packages(node.config.name),
                signatures,
                self.config.execute_timeout,
            )
            peers[peer.msp_id] = peer
            self._stack.push_async_callback(peer.support.close)
        for node in nodes:
            peers[node.config.msp_id].add_services(node.server, peers, once=self.config.execution == "once")

    def _serve_orderer(
        self, server: grpc.aio.Server, channel: Channel, orderer: Organization, signatures: SignatureCache
    ) -> None:
        acl = ACL(channel.config, orderer.msp_id, signatures)
        deliver = orderer_deliver(channel, orderer.msp_id, lambda signed: acl.check_policy(_CHANNEL_READERS, signed))
        service = AtomicBroadcastService(channel.orderer, deliver)
        ab_pb2_grpc.add_AtomicBroadcastServicer_to_server(service, server)

    async def _start_control(self, port: int) -> None:
        control = ControlServer(self.faults, tuple(each.msp_id for each in self.config.organizations))
        try:
            await control.start(port)
        except OSError as error:
            raise _port_taken(port, "localhost", "the control interface") from error
        self._stack.push_async_callback(control.stop)
        self.control_port = control.port

    async def _start_authorities(self, storage: Storage, config: ChannelConfig, nodes: list[_Node]) -> list[str]:
        """Starts every organisation's CA; returns their addresses."""
        authorities = [self._authority(storage, config, each) for each in nodes]
        servers: list[CAServer] = []

        async def stop() -> None:  # all at once, because each takes its time over it
            await asyncio.gather(*(each.stop() for each in servers))

        self._stack.push_async_callback(stop)
        addresses = []
        for node, authority in zip(nodes, authorities, strict=True):
            name = node.config.name
            wanted = node.config.ca_port or storage.ports.get(f"ca.{name}", 0)
            server = CAServer(authority, _interface(node.config.host), wanted, *storage.tls_files(name))
            try:
                await server.start()
            except OSError as error:
                raise _port_taken(wanted, node.config.host, f"ca.{name}") from error
            servers.append(server)
            self._ports[f"ca.{name}"] = server.port
            addresses.append(f"{node.config.host}:{server.port}")
        return addresses

    def _authority(self, storage: Storage, config: ChannelConfig, node: _Node) -> FabricCA:
        """Opens an organisation's CA; what it revokes, the channel's MSP refuses from then on."""
        name, organization = node.config.name, node.organization
        registry = storage.registry(name)
        self._stack.callback(registry.close)
        authority = FabricCA(f"ca.{name}", organization.ca, organization.tls_ca, registry)
        authority.add_registrar(*REGISTRAR)
        for identity in (organization.client, organization.admin, organization.node):
            authority.adopt(identity.identity)
        msp = config.msps[organization.msp_id]
        msp.update_crls([authority.crl()])
        authority.on_revocation(lambda crl: msp.update_crls([crl]))
        return authority


def _check_free(interface: str, port: int, host: str, name: str) -> None:
    """Tries the port before gRPC does, which would fill the log with its own view of the matter."""
    with socket.socket(socket.AF_INET6 if ":" in interface else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((interface, port))
            probe.listen(1)
        except OSError as error:
            raise _port_taken(port, host, name) from error


def _port_taken(port: int, host: str, name: str) -> PortTaken:
    return PortTaken(f"port {port} on {host}, which {name} should listen on, is taken")


def _interface(host: str) -> str:
    return "127.0.0.1" if host == "localhost" else host
