import ctypes
import gc
import itertools
import os
import struct
import threading
import weakref
from dataclasses import replace
from fractions import Fraction
from hashlib import sha256

import numpy as np
import pytest
from rounds_on_disk import make_round, with_bytes, with_update, write_update

from fabric_fl.aggregation import (
    REFUSALS,
    AggregationError,
    BlobError,
    ModelBlob,
    StateBlob,
    Tensors,
    aggregate,
    decode_update,
    leave_one_out_models,
    model_size,
    passes,
    read_model,
    read_state,
    state_size,
    write,
)
from fl_chaincode.canonical import H, hash_json


def model_of(file):
    return read_model(file.path, file.digest, file.size).tensors


def flat_q(update):
    return decode_update(update.path.read_bytes()).tensors.flat().tolist()


def nearest_float32(value: float) -> float:
    return struct.unpack("<f", struct.pack("<f", value))[0]


def oracle(inputs, updates, rate="1"):
    """The next weights by big integers and fractions, an element at a time."""
    weights = [float(x) for x in model_of(inputs.model).flat()]
    number = sum(update.num_examples for update in updates)
    values = [flat_q(update) for update in updates]
    sums = [sum(u.num_examples * v[i] for u, v in zip(updates, values, strict=True)) for i in range(len(weights))]
    after = []
    for weight, total in zip(weights, sums, strict=True):
        mean = float(Fraction(float(total)) / Fraction(float(number)))
        step = float(Fraction(float(Fraction(rate))) * Fraction(mean) / 2**inputs.f)
        after.append(float(Fraction(weight) - Fraction(step)))
    return sums, after


def test_sum_model_and_state_are_those_of_the_slow_oracle(tmp_path):
    inputs = replace(make_round(tmp_path, count=4), server={"step": "fedavg", "learning_rate": "0.3"})
    result = aggregate(inputs, tmp_path)
    sums, after = oracle(inputs, inputs.updates, "0.3")
    assert result.aggregate == H("fl/aggregate/v1", b"".join(struct.pack("<q", s) for s in sums))
    state = read_state(result.state.path, result.state.digest, result.state.size)
    assert state.slots["w"].flat().tolist() == after
    assert model_of(result.model).flat().tolist() == [nearest_float32(x) for x in after]
    assert result.included == ("Org1MSP", "Org2MSP", "Org3MSP", "Org4MSP")
    assert result.num_examples == 1000


def test_the_result_is_the_hash_of_what_the_protocol_lists(tmp_path):
    inputs = make_round(tmp_path)
    result = aggregate(inputs, tmp_path)
    fields = {
        "task": "t1",
        "round": 2,
        "attempt": 1,
        "base": "ab" * 32,
        "included": ["Org1MSP", "Org2MSP", "Org3MSP"],
        "refused": {},
        "model": sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest(),
        "state": sha256((tmp_path / "state.safetensors").read_bytes()).hexdigest(),
    }
    assert result.result == hash_json("fl/result/v1", value=fields)
    assert result.proof("t1", 2, 1, "Org1MSP") == H("fl/proof/v1", "t1", 2, 1, "Org1MSP", result.aggregate)


def test_the_second_round_starts_from_the_state_and_not_from_the_rounded_model(tmp_path):
    first = make_round(tmp_path)
    once = aggregate(first, tmp_path)
    (tmp_path / "next").mkdir()
    twice = aggregate(replace(first, model=once.model, state=once.state), tmp_path / "next")
    state = read_state(once.state.path, once.state.digest, once.state.size).slots["w"].flat()
    sums, _ = oracle(first, first.updates)
    expected = [
        float(Fraction(float(w)) - Fraction(float(Fraction(float(s)) / 600)) / 2**24)
        for w, s in zip(state, sums, strict=True)
    ]
    found = read_state(twice.state.path, twice.state.digest, twice.state.size).slots["w"].flat()
    assert found.tolist() == expected


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 15])
def test_every_order_and_block_size_gives_one_digest(tmp_path, monkeypatch, block):
    inputs = make_round(tmp_path, count=4)
    expected = aggregate(inputs, tmp_path)
    monkeypatch.setattr("fabric_fl.aggregation.passes.BLOCK", block)
    monkeypatch.setattr("fabric_fl.aggregation.passes.SMALL_BLOCK", block)
    for order in itertools.islice(itertools.permutations(inputs.updates), 0, 24, 3):
        assert aggregate(replace(inputs, updates=order), tmp_path) == expected


