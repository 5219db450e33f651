"""The organisation in whose name a command speaks to the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from fabric_fl.blobs import BlobReader, BlobStore
    from fabric_fl.gateway import Network
    from fabric_fl.ledger import FLLedger

F = TypeVar("F", bound=Callable[..., Any])

_PATIENCE_SECONDS = 15.0  # a person waits for the answer


@dataclass(frozen=True)
class Session:
    """A connection to the ledger, and the blob stores beside it."""

    msp_id: str
    network: Network
    ledger: FLLedger
    store: BlobStore
    reader: BlobReader


@contextmanager
def open_session(profile: Path) -> Iterator[Session]:
    """Connects as the organisation whose folder `profile` is.

    Raises:
        ProfileError: The folder lacks something.
    """
    from fabric_fl.blobs import BlobReader, BlobStore
    from fabric_fl.fabric.profile import ConnectionProfile
    from fabric_fl.gateway import connect
    from fabric_fl.ledger import FLLedger

    loaded = ConnectionProfile.load(profile)
    settings = loaded.participant
    store = BlobStore(settings.store)
    others = {msp_id: BlobStore(url) for msp_id, url in settings.stores.items() if msp_id != settings.msp_id}
    with connect(loaded) as gateway:
        network = gateway.network(settings.channel)
        ledger = FLLedger.on(network, settings.chaincode, patience=_PATIENCE_SECONDS)
        yield Session(settings.msp_id, network, ledger, store, BlobReader(store, others))


def with_profile(command: F) -> F:
    """Gives the command the option --profile."""
    option = click.option(
        "--profile",
        envvar="FABRIC_FL_PROFILE",
        show_envvar=True,
        required=True,
        type=click.Path(path_type=Path),
        help="The organisation's folder, as `network up` writes it.",
    )
    return option(command)
