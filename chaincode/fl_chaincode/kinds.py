"""Every kind of record, by the beginning of its keys."""

from collections.abc import Mapping
from types import MappingProxyType

from fl_chaincode import records
from fl_chaincode.codec import Record


def _kinds() -> dict[str, type[Record]]:
    found = [getattr(records, name) for name in records.__all__]
    kinds = [one for one in found if isinstance(one, type) and issubclass(one, Record)]
    return {kind.PREFIX: kind for kind in sorted(kinds, key=lambda kind: kind.PREFIX)}


KINDS: Mapping[str, type[Record]] = MappingProxyType(_kinds())
