"""`fabric-fl round`: a task's rounds, at one moment or as they go on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.cli.session import open_session, with_profile

if TYPE_CHECKING:
    from fabric_fl.coordinator import RoundProgress

_COLUMNS = ("ROUND", "MODEL", "STATUS", "SELECTED", "SUBMITTED", "REVEALED", "QUORUM", "DIGEST", "METRICS")


@click.group(name="round")
def round_() -> None:
    """List and watch a task's rounds."""


@round_.command(name="list")
@click.argument("task")
@with_profile
@with_output
def list_(task: str, profile: Path, out: Output) -> None:
    """List the rounds of TASK."""
    from fabric_fl.coordinator import progress

    with open_session(profile) as session:
        rounds = progress(session.ledger, task)
    out.table(_COLUMNS, map(_row, rounds), [one.to_json() for one in rounds])


@round_.command()
@click.argument("task")
@with_profile
@with_output
def watch(task: str, profile: Path, out: Output) -> None:
    """Print a line whenever a round of TASK has changed, until the task has ended."""
    from fabric_fl.coordinator import watch as watched

    with open_session(profile) as session:
        for one in watched(session.ledger, task):
            out.line(_sentence(one), one.to_json())


def _row(one: RoundProgress) -> tuple[object, ...]:
    quorum = f"{one.agreeing}/{one.q}"
    return (
        *(one.round, one.j, one.status, one.selected, len(one.submitted), len(one.revealed)),
        *(quorum, one.model[:12], _metrics(one)),
    )


def _sentence(one: RoundProgress) -> str:
    parts = [
        f"round {one.round} for model {one.j}: {one.status}",
        f"selected {', '.join(one.selected)}",
        f"{len(one.submitted)} submitted, {len(one.revealed)} revealed",
        f"{one.agreeing} agree, quorum {one.q}",
        *([f"model {one.model[:12]}"] if one.model else []),
        *([_metrics(one)] if one.metrics else []),
    ]
    return "; ".join(parts)


def _metrics(one: RoundProgress) -> str:
    return " ".join(f"{name} {value / 1e6:.4f}" for name, value in sorted(one.metrics.items()))
