"""Machines for tests: network namespaces joined by a bridge, each with a name, a directory and a hosts file of its own.

Everything belongs to one process a namespace and goes with it; nothing is added to this machine's own network.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_TOOLS = ("ip", "mount", "nsenter", "unshare")
_SBIN = {"PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"}
_SLEEP = "import time; time.sleep(3600)"


class Machine:
    """One namespace. `folder` is the only one of the machines' directories that its processes see."""

    def __init__(self, name: str, address: str, folder: Path, keeper: int) -> None:
        self.name = name
        self.address = address
        self.folder = folder
        self._keeper = keeper

    def command(self, *arguments: str) -> list[str]:
        """Returns what runs a program on this machine, in its directory."""
        inside = ["nsenter", "--target", str(self._keeper), "--net", "--mount", "--"]
        # not nsenter's own --wd: that directory would be the one outside
        return [*inside, "sh", "-c", 'cd "$0" && exec "$@"', str(self.folder), *arguments]

    def run(self, *arguments: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end."""
        done = subprocess.run(
            self.command(*arguments),
            env={**os.environ, **_SBIN, **environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=170,
        )
        assert not (check and done.returncode), f"{arguments}: {done.stderr}"
        return done

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Starts a program; whoever does ends it."""
        return subprocess.Popen(
            self.command(*arguments),
            env={**os.environ, **_SBIN, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


def why_not() -> str:
    """Returns why there can be no such machines here, "" where there can."""
    if os.getuid():
        return "network namespaces need root"
    trial = "ip link add br0 type bridge && ip link add a0 type veth peer name a1 && mount -t tmpfs none /mnt"
    try:
        subprocess.run(
            ["unshare", "--net", "--mount", "sh", "-c", trial], env=_SBIN, capture_output=True, check=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"network namespaces are not to be had: {error}"
    return ""


@contextmanager
def machines(root: Path, names: Sequence[str]) -> Iterator[list[Machine]]:
    """Yields a machine for each name, which all of them resolve; ends them, and what still runs on them."""
    keepers: list[subprocess.Popen[bytes]] = []

    def namespace() -> int:
        command = ["unshare", "--net", "--mount", sys.executable, "-c", _SLEEP]
        keeper = subprocess.Popen(command, env=_SBIN)
        keepers.append(keeper)
        own = Path("/proc/self/ns/net").readlink()
        deadline = time.monotonic() + 10
        while Path(f"/proc/{keeper.pid}/ns/net").readlink() == own and time.monotonic() < deadline:
            time.sleep(0.01)
        return keeper.pid

    try:
        switch = namespace()
        _inside(switch, "ip link add br0 type bridge && ip link set br0 up")
        hosts = "127.0.0.1 localhost\n" + "".join(f"10.77.0.{n} {name}\n" for n, name in enumerate(names, start=1))
        made = []
        for number, name in enumerate(names, start=1):
            folder = root / name
            folder.mkdir(parents=True)
            (folder / "hosts").write_text(hosts)
            made.append(Machine(name, f"10.77.0.{number}", folder, namespace()))
        for number, machine in enumerate(made, start=1):
            keeper = machine._keeper
            _inside(switch, f"ip link add port{number} type veth peer name eth0 netns {keeper}")
            _inside(switch, f"ip link set port{number} master br0 up")
            hidden = [other.folder for other in made if other is not machine]
            steps = [
                f"mount --bind {shlex.quote(str(machine.folder / 'hosts'))} /etc/hosts",
                *(f"mount -t tmpfs none {shlex.quote(str(folder))}" for folder in hidden),
                f"ip address add {machine.address}/24 dev eth0",
                "ip link set lo up",
                "ip link set eth0 up",
            ]
            _inside(keeper, " && ".join(steps))
        yield made
    finally:
        for keeper in keepers:
            keeper.kill()
        for keeper in keepers:
            with suppress(subprocess.TimeoutExpired):
                keeper.wait(timeout=10)


def _inside(keeper: int, script: str) -> None:
    command = ["nsenter", "--target", str(keeper), "--net", "--mount", "--", "sh", "-euc", script]
    subprocess.run(command, env=_SBIN, capture_output=True, check=True, timeout=10)
