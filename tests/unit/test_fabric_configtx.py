"""Configuration updates as peers apply them, held to a second implementation."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from config_updates import TREES, Group, applied
from fabric_protos.common import common_pb2, configtx_pb2
from hypothesis import assume, given

from fabric_fl.fabric.channel.configtx import ConfigUpdateRefused, _group, _updated
from fabric_fl.network import NetworkError
from fabric_fl.network.fabric.configupdate import update

ROOT = ("Channel",)


def delta(before: Group, after: Group) -> configtx_pb2.ConfigUpdate:
    """Returns what administrators would sign."""
    try:
        envelope = update("fl", configtx_pb2.Config(channel_group=before), configtx_pb2.Config(channel_group=after))
    except NetworkError:  # there is nothing to change
        assume(False)
    payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(envelope).payload)
    signed = configtx_pb2.ConfigUpdateEnvelope.FromString(payload.data)
    return configtx_pb2.ConfigUpdate.FromString(signed.config_update)


class Asked(SimpleNamespace):
    """A configuration whose policies are all satisfied, or none, and that remembers which were asked."""

    def __init__(self, group: Group, *, satisfied: bool = True) -> None:
        super().__init__(config=configtx_pb2.Config(channel_group=group), satisfied=satisfied, policies=[])

    def evaluate(self, path: str, _identities: object) -> bool:
        self.policies.append(path)
        return self.satisfied


@given(TREES, TREES)
def test_an_update_gives_what_fabrics_rules_give(before: Group, after: Group) -> None:
    wanted = delta(before, after)
    elements = _updated(Asked(before), wanted, [])
    assert _group(elements, ROOT) == applied(before, wanted.read_set, wanted.write_set)


@given(TREES, TREES, TREES)
def test_an_update_of_another_configuration_is_refused_or_changes_only_what_it_read(
    before: Group, after: Group, other: Group
) -> None:
    wanted = delta(before, after)
    try:
        elements = _updated(Asked(other), wanted, [])
        found = _group(elements, ROOT)
    except ConfigUpdateRefused:
        return
    assert found == applied(other, wanted.read_set, wanted.write_set)


@given(TREES, TREES)
def test_every_element_that_was_there_and_changes_asks_for_its_own_policy(before: Group, after: Group) -> None:
    wanted, asked = delta(before, after), Asked(before)
    _updated(asked, wanted, [])
    changed = changed_elements(before, applied(before, wanted.read_set, wanted.write_set), "/Channel")
    assert set(asked.policies) == set(changed)
    if changed:
        with pytest.raises(ConfigUpdateRefused, match="is not satisfied by nobody"):
            _updated(Asked(before, satisfied=False), wanted, [])


def changed_elements(before: Group, after: Group, path: str) -> list[str]:
    """Returns the policies of all elements of a group that were there, and are there in another version."""
    found = [f"{path}/{before.mod_policy}"] if before.version != after.version else []
    for kind in ("values", "policies"):
        old, new = getattr(before, kind), getattr(after, kind)
        found += [
            f"{path}/{old[name].mod_policy}" for name in old if name in new and old[name].version != new[name].version
        ]
    for name in before.groups:
        if name in after.groups:
            found += changed_elements(before.groups[name], after.groups[name], f"{path}/{name}")
    return found


@pytest.mark.parametrize("versions", [(1, 1), (0, 2), (0, 0)], ids=["read ahead", "skipped", "unchanged"])
def test_versions_that_do_not_follow_are_refused(versions: tuple[int, int]) -> None:
    group = Group(mod_policy="Admins")
    read, written = Group(version=versions[0]), Group(version=versions[1], mod_policy="Admins")
    with pytest.raises(ConfigUpdateRefused):
        _updated(Asked(group), configtx_pb2.ConfigUpdate(read_set=read, write_set=written), [])


@pytest.mark.parametrize("kind", ["values", "policies", "groups"])
def test_a_member_without_a_policy_of_its_own_can_never_come_in(kind: str) -> None:
    written = Group(version=1, mod_policy="Admins")
    getattr(written, kind)["new"].version = 0
    with pytest.raises(ConfigUpdateRefused, match="nobody may ever change"):
        _updated(Asked(Group(mod_policy="Admins")), configtx_pb2.ConfigUpdate(read_set=Group(), write_set=written), [])
