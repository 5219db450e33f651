"""`fabric-fl market`: tokens for money. The ledger moves the tokens, the parties the money."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.payment import earlier, inputs, with_request_id
from fabric_fl.cli.session import open_session, with_profile

if TYPE_CHECKING:
    from fl_chaincode.records import Offer

_COLUMNS = ("SELLER", "OFFER", "TOKENS", "PRICE", "CURRENCY", "STATUS", "BUYER", "REFERENCE", "ENDED BY")
_STATUSES = ("open", "taken", "settled", "withdrawn", "cancelled")


@click.group()
def market() -> None:
    """Offer tokens for money, take offers, show what was traded."""


@market.command()
@click.argument("amount", type=click.IntRange(1))
@click.argument("price", type=click.IntRange(1))
@click.argument("currency")
@click.option("--terms", default="", help="How the money is to be paid, in a line.")
@with_request_id
@with_profile
@with_output
def offer(amount: int, price: int, currency: str, terms: str, request_id: str, profile: Path, out: Output) -> None:
    """Offer AMOUNT tokens for PRICE in the smallest unit of CURRENCY, as in 40 1000 EUR for ten euros."""
    from fl_chaincode.records import Offer

    with open_session(profile) as session:
        before = earlier(session, Offer, session.msp_id, request_id)
        entries = inputs(session, session.msp_id, amount, before)
        record = session.ledger.make_offer(
            request_id, entries, amount=amount, price=price, currency=currency, terms=terms
        )
    out.text(_sentence(record), record.to_json())


@market.command()
@click.argument("seller")
@click.argument("offer")
@click.argument("reference")
@with_profile
@with_output
def take(seller: str, offer: str, reference: str, profile: Path, out: Output) -> None:
    """Take SELLER's OFFER, to be paid under REFERENCE, such as the number of an invoice."""
    with open_session(profile) as session:
        record = session.ledger.take_offer(seller, offer, reference)
    out.text(_sentence(record), record.to_json())


@market.command()
@click.argument("offer")
@with_profile
@with_output
def withdraw(offer: str, profile: Path, out: Output) -> None:
    """Take the organisation's own OFFER back, which nobody has taken."""
    with open_session(profile) as session:
        record = session.ledger.withdraw_offer(offer)
    out.text(_sentence(record), record.to_json())


@market.command()
@click.argument("offer")
@click.argument("reference")
@with_profile
@with_output
def confirm(offer: str, reference: str, profile: Path, out: Output) -> None:
    """Confirm that the money for the organisation's own OFFER has come under REFERENCE."""
    with open_session(profile) as session:
        record = session.ledger.confirm_offer(offer, reference)
    out.text(_sentence(record), record.to_json())


@market.command()
@click.argument("seller")
@click.argument("offer")
@with_profile
@with_output
def cancel(seller: str, offer: str, profile: Path, out: Output) -> None:
    """Ask to cancel SELLER's OFFER, which was taken; done when the other side has asked, too."""
    with open_session(profile) as session:
        record = session.ledger.cancel_offer(seller, offer)
    asked = f" Asked for by {', '.join(record.cancelled_by)}." if record.ended_by is None else ""
    out.text(_sentence(record) + asked, record.to_json())


@market.command()
@click.argument("seller")
@click.argument("offer")
@click.argument("outcome", type=click.Choice(["settle", "cancel"]))
@with_profile
@with_output
def vote(seller: str, offer: str, outcome: str, profile: Path, out: Output) -> None:
    """Vote on SELLER's OFFER, which was taken, and end it so if a majority of the consortium has voted for it."""
    from fabric_fl.ledger import LedgerRefused

    with open_session(profile) as session:
        session.ledger.vote_on_offer(seller, offer, outcome)
        try:
            record = session.ledger.decide_offer(seller, offer, outcome)
        except LedgerRefused as error:
            if error.code != "FL-MARKET-VOTES":
                raise
            record = session.ledger.offer(seller, offer)
    out.text(_sentence(record), record.to_json())


@market.command(name="list")
@click.option("--seller", help="Those of this seller.")
@click.option("--buyer", help="Those that this buyer has taken.")
@click.option("--status", type=click.Choice(_STATUSES), help="Those that stand so; the settled ones are the trades.")
@with_profile
@with_output
def list_(seller: str | None, buyer: str | None, status: str | None, profile: Path, out: Output) -> None:
    """List offers."""
    from fl_chaincode.records import Offer

    given = {"seller": seller, "buyer": buyer, "status": status}
    with open_session(profile) as session:
        found = list(session.ledger.records(Offer, {name: value for name, value in given.items() if value}))
    out.table(_COLUMNS, map(_row, found), [one.to_json() for one in found])


@market.command()
@with_profile
@with_output
def volumes(profile: Path, out: Output) -> None:
    """Show what was sold in each currency and of each provider's services."""
    with open_session(profile) as session:
        found = session.ledger.volumes()
    rows: list[tuple[object, ...]] = [
        ("tokens", currency, one["trades"], one["tokens"], one["money"])
        for currency, one in sorted(found["offers"].items())
    ]
    rows += [
        (service, provider, one["orders"], one["tokens"], None)
        for provider, services in sorted(found["orders"].items())
        for service, one in sorted(services.items())
    ]
    out.table(("WHAT", "CURRENCY OR PROVIDER", "TRADES", "TOKENS", "MONEY"), rows, found)


def _row(offer: Offer) -> tuple[object, ...]:
    return (
        *(offer.seller, offer.request_id, offer.amount, offer.price, offer.currency),
        *(offer.status, offer.buyer, offer.reference, offer.ended_by),
    )


def _sentence(offer: Offer) -> str:
    what = f"{offer.amount} tokens for {offer.price} {offer.currency}"
    buyer = f" by {offer.buyer}, reference {offer.reference}" if offer.buyer else ""
    return f"Offer {offer.request_id} of {offer.seller} is {offer.status}{buyer}: {what}."
