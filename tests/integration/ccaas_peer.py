"""A peer's half of the chaincode protocol, over a real socket, with a ledger of one dictionary.

It plays Fabric's peer as the adapter meets it: it dials, registers, offers batches or not, answers requests and
endorses nothing. What it is told to refuse, it answers with ERROR.
"""

import hashlib
import itertools
import queue
import threading
from dataclasses import dataclass, field

import grpc
from fabric_protos.common import common_pb2
from fabric_protos.ledger.queryresult import kv_query_result_pb2
from fabric_protos.msp import identities_pb2
from fabric_protos.peer import chaincode_pb2, chaincode_shim_pb2, chaincode_shim_pb2_grpc, proposal_pb2
from fabric_protos.peer import proposal_response_pb2 as response_pb2

M = chaincode_shim_pb2.ChaincodeMessage
MB100 = 100 * 1024 * 1024
BATCH = 100  # results a QueryResponse
_numbers = itertools.count()


@dataclass
class Outcome:
    """How a transaction ended, and what the peer saw of it."""

    status: int
    message: str
    payload: bytes
    event: object = None
    frames: list = field(default_factory=list)
    writes: dict = field(default_factory=dict)


class Running:
    def __init__(self):
        self.done = queue.SimpleQueue()
        self.frames = []
        self.writes = {}
        self.queries = {}

    def result(self, timeout=10):
        """Wait for COMPLETED.

        Raises:
            ConnectionError: The stream ended first.
        """
        message = self.done.get(timeout=timeout)
        if message is None:
            raise ConnectionError("the chaincode's stream ended")
        response = response_pb2.Response.FromString(message.payload)
        event = message.chaincode_event if message.HasField("chaincode_event") else None
        return Outcome(response.status, response.message, response.payload, event, self.frames, self.writes)


