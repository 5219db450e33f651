"""How many transactions a process takes on, and when it takes no more."""

import asyncio


class Admission:
    """Counts the transactions in flight over all streams. Used on the event loop only."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._in_flight = 0
        self._closed = False
        self._idle = asyncio.Event()
        self._idle.set()

    def enter(self) -> str:
        """Admit a transaction and return "", or return why it is refused."""
        if self._closed:
            return "the chaincode is shutting down"
        if self._in_flight >= self._limit:
            return f"the chaincode is busy with {self._limit} transactions"
        self._in_flight += 1
        self._idle.clear()
        return ""

    def leave(self) -> None:
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    async def drain(self, timeout: float) -> bool:  # noqa: ASYNC109 - the caller wants to know, not to be cancelled
        """Admit nothing more and wait for what runs, at most `timeout` seconds.

        Returns:
            Whether everything has ended.
        """
        self._closed = True
        try:
            await asyncio.wait_for(self._idle.wait(), timeout)
        except TimeoutError:
            return False
        return True
