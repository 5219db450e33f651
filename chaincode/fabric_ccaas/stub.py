"""All that a rule sees of its transaction and of the ledger."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from fabric_protos.peer import chaincode_event_pb2, chaincode_pb2, chaincode_shim_pb2

from fabric_ccaas import keys
from fabric_ccaas.errors import InvalidArgumentError, PeerError
from fabric_ccaas.features import PeerFeatures
from fabric_ccaas.identity import ClientIdentity
from fabric_ccaas.message import ChaincodeMessage, Message
from fabric_ccaas.proposal import Proposal
from fabric_ccaas.query import KV, KeyModification, Page, Results, parse_page
from fabric_ccaas.response import Response
from fabric_ccaas.transaction import Transaction
from fabric_ccaas.unsupported import Unsupported
from fabric_ccaas.writes import WriteBuffer


class Stub(Unsupported):
    """A transaction's view of the ledger.

    Every read asks the peer and blocks until it answers; it sees what was committed, never what this
    transaction wrote. Writes are sent when the rule has returned success. All reads may raise `PeerError` and
    `StreamClosedError`; leave both uncaught.

    Attributes:
        channel_id: The channel.
        tx_id: The transaction's id.
        args: The arguments as the client sent them, the function's name first.
        is_init: Whether Fabric marks this as the first call of a definition with ``--init-required``.
    """

    def __init__(self, transaction: Transaction, message: Message, features: PeerFeatures) -> None:
        self.channel_id = transaction.channel_id
        self.tx_id = transaction.tx_id
        self.args: tuple[bytes, ...] = tuple(chaincode_pb2.ChaincodeInput.FromString(message.payload).args)
        self.is_init: bool = message.type == ChaincodeMessage.INIT
        self._transaction = transaction
        self._features = features
        self._signed_proposal = message.proposal
        self._writes = WriteBuffer()
        self._event: Message | None = None

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """The arguments as text, the function's name first.

        Raises:
            InvalidArgumentError: One is no UTF-8.
        """
        try:
            return tuple(argument.decode() for argument in self.args)
        except UnicodeDecodeError:
            raise InvalidArgumentError("an argument is no UTF-8") from None

    @cached_property
    def _proposal(self) -> Proposal:
        return Proposal.parse(self._signed_proposal)

    @property
    def creator(self) -> bytes:
        """The proposer's serialized identity."""
        return self._proposal.creator

    @cached_property
    def client_identity(self) -> ClientIdentity:
        """The proposer.

        Raises:
            InvalidArgumentError: The creator cannot be read.
        """
        return ClientIdentity.parse(self.creator)

    @property
    def timestamp(self) -> int:
        """When the client says it proposed, in nanoseconds since 1970.

        It may say anything: never decide by it (CVE-2024-45244).
        """
        return self._proposal.timestamp

    @property
    def transient(self) -> Mapping[str, bytes]:
        """What the client passed for the rule's eyes only."""
        return self._proposal.transient

    def get_state(self, key: str) -> bytes | None:
        """Read a key; None if nothing is committed under it."""
        request = chaincode_shim_pb2.GetState(key=keys.check_key(key))
        return self._ask(ChaincodeMessage.GET_STATE, request) or None

    def get_states(self, names: Sequence[str]) -> list[bytes | None]:
        """Read several keys, in as few requests as the peer allows.

        Returns:
            A value a key, in their order; None where nothing is committed.
        """
        names = [keys.check_key(name) for name in names]
        size = self._features.get_multiple
        if not size:
            return [self.get_state(name) for name in names]
        values: list[bytes | None] = []
        for start in range(0, len(names), size):
            values += self._get_multiple(names[start : start + size])
        return values

    def put_state(self, key: str, value: bytes) -> None:
        """Write a key when the rule succeeds.

        Raises:
            InvalidKeyError: The key could be taken for another.
            InvalidArgumentError: The value is empty, which Fabric would read as a deletion.
        """
        if not isinstance(value, bytes):
            raise InvalidArgumentError(f"a value is bytes, not {type(value).__name__}")
        if not value:
            raise InvalidArgumentError("an empty value would delete the key: call del_state for that")
        self._writes.put(keys.check_key(key), value)

    def del_state(self, key: str) -> None:
        """Delete a key when the rule succeeds."""
        self._writes.delete(keys.check_key(key))

    def get_state_by_range(self, start: str = "", end: str = "") -> Results[KV]:
        """Read the simple keys from `start` up to but without `end`, in the order of their bytes.

        An open end ("") means all of them; composite keys never appear.
        """
        return self._range(*keys.simple_range(start, end))

    def get_state_by_range_with_pagination(self, start: str, end: str, page_size: int, bookmark: str = "") -> Page:
        """Read a page of simple keys. Fabric refuses it in a transaction that writes."""
        return self._page(*keys.simple_range(start, end), page_size, bookmark)

    def create_composite_key(self, object_type: str, attributes: Sequence[str]) -> str:
        return keys.create_composite_key(object_type, attributes)

    def split_composite_key(self, key: str) -> tuple[str, list[str]]:
        return keys.split_composite_key(key)

    def get_state_by_partial_composite_key(self, object_type: str, attributes: Sequence[str] = ()) -> Results[KV]:
        """Read the composite keys whose first attributes are these."""
        return self._range(*keys.composite_range(object_type, attributes))

    def get_state_by_partial_composite_key_with_pagination(
        self, object_type: str, attributes: Sequence[str], page_size: int, bookmark: str = ""
    ) -> Page:
        """Read a page of composite keys. Fabric refuses it in a transaction that writes."""
        return self._page(*keys.composite_range(object_type, attributes), page_size, bookmark)

    def get_query_result(self, query: str) -> Results[KV]:
        """Run a rich query. Peers with LevelDB refuse it, and no peer protects it against phantoms."""
        request = chaincode_shim_pb2.GetQueryResult(query=query)
        return Results(self._transaction, self._ask(ChaincodeMessage.GET_QUERY_RESULT, request), KV.parse)

    def get_history_for_key(self, key: str) -> Results[KeyModification]:
        """Read every committed write to a key, newest first."""
        request = chaincode_shim_pb2.GetHistoryForKey(key=keys.check_key(key))
        payload = self._ask(ChaincodeMessage.GET_HISTORY_FOR_KEY, request)
        return Results(self._transaction, payload, KeyModification.parse)

    def invoke_chaincode(self, name: str, args: Sequence[bytes], channel: str = "") -> Response:
        """Call another chaincode within this transaction.

        Args:
            name: The other chaincode.
            args: Its arguments, the function's name first.
            channel: Where it lives; "" for this channel. On another channel it can only read.

        Returns:
            What it answered, refusals included.

        Raises:
            PeerError: The peer could not call it.
        """
        request = chaincode_pb2.ChaincodeSpec(
            chaincode_id=chaincode_pb2.ChaincodeID(name=f"{name}/{channel}" if channel else name),
            input=chaincode_pb2.ChaincodeInput(args=args),
        )
        answer = ChaincodeMessage.FromString(self._ask(ChaincodeMessage.INVOKE_CHAINCODE, request))
        if answer.type != ChaincodeMessage.COMPLETED:
            raise PeerError("INVOKE_CHAINCODE", answer.payload.decode(errors="replace"))
        return Response.parse(answer.payload)

    def set_event(self, name: str, payload: bytes = b"") -> None:
        """Attach the transaction's event. There is one: the last call wins."""
        if not name:
            raise InvalidArgumentError("an event's name may not be empty")
        self._event = chaincode_event_pb2.ChaincodeEvent(event_name=name, payload=payload)

    def finish(self) -> Message | None:
        """Send the writes. Called once, by the adapter, after the rule has returned success.

        Returns:
            The event, if one was set.
        """
        self._writes.flush(self._transaction, self._features)
        return self._event

    def _ask(self, message_type: int, request: Message) -> bytes:
        return self._transaction.request(message_type, request.SerializeToString())

    def _get_multiple(self, names: Sequence[str]) -> list[bytes | None]:
        payload = self._ask(ChaincodeMessage.GET_STATE_MULTIPLE, chaincode_shim_pb2.GetStateMultiple(keys=names))
        values = chaincode_shim_pb2.GetStateMultipleResult.FromString(payload).values
        if len(values) != len(names):
            raise PeerError("GET_STATE_MULTIPLE", f"{len(values)} values for {len(names)} keys")
        return [value or None for value in values]

    def _range(self, start: str, end: str) -> Results[KV]:
        request = chaincode_shim_pb2.GetStateByRange(startKey=start, endKey=end)
        return Results(self._transaction, self._ask(ChaincodeMessage.GET_STATE_BY_RANGE, request), KV.parse)

    def _page(self, start: str, end: str, page_size: int, bookmark: str) -> Page:
        if page_size < 1:
            raise InvalidArgumentError("a page holds at least one entry")
        if bookmark:
            keys.check_bookmark(bookmark, start, end)
        metadata = chaincode_shim_pb2.QueryMetadata(pageSize=page_size, bookmark=bookmark).SerializeToString()
        request = chaincode_shim_pb2.GetStateByRange(startKey=start, endKey=end, metadata=metadata)
        return parse_page(self._ask(ChaincodeMessage.GET_STATE_BY_RANGE, request))
