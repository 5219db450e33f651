"""`fabric-fl orders`: compute that is ordered at a listed price and paid into a lock."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.payment import earlier, inputs, with_request_id
from fabric_fl.cli.session import open_session, with_profile

if TYPE_CHECKING:
    from fl_chaincode.records import Order

_COLUMNS = ("BUYER", "ORDER", "PROVIDER", "SERVICE", "QUANTITY", "TOKENS", "STATUS", "ENDED BY", "JOB")


@click.group()
def orders() -> None:
    """Order compute and pay for it."""


@orders.command()
@click.argument("provider")
@click.argument("service")
@click.argument("quantity", type=click.IntRange(1))
@click.argument("job")
@with_request_id
@with_profile
@with_output
def place(provider: str, service: str, quantity: int, job: str, request_id: str, profile: Path, out: Output) -> None:
    """Order QUANTITY units of PROVIDER's SERVICE for JOB at its present price, and lock what they cost."""
    from fl_chaincode.records import Order

    with open_session(profile) as session:
        before = earlier(session, Order, session.msp_id, request_id)
        listed = session.ledger.prices(provider)
        record = session.ledger.place_order(
            request_id,
            inputs(session, session.msp_id, listed.services.get(service, 0) * quantity, before),
            provider=provider,
            service=service,
            version=before["version"] if before else listed.version,
            quantity=quantity,
            job=job,
        )
    out.text(_sentence(record), record.to_json())


@orders.command()
@click.argument("order")
@with_profile
@with_output
def confirm(order: str, profile: Path, out: Output) -> None:
    """Confirm that the organisation's own ORDER was carried out, which pays the provider."""
    with open_session(profile) as session:
        record = session.ledger.confirm_order(order)
    out.text(_sentence(record), record.to_json())


@orders.command()
@click.argument("buyer")
@click.argument("order")
@with_profile
@with_output
def refund(buyer: str, order: str, profile: Path, out: Output) -> None:
    """Give BUYER's ORDER back, as its provider."""
    with open_session(profile) as session:
        record = session.ledger.refund_order(buyer, order)
    out.text(_sentence(record), record.to_json())


@orders.command()
@click.argument("buyer")
@click.argument("order")
@click.argument("outcome", type=click.Choice(["settle", "refund"]))
@with_profile
@with_output
def vote(buyer: str, order: str, outcome: str, profile: Path, out: Output) -> None:
    """Vote on BUYER's ORDER, and end it so if a majority of the consortium has voted for it."""
    from fabric_fl.ledger import LedgerRefused

    with open_session(profile) as session:
        session.ledger.vote_on_order(buyer, order, outcome)
        try:
            record = session.ledger.decide_order(buyer, order, outcome)
        except LedgerRefused as error:
            if error.code != "FL-MARKET-VOTES":
                raise
            record = session.ledger.order(buyer, order)
    out.text(_sentence(record), record.to_json())


@orders.command(name="list")
@click.option("--buyer", help="Those of this buyer.")
@click.option("--provider", help="Those from this provider.")
@click.option("--status", type=click.Choice(["placed", "settled", "refunded"]), help="Those that stand so.")
@with_profile
@with_output
def list_(buyer: str | None, provider: str | None, status: str | None, profile: Path, out: Output) -> None:
    """List orders."""
    from fl_chaincode.records import Order

    given = {"buyer": buyer, "provider": provider, "status": status}
    with open_session(profile) as session:
        found = list(session.ledger.records(Order, {name: value for name, value in given.items() if value}))
    out.table(_COLUMNS, map(_row, found), [one.to_json() for one in found])


def _row(order: Order) -> tuple[object, ...]:
    return (
        *(order.buyer, order.request_id, order.provider, order.service, order.quantity),
        *(order.amount, order.status, order.ended_by, order.job),
    )


def _sentence(order: Order) -> str:
    what = f"{order.quantity} {order.service} of {order.provider} for {order.amount} tokens"
    return f"Order {order.request_id} of {order.buyer} is {order.status}: {what}."
