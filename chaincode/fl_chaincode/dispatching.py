"""One call: find the function, decode its arguments, judge the caller, apply the rule, encode the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fl_chaincode import access, args, canonical
from fl_chaincode.caller import Caller
from fl_chaincode.codec import plain
from fl_chaincode.errors import FLError
from fl_chaincode.functions import FUNCTIONS, Query, Write
from fl_chaincode.records import Participant, Task
from fl_chaincode.state import Reader, State, Writer


@dataclass(frozen=True)
class Outcome:
    """What a call answers: canonical JSON, and the chaincode event of a call that wrote something."""

    payload: bytes
    event: tuple[str, bytes] | None = None


def dispatch(
    state: State, caller: Caller, function: str, arguments: Sequence[str], consortium: Sequence[str] = ()
) -> Outcome:
    """Apply one call to the state.

    A pure function of its arguments: every organisation that executes it writes the same bytes.

    Args:
        state: the world state as this transaction sees it.
        caller: from the proposal's creator.
        function: contract and function, as in ``rounds:Read``.
        arguments: the rest of the call's arguments.
        consortium: the organisations that this process's operator has configured, for consortium:Init.

    Raises:
        FLError: where the call is refused; what has been put into the state must then be discarded.
    """
    entry = FUNCTIONS.get(function)
    if entry is None:
        raise FLError("FL-FUNCTION-UNKNOWN", f"there is no function {args.shown(function)}")
    decoded = _decode(function, entry, arguments)
    if isinstance(entry, Query):
        who = (caller,) if entry.caller else ()
        return Outcome(canonical.encode(plain(entry.rule(Reader(state), *who, *decoded.values()))))
    writer = Writer(state)
    _judge_certificate(caller, entry)
    if entry.ahead is not None:
        participant = Participant.key_of(caller.msp_id)
        writer.ahead((participant, *entry.ahead(caller, *decoded.values())))
    _judge_organisation(writer, caller, entry)
    extra = (tuple(consortium),) if entry.configured else ()
    record = entry.rule(writer, caller, *decoded.values(), *extra)
    event = (function, canonical.encode(_about(decoded, record))) if writer.written else None
    return Outcome(canonical.encode(plain(record)), event)


def _decode(function: str, entry: Query | Write, arguments: Sequence[str]) -> dict[str, Any]:
    most = len(entry.arguments)
    least = most - (entry.optional if isinstance(entry, Write) else 0)
    if not least <= len(arguments) <= most:
        names = ", ".join(entry.arguments) or "no arguments"
        raise FLError("FL-ARGUMENT-COUNT", f"{function} takes {names}; {len(arguments)} were given")
    args.check_sizes(arguments)
    pairs = zip(entry.arguments.items(), arguments, strict=False)
    return {name: decode(name, argument) for (name, decode), argument in pairs}


def _judge_certificate(caller: Caller, entry: Write) -> None:
    access.check_certificate(caller)
    if entry.role is not None:
        access.check_role(caller, entry.role)


def _judge_organisation(state: Writer, caller: Caller, entry: Write) -> None:
    if entry.active:
        access.check_active(state, caller.msp_id)
    if entry.owner:
        access.check_owner(state, caller.msp_id)


def _about(decoded: Mapping[str, Any], record: Any) -> dict[str, Any]:
    """Return what the event tells: which task and round, where they apply. Listeners read the rest."""
    if isinstance(record, Task):
        return {"task": record.id, "round": 1}
    return {name: decoded[name] for name in ("task", "round") if name in decoded}