def test_threads_give_the_same_digest(tmp_path):
    inputs = make_round(tmp_path, shapes=((300, 200),))
    expected = aggregate(inputs, tmp_path).result
    found = []

    def work(index):
        directory = tmp_path / str(index)
        directory.mkdir()
        found.append(aggregate(inputs, directory).result)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def good(inputs, index=1):
    return inputs.updates[index].path.read_bytes()


def over_the_bound(inputs):
    q = decode_update(good(inputs)).tensors
    first = q.names[0]
    values = dict(q)
    values[first] = np.full(q[first].shape, 1001, np.int32)
    update = write_update(inputs.updates[1].path.parent, "Org2MSP", Tensors(values), 200)
    return with_update(inputs, 1, digest=update.digest)


def under_the_bound_in_the_last_element(inputs):
    return with_bytes(inputs, 1, good(inputs)[:-4] + struct.pack("<i", -(2**31)))


def header_says(**facts):
    def change(inputs):
        tensors = decode_update(good(inputs)).tensors
        update = write_update(inputs.updates[1].path.parent, "Org2MSP", tensors, 200, **facts)
        return with_update(inputs, 1, digest=update.digest, size=update.size)

    return change


def bytes_are(edit):
    return lambda inputs: with_bytes(inputs, 1, edit(good(inputs)))


def floats_instead(data):
    return data.replace(b'"I32"', b'"F32"')


def shape_before_type(data):
    return data.replace(b'"dtype":"I32","shape":[7,5]', b'"shape":[7,5],"dtype":"I32"')


INVALID = {
    "one byte too many": (bytes_are(lambda data: data + b"\0"), "FL-BLOB-SIZE"),
    "one byte too few": (bytes_are(lambda data: data[:-1]), "FL-BLOB-SIZE"),
    "empty": (bytes_are(lambda data: b""), "FL-BLOB-SIZE"),
    "a pickle": (bytes_are(lambda data: b"\x80\x04."), "FL-BLOB-SIZE"),
    "a pickle of the right size": (bytes_are(lambda data: b"\x80\x04.".ljust(len(data))), "FL-BLOB-HEADER"),
    "zeros of the right size": (bytes_are(lambda data: bytes(len(data))), "FL-BLOB-HEADER"),
    "a header of 10 GiB": (bytes_are(lambda data: (10 << 30).to_bytes(8, "little") + data[8:]), "FL-BLOB-HEADER"),
    "floats under the same names": (bytes_are(floats_instead), "FL-BLOB-HEADER"),
    "another shape": (bytes_are(lambda data: data.replace(b"[7,5]", b"[5,7]")), "FL-BLOB-HEADER"),
    "another name": (bytes_are(lambda data: data.replace(b"000:l0", b"000:l9")), "FL-BLOB-HEADER"),
    "a header of another order": (bytes_are(shape_before_type), "FL-BLOB-HEADER"),
    "copied from another participant": (header_says(participant="Org3MSP"), "FL-BLOB-HEADER"),
    "from another round": (header_says(round=3), "FL-BLOB-HEADER"),
    "from another task": (header_says(task="t2"), "FL-BLOB-HEADER"),
    "from another base": (header_says(base="cd" * 32), "FL-BLOB-HEADER"),
    "of another number of examples": (header_says(num_examples=900), "FL-BLOB-HEADER"),
    "of more digits of examples": (header_says(num_examples=20000), "FL-BLOB-SIZE"),
    "of another precision": (header_says(f=16), "FL-BLOB-HEADER"),
    "over the bound": (over_the_bound, "FL-BLOB-BOUND"),
    "-2^31 in the last element": (under_the_bound_in_the_last_element, "FL-BLOB-BOUND"),
}  # fmt: skip


