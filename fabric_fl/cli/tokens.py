"""`fabric-fl balances` and `fabric-fl tokens`: who holds how much, issuing and transferring."""

from __future__ import annotations

import uuid
from pathlib import Path

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import open_session, with_profile

_request_id = click.option(
    "--request-id", help="Name of this request: repeated with the same one, it is carried out once. Default: a new one."
)


@click.command()
@with_profile
@with_output
def balances(profile: Path, out: Output) -> None:
    """Show what each participant holds, and the supply."""
    with open_session(profile) as session:
        held = {one.msp_id: session.ledger.balance(one.msp_id) for one in session.ledger.participants()}
        supply = session.ledger.supply()
    rows = [*held.items(), ("in escrow", supply - sum(held.values())), ("supply", supply)]
    out.table(("MSP ID", "TOKENS"), rows, {"balances": held, "supply": supply})


@click.group()
def tokens() -> None:
    """Issue and transfer tokens."""


@tokens.command()
@click.argument("to")
@click.argument("amount", type=click.IntRange(1))
@click.option("--request-id", required=True, help="The same for every organisation that agrees to this issue.")
@with_profile
@with_output
def issue(to: str, amount: int, request_id: str, profile: Path, out: Output) -> None:
    """Agree to the issue of AMOUNT tokens to TO; they arise when a majority of the consortium has agreed."""
    with open_session(profile) as session:
        record = session.ledger.issue(request_id, to, amount)
    agreed = ", ".join(record.votes)
    state = f"issued to {to}" if record.issued else "not issued yet"
    out.text(f"{amount} tokens, agreed by {agreed}: {state}.", record.to_json())


@tokens.command()
@click.argument("to")
@click.argument("amount", type=click.IntRange(1))
@_request_id
@with_profile
@with_output
def transfer(to: str, amount: int, request_id: str | None, profile: Path, out: Output) -> None:
    """Pay AMOUNT tokens of the organisation's own to TO."""
    from fabric_fl.coordinator import entries_covering

    request_id = request_id or uuid.uuid4().hex
    with open_session(profile) as session:
        inputs = entries_covering(session.ledger.entries(session.msp_id), amount)
        record = session.ledger.transfer(request_id, inputs, to, amount)
    out.text(f"{amount} tokens paid to {to} (request {request_id}).", record.to_json())
