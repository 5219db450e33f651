"""Architectures that would run code if Keras built them are refused before Keras sees them."""

import json
import sys

import pytest

from fabric_fl.learning import ModelError, TFFTrainer
from fabric_fl.learning.architecture import check_architecture
from fabric_fl.learning.tff_runtime import require_platform


def layer(name, **config):
    return {"module": "keras.layers", "class_name": name, "config": config, "registered_name": None}


def model(*layers):
    inputs = layer("InputLayer", batch_input_shape=[None, 4], dtype="float32")
    return {"class_name": "Sequential", "config": {"name": "m", "layers": [inputs, *layers]}, "backend": "tensorflow"}


DENSE = layer(
    "Dense",
    units=1,
    activation="sigmoid",
    kernel_initializer={"module": "keras.initializers", "class_name": "GlorotUniform", "config": {"seed": None}},
)


def test_a_model_of_known_layers_is_accepted():
    assert check_architecture(json.dumps(model(DENSE)))["class_name"] == "Sequential"


def test_a_model_within_a_model_is_accepted():
    inner = {**model(DENSE), "module": "keras", "registered_name": None}
    check_architecture(json.dumps(model(inner)))


UNSAFE = {
    "a Lambda layer": model(layer("Lambda", function=["4wEAAAA", None, None], function_type="lambda")),
    "a Lambda layer inside another": model(layer("TimeDistributed", layer=layer("Lambda", function=["x"]))),
    "an operation of TensorFlow": model(layer("TFOpLambda", function="io.read_file")),
    "a layer that reads files": model(layer("TextVectorization", vocabulary="/etc/passwd")),
    "a class of another module": model({**DENSE, "module": "os", "class_name": "Dense"}),
    "a function of another module": model({"module": "subprocess", "class_name": "Popen", "config": {"args": "id"}}),
    "a module alone": model({"module": "antigravity"}),
    "a class that somebody registered": model({**DENSE, "registered_name": "mine>Dense"}),
    "a class without a name": model({**DENSE, "class_name": ["Dense"]}),
    "an unhashable module": model({**DENSE, "module": ["keras.layers"]}),
    "an initializer of another module": model(
        layer(
            "Dense", units=1, kernel_initializer={"module": "os", "class_name": "system", "config": {"command": "id"}}
        )
    ),
    "a function as activation": model(layer("Dense", units=1, activation={"class_name": "function", "config": "evil"})),
    "an unknown activation": model(layer("Dense", units=1, activation="my_activation")),
    "a lambda as recurrent activation": model(
        layer("LSTM", units=1, recurrent_activation={"class_name": "__lambda__"})
    ),
    "half precision": model(layer("Dense", units=1, dtype="float16")),
    "a precision policy": model(layer("Dense", units=1, dtype={"class_name": "Policy", "config": {"name": "x"}})),
    "a subclassed model": {"class_name": "MyModel", "config": {}},
    "a list": [],
    "batch normalisation": model(layer("BatchNormalization", trainable=True)),
    "batch normalisation that does not say": model(layer("BatchNormalization")),
}


@pytest.mark.parametrize("name", UNSAFE)
def test_an_architecture_that_is_more_than_data_is_refused(name):
    with pytest.raises(ModelError) as refusal:
        check_architecture(json.dumps(UNSAFE[name]))
    assert refusal.value.code == "FL-MODEL-UNSAFE"
    assert refusal.value.remedy


def test_frozen_batch_normalisation_is_accepted_and_the_refusal_names_the_remedy():
    check_architecture(json.dumps(model(layer("BatchNormalization", trainable=False))))
    with pytest.raises(ModelError) as refusal:
        check_architecture(json.dumps(model(layer("BatchNormalization", trainable=True))))
    assert "GroupNormalization" in refusal.value.remedy


@pytest.mark.parametrize(
    "text",
    ["", "{", "[" * 100_000, '{"a":' * 50_000, "\x80pickle", "x" * (2 << 20)],
    ids=["empty", "cut off", "nested lists", "nested objects", "a pickle", "too long"],
)
def test_text_that_is_no_architecture_is_refused(text):
    with pytest.raises(ModelError):
        check_architecture(text)


def test_deep_nesting_is_refused():
    value = "x"
    for _ in range(40):
        value = [value]
    with pytest.raises(ModelError, match="nested deeper"):
        check_architecture(json.dumps(model(layer("Dense", units=value))))


@pytest.mark.parametrize(
    ("attribute", "value"),
    [("sys.platform", "darwin"), ("platform.machine", lambda: "aarch64"), ("sys.version_info", (3, 12, 1))],
)
def test_an_unsupported_platform_is_one_sentence(monkeypatch, attribute, value):
    monkeypatch.setattr(f"fabric_fl.learning.tff_runtime.{attribute}", value)
    with pytest.raises(Exception, match=r"Linux x86-64 with Python 3\.11 only") as refusal:
        TFFTrainer(([[0.0]], [0]))
    assert refusal.value.code == "FL-LEARN-PLATFORM"
    assert "\n" not in str(refusal.value)
    with pytest.raises(Exception, match="FL-LEARN-PLATFORM"):
        require_platform()


def test_a_missing_installation_names_the_command(monkeypatch):
    from fabric_fl.learning import tff_runtime

    tff_runtime.libraries.cache_clear()
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(Exception, match="is not installed here") as refusal:
        tff_runtime.libraries()
    assert refusal.value.code == "FL-LEARN-PLATFORM"
    assert "fabric-fl[tff]" in refusal.value.remedy
