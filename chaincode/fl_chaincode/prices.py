"""Price lists: what an organisation that offers compute takes for one unit of each service, in tokens."""

from collections.abc import Mapping
from dataclasses import dataclass

from fl_chaincode import args, repetition
from fl_chaincode.args import Fields, between, line
from fl_chaincode.caller import Caller
from fl_chaincode.canonical import MAX_INTEGER
from fl_chaincode.errors import FLError
from fl_chaincode.records import PriceList, Publication
from fl_chaincode.state import Points, Reader, Writer


@dataclass(frozen=True)
class PriceRequest:
    """The argument of prices:Publish: ``{"request_id","services":{name:int},"description"?}``."""

    request_id: str
    services: Mapping[str, int]
    description: str


def price_request(what: str, text: str) -> PriceRequest:
    with Fields.of(what, text) as fields:
        return PriceRequest(
            request_id=fields.take("request_id", args.identifier),
            services=fields.mapping("services", args.identifier, between(1, MAX_INTEGER)),
            description=fields.take("description", line(1000)) if "description" in fields else "",
        )


def publish(state: Writer, caller: Caller, request: PriceRequest) -> Publication:
    """Replace the caller's price list; orders that were placed keep the price that they were placed at."""
    stored = state.get(Publication, caller.msp_id, request.request_id)
    if stored is not None:
        repetition.check_same(stored, request)
        return stored
    before = state.get(PriceList, caller.msp_id)
    version = before.version + 1 if before else 1
    record = Publication(caller.msp_id, request.request_id, version, request.services, request.description)
    state.put(PriceList(caller.msp_id, version, request.services, request.description))
    state.put(record)
    return record


def read(state: Reader, provider: str) -> PriceList:
    """Return the price list of an organisation."""
    return current(state, provider)


def current(state: Points, provider: str) -> PriceList:
    stored = state.get(PriceList, provider)
    if stored is None:
        raise FLError("FL-PRICE-UNKNOWN", f"{provider} has published no prices")
    return stored
