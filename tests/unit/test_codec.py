import hashlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load as safetensors_load

from fabric_fl.aggregation import (
    BlobError,
    ModelBlob,
    StateBlob,
    Tensors,
    UpdateBlob,
    UpdateHeader,
    decode,
    decode_model,
    digest,
    encode,
    read_model,
    update_size,
    write,
)
from fabric_fl.aggregation.files import fingerprint

HEADER = UpdateHeader("breast-cancer", 3, "Org1MSP", "ab" * 32, 120, 24)
EDGES = st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.0**-149, 2.0**-1023, 1e38, -3.4028234663852886e38])


def shapes():
    return st.one_of(st.just(()), hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))


@st.composite
def tensors(draw, dtype, elements):
    count = draw(st.integers(1, 4))
    arrays = [draw(hnp.arrays(dtype, draw(shapes()), elements=elements)) for _ in range(count)]
    if draw(st.booleans()):
        arrays = [np.asfortranarray(array) for array in arrays]
    return Tensors.in_order([(f"layer_{index}/kernel", array) for index, array in enumerate(arrays)])


def floats(width):
    plain = st.floats(allow_nan=False, allow_infinity=False, width=width)
    return st.one_of(plain, EDGES.map(np.float32 if width == 32 else np.float64))


@settings(max_examples=150, deadline=None)
@given(tensors(np.float32, floats(32)))
def test_a_model_of_any_shape_comes_back_bit_by_bit(given_tensors):
    data = encode(ModelBlob(given_tensors))
    assert decode_model(data).tensors == given_tensors
    assert encode(decode(data)) == data


@settings(max_examples=60, deadline=None)
@given(tensors(np.float64, floats(64)))
def test_a_state_of_any_shape_comes_back_bit_by_bit(given_tensors):
    data = encode(StateBlob({"w": given_tensors, "m": given_tensors}))
    found = decode(data)
    assert isinstance(found, StateBlob)
    assert list(found.slots) == ["m", "w"]
    assert found.slots["w"] == given_tensors
    assert encode(found) == data


@settings(max_examples=60, deadline=None)
@given(tensors(np.int32, st.integers(-(2**31), 2**31 - 1)))
def test_an_update_comes_back_and_its_size_is_known_beforehand(given_tensors):
    data = encode(UpdateBlob(HEADER, given_tensors))
    found = decode(data)
    assert isinstance(found, UpdateBlob)
    assert found.header == HEADER
    assert found.tensors == given_tensors
    assert len(data) == update_size(HEADER, given_tensors.layout)


@settings(max_examples=40, deadline=None)
@given(tensors(np.float32, floats(32)))
def test_the_safetensors_library_reads_the_same_tensors(given_tensors):
    found = safetensors_load(encode(ModelBlob(given_tensors)))
    assert sorted(found) == list(given_tensors)
    for name, array in found.items():
        assert array.tobytes() == given_tensors[name].tobytes()
        assert array.shape == given_tensors[name].shape


def test_the_bytes_of_a_small_model_are_those_worked_out_by_hand():
    model = ModelBlob(Tensors.in_order([("d/k", np.array([[1.0], [-2.0]], np.float32)), ("d/b", np.float32(0.5))]))
    header = (
        b'{"000:d/k":{"data_offsets":[0,8],"dtype":"F32","shape":[2,1]},'
        b'"001:d/b":{"data_offsets":[8,12],"dtype":"F32","shape":[]},'
        b'"__metadata__":{"kind":"model","schema":"1"}}'
    )
    header += b" " * (-len(header) % 8)
    data = bytes.fromhex("0000803f 000000c0 0000003f")
    expected = len(header).to_bytes(8, "little") + header + data
    assert encode(model) == expected
    assert digest(expected) == hashlib.sha256(expected).hexdigest()


def test_an_update_header_is_the_metadata_of_its_file():
    data = encode(UpdateBlob(HEADER, Tensors.in_order([("b", np.zeros(2, np.int32))])))
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    assert json.loads(data[8 : 8 + length])["__metadata__"] == {
        "kind": "update",
        "schema": "1",
        "task": "breast-cancer",
        "round": "3",
        "participant": "Org1MSP",
        "base": "ab" * 32,
        "num_examples": "120",
        "f": "24",
    }


def test_tensors_are_in_model_order_and_cannot_be_changed():
    arrays = [(f"l{index}", np.full(1, index, np.float32)) for index in range(1200)]
    found = Tensors.in_order(arrays)
    assert [float(array[0]) for array in found.arrays()] == list(range(1200))
    with pytest.raises(ValueError, match="read-only"):
        found.arrays()[0][0] = 7.0


def test_a_keras_variable_name_becomes_a_tensor_name():
    assert Tensors.in_order([("dense/kernel:0", np.zeros(1, np.float32))]).names == ("000:dense/kernel",)


def test_a_transposed_array_is_written_in_its_own_order():
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    found = decode_model(encode(ModelBlob(Tensors.in_order([("k", array)]))))
    np.testing.assert_array_equal(found.tensors["000:k"], [[0, 3], [1, 4], [2, 5]])


def test_a_written_blob_is_private_and_has_the_digest_of_its_bytes(tmp_path):
    model = ModelBlob(Tensors.in_order([("k", np.ones(3, np.float32))]))
    file = write(model, tmp_path / "model")
    assert file.digest == hashlib.sha256(file.path.read_bytes()).hexdigest()
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert read_model(file.path, file.digest, file.size).tensors == model.tensors


def test_a_file_that_was_found_right_is_hashed_again_once_it_has_changed(tmp_path):
    file = write(ModelBlob(Tensors.in_order([("w", np.ones(3, np.float32))])), tmp_path / "model")
    verified = fingerprint(file.path.stat())
    assert read_model(file.path, "0" * 64, file.size, verified).tensors.size == 3  # not hashed
    changed = bytearray(file.path.read_bytes())
    changed[-1] ^= 1
    file.path.write_bytes(changed)
    with pytest.raises(BlobError, match="does not have the digest"):
        read_model(file.path, file.digest, file.size, verified)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_model_with_a_value_that_is_not_finite_cannot_be_made(value):
    with pytest.raises(BlobError, match="FL-BLOB-NOT-FINITE"):
        ModelBlob(Tensors.in_order([("k", np.array([0, value], np.float32))]))
