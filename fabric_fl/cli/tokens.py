"""`fabric-fl balances` and `fabric-fl tokens`: who holds how much, issuing and transferring."""

from __future__ import annotations

from pathlib import Path

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.payment import earlier, inputs, with_request_id
from fabric_fl.cli.session import open_session, with_profile


@click.command()
@with_profile
@with_output
def balances(profile: Path, out: Output) -> None:
    """Show what each participant holds, and the supply."""
    with open_session(profile) as session:
        held = {one.msp_id: session.ledger.balance(one.msp_id) for one in session.ledger.participants()}
        supply = session.ledger.supply()
        locked = sum(session.ledger.volumes()["locked"].values())
    escrow = supply - sum(held.values()) - locked
    rows = [*held.items(), ("in escrow", escrow), ("locked", locked), ("supply", supply)]
    out.table(("MSP ID", "TOKENS"), rows, {"balances": held, "escrow": escrow, "locked": locked, "supply": supply})


@click.group()
def tokens() -> None:
    """Issue and transfer tokens, let others spend them."""


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
@with_request_id
@with_profile
@with_output
def transfer(to: str, amount: int, request_id: str, profile: Path, out: Output) -> None:
    """Pay AMOUNT tokens of the organisation's own to TO."""
    from fl_chaincode.records import Transfer

    with open_session(profile) as session:
        before = earlier(session, Transfer, session.msp_id, request_id)
        entries = inputs(session, session.msp_id, amount, before)
        record = session.ledger.transfer(request_id, entries, to, amount)
    out.text(f"{amount} tokens paid to {to} (request {request_id}).", record.to_json())


@tokens.command()
@click.argument("spender")
@click.argument("amount", type=click.IntRange(0))
@click.option(
    "--expected",
    type=click.IntRange(0),
    required=True,
    help="What SPENDER may spend now, which AMOUNT replaces; refused where it has become another sum.",
)
@with_request_id
@with_profile
@with_output
def approve(spender: str, amount: int, expected: int, request_id: str, profile: Path, out: Output) -> None:
    """Let SPENDER spend AMOUNT of the organisation's tokens; 0 ends it."""
    with open_session(profile) as session:
        record = session.ledger.approve(request_id, spender, amount, expected=expected)
    out.text(f"{spender} may spend {amount} tokens (request {request_id}).", record.to_json())


@tokens.command()
@click.argument("owner")
@click.argument("spender")
@with_profile
@with_output
def allowance(owner: str, spender: str, profile: Path, out: Output) -> None:
    """Show how much of OWNER's tokens SPENDER may spend."""
    with open_session(profile) as session:
        amount = session.ledger.allowance(owner, spender)
    out.text(f"{spender} may spend {amount} tokens of {owner}.", {"owner": owner, "spender": spender, "amount": amount})


@tokens.command(name="transfer-from")
@click.argument("owner")
@click.argument("to")
@click.argument("amount", type=click.IntRange(1))
@with_request_id
@with_profile
@with_output
def transfer_from(owner: str, to: str, amount: int, request_id: str, profile: Path, out: Output) -> None:
    """Pay AMOUNT tokens of OWNER, who has approved it, to TO."""
    from fl_chaincode.records import Spending

    with open_session(profile) as session:
        before = earlier(session, Spending, session.msp_id, request_id)
        entries = inputs(session, owner, amount, before)
        record = session.ledger.transfer_from(request_id, owner, entries, to, amount)
    out.text(f"{amount} tokens of {owner} paid to {to} (request {request_id}).", record.to_json())
