"""Whatever is in a block, validation gives a code and the block can be committed: a bad transaction stops nobody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from devnet_ledgers import CHAINCODE, LedgerOnTrial, endorsed, event, organizations
from fabric_protos.common import common_pb2
from hypothesis import example, given
from hypothesis import strategies as st
from soaking import fuzz

from fabric_fl.fabric.ledger.rwset import RWSetBuilder
from fabric_fl.fabric.protoutil import sign_envelope, unpack_transaction


@pytest.fixture(scope="module")
def trial() -> Iterator[LedgerOnTrial]:
    trial = LedgerOnTrial.open()
    yield trial
    trial.close()


def _good() -> bytes:
    builder = RWSetBuilder()
    builder.add_read(CHAINCODE, "absent", None)
    builder.add_write(CHAINCODE, "k", b"v")
    envelope: bytes = endorsed(builder.serialize(), events=event("Written")).SerializeToString()
    return envelope


GOOD = _good()
PAYLOAD = common_pb2.Envelope.FromString(GOOD).payload


def _changed(data: bytes, position: int, replacement: bytes) -> bytes:
    position %= len(data)
    return data[:position] + replacement + data[position + len(replacement) :]


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(300, factor=20)
@given(st.binary(max_size=200))
@example(b"")
@example(b"\x0a\x80\x80\x80\x80\x08")  # a length of 2 GiB
@example(b"\x0b" * 10_000)  # groups within groups
def test_arbitrary_bytes_are_no_valid_transaction(trial: LedgerOnTrial, data: bytes) -> None:
    (code,) = trial.commit(data)
    assert code != 0


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(300, factor=20)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_an_envelope_with_changed_bytes_is_valid_only_with_the_same_payload(
    trial: LedgerOnTrial, position: int, replacement: bytes
) -> None:
    changed = _changed(GOOD, position, replacement)
    (code,) = trial.validator.validate(trial.block([changed]))
    if code == 0:
        assert common_pb2.Envelope.FromString(changed).payload == PAYLOAD


@pytest.mark.soak
@pytest.mark.timeout(1800)
@fuzz(300, factor=20)
@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_a_payload_with_changed_bytes_signed_anew_gets_a_code(
    trial: LedgerOnTrial, position: int, replacement: bytes
) -> None:
    changed = _changed(PAYLOAD, position, replacement)
    envelope = sign_envelope(common_pb2.Envelope(payload=changed), organizations()[0].client)
    (code,) = trial.validator.validate(trial.block([envelope]))
    # Signing anew makes the creator's signature good; what peers endorsed and the id cannot be changed that way.
    if code == 0:
        assert _endorsed_part(changed) == _endorsed_part(PAYLOAD)


def _endorsed_part(payload: bytes) -> bytes:
    return unpack_transaction(common_pb2.Payload.FromString(payload).data).response_payload_bytes
