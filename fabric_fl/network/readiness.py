"""Ready means: through each organisation's gateway a transaction was endorsed by all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from fabric_fl.errors import FabricFLError
from fabric_fl.network.consortium import Consortium, Organisation
from fabric_fl.network.errors import NotReadyError
from fabric_fl.network.home import Home
from fabric_fl.network.plan import Plan

_PROBE_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
_OTHER_MEMBERS = ("FL-CONFLICT", "FL-CONSORTIUM-OUTSIDE")


def endorse_with_all(home: Home, consortium: Consortium, organisation: Organisation) -> str:
    """Returns "" when the organisation's gateway had a transaction endorsed by all, else what went wrong.

    The transaction, `consortium:Init`, is not submitted: endorsing it changes nothing. While the consortium's members
    on the ledger are others than those of the channel, the contract refuses it; then reading has to be endorsed by all.
    """
    from fabric_fl.gateway import EndorseError, connect

    try:
        with connect(home.organisation(organisation.name)) as gateway:
            contract = gateway.network(consortium.channel).contract(consortium.chaincode)
            try:
                contract.new_proposal("consortium:Init", endorsing_organizations=consortium.msp_ids).endorse(
                    timeout=_PROBE_SECONDS
                )
            except EndorseError as error:
                if not any(code in str(error) for code in _OTHER_MEMBERS):
                    raise
                contract.new_proposal("consortium:Read", endorsing_organizations=consortium.msp_ids).endorse(
                    timeout=_PROBE_SECONDS
                )
    except (FabricFLError, OSError) as error:
        return str(error)
    return ""


def probe(home: Home, plan: Plan) -> dict[str, str]:
    """Returns for the name of every organisation here what `endorse_with_all` says."""
    with ThreadPoolExecutor(max(1, len(plan.organisations))) as pool:
        answers = pool.map(lambda one: endorse_with_all(home, plan.consortium, one), plan.organisations)
        return {one.name: answer for one, answer in zip(plan.organisations, answers, strict=True)}


def wait_until_ready(home: Home, plan: Plan, timeout_s: float, died: Callable[[], str]) -> None:
    """Returns when every gateway here had a transaction endorsed by all.

    Args:
        home: Where the organisations' profiles lie.
        plan: With the ports decided.
        timeout_s: How long to wait.
        died: Says which program cannot start, "" while all can: then nobody needs to wait any longer.

    Raises:
        NotReadyError: It names the organisations whose gateway does not endorse, and why.
    """
    deadline = time.monotonic() + timeout_s
    dead = ""

    def wait(organisation: Organisation) -> str:
        nonlocal dead
        while problem := endorse_with_all(home, plan.consortium, organisation):
            dead = dead or died()
            if dead or time.monotonic() > deadline:
                return f"{organisation.name}: {problem}"
            time.sleep(_PAUSE_SECONDS)
        return ""

    with ThreadPoolExecutor(max(1, len(plan.organisations))) as pool:
        problems = [problem for problem in pool.map(wait, plan.organisations) if problem]
    if dead:
        raise NotReadyError(dead, remedy=f"The whole of what it said is in {home.logs}.")
    if problems:
        raise NotReadyError(
            f"after {timeout_s:.0f} s not every gateway endorses. {'. '.join(problems)}",
            remedy=f"`fabric-fl network logs --home {home.root}` shows what the processes say; `up` again waits again.",
        )


def found_consortium(home: Home, plan: Plan) -> None:
    """Writes the consortium onto the ledger where it is not there yet; every operator's process must name the same."""
    from fabric_fl.gateway import CommitError, EvaluateError, connect

    for one in plan.organisations[:1]:
        with connect(home.organisation(one.name)) as gateway:
            contract = gateway.network(plan.consortium.channel).contract(plan.consortium.chaincode)
            try:
                contract.evaluate("consortium:Read")
            except EvaluateError:  # it is not there, or cannot be read: then writing says why
                try:
                    contract.submit("consortium:Init")
                except CommitError:  # another operator's machine wrote it in the same moment
                    contract.evaluate("consortium:Read")
