"""Configuration blocks after the first: whether a channel's members wanted what the block makes of its configuration.

Such a block holds the new configuration and the signed update that it came from. A peer applies the update to the
configuration that it has, element by element with versions, asks for each changed element's own modification policy,
and compares; so does this.

References:
    Fabric, ``common/configtx/{update,configmap,validator}.go``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeAlias

from fabric_protos.common import common_pb2, configtx_pb2

from fabric_fl.fabric.channel.channelconfig import ChannelConfig
from fabric_fl.fabric.channel.policies import SignedData
from fabric_fl.fabric.channel.signaturecache import SignatureCache
from fabric_fl.fabric.identity import Identity
from fabric_fl.fabric.protoutil import MalformedMessage, unmarshal, unpack_envelope

_ROOT = ("Channel",)
_GROUP, _VALUE, _POLICY = "group", "value", "policy"
_ADMINS = "Admins"

_Element: TypeAlias = configtx_pb2.ConfigGroup | configtx_pb2.ConfigValue | configtx_pb2.ConfigPolicy


class _Key(NamedTuple):
    kind: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return f"the {self.kind} /{'/'.join(self.path)}"

    @property
    def group(self) -> str:
        """The group relative to which the element's modification policy is named."""
        return "/" + "/".join(self.path if self.kind == _GROUP else self.path[:-1])


_Elements: TypeAlias = Mapping[_Key, _Element]


class ConfigUpdateRefused(ValueError):  # noqa: N818 -- what it is
    """A configuration block that a peer would not accept."""


def is_configuration(block: common_pb2.Block) -> bool:
    """Tells whether a block brings a configuration: it then holds nothing else."""
    try:
        envelope = unpack_envelope(block.data.data[0])
    except (MalformedMessage, IndexError):
        return False
    return len(block.data.data) == 1 and envelope.channel_header.type == common_pb2.CONFIG


def check_update(current: ChannelConfig, block: common_pb2.Block, signatures: SignatureCache) -> None:
    """Checks that a block's configuration is what its signed update makes of the current one.

    Args:
        current: What is in force before the block.
        block: A configuration block, not the first.
        signatures: Of the members that the current configuration names.

    Raises:
        ConfigUpdateRefused: Somebody's signature is missing, or the update gives another configuration.
        MalformedMessage: Something in it cannot be read.
    """
    envelope = unpack_envelope(block.data.data[0])
    outer = common_pb2.Envelope.FromString(block.data.data[0])
    submitted = SignedData(outer.payload, envelope.signature_header.creator, outer.signature)
    if not signatures.valid_identities([submitted]):
        raise ConfigUpdateRefused("nobody of the channel has signed the configuration transaction")
    proposed = unmarshal(configtx_pb2.ConfigEnvelope, envelope.payload.data)
    if proposed.config.sequence != current.config.sequence + 1:
        raise ConfigUpdateRefused(f"configuration {proposed.config.sequence} follows {current.config.sequence}")
    payload = unmarshal(common_pb2.Payload, proposed.last_update.payload)
    signed = unmarshal(configtx_pb2.ConfigUpdateEnvelope, payload.data)
    update = unmarshal(configtx_pb2.ConfigUpdate, signed.config_update)
    if update.channel_id != current.channel_id:
        raise ConfigUpdateRefused(f"the update is one of channel {update.channel_id}")
    signers = signatures.valid_identities(_signed_data(signed))
    elements = _updated(current, update, signers)
    if _group(elements, _ROOT) != proposed.config.channel_group:
        raise ConfigUpdateRefused("its update gives another configuration than it holds")


def _signed_data(signed: configtx_pb2.ConfigUpdateEnvelope) -> Iterator[SignedData]:
    for one in signed.signatures:
        creator = unmarshal(common_pb2.SignatureHeader, one.signature_header).creator
        yield SignedData(one.signature_header + signed.config_update, creator, one.signature)


def _updated(current: ChannelConfig, update: configtx_pb2.ConfigUpdate, signers: list[Identity]) -> _Elements:
    """Returns all elements after an update.

    Raises:
        ConfigUpdateRefused: It builds on other versions, or a changed element's policy is not satisfied.
    """
    present = dict(_elements(current.config.channel_group, _ROOT))
    read = dict(_elements(update.read_set, _ROOT))
    written = dict(_elements(update.write_set, _ROOT))
    for key, element in read.items():
        if key not in present or present[key].version != element.version:
            raise ConfigUpdateRefused(f"the update builds on another version of {key}")
    changes = {
        key: element for key, element in written.items() if key not in read or read[key].version != element.version
    }
    if not changes:
        raise ConfigUpdateRefused("the update changes nothing")
    for key, element in changes.items():
        if not element.mod_policy:
            raise ConfigUpdateRefused(f"nobody may ever change {key}")
        was = present.get(key)
        if element.version != (0 if was is None else was.version + 1):
            raise ConfigUpdateRefused(f"the update skips versions of {key}")
        if was is None:
            continue  # whoever may change the group decides who and what belongs to it
        policy = was.mod_policy if was.mod_policy.startswith("/") else f"{key.group}/{was.mod_policy}"
        if not current.evaluate(policy, signers):
            names = ", ".join(sorted(f"{one.role} of {one.msp_id}" for one in signers)) or "nobody"
            raise ConfigUpdateRefused(f"{key} was changed and {policy} is not satisfied by {names}")
    return present | changes


def _elements(group: configtx_pb2.ConfigGroup, path: tuple[str, ...]) -> Iterator[tuple[_Key, _Element]]:
    yield _Key(_GROUP, path), group
    for name, child in group.groups.items():
        yield from _elements(child, (*path, name))
    for name, value in group.values.items():
        yield _Key(_VALUE, (*path, name)), value
    for name, policy in group.policies.items():
        yield _Key(_POLICY, (*path, name)), policy


def _group(elements: _Elements, path: tuple[str, ...]) -> configtx_pb2.ConfigGroup:
    """Puts a group together: what belongs to it is what it lists itself, each as its own element has it."""
    try:
        own = elements[_Key(_GROUP, path)]
        # Fabric once wrote elements without a policy of their own, and mends that in every update.
        group = configtx_pb2.ConfigGroup(version=own.version, mod_policy=own.mod_policy or _ADMINS)
        for name in own.groups:
            group.groups[name].CopyFrom(_group(elements, (*path, name)))
        for kind, names, into in ((_VALUE, own.values, group.values), (_POLICY, own.policies, group.policies)):
            for name in names:
                into[name].CopyFrom(elements[_Key(kind, (*path, name))])
                into[name].mod_policy = into[name].mod_policy or _ADMINS
    except KeyError as error:
        raise ConfigUpdateRefused(f"the update leaves out {error.args[0]}") from None
    return group