@pytest.mark.parametrize("name", INVALID)
def test_an_invalid_update_is_left_out_with_a_code_and_the_others_are_summed(tmp_path, name):
    inputs = make_round(tmp_path, bound=1000)
    (tmp_path / "expected").mkdir()
    expected = aggregate(replace(inputs, updates=(inputs.updates[0], inputs.updates[2])), tmp_path / "expected")
    change, code = INVALID[name]
    result = aggregate(change(inputs), tmp_path)
    assert code in REFUSALS
    assert result.refused == {"Org2MSP": code}
    assert result.included == ("Org1MSP", "Org3MSP")
    assert (result.model.digest, result.aggregate) == (expected.model.digest, expected.aggregate)
    assert result.result != expected.result
    assert result.num_examples == 400


def test_an_update_of_a_size_that_cannot_be_is_refused_unread(tmp_path):
    inputs = make_round(tmp_path)
    result = aggregate(with_update(inputs, 0, path=None, size=10 << 30), tmp_path)
    assert result.refused == {"Org1MSP": "FL-BLOB-SIZE"}


@pytest.mark.parametrize("count", [0, -1, 100_001])
def test_a_number_of_examples_that_the_task_does_not_allow_is_refused(tmp_path, count):
    inputs = make_round(tmp_path)
    tensors = decode_update(good(inputs)).tensors
    update = write_update(tmp_path, "Org2MSP", tensors, count)
    result = aggregate(replace(inputs, updates=(inputs.updates[0], update, inputs.updates[2])), tmp_path)
    assert result.refused == {"Org2MSP": "FL-BLOB-HEADER"}


def test_the_sizes_of_model_and_state_are_known_beforehand(tmp_path):
    inputs = make_round(tmp_path)
    result = aggregate(inputs, tmp_path)
    layout = model_of(inputs.model).layout
    assert result.model.path.stat().st_size == result.model.size == model_size(layout) == inputs.model.size
    assert result.state.path.stat().st_size == result.state.size == state_size(layout, inputs.server)


def removed(inputs):
    inputs.updates[1].path.unlink()


def flipped(inputs):
    data = bytearray(good(inputs))
    data[-1] ^= 1
    inputs.updates[1].path.write_bytes(data)


def flipped_in_the_header(inputs):
    inputs.updates[1].path.write_bytes(good(inputs).replace(b"t1", b"t2"))


def truncated(inputs):
    inputs.updates[1].path.write_bytes(good(inputs)[:-1])


def linked(inputs):
    path = inputs.updates[1].path
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def piped(inputs):
    inputs.updates[1].path.unlink()
    os.mkfifo(inputs.updates[1].path)


def a_directory(inputs):
    inputs.updates[1].path.unlink()
    inputs.updates[1].path.mkdir()


@pytest.mark.parametrize(
    "damage", [removed, flipped, flipped_in_the_header, truncated, linked, piped, a_directory], ids=lambda f: f.__name__
)
def test_wrong_bytes_under_a_digest_are_unavailable_and_not_refused(tmp_path, damage):
    inputs = make_round(tmp_path, bound=1000)
    damage(inputs)
    with pytest.raises(AggregationError, match="FL-AGGREGATE-UNAVAILABLE") as refusal:
        aggregate(inputs, tmp_path)
    assert refusal.value.participants == ("Org2MSP",)
    assert not (tmp_path / "model.safetensors").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_round_without_a_valid_update_says_who_was_refused_and_why(tmp_path):
    inputs = with_bytes(make_round(tmp_path, count=1), 0, b"nothing")
    with pytest.raises(AggregationError, match=r"FL-AGGREGATE-EMPTY.*Org1MSP FL-BLOB-SIZE") as refusal:
        aggregate(inputs, tmp_path)
    assert refusal.value.refused == {"Org1MSP": "FL-BLOB-SIZE"}


