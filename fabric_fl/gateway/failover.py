"""Several peers of one organisation behind one connection."""

from __future__ import annotations

import logging
import threading
import time
import types
from collections.abc import Callable, Sequence
from typing import Any, Self

import grpc

logger = logging.getLogger(__name__)


class FailoverChannel(grpc.Channel):  # type: ignore[misc]  # grpc is untyped
    """A connection that goes on to the next peer when the present one is unavailable.

    A call of one answer is repeated at the next peer at once, within its time limit. This is safe for every gateway
    call: proposals and queries change nothing, and of a transaction that arrives twice only the first copy can be
    valid. A stream that breaks begins at the next peer when its reader opens it again.

    Args:
        channels: One for each peer, in order of preference. They are lent: the caller closes them.
    """

    def __init__(self, channels: Sequence[grpc.Channel]) -> None:
        if not channels:
            raise ValueError("fail-over needs at least one channel")
        self._channels = tuple(channels)
        self._current = 0
        self._lock = threading.Lock()

    def unary_unary(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        calls = [channel.unary_unary(method, *args, **kwargs) for channel in self._channels]

        def call(request: Any, timeout: float | None = None, **options: Any) -> Any:
            deadline = None if timeout is None else time.monotonic() + timeout
            first = self._current
            for attempt in range(len(calls)):
                index = (first + attempt) % len(calls)
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                try:
                    return calls[index](request, timeout=left, **options)
                except grpc.RpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    self._leave(index)
                    if attempt == len(calls) - 1:
                        raise
            raise AssertionError("a loop over at least one channel returns or raises")

        return call

    def unary_stream(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        return self._stream([channel.unary_stream(method, *args, **kwargs) for channel in self._channels])

    def stream_unary(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        return self._stream([channel.stream_unary(method, *args, **kwargs) for channel in self._channels])

    def stream_stream(self, method: str, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        return self._stream([channel.stream_stream(method, *args, **kwargs) for channel in self._channels])

    def subscribe(self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool = False) -> None:
        for channel in self._channels:
            channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        for channel in self._channels:
            channel.unsubscribe(callback)

    def close(self) -> None:
        """Do nothing: the channels belong to the caller."""

    def _stream(self, calls: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
        def call(request: Any, **options: Any) -> Any:
            index = self._current
            stream = calls[index](request, **options)
            stream.add_done_callback(lambda ended: self._ended(index, ended))
            return stream

        return call

    def _ended(self, index: int, stream: Any) -> None:
        if stream.code() is grpc.StatusCode.UNAVAILABLE:
            self._leave(index)

    def _leave(self, index: int) -> None:
        with self._lock:
            if self._current == index and len(self._channels) > 1:
                self._current = (index + 1) % len(self._channels)
                logger.info(
                    "gateway peer %d of %d is unavailable, going on to the next", index + 1, len(self._channels)
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        self.close()
