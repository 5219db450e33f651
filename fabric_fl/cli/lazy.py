"""A command group whose commands are imported when they are called: `fabric-fl --help` loads none of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click

from fabric_fl.cli.failure import told


class LazyGroup(click.Group):
    """Knows its commands by name, module and one line of help.

    Args:
        commands: For each name "module:attribute" and the line that the list of commands shows.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self._lazy.items()])

    def invoke(self, ctx: click.Context) -> Any:
        with told():
            return super().invoke(ctx)
