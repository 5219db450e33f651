"""Any channel's configuration, and what an update makes of it, written from Fabric's documentation, not our code."""

from __future__ import annotations

from fabric_protos.common import configtx_pb2
from hypothesis import strategies as st

Group = configtx_pb2.ConfigGroup


def applied(current: Group, read: Group, written: Group) -> Group:
    """Returns a group after an update, by the rules of Fabric's orderer; the slow way.

    Everything read must be at the version that is read. What is written at the version that it has stays; what is
    written one version higher, or new at 0, is taken as it stands. A group at a higher version lists all its members.
    """
    assert read.version == current.version
    for kind in ("values", "policies"):
        for name, element in getattr(read, kind).items():
            assert getattr(current, kind)[name].version == element.version
    result = Group(version=current.version, mod_policy=current.mod_policy)
    replaced = written.version == current.version + 1
    if replaced:
        result.version, result.mod_policy = written.version, written.mod_policy
    else:
        assert written.version == current.version
        result.CopyFrom(current)
    for kind in ("values", "policies"):
        for name, element in getattr(written, kind).items():
            old = getattr(current, kind).get(name)
            if old is not None and element.version == old.version:
                getattr(result, kind)[name].CopyFrom(old)
            else:
                assert element.version == (old.version + 1 if old is not None else 0)
                getattr(result, kind)[name].CopyFrom(element)
    for name, inner in written.groups.items():
        if name in current.groups:
            result.groups[name].CopyFrom(applied(current.groups[name], read.groups[name], inner))
        else:
            assert inner.version == 0
            result.groups[name].CopyFrom(inner)
    return result


NAMES = st.sampled_from(["a", "b", "c"])
VALUES = st.builds(
    lambda version, value: configtx_pb2.ConfigValue(version=version, value=value, mod_policy="Admins"),
    st.integers(0, 3),
    st.sampled_from([b"", b"x", b"y"]),
)
POLICIES = st.builds(lambda version: configtx_pb2.ConfigPolicy(version=version, mod_policy="Admins"), st.integers(0, 3))


def groups(children: st.SearchStrategy[Group] | None) -> st.SearchStrategy[Group]:
    return st.builds(
        lambda version, mod_policy, values, policies, inner: Group(
            version=version, mod_policy=mod_policy, values=values, policies=policies, groups=inner
        ),
        st.integers(0, 3),
        st.sampled_from(["Admins", "Writers"]),
        st.dictionaries(NAMES, VALUES, max_size=2),
        st.dictionaries(NAMES, POLICIES, max_size=2),
        st.dictionaries(NAMES, children, max_size=2) if children is not None else st.just({}),
    )


TREES = groups(groups(groups(None)))
