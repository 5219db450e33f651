"""An organisation's folder: its connection profile, its identity and how it takes part.

`connection.json` is Fabric's common connection profile, which other SDKs read and write too, so fields that this
one has no use for are passed over. `participant.json` is our own, and read strictly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar
from urllib.parse import urlsplit

from fabric_fl.fabric.identity import InvalidIdentity, SigningIdentity
from fabric_fl.fabric.profilefile import ProfileError, Section

__all__ = ["Authority", "ConnectionProfile", "Endpoint", "ParticipantFile", "ProfileError"]

_Named = TypeVar("_Named")
_NAMES = ("connection.json", "connection.yaml", "connection.yml")


@dataclass(frozen=True)
class Endpoint:
    """A peer or an orderer.

    Attributes:
        name: Its name in the profile.
        address: ``host:port``.
        tls_ca_certs: PEM of the roots that vouch for its TLS certificate; None for a plain connection.
        server_name: The name that its certificate must carry, where it is not the address's host.
    """

    name: str
    address: str
    tls_ca_certs: bytes | None = field(repr=False)
    server_name: str | None = None


@dataclass(frozen=True)
class Authority:
    """A Fabric CA.

    Attributes:
        name: Its name in the profile.
        url: ``https://host:port``.
        ca_name: The name by which requests address it; empty for the server's only one.
        tls_ca_certs: PEM of the roots that vouch for its TLS certificate; None for ``http``.
        registrar: Enrolment id and secret of who may register others, where the profile gives one.
    """

    name: str
    url: str
    ca_name: str
    tls_ca_certs: bytes | None = field(repr=False)
    registrar: tuple[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ParticipantFile:
    """What ``participant.json`` says; paths are absolute, URLs as written.

    Attributes:
        msp_id: The organisation.
        channel: The channel to take part on.
        chaincode: The name of the chaincode there.
        private: The folder of its journals, which nobody else may read.
        store: Where it publishes blobs.
        stores: Where the other organisations' blobs are read, by MSP id.
    """

    msp_id: str
    channel: str
    chaincode: str
    private: Path
    store: str
    stores: Mapping[str, str]

    @classmethod
    def load(cls, path: str | Path) -> ParticipantFile:
        """Reads the file.

        Raises:
            ProfileError: It is missing, malformed, or of a schema that this version does not know.
        """
        section = Section.read(Path(path))
        schema = section.values.get("schema")
        if schema != 1 or isinstance(schema, bool):
            raise section.error(f"schema {schema!r} is not known; this version reads schema 1")
        section.only("schema", "msp_id", "channel", "chaincode", "private", "store", "stores")
        stores = section.section("stores")
        return cls(
            msp_id=section.text("msp_id"),
            channel=section.text("channel"),
            chaincode=section.text("chaincode"),
            private=_resolve(section.file, section.text("private")),
            store=_location(section.file, section.text("store")),
            stores=MappingProxyType({name: _location(section.file, stores.text(name)) for name in stores.values}),
        )


@dataclass(frozen=True)
class ConnectionProfile:
    """A connection profile, as seen by the organisation that it is for.

    Attributes:
        file: Where it was read.
        msp_id: The organisation's MSP id.
        msp_ids: Every organisation's MSP id that the profile names, sorted.
        peers: The organisation's own peers, in the profile's order; gateways for its clients.
        orderers: All orderers of the profile.
        channel_peers: All peers of the profile, whosever they are.
        authorities: The organisation's own CAs.
    """

    file: Path
    msp_id: str
    msp_ids: tuple[str, ...]
    peers: tuple[Endpoint, ...]
    orderers: tuple[Endpoint, ...]
    authorities: tuple[Authority, ...]
    channel_peers: tuple[Endpoint, ...] = ()

    @classmethod
    def load(cls, path: str | Path) -> ConnectionProfile:
        """Reads a profile, or the one in an organisation's folder.

        Args:
            path: ``.network/org1``, or a JSON or YAML file.

        Raises:
            ProfileError: There is none, or it is malformed, or names what it does not describe.
        """
        root = Section.read(_find(Path(path)))
        own_name = root.section("client").text("organization")
        organizations = root.sections("organizations")
        if own_name not in organizations:
            raise root.error(f"client.organization is {own_name!r}, which 'organizations' does not describe")
        own = organizations[own_name]
        peers = {name: _endpoint(name, section) for name, section in root.sections("peers").items()}
        authorities = {name: _authority(name, one) for name, one in root.sections("certificateAuthorities").items()}
        return cls(
            file=root.file,
            msp_id=own.text("mspid"),
            msp_ids=tuple(sorted(one.text("mspid") for one in organizations.values())),
            peers=tuple(_named(own, "peers", name, peers) for name in own.texts("peers")),
            orderers=tuple(_endpoint(name, one) for name, one in root.sections("orderers").items()),
            authorities=tuple(
                _named(own, "certificateAuthorities", name, authorities) for name in own.texts("certificateAuthorities")
            ),
            channel_peers=tuple(peers.values()),
        )

    @property
    def folder(self) -> Path:
        """Where the profile, and beside it the organisation's other files, lie."""
        return self.file.parent

    @property
    def peer(self) -> Endpoint:
        """The peer through which the organisation's clients reach the network.

        Raises:
            ProfileError: The organisation has none.
        """
        if not self.peers:
            raise ProfileError(f"{self.file}: the organisation {self.msp_id} has no peer")
        return self.peers[0]

    @property
    def authority(self) -> Authority:
        """The organisation's CA.

        Raises:
            ProfileError: The profile names none.
        """
        if not self.authorities:
            raise ProfileError(f"{self.file}: the organisation {self.msp_id} has no certificate authority")
        return self.authorities[0]

    @cached_property
    def identity(self) -> SigningIdentity:
        """The organisation's client, from ``msp`` beside the profile.

        Raises:
            ProfileError: There is none, or it lacks its key.
        """
        return self._read_identity("msp")

    @cached_property
    def admin(self) -> SigningIdentity:
        """The organisation's administrator, from ``admin/msp`` beside the profile.

        Raises:
            ProfileError: There is none, or it lacks its key.
        """
        return self._read_identity("admin/msp")

    @cached_property
    def participant(self) -> ParticipantFile:
        """What ``participant.json`` beside the profile says.

        Raises:
            ProfileError: It is missing or malformed, or is another organisation's.
        """
        participant = ParticipantFile.load(self.folder / "participant.json")
        if participant.msp_id != self.msp_id:
            raise ProfileError(
                f"{self.folder / 'participant.json'} is of {participant.msp_id}, and {self.file.name} of {self.msp_id}"
            )
        return participant

    def _read_identity(self, folder: str) -> SigningIdentity:
        try:
            return SigningIdentity.from_msp_dir(self.folder / folder, self.msp_id)
        except (InvalidIdentity, OSError) as error:
            remedy = "Enrol the identity again, or take the folder from whoever runs the organisation's peer."
            raise ProfileError(str(error), code="FL-IDENTITY", remedy=remedy) from error


