"""Who takes part: what consortium.yaml says, and what every engine renders everything else from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from fabric_fl.network.ports import free_ports

ORDERER_MSP_ID = "OrdererMSP"
CHAINCODE_NAME = r"[A-Za-z0-9]+([-_][A-Za-z0-9]+)*"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
HOST_AND_PORT = rf"(?=[^:]{{1,253}}:){_LABEL}(\.{_LABEL})*:(0|[1-9][0-9]{{0,4}})"


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Organisation:
    """A member: its peers (the first is its gateway), its CA and its chaincode process.

    Attributes:
        orderers: Those that it runs itself; none where the orderers are an organisation of their own.
        blobs: URL under which the others read its blobs, where that is not a directory beside theirs.
    """

    name: str
    msp_id: str
    peers: tuple[Address, ...]
    ca: Address
    chaincode: Address
    orderers: tuple[Address, ...] = ()
    blobs: str | None = None


@dataclass(frozen=True)
class Batch:
    """When the orderer cuts a block. 0 ms means: as soon as the committer is idle."""

    max_messages: int = 500
    max_bytes: int = 99 * 1024 * 1024
    preferred_bytes: int = 2 * 1024 * 1024
    timeout_ms: int = 0


@dataclass(frozen=True)
class Versions:
    """Of Fabric and of Fabric CA: what Docker's images are taken of, and the channel's capabilities go by."""

    version: str = "3.1.5"
    ca: str = "1.5.21"

    @property
    def minor(self) -> tuple[int, int]:
        """Fabric's major and minor version."""
        major, minor, _ = map(int, self.version.split("."))
        return major, minor


@dataclass(frozen=True)
class Consortium:
    """Who takes part. `orderers` is empty where organisations run orderers of their own."""

    organisations: tuple[Organisation, ...]
    orderers: tuple[Address, ...]
    channel: str = "fl"
    chaincode: str = "fl"
    endorsement: str = "majority"
    batch: Batch = field(default_factory=Batch)
    fabric: Versions | None = None  # that of the programs found

    @classmethod
    def default(cls, organisations: int = 3) -> Self:
        """Org1MSP, Org2MSP, … on this machine, 10 ports apart, from Fabric's customary 7050 on."""
        return cls(
            organisations=tuple(
                Organisation(
                    name=f"org{number}",
                    msp_id=f"Org{number}MSP",
                    peers=(Address("localhost", 7041 + 10 * number),),
                    ca=Address("localhost", 7044 + 10 * number),
                    chaincode=Address("localhost", 7042 + 10 * number),
                )
                for number in range(1, organisations + 1)
            ),
            orderers=(Address("localhost", 7050),),
        )

    @property
    def msp_ids(self) -> tuple[str, ...]:
        return tuple(organisation.msp_id for organisation in self.organisations)

    @property
    def ordering(self) -> tuple[Address, ...]:
        """Every orderer, whoever runs it."""
        return self.orderers + tuple(address for one in self.organisations for address in one.orderers)

    def addresses(self) -> dict[str, Address]:
        """Every address that something listens on, by the field that gives it."""
        listed = {f"orderers[{index}]": address for index, address in enumerate(self.orderers)}
        for one in self.organisations:
            listed |= {f"{one.name}.peers[{index}]": address for index, address in enumerate(one.peers)}
            listed |= {f"{one.name}.orderers[{index}]": address for index, address in enumerate(one.orderers)}
            listed |= {f"{one.name}.ca": one.ca, f"{one.name}.chaincode": one.chaincode}
        return listed

    def on_free_ports(self) -> Self:
        """Returns the same consortium with every port chosen anew among the free ones."""
        return self._with_free_ports(lambda _: True)

    def resolved(self) -> Self:
        """Returns the same consortium with a free port wherever port 0 was asked for."""
        return self._with_free_ports(lambda address: address.port == 0)

    def _with_free_ports(self, wanted: Callable[[Address], bool]) -> Self:
        ports = iter(free_ports(sum(map(wanted, self.addresses().values()))))

        def place(address: Address) -> Address:
            return Address(address.host, next(ports)) if wanted(address) else address

        return dataclasses.replace(
            self,
            orderers=tuple(map(place, self.orderers)),
            organisations=tuple(
                dataclasses.replace(
                    one,
                    peers=tuple(map(place, one.peers)),
                    ca=place(one.ca),
                    chaincode=place(one.chaincode),
                    orderers=tuple(map(place, one.orderers)),
                )
                for one in self.organisations
            ),
        )

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(
            **{
                **record,
                "orderers": tuple(Address(**address) for address in record["orderers"]),
                "batch": Batch(**record["batch"]),
                # records of older versions have none
                "fabric": Versions(**fabric) if (fabric := record.get("fabric")) else None,
                "organisations": tuple(
                    Organisation(
                        name=one["name"],
                        msp_id=one["msp_id"],
                        peers=tuple(Address(**peer) for peer in one["peers"]),
                        ca=Address(**one["ca"]),
                        chaincode=Address(**one["chaincode"]),
                        # records of older versions have neither
                        orderers=tuple(Address(**each) for each in one.get("orderers", ())),
                        blobs=one.get("blobs"),
                    )
                    for one in record["organisations"]
                ),
            }
        )
