"""A change of a channel's configuration, in the form that `peer channel signconfigtx` and `update` take.

An update names what it builds on (the read set) and what it writes, element by element with versions; an element that
changes gets the next version. Fabric computes it in configtxlator, which is a program of its own: this needs none.

References:
    Fabric's documentation, *Updating a channel configuration*; what is made here its `common/configtx` checks.
"""

from __future__ import annotations

from typing import Any

from fabric_protos.common import common_pb2, configtx_pb2
from google.protobuf.message import DecodeError

from fabric_fl.network.errors import NetworkError


def config_of(block: bytes) -> configtx_pb2.Config:
    """Returns the configuration that a config block holds.

    Raises:
        NetworkError: It is no such block.
    """
    try:
        (data,) = common_pb2.Block.FromString(block).data.data
        payload = common_pb2.Payload.FromString(common_pb2.Envelope.FromString(data).payload)
        header = common_pb2.ChannelHeader.FromString(payload.header.channel_header)
        config = configtx_pb2.ConfigEnvelope.FromString(payload.data).config
    except (DecodeError, ValueError) as error:
        raise NetworkError(f"that is no block with a channel's configuration: {error}") from error
    if header.type != common_pb2.CONFIG:
        raise NetworkError("that block holds no channel's configuration")
    return config


def update(channel: str, before: configtx_pb2.Config, after: configtx_pb2.Config) -> bytes:
    """Returns an unsigned transaction that turns a channel's configuration into another.

    Raises:
        NetworkError: There is nothing to change.
    """
    read, written, changed = _compare(before.channel_group, after.channel_group)
    if not changed:
        raise NetworkError("the channel's configuration says so already", remedy="Nothing is left to do.")
    delta = configtx_pb2.ConfigUpdate(channel_id=channel, read_set=read, write_set=written)
    header = common_pb2.ChannelHeader(type=common_pb2.CONFIG_UPDATE, channel_id=channel)
    payload = common_pb2.Payload(
        header=common_pb2.Header(channel_header=header.SerializeToString()),
        data=configtx_pb2.ConfigUpdateEnvelope(config_update=delta.SerializeToString()).SerializeToString(),
    )
    return bytes(common_pb2.Envelope(payload=payload.SerializeToString()).SerializeToString())


def _compare(
    before: configtx_pb2.ConfigGroup, after: configtx_pb2.ConfigGroup
) -> tuple[configtx_pb2.ConfigGroup, configtx_pb2.ConfigGroup, bool]:
    """Returns a group's read set and write set, and whether anything in it changed.

    A group's own version counts who belongs to it: a member that comes or goes changes it, and then all others are
    listed with the versions that they keep.
    """
    read = configtx_pb2.ConfigGroup(version=before.version)
    written = configtx_pb2.ConfigGroup(version=before.version)
    changed = False
    unchanged = configtx_pb2.ConfigGroup()
    for kind in ("values", "policies"):
        old, new = getattr(before, kind), getattr(after, kind)
        for name in sorted(new):
            if name in old and _content(old[name]) == _content(new[name]):
                getattr(unchanged, kind)[name].version = old[name].version
                continue
            changed = True
            element = getattr(written, kind)[name]
            element.CopyFrom(new[name])
            element.version = old[name].version + 1 if name in old else 0
    for name in sorted(after.groups):
        if name not in before.groups:
            _, added, _ = _compare(configtx_pb2.ConfigGroup(), after.groups[name])
            added.version, added.mod_policy = 0, after.groups[name].mod_policy
            written.groups[name].CopyFrom(added)
            continue
        inner_read, inner_written, inner_changed = _compare(before.groups[name], after.groups[name])
        if inner_changed:
            changed = True
            read.groups[name].CopyFrom(inner_read)
            written.groups[name].CopyFrom(inner_written)
        else:
            unchanged.groups[name].version = before.groups[name].version
    if _members(before) != _members(after) or before.mod_policy != after.mod_policy:
        changed = True
        read.MergeFrom(unchanged)
        written.MergeFrom(unchanged)
        written.version, written.mod_policy = before.version + 1, after.mod_policy
    return read, written, changed


def _content(element: Any) -> Any:
    """Returns a value or a policy without its version."""
    copy = type(element)()
    copy.CopyFrom(element)
    copy.version = 0
    return copy


def _members(group: configtx_pb2.ConfigGroup) -> tuple[frozenset[str], ...]:
    return frozenset(group.values), frozenset(group.policies), frozenset(group.groups)
