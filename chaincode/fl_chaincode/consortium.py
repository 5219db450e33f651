"""The consortium: which organisations decide together."""

from collections.abc import Sequence

from fl_chaincode import access
from fl_chaincode.args import MSP_ID
from fl_chaincode.caller import Caller
from fl_chaincode.errors import FLError
from fl_chaincode.records import Consortium
from fl_chaincode.state import Reader, Writer


def init(state: Writer, caller: Caller, configured: Sequence[str]) -> Consortium:
    """Write the consortium once, from the list that each operator configured at its own chaincode process.

    Operators whose lists differ produce different writes, which no endorsement policy accepts together.
    """
    wanted = Consortium(tuple(sorted(configured)))
    distinct = len(frozenset(configured)) == len(configured)
    if not configured or not distinct or not all(MSP_ID.fullmatch(name) for name in configured):
        raise FLError("FL-CONSORTIUM-UNCONFIGURED", "this chaincode process has no valid list of organisations")
    access.check_member(wanted, caller.msp_id)
    stored = state.get(Consortium)
    if stored is None:
        state.put(wanted)
        return wanted
    if stored.changes == 0 and stored != wanted:  # once a majority has changed it, the operators' lists are history
        raise FLError("FL-CONFLICT", "the consortium was written from another list")
    return stored


def read(state: Reader) -> Consortium:
    """Return the members of the consortium."""
    return access.consortium(state)
