"""`fabric-fl doctor`: what is the matter with a network, and the remedy."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fabric_fl.cli.output import Output, with_output
from fabric_fl.network.doctor import Check, examine


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(".network"),
    show_default=True,
    help="The network's directory.",
)
@with_output
def doctor(home: Path, out: Output) -> None:
    """Examine a network; exit code 1 when something is the matter."""
    checks = []
    for check in examine(home):
        checks.append(check)
        if not out.is_json:
            _print(check)
    if out.is_json:
        out.value([{"check": one.name, "findings": [vars(each) for each in one.findings]} for one in checks])
    if any(one.findings for one in checks):
        sys.exit(1)


def _print(check: Check) -> None:
    if not check.findings:
        click.echo(f"ok       {check.name}")
    for one in check.findings:
        click.echo(f"problem  {check.name}: {one.problem}\n         {one.remedy}")
