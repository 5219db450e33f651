"""Reading consortium.yaml, the only file that an operator edits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fabric_fl.network.consortium import (
    CHAINCODE_NAME,
    HOST_AND_PORT,
    ORDERER_MSP_ID,
    Address,
    Batch,
    Consortium,
    Organisation,
)
from fabric_fl.network.errors import ConsortiumError
from fabric_fl.strictyaml import Field, load

SCHEMA = 1
_MAX_BYTES = 99 * 1024 * 1024  # Fabric's own ceiling: what fits into one gRPC message
_NAME = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # also a host name
_URL = r"[a-z][a-z0-9+.-]*://[^\s@]+"  # no password: everybody has this file
_RESERVED_NAMES = {"devnet", "fabric", "logs", "orderer"}  # directories of .network, and the orderers' own


def load_consortium(path: Path) -> Consortium:
    """Reads and checks the file at `path`.

    Raises:
        ConsortiumError: It names file, line and field.
    """
    document = load(path, ConsortiumError)
    fields = document.mapping(("schema", "channel", "organisations"), ("orderers", "chaincode", "endorsement", "batch"))
    if fields["schema"].integer(0, 2**31) != SCHEMA:
        raise fields["schema"].error(f"this version of fabric-fl reads schema {SCHEMA}")
    optional: dict[str, Any] = {}
    if "chaincode" in fields:
        optional["chaincode"] = fields["chaincode"].string(CHAINCODE_NAME, "a chaincode name")
    if "endorsement" in fields:
        optional["endorsement"] = _endorsement(fields["endorsement"])
    if "batch" in fields:
        optional["batch"] = _batch(fields["batch"])
    addresses = _Addresses()
    if "orderers" in fields:
        optional["orderers"] = tuple(map(addresses.read, fields["orderers"].sequence(1, 5)))
    consortium = Consortium(
        organisations=_organisations(fields["organisations"], addresses),
        channel=fields["channel"].string(r"[a-z][a-z0-9.-]{0,248}", "a channel name in lower case"),
        **{"orderers": (), **optional},
    )
    if consortium.orderers and len(consortium.ordering) > len(consortium.orderers):
        raise fields["orderers"].error("orderers are listed here or by the organisations that run them, not both")
    if len(consortium.ordering) not in (1, 3, 5):
        where = fields.get("orderers", document)
        raise where.error(f"Raft needs 1, 3 or 5 orderers, found {len(consortium.ordering)}")
    return consortium


class _Addresses:
    """Reads addresses and refuses one that another field has."""

    def __init__(self) -> None:
        self._seen: dict[Address, str] = {}

    def read(self, entry: Field) -> Address:
        meaning = "host:port (port 0 for any free one)"
        text = entry.string(HOST_AND_PORT, meaning)
        host, _, port = text.rpartition(":")
        address = Address(host, int(port))
        if address.port > 65535:
            raise entry.error(f"expected {meaning}, found {text!r}")
        if address.port and address in self._seen:
            raise entry.error(f"{address} is also that of {self._seen[address]}")
        self._seen[address] = entry.path
        return address


def _organisations(entries: Field, addresses: _Addresses) -> tuple[Organisation, ...]:
    organisations: list[Organisation] = []
    for entry in entries.sequence():
        fields = entry.mapping(("name", "msp_id", "peers", "ca", "chaincode"), ("orderers", "blobs"))
        organisation = Organisation(
            name=fields["name"].string(_NAME, "a name of lower-case letters, digits and hyphens"),
            msp_id=fields["msp_id"].string(
                r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}", "an MSP id of letters, digits, dots and hyphens"
            ),
            peers=tuple(map(addresses.read, fields["peers"].sequence(1, 9))),
            ca=addresses.read(fields["ca"]),
            chaincode=addresses.read(fields["chaincode"]),
            orderers=tuple(map(addresses.read, fields["orderers"].sequence(1, 5))) if "orderers" in fields else (),
            blobs=fields["blobs"].string(_URL, "a URL such as https://blobs.org1.example")
            if "blobs" in fields
            else None,
        )
        if organisation.name in _RESERVED_NAMES:
            raise fields["name"].error(f"{organisation.name} is the name of a directory of the network itself")
        if organisation.msp_id == ORDERER_MSP_ID:
            raise fields["msp_id"].error(f"{ORDERER_MSP_ID} is the orderers' own")
        for attribute in ("name", "msp_id"):
            if getattr(organisation, attribute) in [getattr(other, attribute) for other in organisations]:
                raise fields[attribute].error("another organisation has it already")
        organisations.append(organisation)
    return tuple(organisations)


def _endorsement(entry: Field) -> str:
    meaning = "majority, all, any or a signature policy such as AND('Org1MSP.peer', 'Org2MSP.peer')"
    return entry.string(r"majority|all|any|(AND|OR|OutOf)\(.{1,4096}\)", meaning)


def _batch(entry: Field) -> Batch:
    limits = {
        "max_messages": (1, 100_000),
        "max_bytes": (1024, _MAX_BYTES),
        "preferred_bytes": (1024, _MAX_BYTES),
        "timeout_ms": (0, 60_000),
    }
    fields = entry.mapping((), tuple(limits))
    return Batch(**{name: value.integer(*limits[name]) for name, value in fields.items()})
