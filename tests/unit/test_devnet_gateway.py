"""The gateway's plan: whom it asks, when it has enough, and how it says that it has not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import grpc
import pytest
from devnet_endorsers import Response, Rule, endorser, proposed, put
from devnet_ledgers import CHAINCODE, LedgerOnTrial
from fabric_protos.gateway import gateway_pb2

from fabric_fl.devnet.endorsement import Endorsement
from fabric_fl.devnet.endorser import Endorser
from fabric_fl.devnet.handler import ChaincodeError
from fabric_fl.devnet.rpcerror import RpcError, error_detail
from fabric_fl.fabric.channel.policies import SignaturePolicy
from fabric_fl.gateway.rpc_status import error_details

MSP_IDS = ("Org1MSP", "Org2MSP", "Org3MSP")
ONE = "OR('Org1MSP.peer', 'Org2MSP.peer', 'Org3MSP.peer')"
TWO = "OutOf(2, 'Org1MSP.peer', 'Org2MSP.peer', 'Org3MSP.peer')"
ALL = "AND('Org1MSP.peer', 'Org2MSP.peer', 'Org3MSP.peer')"


@pytest.fixture
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    yield trial
    trial.close()


class Gateway:
    """What an Endorse call needs, for org1's gateway."""

    def __init__(
        self, trial: LedgerOnTrial, rules: dict[str, Rule], policies: dict[str, str], *, once: bool = False
    ) -> None:
        self.endorsers: dict[str, Endorser] = {
            msp_id: endorser(trial, rules[msp_id], int(msp_id[3])) for msp_id in rules
        }
        self._policies = {name: SignaturePolicy.parse(rule) for name, rule in policies.items()}
        self._msps = trial.config.msps
        self._once = once

    def calls(self, msp_id: str) -> int:
        return self.endorsers[msp_id]._support.calls  # type: ignore[attr-defined]

    def policy(self, names: tuple[str, ...]) -> Callable[[tuple[str, ...]], bool]:
        def satisfied(organisations: tuple[str, ...]) -> bool:
            identities = [self.endorsers[each].identity for each in organisations]
            return all(self._policies[name].evaluate(identities, self._msps) for name in names)

        return satisfied

    def endorse(self, *organisations: str, speculate: bool = True) -> list[str]:
        """Returns who endorsed."""

        async def run() -> list[str]:
            endorsement = Endorsement(self.endorsers, proposed(), "Org1MSP", self.policy, once=self._once)
            if organisations:
                await endorsement.collect_from(organisations)
            else:
                await endorsement.collect(CHAINCODE, speculate=speculate)
            payloads = {response.payload for response in endorsement.responses.values()}
            assert len(payloads) == 1
            return list(endorsement.responses)

        return asyncio.run(run())


def all_rules(rule: Rule, **others: Rule) -> dict[str, Rule]:
    return {msp_id: others.get(msp_id, rule) for msp_id in MSP_IDS}


def fail(_params: object) -> Response:
    raise ChaincodeError("broken")


def refuse(_params: object) -> Response:
    return Response(status=400, message="no")


def endorse_error(gateway: Gateway, *organisations: str) -> RpcError:
    with pytest.raises(RpcError) as caught:
        gateway.endorse(*organisations)
    return caught.value


def said(error: RpcError) -> dict[str, str]:
    return {detail.msp_id: detail.message for detail in error.details}


def test_the_gateways_own_organisation_endorses_first_and_only_as_many_more_as_the_policy_needs(trial):
    assert Gateway(trial, all_rules(put()), {CHAINCODE: ONE}).endorse() == ["Org1MSP"]
    two = Gateway(trial, all_rules(put()), {CHAINCODE: TWO}).endorse()
    assert two[0] == "Org1MSP"
    assert len(two) == 2
    assert set(Gateway(trial, all_rules(put()), {CHAINCODE: ALL}).endorse()) == set(MSP_IDS)


def test_over_time_every_other_organisation_is_asked(trial):
    gateway = Gateway(trial, all_rules(put()), {CHAINCODE: TWO})
    seconds = {gateway.endorse()[1] for _ in range(40)}
    assert seconds == {"Org2MSP", "Org3MSP"}


def test_an_organisation_that_the_policy_does_not_want_is_not_among_the_endorsers(trial):
    rule = "OR('Org2MSP.peer', 'Org3MSP.peer')"
    assert Gateway(trial, all_rules(put()), {CHAINCODE: rule}).endorse() != ["Org1MSP"]


def test_the_policies_of_called_chaincodes_count_too(trial):
    def calling(params):
        put()(params)
        params.simulator.put_state("other", "k", b"v")
        return Response(status=200)

    gateway = Gateway(trial, all_rules(calling), {CHAINCODE: ONE, "other": "AND('Org1MSP.peer', 'Org3MSP.peer')"})
    assert set(gateway.endorse()) == {"Org1MSP", "Org3MSP"}


def test_a_refusal_by_the_first_endorser_ends_it(trial):
    error = endorse_error(Gateway(trial, all_rules(refuse), {CHAINCODE: TWO}))
    assert error.code == grpc.StatusCode.ABORTED
    assert str(error) == "failed to endorse transaction, see attached details for more info"
    assert said(error) == {"Org1MSP": "chaincode response 400, no"}
    assert [detail.address for detail in error.details] == ["peer1:7051"]


