"""Which ports are free."""

from __future__ import annotations

import errno
import random
import socket
from contextlib import ExitStack, closing

# Below the range from which Linux takes the ports of outgoing connections: a network that restarts finds its own free.
_RANGE = range(15_000, 32_000)


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

    Raises:
        OSError: There are not so many.
    """
    found: list[int] = []
    with ExitStack() as held:
        for port in random.SystemRandom().sample(_RANGE, len(_RANGE)):
            if len(found) == count:
                return found
            probe = held.enter_context(closing(socket.socket()))
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    raise OSError(f"{count} free ports were asked for and {len(found)} found")
