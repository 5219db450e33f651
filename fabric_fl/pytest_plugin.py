"""A devnet for anybody's tests: pytest finds this plugin by itself, and a test starts a network in one line.

::

    def test_my_chaincode(fabric_devnet):
        network = fabric_devnet(chaincode="assets", command=["python", "assets.py"])
        with network.gateway("org1") as gateway:
            gateway.network("fl").contract("assets").submit("Create", "a1")
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from fabric_fl.testing import Network

_PAUSE = 0.1
"""Seconds in which a main thread that hears for itself has reacted."""


@pytest.fixture(scope="session")
def fabric_devnet() -> Iterator[Callable[..., Network]]:
    """Returns what starts a `fabric_fl.testing.Network`, the same for equal arguments; all end with the session."""
    from fabric_fl.testing import Network  # not before somebody wants one: every pytest run here loads this module

    networks: dict[str, Network] = {}
    with ExitStack() as stack:
        stack.enter_context(sigterm_interrupts())

        def start(**arguments: Any) -> Network:
            key = repr(sorted(arguments.items()))
            if key not in networks:
                networks[key] = stack.enter_context(Network(**arguments))
            return networks[key]

        yield start


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Lets SIGTERM end a session as Ctrl-C does, meanwhile: what was started is ended, where pytest would just die."""
    main = threading.main_thread()
    if threading.current_thread() is not main:  # some runners; only the main thread hears of signals
        yield
        return

    def interrupt(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # whoever insists must not disturb the cleaning up
        raise KeyboardInterrupt

    def wake() -> None:
        # The system may hand the signal to a thread of gRPC's, and then nothing wakes a main thread that waits.
        while number := heard.recv(1):
            if number[0] == signal.SIGTERM and main.ident is not None:
                time.sleep(_PAUSE)
                signal.pthread_kill(main.ident, signal.SIGTERM)

    heard, said = socket.socketpair()
    said.setblocking(False)
    before = signal.signal(signal.SIGTERM, interrupt)
    wakeup_before = signal.set_wakeup_fd(said.fileno(), warn_on_full_buffer=False)
    waker = threading.Thread(target=wake, daemon=True)
    waker.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup_before)
        said.close()
        waker.join()
        heard.close()
        signal.signal(signal.SIGTERM, before)
