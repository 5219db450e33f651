"""The chaincode that the adapter's tests drive: one function for each thing that may happen to a rule.

Run with a JSON object of `ServerConfig` fields to replace, as '{"max_in_flight":1}'.
"""

import json
import logging
import os
import sys
import time
from dataclasses import replace

from fabric_ccaas import PeerError, Response, ServerConfig, Stub, serve


class Functions:
    def invoke(self, stub: Stub) -> Response:
        function = getattr(self, stub.args[0].decode())
        result = function(stub, *stub.args[1:])
        return result if isinstance(result, Response) else Response.success(json.dumps(result).encode())

    def get(self, stub, key):
        value = stub.get_state(key.decode())
        return None if value is None else value.decode()

    def put(self, stub, key, value=b"1"):
        stub.put_state(key.decode(), value)

    def delete(self, stub, key):
        stub.del_state(key.decode())

    def copy(self, stub, source, target):
        stub.put_state(target.decode(), stub.get_state(source.decode()) or b"missing")

    def put_many(self, stub, count, size=b"1"):
        for number in range(int(count)):
            stub.put_state(f"k{number:06}", b"x" * int(size))

    def put_then_refuse(self, stub, key):
        stub.put_state(key.decode(), b"1")
        stub.set_event("never")
        return Response.refusal("no", 400)

    def put_swallowing(self, stub, key):
        try:
            stub.put_state(key.decode(), b"1")
        except PeerError:
            return "swallowed"
        return "put"

    def get_many(self, stub, count):
        return [value and value.decode() for value in stub.get_states([f"k{n:06}" for n in range(int(count))])]

    def own_write(self, stub, key):
        stub.put_state(key.decode(), b"new")
        return stub.get_state(key.decode()).decode()

    def range(self, stub, start, end):
        return [kv.key for kv in stub.get_state_by_range(start.decode(), end.decode())]

    def first_of_range(self, stub):
        with stub.get_state_by_range() as results:
            return next(results).key

    def page(self, stub, start, end, size, bookmark):
        page = stub.get_state_by_range_with_pagination(start.decode(), end.decode(), int(size), bookmark.decode())
        return [[kv.key for kv in page.results], page.bookmark]

    def put_composite(self, stub, *parts):
        kind, *attributes = (part.decode() for part in parts)
        stub.put_state(stub.create_composite_key(kind, attributes), b"1")

    def partial(self, stub, *parts):
        kind, *attributes = (part.decode() for part in parts)
        found = stub.get_state_by_partial_composite_key(kind, attributes)
        return [stub.split_composite_key(kv.key)[1] for kv in found]

    def history(self, stub, key):
        return [[m.tx_id, m.value.decode(), m.timestamp, m.is_delete] for m in stub.get_history_for_key(key.decode())]

    def query(self, stub, selector):
        return [kv.key for kv in stub.get_query_result(selector.decode())]

    def two_events(self, stub):
        stub.set_event("first", b"1")
        stub.set_event("last", b"2")

    def call(self, stub, name, channel, *args):
        response = stub.invoke_chaincode(name.decode(), args, channel.decode())
        return [response.status, response.message, response.payload.decode()]

    def who(self, stub):
        identity = stub.client_identity
        return [identity.msp_id, identity.common_name, identity.attributes]

    def transient(self, stub):
        return {key: value.decode() for key, value in stub.transient.items()}

    def describe(self, stub):
        return [stub.channel_id, stub.tx_id, stub.timestamp, stub.is_init]

    def texts(self, stub, *_):
        return list(stub.parameters)

    def length(self, _stub, argument):
        return len(argument)

    def large(self, _stub, size):
        return Response.success(b"x" * int(size))

    def unsupported(self, stub, method):
        getattr(stub, method.decode())("collection", "key")

    def sleep(self, _stub, seconds):
        time.sleep(float(seconds))

    def sleep_then_get(self, stub, seconds, key):
        time.sleep(float(seconds))
        return self.get(stub, key)

    def fail(self, stub, secret):
        stub.put_state("never", b"1")
        raise ValueError(f"this quotes {secret.decode()}")

    def fail_twice(self, _stub, secret):
        try:
            {}[secret]
        except KeyError as error:
            raise RuntimeError(secret) from error

    def exit(self, _stub):
        sys.exit(1)

    def surrogate(self, _stub):
        return Response.refusal("no \ud800")

    def nothing(self, _stub):
        return Response(status="ok")


class Nothing:
    """A chaincode that forgot to answer."""

    def invoke(self, _stub: Stub) -> None:
        return None


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    overrides = json.loads(sys.argv[1])
    chaincode = Nothing() if overrides.pop("nothing", False) else Functions()
    serve(chaincode, replace(ServerConfig.from_env(os.environ), **overrides))
