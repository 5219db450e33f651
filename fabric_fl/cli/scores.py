"""`fabric-fl scores`: what each participant contributed to a task."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import open_session, with_profile


@click.command()
@click.argument("task")
@with_profile
@with_output
def scores(task: str, profile: Path, out: Output) -> None:
    """Show for each participant of TASK its updates, the sum of its scores and what it was paid."""
    with open_session(profile) as session:
        board = session.ledger.scores(task)
    settlements = [scored.settlement for scored in board.rounds if scored.settlement]
    totals = {msp_id: sum(one.scores.get(msp_id, 0) for one in settlements) for msp_id in board.participants}
    rows = [
        (msp_id, one.selected, one.accepted, one.refused, one.missed, f"{totals[msp_id] / 1e6:+.6f}", one.paid)
        for msp_id, one in board.participants.items()
    ]
    value = {
        "task": task,
        "participants": {
            msp_id: {**dataclasses.asdict(one), "score": totals[msp_id]} for msp_id, one in board.participants.items()
        },
        "rounds": [
            {
                "round": scored.round,
                "j": scored.j,
                "included": list(scored.included),
                "settlement": scored.settlement.to_json() if scored.settlement else None,
            }
            for scored in board.rounds
        ],
    }
    out.table(("MSP ID", "SELECTED", "ACCEPTED", "REFUSED", "MISSED", "SCORE", "PAID"), rows, value)