class Peer:
    """Context manager: dials the chaincode and is through the handshake when it returns."""

    def __init__(self, address, *, offer=None, state=None, credentials=None, options=(), ready=True):
        self.state = {} if state is None else state
        self.history = {}
        self.refuse = {}  # message type → the text of ERROR
        self.silent = set()  # message types that get no answer
        self.asked = threading.Event()  # one of them was asked
        self.limit = None  # ledger.state.totalQueryLimit: where a query ends without a word
        self.callees = {}  # chaincode name → function(spec) → ChaincodeMessage
        self.registered_as = None
        self.ended = threading.Event()
        self._offer = chaincode_pb2.ChaincodeAdditionalParams(**offer).SerializeToString() if offer else b""
        limits = [("grpc.max_receive_message_length", MB100), ("grpc.max_send_message_length", MB100), *options]
        self._channel = (
            grpc.secure_channel(address, credentials, limits) if credentials else grpc.insecure_channel(address, limits)
        )
        self.channel = self._channel
        self._outbox = queue.SimpleQueue()
        self._running = {}
        self._wait_ready = ready

    def __enter__(self):
        stream = self._connect()
        register = next(stream)
        assert register.type == M.REGISTER
        self.registered_as = chaincode_pb2.ChaincodeID.FromString(register.payload).name
        self._reader = threading.Thread(target=self._read, args=(stream,))
        self._reader.start()
        self.send(M(type=M.REGISTERED))
        if self._wait_ready:
            self.send(M(type=M.READY, payload=self._offer))
        return self

    def __exit__(self, *_):
        self._outbox.put(None)
        self._channel.close()
        self._reader.join()

    def attempt(self):
        """Connect, and hang up again.

        Raises:
            grpc.RpcError: The chaincode does not let this peer in.
        """
        try:
            next(self._connect())
        finally:
            self._outbox.put(None)
            self._channel.close()

    def _connect(self):
        return chaincode_shim_pb2_grpc.ChaincodeStub(self._channel).Connect(iter(self._outbox.get, None))

    def send(self, message):
        self._outbox.put(message)

    def begin(self, *args, kind=M.TRANSACTION, channel="ch", tx_id=None, creator=b"", transient=None, timestamp=0):
        """Send a transaction; ask its `Running` for the result."""
        arguments = [a.encode() if isinstance(a, str) else a for a in args]
        tx_id = tx_id or hashlib.sha256(b"%d" % next(_numbers)).hexdigest()
        chaincode_input = chaincode_pb2.ChaincodeInput(args=arguments).SerializeToString()
        proposal = signed_proposal(chaincode_input, channel, tx_id, creator, transient or {}, timestamp)
        running = self._running[channel, tx_id] = Running()
        self.send(M(type=kind, payload=chaincode_input, proposal=proposal, txid=tx_id, channel_id=channel))
        return running

    def transact(self, *args, timeout=10, **kwargs):
        """Run a transaction, and commit what it wrote if it succeeded."""
        outcome = self.begin(*args, **kwargs).result(timeout)
        if outcome.status < 400:
            for key, value in outcome.writes.items():
                if value is None:
                    self.state.pop(key, None)
                else:
                    self.state[key] = value
        return outcome

    def _read(self, stream):
        try:
            for message in stream:
                self._answer(message)
        except grpc.RpcError:
            pass
        self.ended.set()
        for running in self._running.values():
            running.done.put(None)

    def _answer(self, message):
        if message.type == M.KEEPALIVE:
            self._running["keepalive"].done.put(M(payload=response_pb2.Response(status=200).SerializeToString()))
            return
        running = self._running[message.channel_id, message.txid]
        running.frames.append(M.Type.Name(message.type))
        if message.type == M.COMPLETED:
            running.done.put(message)
            return
        if message.type in self.silent:
            self.asked.set()
            return
        kind, payload = M.RESPONSE, b""
        if message.type in self.refuse:
            kind, payload = M.ERROR, self.refuse[message.type].encode()
        else:
            payload = getattr(self, "_" + M.Type.Name(message.type).lower())(running, message.payload)
        self.send(M(type=kind, payload=payload, txid=message.txid, channel_id=message.channel_id))

    def ping(self):
        """Send KEEPALIVE and wait for the echo."""
        running = self._running["keepalive"] = Running()
        self.send(M(type=M.KEEPALIVE))
        return running.result(timeout=5).status

    def _get_state(self, _running, payload):
        return self.state.get(chaincode_shim_pb2.GetState.FromString(payload).key, b"")

    def _get_state_multiple(self, _running, payload):
        keys = chaincode_shim_pb2.GetStateMultiple.FromString(payload).keys
        values = [self.state.get(key, b"") for key in keys]
        return chaincode_shim_pb2.GetStateMultipleResult(values=values).SerializeToString()

    def _put_state(self, running, payload):
        put = chaincode_shim_pb2.PutState.FromString(payload)
        running.writes[put.key] = put.value
        return b""

    def _del_state(self, running, payload):
        running.writes[chaincode_shim_pb2.DelState.FromString(payload).key] = None
        return b""

    def _write_batch_state(self, running, payload):
        for record in chaincode_shim_pb2.WriteBatchState.FromString(payload).rec:
            running.writes[record.key] = record.value if record.type == record.PUT_STATE else None
        return b""

    def _get_state_by_range(self, running, payload):
        query = chaincode_shim_pb2.GetStateByRange.FromString(payload)
        metadata = chaincode_shim_pb2.QueryMetadata.FromString(query.metadata)
        start, end = (metadata.bookmark or query.startKey).encode(), query.endKey.encode()
        keys = sorted(k for k in self.state if k.encode() >= start and (not end or k.encode() < end))
        results = [kv_query_result_pb2.KV(key=key, value=self.state[key]) for key in keys]
        if not metadata.pageSize:
            return self._first_batch(running, results)
        page, rest = results[: metadata.pageSize], results[metadata.pageSize :]
        answer = chaincode_shim_pb2.QueryResponseMetadata(
            fetched_records_count=len(page), bookmark=rest[0].key if rest else ""
        )
        return query_response(page, metadata=answer.SerializeToString())

    def _get_history_for_key(self, running, payload):
        key = chaincode_shim_pb2.GetHistoryForKey.FromString(payload).key
        return self._first_batch(running, self.history.get(key, []))

    def _query_state_next(self, running, payload):
        return self._batch(running, chaincode_shim_pb2.QueryStateNext.FromString(payload).id)

    def _query_state_close(self, running, payload):
        query_id = chaincode_shim_pb2.QueryStateClose.FromString(payload).id
        del running.queries[query_id]
        return query_response([], query_id=query_id)

    def _invoke_chaincode(self, _running, payload):
        spec = chaincode_pb2.ChaincodeSpec.FromString(payload)
        return self.callees[spec.chaincode_id.name](spec).SerializeToString()

    def _first_batch(self, running, results):
        query_id = f"query-{len(running.queries)}"
        running.queries[query_id] = results[: self.limit]
        return self._batch(running, query_id)

    def _batch(self, running, query_id):
        results = running.queries.pop(query_id)
        batch, rest = results[:BATCH], results[BATCH:]
        if rest:
            running.queries[query_id] = rest
        return query_response(batch, query_id=query_id, has_more=bool(rest))


def query_response(results, query_id="", has_more=False, metadata=b""):
    packed = [chaincode_shim_pb2.QueryResultBytes(resultBytes=r.SerializeToString()) for r in results]
    response = chaincode_shim_pb2.QueryResponse(results=packed, has_more=has_more, id=query_id, metadata=metadata)
    return response.SerializeToString()


def signed_proposal(chaincode_input, channel, tx_id, creator, transient, timestamp):
    channel_header = common_pb2.ChannelHeader(channel_id=channel, tx_id=tx_id)
    channel_header.timestamp.seconds = timestamp
    header = common_pb2.Header(
        channel_header=channel_header.SerializeToString(),
        signature_header=common_pb2.SignatureHeader(creator=creator, nonce=b"n" * 24).SerializeToString(),
    )
    payload = proposal_pb2.ChaincodeProposalPayload(input=chaincode_input, TransientMap=transient)
    proposal = proposal_pb2.Proposal(header=header.SerializeToString(), payload=payload.SerializeToString())
    return proposal_pb2.SignedProposal(proposal_bytes=proposal.SerializeToString(), signature=b"s")


def creator_of(msp_id, certificate_pem):
    return identities_pb2.SerializedIdentity(mspid=msp_id, id_bytes=certificate_pem).SerializeToString()
