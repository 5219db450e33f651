"""Proposals, transactions and requests made by hand, so that any part of them can be made wrong."""

from __future__ import annotations

import time

from fabric_network import CHANNEL, MAJORITY
from fabric_protos.common import common_pb2
from fabric_protos.gateway import gateway_pb2
from fabric_protos.ledger.rwset import rwset_pb2
from fabric_protos.ledger.rwset.kvrwset import kv_rwset_pb2
from fabric_protos.orderer import ab_pb2
from fabric_protos.peer import proposal_pb2, proposal_response_pb2, transaction_pb2

from fabric_fl.fabric import protoutil


class Invocation:
    """A proposal of one identity, endorsed at peers of the test's choice and assembled without a gateway."""

    def __init__(self, network, function, *args, chaincode=MAJORITY, identity=None, channel=CHANNEL, **options):
        self.network = network
        self.identity = identity or network.organisations[0].identity
        self.proposal, self.tx_id = protoutil.create_chaincode_proposal(
            channel, chaincode, [function, *args], self.identity.serialize(), **options
        )

    def signed_proposal(self):
        return protoutil.sign_proposal(self.proposal, self.identity)

    def process(self, organisation):
        """Have one peer execute it; whatever it answers."""
        return organisation.endorser_stub.ProcessProposal(self.signed_proposal(), timeout=15)

    def endorse(self, organisations=None):
        """Return each organisation's response; a majority's by default."""
        return [self.process(each) for each in organisations or self.network.majority]

    def transaction(self, organisations=None):
        """Return the unsigned envelope; peers that are a block apart are given time to agree."""
        for _ in range(50):
            try:
                return protoutil.create_tx(self.proposal, self.endorse(organisations))
            except protoutil.EndorsementMismatch:
                time.sleep(0.05)
        raise AssertionError("the peers do not come to the same result")

    def submit(self, envelope=None, organisations=None):
        """Sign, hand to the gateway and return the name of the validation code."""
        envelope = self.transaction(organisations) if envelope is None else envelope
        return submit(self.network, protoutil.sign_envelope(envelope, self.identity), self.tx_id)


def submit(network, envelope, tx_id):
    """Hand a signed envelope to the gateway and return the name of the transaction's validation code."""
    send(network, envelope, tx_id)
    return network.organisations[0].network.commit(tx_id).status(timeout=20).name


def send(network, envelope, tx_id=""):
    request = gateway_pb2.SubmitRequest(transaction_id=tx_id, channel_id=CHANNEL, prepared_transaction=envelope)
    return network.organisations[0].gateway_stub.Submit(request, timeout=15)


def broadcast(network, envelope):
    """Hand an envelope to the orderer itself and return its answer."""
    return next(iter(network.orderer_stub.Broadcast(iter([envelope]), timeout=30)))


class Layers:
    """A transaction taken apart: change the parts, then `seal` puts it together again."""

    def __init__(self, envelope):
        self.payload = common_pb2.Payload.FromString(envelope.payload)
        self.channel_header = common_pb2.ChannelHeader.FromString(self.payload.header.channel_header)
        self.signature_header = common_pb2.SignatureHeader.FromString(self.payload.header.signature_header)
        self.transaction = transaction_pb2.Transaction.FromString(self.payload.data)
        self.action = transaction_pb2.ChaincodeActionPayload.FromString(self.transaction.actions[0].payload)
        self.response = proposal_response_pb2.ProposalResponsePayload.FromString(
            self.action.action.proposal_response_payload
        )
        self.chaincode_action = proposal_pb2.ChaincodeAction.FromString(self.response.extension)
        self.rwset = rwset_pb2.TxReadWriteSet.FromString(self.chaincode_action.results)

    def namespace(self, name=MAJORITY):
        """Return one chaincode's reads and writes; `put_namespace` writes them back."""
        found = next(each for each in self.rwset.ns_rwset if each.namespace == name)
        return kv_rwset_pb2.KVRWSet.FromString(found.rwset)

    def put_namespace(self, rwset, name=MAJORITY):
        found = next((each for each in self.rwset.ns_rwset if each.namespace == name), None)
        found = found or self.rwset.ns_rwset.add(namespace=name)
        found.rwset = rwset.SerializeToString()
        self.chaincode_action.results = self.rwset.SerializeToString()

    def seal_response(self, endorsers=()):
        """Encode everything below the action; endorse the result anew with these identities, if any."""
        self.response.extension = self.chaincode_action.SerializeToString()
        payload = self.response.SerializeToString()
        self.action.action.proposal_response_payload = payload
        if endorsers:
            del self.action.action.endorsements[:]
            self.action.action.endorsements.extend(protoutil.endorse(payload, each) for each in endorsers)
        self.seal_action()

    def seal_action(self):
        self.transaction.actions[0].payload = self.action.SerializeToString()
        self.seal_transaction()

    def seal_transaction(self):
        self.payload.data = self.transaction.SerializeToString()

    def seal_header(self):
        self.payload.header.channel_header = self.channel_header.SerializeToString()
        self.payload.header.signature_header = self.signature_header.SerializeToString()

    def seal_proposal_hash(self):
        """Make the endorsed result say that it is of this proposal, as endorsers who conspire could."""
        header = self.payload.header
        self.response.proposal_hash = protoutil.transaction_proposal_hash(
            header.channel_header, header.signature_header, self.action.chaincode_proposal_payload
        )
        self.seal_response()

    def envelope(self):
        return common_pb2.Envelope(payload=self.payload.SerializeToString())


def seek(organisation, start, stop, *, channel=CHANNEL, identity=None, **options):
    """Ask a peer for blocks; return each message as ("block", …) or ("status", name), to the end of the stream."""
    envelope = protoutil.seek_envelope(channel, identity or organisation.identity, start, stop, **options)
    return deliver(organisation.deliver_stub.Deliver, envelope)


def deliver(method, *envelopes):
    messages = []
    for response in method(iter(envelopes), timeout=15):
        kind = response.WhichOneof("Type")
        messages.append((kind, common_pb2.Status.Name(response.status) if kind == "status" else response.block))
    return messages


def specified(number):
    return ab_pb2.SeekPosition(specified=ab_pb2.SeekSpecified(number=number))
