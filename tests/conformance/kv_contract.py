"""A chaincode that does one thing of Fabric's each, for the conformance suite. Run it: it serves itself.

Functions take and return text; lists come back as JSON. What it may not do is answered with a status of 400.
"""

import json
import logging
import os
import secrets

from fabric_ccaas import Response, ServerConfig, Stub, serve


class KeyValues:
    """The functions, by name."""

    def invoke(self, stub: Stub) -> Response:
        name, *args = stub.parameters
        function = getattr(self, f"do_{name}", None)
        if function is None:
            return Response.refusal(f"there is no function {name}")
        answer = function(stub, *args)
        return answer if isinstance(answer, Response) else Response.success(answer or b"")

    # One key

    def do_Put(self, stub, key, value):
        stub.put_state(key, value.encode())

    def do_Get(self, stub, key):
        value = stub.get_state(key)
        return Response.refusal(f"there is no {key}", 404) if value is None else value

    def do_Delete(self, stub, key):
        stub.del_state(key)

    def do_Swap(self, stub, key, value):
        """Write, then read: the answer is what was there before."""
        stub.put_state(key, value.encode())
        return stub.get_state(key) or b"nothing"

    def do_Increment(self, stub, key):
        number = int(stub.get_state(key) or b"0") + 1
        stub.put_state(key, b"%d" % number)
        return b"%d" % number

    def do_CreateOnce(self, stub, key, value):
        if stub.get_state(key) is not None:
            return Response.refusal(f"there is a {key}", 409)
        stub.put_state(key, value.encode())
        return None

    def do_Touch(self, stub, key):
        """Read and write nothing."""
        stub.get_state(key)

    def do_History(self, stub, key):
        changes = [
            {"tx": change.tx_id, "value": change.value.decode(), "deleted": change.is_delete, "time": change.timestamp}
            for change in stub.get_history_for_key(key)
        ]
        return json.dumps(changes).encode()

    # Many keys

    def do_PutMany(self, stub, prefix, first, count):
        """Write prefix00000first and so on: as many keys, each with its own name as value."""
        for number in range(int(first), int(first) + int(count)):
            key = f"{prefix}{number:05d}"
            stub.put_state(key, key.encode())

    def do_GetMany(self, stub, *keys):
        return json.dumps([value and value.decode() for value in stub.get_states(keys)]).encode()

    def do_Range(self, stub, start, end):
        return json.dumps([entry.key for entry in stub.get_state_by_range(start, end)]).encode()

    def do_CountInto(self, stub, start, end, target):
        """Read a range to its end and write how long it is."""
        count = sum(1 for _ in stub.get_state_by_range(start, end))
        stub.put_state(target, b"%d" % count)
        return b"%d" % count

    def do_FirstInto(self, stub, start, end, target):
        """Read no more of a range than its first batch."""
        entry = next(stub.get_state_by_range(start, end))
        stub.put_state(target, entry.key.encode())

    def do_Page(self, stub, start, end, size, bookmark):
        page = stub.get_state_by_range_with_pagination(start, end, int(size), bookmark)
        return json.dumps({"keys": [entry.key for entry in page.results], "bookmark": page.bookmark}).encode()

    def do_PageThenPut(self, stub, start, end, size, target):
        page = stub.get_state_by_range_with_pagination(start, end, int(size))
        stub.put_state(target, b"%d" % len(page.results))

    def do_PutPair(self, stub, kind, first, second):
        key = stub.create_composite_key(kind, [first, second])
        stub.put_state(key, b"pair")

    def do_Pairs(self, stub, kind, *attributes):
        found = stub.get_state_by_partial_composite_key(kind, attributes)
        return json.dumps([stub.split_composite_key(entry.key)[1] for entry in found]).encode()

    def do_RichQuery(self, stub, query):
        return json.dumps([entry.key for entry in stub.get_query_result(query)]).encode()

    # The transaction itself

    def do_Emit(self, stub, *names):
        """Set an event of each name, one after the other, with the name as payload; write its last name."""
        for name in names:
            stub.set_event(name, name.encode())
        stub.put_state("emitted", names[-1].encode())

    def do_EmitReading(self, stub, name, key):
        stub.get_state(key)
        stub.put_state(key, name.encode())
        stub.set_event(name, b"")

    def do_Secret(self, stub, name):
        return stub.transient.get(name, b"nothing")

    def do_Caller(self, stub):
        return stub.client_identity.msp_id.encode()

    def do_About(self, stub):
        about = {"tx": stub.tx_id, "channel": stub.channel_id, "time": stub.timestamp}
        return json.dumps(about).encode()

    def do_Refuse(self, stub, status, message):
        return Response.refusal(message, int(status))

    def do_RefuseAfterPut(self, stub, key):
        stub.put_state(key, b"never")
        return Response.refusal("changed my mind")

    def do_Raise(self, stub):
        raise RuntimeError("a secret that no client may see")

    def do_Random(self, stub):
        """What no two peers agree about."""
        stub.put_state("random", secrets.token_bytes(8))

    def do_Echo(self, stub, text):
        return text.encode()

    def do_Fill(self, stub, size):
        return b"x" * int(size)

    def do_Bytes(self, stub, key):
        """Write all 256 bytes and return their number."""
        stub.put_state(key, bytes(range(256)))
        return b"256"

    def do_GetBytes(self, stub, key):
        return stub.get_state(key)

    # Another chaincode

    def do_Call(self, stub, chaincode, *args):
        answer = stub.invoke_chaincode(chaincode, [arg.encode() for arg in args])
        return Response(answer.status, answer.message, answer.payload)

    def do_CallAndPut(self, stub, chaincode, key, value, *args):
        """Write here, and have another chaincode do something in the same transaction."""
        stub.put_state(key, value.encode())
        answer = stub.invoke_chaincode(chaincode, [arg.encode() for arg in args])
        stub.set_event("outer", b"outer")
        return Response(answer.status, answer.message, answer.payload)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    serve(KeyValues(), ServerConfig.from_env(os.environ))
