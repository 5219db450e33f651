"""`fabric-fl prices`: what an organisation takes for compute, in tokens."""

from __future__ import annotations

from pathlib import Path

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.payment import with_request_id
from fabric_fl.cli.session import open_session, with_profile

_COLUMNS = ("PROVIDER", "VERSION", "SERVICE", "TOKENS", "DESCRIPTION")


@click.group()
def prices() -> None:
    """Publish and show what compute costs."""


@prices.command()
@click.argument("services", metavar="SERVICE=TOKENS...", nargs=-1, required=True)
@click.option("--description", default="", help="What the services are, in a line.")
@with_request_id
@with_profile
@with_output
def publish(services: tuple[str, ...], description: str, request_id: str, profile: Path, out: Output) -> None:
    """Replace the organisation's price list: tokens for one unit of each SERVICE, as in gpu-hour=3."""
    listed = dict(_price(service) for service in services)
    with open_session(profile) as session:
        record = session.ledger.publish_prices(request_id, listed, description)
    out.text(f"Price list {record.version} of {record.provider} published.", record.to_json())


@prices.command()
@click.argument("provider", required=False)
@with_profile
@with_output
def show(provider: str | None, profile: Path, out: Output) -> None:
    """Show the price list of PROVIDER, or those of all."""
    from fl_chaincode.records import PriceList

    with open_session(profile) as session:
        found = [session.ledger.prices(provider)] if provider else list(session.ledger.records(PriceList))
    rows = [
        (one.provider, one.version, service, price, one.description)
        for one in found
        for service, price in sorted(one.services.items())
    ]
    out.table(_COLUMNS, rows, [one.to_json() for one in found])


def _price(text: str) -> tuple[str, int]:
    service, _, price = text.partition("=")
    if not service or not price.isascii() or not price.isdigit():
        raise click.BadParameter(f"{text!r} is not of the form gpu-hour=3")
    return service, int(price)
