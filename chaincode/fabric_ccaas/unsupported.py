"""The parts of Fabric's chaincode interface that this adapter leaves out, each with a sentence.

They fail where they are called. A stub that returned nothing would have a rule decide on nothing.
"""

from collections.abc import Callable
from typing import NoReturn

from fabric_ccaas.errors import NotSupportedError


def _left_out(what: str) -> Callable[..., NoReturn]:
    def method(_self: object, *_args: object, **_kwargs: object) -> NoReturn:
        raise NotSupportedError(f"{what} not supported by this chaincode adapter")

    return method


class Unsupported:
    get_private_data = _left_out("private data collections are")
    get_private_data_hash = _left_out("private data collections are")
    get_private_data_by_range = _left_out("private data collections are")
    get_private_data_by_partial_composite_key = _left_out("private data collections are")
    get_private_data_query_result = _left_out("private data collections are")
    put_private_data = _left_out("private data collections are")
    del_private_data = _left_out("private data collections are")
    purge_private_data = _left_out("private data collections are")
    get_private_data_validation_parameter = _left_out("private data collections are")
    set_private_data_validation_parameter = _left_out("private data collections are")
    get_state_validation_parameter = _left_out("endorsement policies of single keys are")
    set_state_validation_parameter = _left_out("endorsement policies of single keys are")
