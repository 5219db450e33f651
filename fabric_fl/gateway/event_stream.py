"""A stream of events that outlives its connection."""

from __future__ import annotations

import logging
import random
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, Self, TypeVar

import grpc

from fabric_fl.gateway.client import GatewayClient, Stream, from_rpc
from fabric_fl.gateway.errors import EventsError

T = TypeVar("T")
logger = logging.getLogger(__name__)

# What a peer that stops, restarts or is cut off leaves behind; anything else would fail again in the same way.
TRANSIENT = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED})
FIRST_DELAY, LONGEST_DELAY = 0.1, 2.0  # seconds
# A stream that lasted this long worked, even if there was nothing to tell: its end is a new failure.
WORKED_AFTER = 60.0  # seconds


class EventStream(Generic[T]):
    """An iterator over events, to be closed when no longer needed: by `with`, or from another thread.

    A stream that the connection or the peer breaks is opened again behind the last event that was returned, so that
    the reader neither misses nor repeats one.

    Args:
        client: Owner of the connection; closing it closes the stream.
        start: Opens the stream behind the last event that was returned.
        read: Turns one message into the events it holds.
        advance: Told of each event as it is returned.
        resume: Whether to open again after a break.
    """

    def __init__(
        self,
        client: GatewayClient,
        start: Callable[[], Stream],
        read: Callable[[Any], Iterable[T]],
        advance: Callable[[T], None],
        *,
        resume: bool,
    ) -> None:
        self._start, self._read, self._advance = start, read, advance
        self._patience = client.timeouts.resume if resume else 0.0
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._pending: deque[T] = deque()
        self._stream: Stream | None = None
        self._messages: Any = None
        self._failing_since: float | None = None
        self._delay = FIRST_DELAY
        self._opened_at = time.monotonic()
        client.register(self)
        self._open()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while not self._closed.is_set():
            if self._pending:
                event = self._pending.popleft()
                self._advance(event)
                return event
            try:
                self._pending.extend(self._read(next(self._messages)))
            except StopIteration:
                self._recover(EventsError("the peer ended the stream", grpc_code=grpc.StatusCode.UNAVAILABLE))
            except grpc.RpcError as error:
                self._recover(from_rpc(error, EventsError))
            except EventsError as error:
                self._recover(error)
            else:
                self._failing_since = None
        raise StopIteration

    def close(self) -> None:
        """End the stream; an iteration that waits in another thread ends too."""
        with self._lock:
            self._closed.set()
            if self._stream is not None:
                self._stream.cancel()

    def _open(self) -> None:
        with self._lock:
            if not self._closed.is_set():
                if self._stream is not None:
                    self._stream.cancel()  # a peer may say that it goes and leave the stream open
                self._stream = self._start()
                self._messages = iter(self._stream)
                self._opened_at = time.monotonic()

    def _recover(self, error: EventsError) -> None:
        if self._closed.is_set():
            return
        now = time.monotonic()
        if self._failing_since is None or now - self._opened_at > WORKED_AFTER:
            self._failing_since, self._delay = now, FIRST_DELAY
        if error.grpc_code not in TRANSIENT or now - self._failing_since >= self._patience:
            self.close()
            raise error
        logger.info("stream of events broken, opening it again in %.1f s: %s", self._delay, error)
        self._closed.wait(self._delay * random.uniform(0.5, 1.0))  # noqa: S311 -- spreads readers, guards nothing
        self._delay = min(2 * self._delay, LONGEST_DELAY)
        self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.close()
