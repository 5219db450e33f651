"""What commands print to stdout: a table for people, or JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class Output:
    """Prints results in the form that was asked for."""

    def __init__(self, form: str) -> None:
        self.is_json = form == "json"

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], value: Any) -> None:
        """Prints `rows` under `columns`, or `value` as JSON."""
        if self.is_json:
            self.value(value)
            return
        for line in aligned([columns, *rows]):
            click.echo(line)

    def text(self, text: str, value: Any) -> None:
        """Prints `text`, or `value` as JSON."""
        if self.is_json:
            self.value(value)
        else:
            click.echo(text)

    def value(self, value: Any) -> None:
        click.echo(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False))

    def line(self, text: str, value: Any) -> None:
        """Prints one of several lines as it comes: `text`, or `value` as JSON on one line."""
        click.echo(json.dumps(value, sort_keys=True, ensure_ascii=False) if self.is_json else text)


def aligned(rows: Sequence[Sequence[object]]) -> list[str]:
    """Returns the rows as lines with their columns one below the other."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(row[index]) for row in cells) for index in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cell(value: object) -> str:
    if value in (None, "", {}):
        return "-"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value)) or "-"
    return str(value)


def with_output(command: F) -> F:
    """Gives the command the option --format, and `out` to print with."""
    option = click.option(
        "--format",
        "out",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        callback=lambda _context, _option, form: Output(form),
        help="A table for people, JSON for programs.",
    )
    return option(command)
