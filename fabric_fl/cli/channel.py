"""`fabric-fl channel`: proposals to change the channel, to be signed and sent with Fabric's own `peer` program."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.network.channelchange import ChannelChange

F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def channel() -> None:
    """Propose a change of the channel: FILE is for its members' administrators to sign."""


def _with_file(command: F) -> F:
    home = click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        default=Path(".network"),
        show_default=True,
        help="The network's directory.",
    )
    file = click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
    return file(home(with_output(command)))


@channel.command()
@click.argument("organisation")
@click.argument("enrollment_id")
@_with_file
def revoke(organisation: str, enrollment_id: str, file: Path, home: Path, out: Output) -> None:
    """Revoke an identity at its CA, and propose the CA's revocation list."""
    _write(ChannelChange(home).revoke(organisation, enrollment_id), file, out, f"an administrator of {organisation}")


@channel.command()
@click.argument("organisation")
@_with_file
def admit(organisation: str, file: Path, home: Path, out: Output) -> None:
    """Propose ORGANISATION of consortium.yaml as a new member."""
    _write(ChannelChange(home).admit(organisation), file, out, "administrators of a majority of the members")


@channel.command()
@click.argument("organisation")
@_with_file
def dismiss(organisation: str, file: Path, home: Path, out: Output) -> None:
    """Propose that ORGANISATION is no member any more."""
    _write(ChannelChange(home).dismiss(organisation), file, out, "administrators of a majority of the members")


@channel.command("renew-orderer")
@click.argument("orderer")
@_with_file
def renew_orderer(orderer: str, file: Path, home: Path, out: Output) -> None:
    """Propose the new TLS certificate of ORDERER."""
    _write(ChannelChange(home).renew_orderer(orderer), file, out, "administrators of a majority of those who order")


def _write(proposal: bytes, file: Path, out: Output, signers: str) -> None:
    file.write_bytes(proposal)
    commands = [
        f"peer channel signconfigtx -f {file}",
        f'peer channel update -f {file} -c "$CHANNEL" -o "$ORDERER_ADDRESS" --tls --cafile "$ORDERER_CA"',
    ]
    lines = [f"{file} needs the signatures of {signers}: each but the last signs, the last one sends it.", *commands]
    out.text("\n  ".join(lines), {"file": str(file), "signers": signers, "commands": commands})
