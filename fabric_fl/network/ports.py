"""Which ports are free."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

from fabric_fl.network.private import private_directory

# Below the range from which Linux takes the ports of outgoing connections: a network that restarts finds its own free.
_RANGE = range(15_000, 32_000)

# In which a command that ends has started the servers that it chose the ports for.
_PROMISED_S = 60.0


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there; an address of another machine counts as free."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return True
    return all(_can_listen(family, address) for family, *_, address in addresses)


def _can_listen(family: socket.AddressFamily, address: tuple[object, ...]) -> bool:
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        # a server of ours that has just ended leaves connections in TIME_WAIT: they keep nobody from listening
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            return error.errno not in (errno.EADDRINUSE, errno.EACCES)
    return True


def free_ports(count: int) -> list[int]:
    """Returns `count` different free ports of the loopback interface.

    Nobody listens on them before the caller's servers do, so they are promised: no other process of this user is
    given them as long as this one lives, and for a minute in any case.

    Raises:
        OSError: There are not so many.
        NetworkError: What was promised cannot be written down: see `private_directory`.
    """
    if not count:
        return []
    found: list[int] = []
    with _promises() as promises, ExitStack() as held:
        others = {port for port, (pid, _) in promises.items() if pid != os.getpid()}
        for port in random.SystemRandom().sample(_RANGE, len(_RANGE)):
            if len(found) == count:
                break
            if port in others:
                continue
            probe = held.enter_context(closing(socket.socket()))
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
        if len(found) < count:
            raise OSError(f"{count} free ports were asked for and {len(found)} found")
        promises.update(dict.fromkeys(found, (os.getpid(), time.time())))
    return found


@contextmanager
def _promises() -> Iterator[dict[int, tuple[int, float]]]:
    """Which process was given which port, and when: the promises that hold, to be added to, for one at a time."""
    with (private_directory() / "ports.json").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        written = file.read()
        try:
            records = json.loads(written)
        except ValueError:  # its writer was killed, or nobody has written yet
            records = []
        promises = {port: (pid, at) for port, pid, at in records if time.time() - at < _PROMISED_S or _lives(pid)}
        yield promises
        file.truncate(0)
        json.dump([(port, pid, at) for port, (pid, at) in promises.items()], file)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):  # another user's: the number has been given again
        return False
    return True
