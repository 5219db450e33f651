"""How a command fails: a code, a sentence and a remedy on stderr, and exit code 1."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from fabric_fl.errors import FabricFLError


@contextmanager
def told() -> Iterator[None]:
    """Turns an error of the SDK into its lines on stderr and the exit code 1."""
    try:
        yield
    except FabricFLError as error:
        click.echo(f"error {error.code}: {error.message}", err=True)
        click.echo(error.remedy, err=True)
        sys.exit(1)
