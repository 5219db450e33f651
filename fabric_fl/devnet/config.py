"""What a devnet is made of: organisations, addresses, chaincodes, how blocks are cut, where it is stored.

The file is strict JSON: an unknown field or version is refused, because a typing error would otherwise be a default.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fabric_fl.devnet.chaincode import ChaincodeServer
from fabric_fl.devnet.orderer import WHEN_IDLE
from fabric_fl.devnet.packages import InvalidPackage, server_of
from fabric_fl.fabric.channel.channelconfig import BatchSettings

SCHEMA = 1
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_MSP_ID = re.compile(r"[A-Za-z0-9.-]+")
_CHANNEL = re.compile(r"[a-z][a-z0-9.-]{0,248}")


class InvalidConfig(ValueError):  # noqa: N818 -- what it is
    """A configuration that makes no devnet; the text says which field."""


@dataclass(frozen=True)
class OrganizationConfig:
    """One organisation: ports of 0 are free ones, chosen at the first start."""

    name: str
    msp_id: str
    host: str = "localhost"
    peer_port: int = 0
    ca_port: int = 0


@dataclass(frozen=True)
class OrdererConfig:
    """The ordering organisation."""

    msp_id: str = "OrdererMSP"
    host: str = "localhost"
    port: int = 0


@dataclass(frozen=True)
class ChaincodeConfig:
    """A chaincode that is defined when the channel starts.

    Attributes:
        name: As clients call it.
        servers: Its process for each organisation that runs one, by MSP id.
        version: Carried by every transaction.
        sequence: Raised by one with every change of version or policy.
        endorsement: A policy instead of the configuration's own.
        init_required: Whether it must be called as init first.
    """

    name: str
    servers: Mapping[str, ChaincodeServer]
    version: str = "1.0"
    sequence: int = 1
    endorsement: str | None = None
    init_required: bool = False


@dataclass(frozen=True)
class DevnetConfig:
    """A devnet.

    Attributes:
        organizations: Those that run peers.
        chaincodes: What is defined when the channel starts.
        channel: The one channel's name.
        orderer: The ordering organisation.
        output: Folder to which each organisation's client files are written, ``<output>/<name>/``.
        state: Folder of keys, certificates and ledger; None keeps all in memory.
        client_attributes: Fabric CA attributes of each organisation's client certificate.
        endorsement: ``majority``, ``all``, ``any`` or a signature policy in Fabric's language.
        batch: When blocks are cut; a timeout of 0 means whenever the committer is idle.
        execution: ``organisation`` (each endorser runs the chaincode) or ``once``.
        execute_timeout: Seconds that a chaincode may take.
        control_port: Port of the loopback control interface for faults; None for none, 0 for a free one.
    """

    organizations: tuple[OrganizationConfig, ...]
    output: Path
    chaincodes: tuple[ChaincodeConfig, ...] = ()
    channel: str = "fl"
    orderer: OrdererConfig = OrdererConfig()
    state: Path | None = None
    client_attributes: Mapping[str, str] = field(default_factory=dict)
    endorsement: str = "majority"
    batch: BatchSettings = WHEN_IDLE
    execution: str = "organisation"
    execute_timeout: float = 30.0
    control_port: int | None = None

    def __post_init__(self) -> None:
        _require(bool(self.organizations), "organisations: at least one is needed")
        _require(_CHANNEL.fullmatch(self.channel) is not None, f"channel: {self.channel!r} is no channel's name")
        _require(self.execution in ("organisation", "once"), "execution: either 'organisation' or 'once'")
        names = [each.name for each in self.organizations]
        msp_ids = [*(each.msp_id for each in self.organizations), self.orderer.msp_id]
        _require(len(set(names)) == len(names), "organisations: two have the same name")
        _require(len(set(msp_ids)) == len(msp_ids), "organisations: two have the same MSP id")
        for name in names:
            _require(_NAME.fullmatch(name) is not None, f"organisations: {name!r} is no host name")
        for msp_id in msp_ids:
            _require(_MSP_ID.fullmatch(msp_id) is not None, f"organisations: {msp_id!r} is no MSP id")
        ports = [port for each in self.organizations for port in (each.peer_port, each.ca_port)]
        taken = [port for port in (*ports, self.orderer.port) if port]
        _require(len(set(taken)) == len(taken), "ports: one is given twice")
        for chaincode in self.chaincodes:
            for msp_id in chaincode.servers:
                _require(
                    msp_id in msp_ids[:-1], f"chaincodes: {chaincode.name} names {msp_id}, which is no organisation"
                )

    @classmethod
    def default(cls, home: Path, organizations: int = 2, *, memory: bool = False, **changes: Any) -> DevnetConfig:
        """Returns a devnet of org1, org2, … on free ports, its files below ``home``."""
        return cls(
            organizations=tuple(
                OrganizationConfig(f"org{number}", f"Org{number}MSP") for number in range(1, organizations + 1)
            ),
            output=home,
            state=None if memory else home / "devnet",
            **changes,
        )

    @classmethod
    def from_json(cls, text: str) -> DevnetConfig:
        """Reads a configuration file.

        Raises:
            InvalidConfig: It is none.
        """
        try:
            data = json.loads(text)
        except ValueError as error:
            raise InvalidConfig(f"the configuration is no JSON: {error}") from error
        fields = _Fields("", data)
        schema = fields.take("schema", int)
        _require(schema == SCHEMA, f"schema: this devnet reads version {SCHEMA}, not {schema}")
        organizations = tuple(
            OrganizationConfig(
                each.take("name", str), each.take("msp_id", str), **each.all(host=str, peer_port=int, ca_port=int)
            )
            for each in fields.objects("organisations")
        )
        state = fields.take("state", (str, type(None)), None)
        config = cls(
            organizations=organizations,
            output=Path(fields.take("output", str)),
            chaincodes=tuple(_chaincode(each) for each in fields.objects("chaincodes", [])),
            channel=fields.take("channel", str, "fl"),
            orderer=OrdererConfig(**fields.object("orderer").all(msp_id=str, host=str, port=int)),
            state=Path(state) if state is not None else None,
            client_attributes=fields.object("client_attributes").texts(),
            endorsement=fields.take("endorsement", str, "majority"),
            batch=_batch(fields.object("batch")),
            execution=fields.take("execution", str, "organisation"),
            execute_timeout=float(fields.take("execute_timeout", (int, float), 30.0)),
            control_port=fields.take("control_port", (int, type(None)), None),
        )
        fields.end()
        return config

    def to_json(self) -> str:
        """Returns the configuration file."""
        return json.dumps(
            {
                "schema": SCHEMA,
                "channel": self.channel,
                "output": str(self.output),
                "state": str(self.state) if self.state is not None else None,
                "orderer": dataclasses.asdict(self.orderer),
                "organisations": [dataclasses.asdict(each) for each in self.organizations],
                "client_attributes": dict(self.client_attributes),
                "endorsement": self.endorsement,
                "batch": {
                    "max_messages": self.batch.max_message_count,
                    "max_bytes": self.batch.absolute_max_bytes,
                    "preferred_bytes": self.batch.preferred_max_bytes,
                    "timeout_ms": round(self.batch.timeout * 1000),
                },
                "execution": self.execution,
                "execute_timeout": self.execute_timeout,
                "control_port": self.control_port,
                "chaincodes": [_chaincode_json(each) for each in self.chaincodes],
            },
            indent=2,
        )


class _Fields:
    """An object of the file, whose fields are taken one by one so that none is left over unnoticed."""

    def __init__(self, path: str, data: object) -> None:
        if not isinstance(data, dict):
            raise InvalidConfig(f"{path or 'the configuration'}: an object is needed")
        self._path = path
        self._left: dict[str, Any] = dict(data)

    def take(self, key: str, kind: type | tuple[type, ...], *default: Any) -> Any:
        if key not in self._left:
            if default:
                return default[0]
            raise InvalidConfig(f"{self._path}{key}: missing")
        value = self._left.pop(key)
        if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
            raise InvalidConfig(f"{self._path}{key}: {value!r} has the wrong type")
        return value

    def object(self, key: str) -> _Fields:
        return _Fields(f"{self._path}{key}.", self._left.pop(key, {}))

    def objects(self, key: str, *default: Any) -> list[_Fields]:
        values = self.take(key, list, *default)
        return [_Fields(f"{self._path}{key}[{index}].", each) for index, each in enumerate(values)]

    def all(self, **kinds: type) -> dict[str, Any]:
        """Takes the fields that are there, and refuses others."""
        values = {key: self.take(key, kind) for key, kind in kinds.items() if key in self._left}
        self.end()
        return values

    def texts(self) -> dict[str, str]:
        return {key: self.take(key, str) for key in list(self._left)}

    def items(self) -> list[tuple[str, Any]]:
        items, self._left = list(self._left.items()), {}
        return items

    def end(self) -> None:
        if self._left:
            raise InvalidConfig(f"{self._path}{next(iter(self._left))}: unknown field")


def _chaincode(fields: _Fields) -> ChaincodeConfig:
    package_id = fields.take("id", (str, type(None)), None)
    config = ChaincodeConfig(
        name=fields.take("name", str),
        servers={
            msp_id: _server(msp_id, address, package_id) for msp_id, address in fields.object("addresses").items()
        },
        version=fields.take("version", str, "1.0"),
        sequence=fields.take("sequence", int, 1),
        endorsement=fields.take("endorsement", (str, type(None)), None),
        init_required=fields.take("init_required", bool, False),
    )
    fields.end()
    return config


def _server(msp_id: str, address: Any, package_id: str | None) -> ChaincodeServer:
    if isinstance(address, str):
        return ChaincodeServer(address, package_id)
    if not isinstance(address, dict):
        raise InvalidConfig(f"chaincodes: the address of {msp_id} must be 'host:port' or an object")
    try:
        return server_of(address, package_id)
    except InvalidPackage as error:
        raise InvalidConfig(f"chaincodes: {msp_id}: {error}") from error


def _chaincode_json(config: ChaincodeConfig) -> dict[str, Any]:
    ids = {server.package_id for server in config.servers.values()}
    addresses = {}
    for msp_id, server in config.servers.items():
        parts = {key: value for key, value in dataclasses.asdict(server).items() if value and key != "package_id"}
        addresses[msp_id] = parts if server.root_cert else server.address
    return {
        "name": config.name,
        "version": config.version,
        "sequence": config.sequence,
        "id": ids.pop() if len(ids) == 1 else None,
        "endorsement": config.endorsement,
        "init_required": config.init_required,
        "addresses": addresses,
    }


def _batch(fields: _Fields) -> BatchSettings:
    settings = BatchSettings(
        max_message_count=fields.take("max_messages", int, WHEN_IDLE.max_message_count),
        absolute_max_bytes=fields.take("max_bytes", int, WHEN_IDLE.absolute_max_bytes),
        preferred_max_bytes=fields.take("preferred_bytes", int, WHEN_IDLE.preferred_max_bytes),
        timeout=fields.take("timeout_ms", int, 0) / 1000,
    )
    fields.end()
    return settings


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise InvalidConfig(reason)
