"""One transaction's conversation with its peer: a request, its answer, the next request."""

import functools
import queue
import threading
from collections.abc import Callable

from fabric_ccaas.errors import InvalidArgumentError, PeerError, StreamClosedError
from fabric_ccaas.message import MAX_PAYLOAD_BYTES, ChaincodeMessage, Message, type_name


class _Answer:
    """What the peer says to a request, once it has; None when its stream has ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.reply: Message | None = None


class Transaction:
    """The rule's end of a transaction. `request` blocks the rule's thread; the stream's reader calls `deliver`.

    Args:
        send: Takes a message to the peer, from any thread.
        reply_timeout: How long to wait for an answer, in seconds.
    """

    def __init__(self, channel_id: str, tx_id: str, send: Callable[[Message], None], reply_timeout: float) -> None:
        self.channel_id = channel_id
        self.tx_id = tx_id
        self._send = send
        self._reply_timeout = reply_timeout
        self._replies: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._asking = threading.Lock()  # a peer drops a second request of a transaction that awaits an answer
        self._awaited: _Answer | None = None
        self._over = ""

    @property
    def is_over(self) -> bool:
        return bool(self._over)

    def request(self, message_type: int, payload: bytes) -> bytes:
        """Ask the peer and return the payload of its answer.

        Raises:
            PeerError: It answered ERROR.
            StreamClosedError: Its stream ended, it did not answer in time, or the transaction is over.
            InvalidArgumentError: The request is larger than a message may be.
        """
        return self.begin(message_type, payload)()

    def begin(self, message_type: int, payload: bytes) -> Callable[[], bytes]:
        """Ask the peer, and return what waits for its answer; any other request will wait for that, too.

        Raises, and the answer raises: as `request`.
        """
        name = type_name(message_type)
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise InvalidArgumentError(f"{name} of {len(payload)} bytes is larger than a message may be")
        answer = _Answer(name)
        with self._asking:
            self._receive()
            if self._over:
                raise StreamClosedError(self._over)
            self._send(self._message(message_type, payload))
            self._awaited = answer
        return functools.partial(self._payload, answer)

    def _payload(self, answer: _Answer) -> bytes:
        with self._asking:
            if self._awaited is answer:
                self._receive()
        reply = answer.reply
        if reply is None:
            raise StreamClosedError(self._over)
        if reply.type == ChaincodeMessage.ERROR:
            raise PeerError(answer.name, reply.payload.decode(errors="replace"))
        payload: bytes = reply.payload
        return payload

    def _receive(self) -> None:
        """Wait for the answer that is still to come, if there is one."""
        answer, self._awaited = self._awaited, None
        if answer is None:
            return
        try:
            answer.reply = self._replies.get(timeout=self._reply_timeout)
        except queue.Empty:
            # What comes later would be taken for the answer to the next request.
            self._over = f"the peer did not answer {answer.name} within {self._reply_timeout:g} s"

    def complete(self, response: bytes, event: Message | None) -> None:
        """Send a serialized response as the transaction's last message."""
        self._over = "the transaction is over"
        message = self._message(ChaincodeMessage.COMPLETED, response)
        if event is not None:
            message.chaincode_event.CopyFrom(event)
        self._send(message)

    def deliver(self, reply: Message) -> None:
        """Hand over an answer of the peer, RESPONSE or ERROR."""
        self._replies.put(reply)

    def close(self) -> None:
        """Fail the request that waits, and those to come: the stream ended."""
        self._over = self._over or "the peer's stream ended"
        self._replies.put(None)

    def _message(self, message_type: int, payload: bytes) -> Message:
        return ChaincodeMessage(type=message_type, payload=payload, txid=self.tx_id, channel_id=self.channel_id)