def test_a_model_that_would_overflow_is_refused(tmp_path):
    inputs = replace(make_round(tmp_path), server={"step": "fedavg", "learning_rate": "1" + "0" * 60})
    with pytest.raises(AggregationError, match="FL-AGGREGATE-NOT-FINITE"):
        aggregate(inputs, tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))


def test_updates_that_could_wrap_the_sum_are_refused(tmp_path):
    inputs = replace(with_update(make_round(tmp_path), 0, num_examples=1 << 33), max_examples=1 << 33)
    with pytest.raises(AggregationError, match="FL-AGGREGATE-CAPACITY"):
        aggregate(inputs, tmp_path)


@pytest.mark.parametrize("count", [100_001, 1 << 33, 1 << 80, 0, -(1 << 80)])
@pytest.mark.parametrize("rule", [{"rule": "none"}, {"rule": "median"}, {"rule": "multi-krum", "byzantine": 0}])
def test_a_count_of_examples_that_the_task_does_not_allow_is_its_updates_fault_and_not_the_rounds(
    tmp_path, count, rule
):
    inputs = replace(with_update(make_round(tmp_path), 0, num_examples=count), rule=rule)
    result = aggregate(inputs, tmp_path)
    assert (result.included, result.refused) == (("Org2MSP", "Org3MSP"), {"Org1MSP": "FL-BLOB-HEADER"})


def test_a_base_that_changed_on_the_disk_is_noticed(tmp_path):
    inputs = make_round(tmp_path)
    data = bytearray(inputs.model.path.read_bytes())
    data[-1] ^= 1
    inputs.model.path.write_bytes(data)
    with pytest.raises(AggregationError, match=r"FL-AGGREGATE-UNAVAILABLE.*its digest is another"):
        aggregate(inputs, tmp_path)


def test_a_model_in_the_place_of_the_state_is_refused(tmp_path):
    inputs = make_round(tmp_path)
    with pytest.raises(BlobError, match=r"FL-BLOB-HEADER.*of the kind model"):
        aggregate(replace(inputs, state=inputs.model), tmp_path)


def test_a_state_of_another_server_step_is_refused(tmp_path):
    inputs = make_round(tmp_path)
    weights = model_of(inputs.model).astype(np.float64)
    state = write(StateBlob({"w": weights, "m": weights}), tmp_path / "adam")
    with pytest.raises(AggregationError, match="FL-AGGREGATE-STEP"):
        aggregate(replace(inputs, state=state), tmp_path)


def test_a_directory_that_cannot_be_written_is_named(tmp_path):
    inputs = make_round(tmp_path)
    with pytest.raises(AggregationError, match=r"FL-AGGREGATE-STORAGE.*missing/model.safetensors"):
        aggregate(inputs, tmp_path / "missing")