def test_another_organisation_takes_the_place_of_one_that_fails(trial):
    gateway = Gateway(trial, all_rules(put(), Org2MSP=fail), {CHAINCODE: TWO})
    for _ in range(10):
        assert gateway.endorse() == ["Org1MSP", "Org3MSP"]


def test_an_endorser_with_another_result_is_left_out_while_there_are_others(trial):
    gateway = Gateway(trial, all_rules(put(), Org2MSP=put(value=b"other")), {CHAINCODE: TWO})
    for _ in range(10):
        assert gateway.endorse() == ["Org1MSP", "Org3MSP"]


def test_without_enough_equal_results_everybody_is_named(trial):
    rules = all_rules(put(), Org2MSP=put(value=b"other"), Org3MSP=fail)
    error = endorse_error(Gateway(trial, rules, {CHAINCODE: TWO}))
    assert error.code == grpc.StatusCode.ABORTED
    assert str(error) == ("failed to collect enough transaction endorsements, see attached details for more info")
    assert said(error) == {
        "Org2MSP": "ProposalResponsePayloads do not match",
        "Org3MSP": "error in simulation: broken",
    }


def test_a_policy_that_the_peers_cannot_satisfy_is_a_failed_precondition(trial):
    rules = {msp_id: put() for msp_id in ("Org1MSP", "Org2MSP")}
    error = endorse_error(Gateway(trial, rules, {CHAINCODE: ALL}))
    assert error.code == grpc.StatusCode.FAILED_PRECONDITION
    assert "required chaincodes are not installed on sufficient peers" in str(error)


def test_a_gateway_whose_organisation_has_not_the_chaincode_asks_the_others(trial):
    rules = {msp_id: put() for msp_id in ("Org2MSP", "Org3MSP")}
    assert set(Gateway(trial, rules, {CHAINCODE: TWO}).endorse()) == {"Org2MSP", "Org3MSP"}


def test_organisations_that_the_client_names_endorse_and_no_others(trial):
    gateway = Gateway(trial, all_rules(put()), {CHAINCODE: ONE})
    assert gateway.endorse("Org3MSP", "Org2MSP", "Org3MSP") == ["Org3MSP", "Org2MSP"]
    assert gateway.calls("Org1MSP") == 0


def test_if_one_that_the_client_names_fails_there_is_no_endorsement(trial):
    gateway = Gateway(trial, all_rules(put(), Org3MSP=refuse), {CHAINCODE: ONE})
    error = endorse_error(gateway, "Org2MSP", "Org3MSP")
    assert said(error) == {"Org3MSP": "chaincode response 400, no"}
    error = endorse_error(gateway, "Org2MSP", "Org9MSP")
    assert error.code == grpc.StatusCode.UNAVAILABLE
    assert str(error) == "failed to find any endorsing peers for org(s): Org9MSP"


def test_each_endorser_runs_the_chaincode_for_itself(trial):
    gateway = Gateway(trial, all_rules(put()), {CHAINCODE: ALL})
    gateway.endorse()
    assert [gateway.calls(msp_id) for msp_id in MSP_IDS] == [1, 1, 1]


@pytest.mark.parametrize("named", [(), ("Org2MSP", "Org3MSP")])
def test_once_means_that_one_runs_it_and_all_sign(trial, named):
    gateway = Gateway(trial, all_rules(put()), {CHAINCODE: ALL}, once=True)
    endorsers = gateway.endorse(*named)
    assert set(endorsers) == set(named or MSP_IDS)
    assert sum(gateway.calls(msp_id) for msp_id in MSP_IDS) == 1


def test_without_speculation_nobody_is_asked_before_the_first_has_accepted(trial):
    gateway = Gateway(trial, all_rules(put(), Org1MSP=refuse), {CHAINCODE: ALL})
    with pytest.raises(RpcError):
        gateway.endorse(speculate=False)
    assert [gateway.calls(msp_id) for msp_id in MSP_IDS] == [1, 0, 0]


def test_details_are_where_fabrics_clients_look_for_them():
    """Encoded by hand in devnet; read here by the client's parser, which knows the message's description."""
    aborted: list[tuple[object, ...]] = []

    class Context:
        async def abort(self, *arguments: object) -> None:
            aborted.append(arguments)

    message = "ü" * 100  # two bytes each: the length takes two bytes
    details = [error_detail("h:1", "Org1MSP", message), error_detail("h:2", "Org2MSP", "")]
    error = RpcError(grpc.StatusCode.ABORTED, "text", details)
    with pytest.raises(AssertionError):  # a real context's abort raises before
        asyncio.run(error.abort(Context()))
    code, text, metadata = aborted[0]

    class Failed:
        def trailing_metadata(self) -> object:
            return metadata

    assert (code, text) == (grpc.StatusCode.ABORTED, "text")
    found = [(each.address, each.msp_id, each.message) for each in error_details(Failed())]
    assert found == [("h:1", "Org1MSP", message), ("h:2", "Org2MSP", "")]
    (_, status) = metadata[0]
    assert status.startswith(b"\x08\x0a\x12\x04text")  # code 10, ABORTED; message
    assert gateway_pb2.ErrorDetail.DESCRIPTOR.full_name.encode() in status
