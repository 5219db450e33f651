"""supervisord.conf, rendered from the programs of a network."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from fabric_fl.network.home import Home
from fabric_fl.network.program import Program

STOP_SECONDS = 10  # between SIGTERM and SIGKILL
LOG_MEGABYTES = 20
LOG_FILES = 3  # the one that is written and those before it


def render(home: Home, programs: Sequence[Program]) -> str:
    """Returns the text of supervisord.conf.

    Its paths are relative to the network's directory, where supervisord starts: no escape would get every character
    of an absolute one through its parser.
    """
    beside = home.supervisor_socket.parent == home.root
    sections = [
        _section(
            "supervisord",
            logfile="logs/supervisord.log",
            pidfile="supervisord.pid",
            childlogdir="logs",
            directory=".",
            umask="077",
        ),
        _section(
            "unix_http_server",
            file=home.supervisor_socket.name if beside else str(home.supervisor_socket),
            chmod="0700",
        ),
        _section(
            "rpcinterface:supervisor",
            **{"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
    ]
    return "\n".join([*sections, *map(_program, programs)])


def _program(program: Program) -> str:
    return _section(
        f"program:{program.name}",
        command=_literal(shlex.join(program.command)),
        environment=",".join(f"{name}={_quoted(value)}" for name, value in sorted(program.environment.items())),
        autostart="true",
        autorestart="true",
        startsecs="2",
        startretries="100",
        stopsignal="TERM",
        stopwaitsecs=str(STOP_SECONDS),
        stopasgroup="true",
        killasgroup="true",
        redirect_stderr="true",
        stdout_logfile=f"logs/{program.name}.log",
        stdout_logfile_maxbytes=f"{LOG_MEGABYTES}MB",
        stdout_logfile_backups=str(LOG_FILES - 1),
    )


def _section(name: str, **options: str) -> str:
    for option, value in options.items():
        if re.search(r"\s[;#]|\n", value):  # a comment or the next line to supervisord
            raise ValueError(f"supervisord cannot read {option} = {value!r}")
    return "\n".join([f"[{name}]", *(f"{option} = {value}" for option, value in options.items()), ""])


def _literal(value: str) -> str:
    return value.replace("%", "%%")


def _quoted(value: str) -> str:
    if '"' in value:
        raise ValueError(f"supervisord cannot pass on the quotation mark in {value!r}")
    return f'"{_literal(value)}"'
