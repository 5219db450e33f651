"""A gRPC server that speaks the Gateway service in the test's own process, and fails on request."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from concurrent import futures

import grpc
from fabric_protos.common import common_pb2, ledger_pb2
from fabric_protos.gateway import gateway_pb2, gateway_pb2_grpc
from fabric_protos.peer import (
    chaincode_event_pb2,
    chaincode_pb2,
    events_pb2,
    events_pb2_grpc,
    proposal_response_pb2,
)

from fabric_fl.fabric import protoutil
from fabric_fl.gateway.rpc_status import METADATA_KEY, Status


class Failure:
    """A gRPC status to answer with; `after=True` lets the call take effect first, so that only the answer is lost."""

    def __init__(self, code, text="", details=(), *, after=False):
        self.code, self.text, self.details, self.after = code, text, details, after

    def abort(self, context):
        status = Status(code=self.code.value[0], message=self.text)
        for address, msp_id, message in self.details:
            detail = gateway_pb2.ErrorDetail(address=address, msp_id=msp_id, message=message)
            status.details.add(type_url="type.googleapis.com/gateway.ErrorDetail", value=detail.SerializeToString())
        if self.details:
            context.set_trailing_metadata(((METADATA_KEY, status.SerializeToString()),))
        context.abort(self.code, self.text)


class Events:
    """A stream to answer with: messages, then its end; `failure=None` keeps it open until the client leaves."""

    def __init__(self, *messages, failure=None, end=False):
        self.messages, self.failure, self.end = messages, failure, end


class GatewayServer(gateway_pb2_grpc.GatewayServicer, events_pb2_grpc.DeliverServicer):
    """Keeps every request; answers each from `script[method]` while that lasts, then by itself as one valid peer."""

    def __init__(self):
        self.requests = defaultdict(list)
        self.script = defaultdict(deque)
        self.transactions = []
        self.codes = {}
        self.answer = lambda args: b"result of " + b" ".join(args)
        self.stopped = threading.Event()
        self._server = None

    def start(self, port=0):
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=[("grpc.so_reuseport", 0)])
        gateway_pb2_grpc.add_GatewayServicer_to_server(self, self._server)
        events_pb2_grpc.add_DeliverServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()
        return self

    def stop(self):
        self.stopped.set()
        self._server.stop(0).wait()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def Evaluate(self, request, context):
        return self._play("Evaluate", request, context, self._evaluate)

    def Endorse(self, request, context):
        return self._play("Endorse", request, context, self._endorse)

    def Submit(self, request, context):
        return self._play("Submit", request, context, self._submit)

    def CommitStatus(self, request, context):
        return self._play("CommitStatus", request, context, self._commit_status)

    def ChaincodeEvents(self, request, context):
        parsed = gateway_pb2.ChaincodeEventsRequest.FromString(request.request)
        yield from self._stream("ChaincodeEvents", parsed, context)

    def Deliver(self, request_iterator, context):
        yield from self._stream("Deliver", next(request_iterator), context)

    def DeliverFiltered(self, request_iterator, context):
        yield from self._stream("DeliverFiltered", next(request_iterator), context)

    def _play(self, method, request, context, default):
        self.requests[method].append(request)
        step = self.script[method].popleft() if self.script[method] else None
        if isinstance(step, Failure):
            if step.after:
                default(request)
            step.abort(context)
        if callable(step):
            return step(request)
        return default(request)

    def _stream(self, method, request, context):
        self.requests[method].append(request)
        step = self.script[method].popleft() if self.script[method] else Events()
        yield from step.messages
        if step.failure is not None:
            step.failure.abort(context)
        while not step.end and context.is_active() and not self.stopped.wait(0.02):
            pass

    def _evaluate(self, request):
        proposal = protoutil.unpack_proposal(request.proposed_transaction.proposal_bytes)
        if proposal.chaincode == "qscc":
            payload = ledger_pb2.BlockchainInfo(height=len(self.transactions) + 1).SerializeToString()
        else:
            payload = self.answer(list(proposal.input.args))
        return gateway_pb2.EvaluateResponse(result=proposal_response_pb2.Response(status=200, payload=payload))

    def _endorse(self, request):
        proposal = protoutil.unpack_proposal(request.proposed_transaction.proposal_bytes)
        response = proposal_response_pb2.Response(status=200, payload=self.answer(list(proposal.input.args)))
        payload = protoutil.proposal_response_payload(
            proposal.hash, response, b"", b"", chaincode_pb2.ChaincodeID(name=proposal.chaincode)
        )
        endorsement = proposal_response_pb2.Endorsement(endorser=b"peer", signature=b"signature")
        envelope = protoutil.create_tx(
            proposal.proposal,
            [proposal_response_pb2.ProposalResponse(response=response, payload=payload, endorsement=endorsement)],
        )
        return gateway_pb2.EndorseResponse(prepared_transaction=envelope)

    def _submit(self, request):
        if request.transaction_id not in self.transactions:
            self.transactions.append(request.transaction_id)
        return gateway_pb2.SubmitResponse()

    def _commit_status(self, request):
        transaction_id = gateway_pb2.CommitStatusRequest.FromString(request.request).transaction_id
        return gateway_pb2.CommitStatusResponse(
            result=self.codes.get(transaction_id, 0), block_number=self.transactions.index(transaction_id) + 1
        )


def chaincode_events(block_number, *transaction_ids, name="happened", payload=b"", chaincode="kv"):
    return gateway_pb2.ChaincodeEventsResponse(
        block_number=block_number,
        events=[
            chaincode_event_pb2.ChaincodeEvent(chaincode_id=chaincode, tx_id=tx_id, event_name=name, payload=payload)
            for tx_id in transaction_ids
        ],
    )


def block(number):
    return events_pb2.DeliverResponse(block=common_pb2.Block(header=common_pb2.BlockHeader(number=number)))


def filtered_block(number):
    return events_pb2.DeliverResponse(filtered_block=events_pb2.FilteredBlock(number=number))


def deliver_status(status):
    return events_pb2.DeliverResponse(status=status)