def _find(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in _NAMES:
        if (path / name).is_file():
            return path / name
    raise ProfileError(f"{path} holds no {_NAMES[0]}")


def _named(own: Section, group: str, name: str, known: Mapping[str, _Named]) -> _Named:
    if name not in known:
        raise own.error(f"names {name!r}, which {group!r} does not describe")
    return known[name]


def _endpoint(name: str, section: Section) -> Endpoint:
    url = section.text("url")
    scheme, _, address = url.partition("://")
    parts = urlsplit(f"//{address}")
    try:
        complete = bool(parts.hostname and parts.port) and parts.path in ("", "/") and not parts.query
    except ValueError:
        complete = False
    if scheme not in ("grpc", "grpcs") or not complete:
        raise section.error(f"'url' should be grpcs://host:port, and is {url!r}")
    certificates = section.certificates("tlsCACerts")
    if scheme == "grpcs" and certificates is None:
        raise section.error("'tlsCACerts' is missing, and 'url' says grpcs")
    options = section.optional_section("grpcOptions")
    override = options.optional_text("ssl-target-name-override") or options.optional_text("hostnameOverride")
    return Endpoint(name, parts.netloc, certificates if scheme == "grpcs" else None, override)


def _authority(name: str, section: Section) -> Authority:
    url = section.text("url").rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path:
        raise section.error(f"'url' should be https://host:port, and is {url!r}")
    certificates = section.certificates("tlsCACerts")
    if parts.scheme == "https" and certificates is None:
        raise section.error("'tlsCACerts' is missing, and 'url' says https")
    return Authority(
        name=name,
        url=url,
        ca_name=section.optional_text("caName") or "",
        tls_ca_certs=certificates if parts.scheme == "https" else None,
        registrar=_registrar(section),
    )


def _registrar(section: Section) -> tuple[str, str] | None:
    if "registrar" not in section.values:
        return None
    value = section.values["registrar"]
    # Written as one object by some tools, as a list of them by others.
    entry = value[0] if isinstance(value, list) and value else value
    if not isinstance(entry, dict):
        raise section.error("'registrar' should be an object with enrollId and enrollSecret")
    registrar = Section(section.file, f"{section.place}.registrar", entry)
    return registrar.text("enrollId"), registrar.text("enrollSecret")


def _resolve(file: Path, path: str) -> Path:
    return (file.parent / path).resolve()


def _location(file: Path, location: str) -> str:
    return location if "://" in location else str(_resolve(file, location))