def test_a_full_disk_is_named_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    inputs = make_round(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fabric_fl.aggregation.output.write_all", full)
    with pytest.raises(AggregationError, match=r"FL-AGGREGATE-STORAGE.*No space left"):
        aggregate(inputs, tmp_path)
    assert not list(tmp_path.glob("*.safetensors"))
    assert not list(tmp_path.glob(".*"))


def test_a_thread_that_flushes_subnormals_to_zero_refuses_to_work(tmp_path):
    """Sets the flags that TensorFlow sets: in the last word of glibc's fenv_t on x86-64 stands MXCSR."""
    inputs = make_round(tmp_path)
    library = ctypes.CDLL("libm.so.6")
    errors = []

    def work():
        environment = (ctypes.c_uint32 * 8)()
        library.fegetenv(environment)
        environment[7] |= 0x8040  # flush to zero, denormals are zero
        library.fesetenv(environment)
        try:
            aggregate(inputs, tmp_path)
        except AggregationError as error:
            errors.append(error.code)

    thread = threading.Thread(target=work)  # the flags belong to a thread and end with it
    thread.start()
    thread.join()
    assert errors == ["FL-AGGREGATE-FLUSH-TO-ZERO"]


def test_subnormal_weights_survive(tmp_path):
    inputs = make_round(tmp_path, shapes=((4,),), bound=1)
    tiny = Tensors.in_order([("l0", np.array([2.0**-149, -(2.0**-140), 1e-42, -0.0], np.float32))])
    zero = Tensors.in_order([("l0", np.zeros(4, np.int32))])
    base = write(ModelBlob(tiny), tmp_path / "tiny")
    update = write_update(tmp_path, "Org1MSP", zero, 100)
    result = aggregate(replace(inputs, model=base, updates=(update,)), tmp_path)
    assert model_of(result.model) == tiny


def test_leaving_one_out_gives_the_models_of_the_others_alone(tmp_path):
    inputs = make_round(tmp_path, count=4)
    (tmp_path / "out").mkdir()
    found = leave_one_out_models(inputs, ("Org1MSP", "Org2MSP", "Org4MSP"), tmp_path / "out")
    assert list(found) == ["Org1MSP", "Org2MSP", "Org4MSP"]
    for left_out, file in found.items():
        rest = tuple(u for u in inputs.updates if u.participant not in (left_out, "Org3MSP"))
        assert file.digest == aggregate(replace(inputs, updates=rest), tmp_path).model.digest


def test_there_is_nothing_to_leave_out_of_a_single_update(tmp_path):
    assert leave_one_out_models(make_round(tmp_path), ("Org1MSP",), tmp_path) == {}


def test_leaving_out_needs_the_updates_as_they_were(tmp_path):
    inputs = make_round(tmp_path)
    removed(inputs)
    with pytest.raises(AggregationError, match="FL-AGGREGATE-UNAVAILABLE"):
        leave_one_out_models(inputs, ("Org1MSP", "Org2MSP"), tmp_path)


def test_a_block_is_small_beside_any_model_whose_memory_matters():
    assert passes.BLOCK * 8 <= 1 << 20


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [65, 640, 641, 1000])
def test_every_thread_has_as_many_blocks_as_the_others(tmp_path, monkeypatch, size, threads):
    monkeypatch.setattr("fabric_fl.aggregation.passes.BLOCK", 64)
    monkeypatch.setattr("fabric_fl.aggregation.passes.SMALL_BLOCK", 64)
    monkeypatch.setattr("fabric_fl.aggregation.pipeline.cores", lambda: threads)
    inputs = make_round(tmp_path, shapes=((size,),))
    with passes.Pass(inputs, inputs.updates) as reading:
        starts, lengths = zip(*reading.blocks, strict=True)
        assert reading.threads == threads
        assert len(lengths) % threads == 0
        assert max(lengths) == lengths[0] <= 64
        assert starts == tuple(itertools.accumulate((0, *lengths[:-1])))
        assert sum(lengths) == size


@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_are_free_as_soon_as_a_round_is_summed(tmp_path, monkeypatch, threads):
    """What waits for the garbage collector is not in the cache any more when the next round needs blocks."""
    opened = []

    class Noted(passes.Pass):
        def __init__(self, *given):
            super().__init__(*given)
            opened.append(weakref.ref(self))

    monkeypatch.setattr("fabric_fl.aggregation.aggregator.Pass", Noted)
    monkeypatch.setattr("fabric_fl.aggregation.passes.BLOCK", 64)
    monkeypatch.setattr("fabric_fl.aggregation.passes.SMALL_BLOCK", 64)
    monkeypatch.setattr("fabric_fl.aggregation.pipeline.cores", lambda: threads)
    inputs = replace(make_round(tmp_path, shapes=((30, 20),)), rule={"rule": "multi-krum", "byzantine": 1})
    gc.disable()
    try:
        included = aggregate(inputs, tmp_path).included
        leave_one_out_models(inputs, included, tmp_path)
        assert [reference() for reference in opened] == [None] * 3
    finally:
        gc.enable()
