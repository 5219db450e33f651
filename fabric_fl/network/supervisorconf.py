"""supervisord.conf, rendered from the programs of a network."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from fabric_fl.network.home import Home
from fabric_fl.network.program import Program

STOP_SECONDS = 15  # between SIGTERM and SIGKILL


def render(home: Home, programs: Sequence[Program]) -> str:
    """Returns the text of supervisord.conf."""
    sections = [
        _section(
            "supervisord",
            logfile=str(home.logs / "supervisord.log"),
            pidfile=str(home.supervisor_pid),
            childlogdir=str(home.logs),
            directory=str(home.root),
            umask="077",
            strip_ansi="false",
        ),
        _section("unix_http_server", file=str(home.supervisor_socket), chmod="0700"),
        _section(
            "rpcinterface:supervisor",
            **{"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
    ]
    sections += [
        _section(
            f"program:{program.name}",
            command=shlex.join(program.command),
            directory=str(program.directory),
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
            stdout_logfile=str(home.logs / f"{program.name}.log"),
            stdout_logfile_maxbytes="20MB",
            stdout_logfile_backups="2",
        )
        for program in programs
    ]
    return "\n".join(sections)


def _section(name: str, **options: str) -> str:
    # supervisord expands %(…)s in every value
    lines = [f"{option} = {value.replace('%', '%%')}" for option, value in options.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
