import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fabric_fl.aggregation import (
    BlobError,
    MaskedUpdateBlob,
    Tensors,
    UpdateBlob,
    UpdateHeader,
    decode,
    decode_masked_update,
    decode_update,
    encode,
    masked,
)

HEADER = UpdateHeader("t1", 3, "Org1MSP", "ab" * 32, 120, 24)
MAX = 2**31 - 1
int64 = st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.int64, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), elements=int64))
def test_a_masked_update_of_any_shape_and_value_comes_back(values):
    tensors = Tensors.in_order([("k", values)])
    data = encode(MaskedUpdateBlob(HEADER, tensors))
    found = decode_masked_update(data)
    assert (found.header, found.tensors) == (HEADER, tensors)
    assert encode(decode(data)) == data


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 5), st.integers(1, 2**30))
def test_masks_that_cancel_leave_the_sum_of_the_plain_updates(data, count, examples):
    q = data.draw(hnp.arrays(np.int32, (count, 3), elements=st.integers(-MAX, MAX)))
    secrets = data.draw(hnp.arrays(np.int64, (count, 3), elements=int64))
    secrets[-1] = [
        ((-int(s) + 2**63) % 2**64) - 2**63 for s in secrets[:-1].astype(object).sum(axis=0) + np.zeros(3, object)
    ]
    total = np.zeros(3, np.int64)
    for row, secret in zip(q, secrets, strict=True):
        masked.add(total, masked.mask(row, examples, secret))
    exact = [sum(examples * int(value) for value in column) for column in q.T]
    if all(abs(value) < 2**63 for value in exact):
        assert total.tolist() == exact
        assert masked.within(total, count * examples, MAX)


def test_a_sum_beyond_the_bound_is_noticed():
    assert masked.within(np.array([600, -600], np.int64), 6, 100)
    assert not masked.within(np.array([0, 601], np.int64), 6, 100)
    assert not masked.within(np.array([-(2**63)], np.int64), 6, 100)
    assert masked.within(np.zeros(0, np.int64), 6, 100)


def test_a_masked_update_is_no_plain_one_and_a_plain_one_no_masked_one():
    plain = encode(UpdateBlob(HEADER, Tensors.in_order([("k", np.zeros(2, np.int32))])))
    hidden = encode(MaskedUpdateBlob(HEADER, Tensors.in_order([("k", np.zeros(2, np.int64))])))
    with pytest.raises(BlobError, match="FL-BLOB-HEADER"):
        decode_update(hidden)
    with pytest.raises(BlobError, match="FL-BLOB-HEADER"):
        decode_masked_update(plain)
    with pytest.raises(BlobError, match="FL-BLOB-DTYPE"):
        MaskedUpdateBlob(HEADER, Tensors.in_order([("k", np.zeros(2, np.int32))]))
    with pytest.raises(BlobError):
        decode(plain.replace(b'"kind":"update"', b'"kind":"masked-update"'))
