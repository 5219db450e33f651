"""Reading consortium.yaml, the only file that an operator edits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fabric_protos.msp.msp_principal_pb2 import MSPRole

from fabric_fl.fabric import policydsl
from fabric_fl.network.consortium import (
    CHAINCODE_NAME,
    HOST_AND_PORT,
    ORDERER_MSP_ID,
    Address,
    Batch,
    Consortium,
    Organisation,
    Versions,
)
from fabric_fl.network.doctor.policy import unmeetable
from fabric_fl.network.errors import ConsortiumError
from fabric_fl.strictyaml import Field, load

SCHEMA = 1
_IMPLICIT = ("majority", "all", "any")
_OLDEST = (2, 5)
_VERSION = r"(0|[1-9][0-9]{0,3})(\.(0|[1-9][0-9]{0,3})){2}"
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
    fields = document.mapping(
        ("schema", "channel", "organisations"), ("orderers", "chaincode", "endorsement", "batch", "fabric")
    )
    if fields["schema"].integer(0, 2**31) != SCHEMA:
        raise fields["schema"].error(f"this version of fabric-fl reads schema {SCHEMA}")
    optional: dict[str, Any] = {}
    if "chaincode" in fields:
        optional["chaincode"] = fields["chaincode"].string(CHAINCODE_NAME, "a chaincode name")
    if "endorsement" in fields:
        optional["endorsement"] = _endorsement(fields["endorsement"])
    if "batch" in fields:
        optional["batch"] = _batch(fields["batch"])
    if "fabric" in fields:
        optional["fabric"] = _versions(fields["fabric"])
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
    _check_endorsement(consortium, fields)
    _check_names(consortium, fields)
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
        there = Address("localhost" if host == "127.0.0.1" else host.lower(), address.port)
        if address.port and there in self._seen:
            raise entry.error(f"{address} is also that of {self._seen[there]}")
        self._seen[there] = entry.path
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
    return entry.string(rf"{'|'.join(_IMPLICIT)}|(AND|OR|OutOf)\(.{{1,4096}}\)", meaning)


def _batch(entry: Field) -> Batch:
    limits = {
        "max_messages": (1, 100_000),
        "max_bytes": (1024, _MAX_BYTES),
        "preferred_bytes": (1024, _MAX_BYTES),
        "timeout_ms": (0, 60_000),
    }
    fields = entry.mapping((), tuple(limits))
    batch = Batch(**{name: value.integer(*limits[name]) for name, value in fields.items()})
    if batch.preferred_bytes > batch.max_bytes:
        where = fields.get("preferred_bytes", entry)
        raise where.error(f"{batch.preferred_bytes} is more than max_bytes, which is {batch.max_bytes}")
    return batch


def _versions(entry: Field) -> Versions:
    fields = entry.mapping(("version", "ca"))
    versions = Versions(
        version=fields["version"].string(_VERSION, "a release of Fabric such as 3.1.5"),
        ca=fields["ca"].string(_VERSION, "a release of Fabric CA such as 1.5.21"),
    )
    if versions.minor < _OLDEST:
        raise fields["version"].error("Fabric 2.5 and newer are supported")
    return versions


def _check_endorsement(consortium: Consortium, fields: Mapping[str, Field]) -> None:
    """Refuses a signature policy that is none, names somebody who takes no part, or cannot be met by all together."""
    if consortium.endorsement in _IMPLICIT:
        return
    try:
        identities = policydsl.parse(consortium.endorsement).identities
    except policydsl.PolicySyntaxError as error:
        raise fields["endorsement"].error(str(error)) from error
    for principal in identities:
        msp_id = MSPRole.FromString(principal.principal).msp_identifier
        if msp_id not in consortium.msp_ids:
            raise fields["endorsement"].error(f"{msp_id} is no organisation of this consortium")
    for finding in unmeetable(consortium):
        raise fields["endorsement"].error(finding.problem)


def _check_names(consortium: Consortium, fields: Mapping[str, Field]) -> None:
    """Refuses names under which two programs of the network would have the same name."""
    taken = ["devnet", "orderer-ca"]
    for one in consortium.organisations:
        taken += [f"ca-{one.name}", *(f"peer{index}-{one.name}" for index in range(len(one.peers)))]
        taken += [f"orderer{index}-{one.name}" for index in range(len(one.orderers))]
    for one in consortium.organisations:
        if f"{consortium.chaincode}-{one.name}" in taken:
            where = fields.get("chaincode", fields["organisations"])
            raise where.error(f"{consortium.chaincode}-{one.name} is also the name of another program of the network")
