"""Repeated requests: a request_id stands for one content, and carrying it out twice is answered from the record."""

import dataclasses
from typing import Any

from fl_chaincode.codec import Record
from fl_chaincode.errors import FLError


def check_same(stored: Record, request: Any) -> None:
    """Refuse a request whose id stands for another one.

    Args:
        stored: the record that the first request with this id made.
        request: a data class, of which every field is one of that record.
    """
    for field in dataclasses.fields(request):
        if getattr(stored, field.name) != getattr(request, field.name):
            raise FLError("FL-CONFLICT", f"the request {request.request_id} was made with another {field.name}")
