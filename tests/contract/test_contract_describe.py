"""fl:Describe: what it says is what the contract does."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from contract_scenario import ORG1, ORG2, TASK, Scenario, specification
from every_call import ask_everything, call_everything
from market_scenario import Market

from fl_chaincode import FLError, args, probe, reference
from fl_chaincode.args import Fields
from fl_chaincode.canonical import H
from fl_chaincode.errors import HELP
from fl_chaincode.functions import FUNCTIONS, Write
from fl_chaincode.kinds import KINDS


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return Scenario().read("fl:Describe")


def functions(described: dict[str, Any]) -> dict[str, dict[str, Any]]:
    contracts = described["contracts"].values()
    return {f"{one['name']}:{function['name']}": function for one in contracts for function in one["transactions"]}


def test_every_function_is_described_with_its_arguments_and_who_may_call_it(described):
    found = functions(described)
    assert set(found) == set(FUNCTIONS)
    for name, entry in FUNCTIONS.items():
        one = found[name]
        assert one["description"], name
        assert [each["name"] for each in one["parameters"]] == list(entry.arguments)
        assert one["tag"] == (["submit"] if isinstance(entry, Write) else ["evaluate"])
        if isinstance(entry, Write):
            assert one["role"] == entry.role
            assert sum(1 for each in one["parameters"] if not each["required"]) == entry.optional


def test_every_kind_of_record_and_every_code_is_described(described):
    schemas = described["components"]["schemas"].values()
    assert {one["key"].split("/<")[0] for one in schemas if "key" in one} == set(KINDS)
    assert described["errors"] == dict(HELP)


def test_every_reference_leads_to_a_component(described):
    text = json.dumps(described)
    for name in set(text.split('"$ref": "#/components/schemas/')[1:]):
        assert name.split('"')[0] in described["components"]["schemas"]


# A small reader of JSON Schema, as the oracle: it knows the words that descriptions use, and no others


TYPES = {
    "string": str,
    "integer": int,
    "array": list,
    "object": dict,
    "null": type(None),
    "boolean": bool,
}


def fits(schema: dict[str, Any], value: Any, components: dict[str, Any]) -> bool:
    known = {
        "type": lambda kind: type(value) is TYPES[kind],
        "pattern": lambda pattern: re.search(pattern, value) is not None,
        "minLength": lambda least: len(value) >= least,
        "maxLength": lambda most: len(value) <= most,
        "minimum": lambda least: value >= least,
        "maximum": lambda most: value <= most,
        "enum": lambda choices: value in choices,
        "minItems": lambda least: len(value) >= least,
        "maxItems": lambda most: len(value) <= most,
        "uniqueItems": lambda _: len(set(value)) == len(value),
        "items": lambda inner: all(fits(inner, one, components) for one in value),
        "maxProperties": lambda most: len(value) <= most,
        "propertyNames": lambda inner: all(fits(inner, one, components) for one in value),
        "required": lambda names: all(name in value for name in names),
        "properties": lambda inner: all(fits(inner[one], value[one], components) for one in value if one in inner),
        "anyOf": lambda inner: any(fits(one, value, components) for one in inner),
        "oneOf": lambda inner: sum(1 for one in inner if fits(one, value, components)) == 1,
        "$ref": lambda name: fits(components[name.rpartition("/")[2]], value, components),
        "contentSchema": lambda inner: fits(inner, json.loads(value), components),
        "contentMediaType": lambda kind: kind == "application/json",
        "description": lambda _: True,
        "key": lambda _: True,
        "$id": lambda _: True,
    }  # fmt: skip
    if "type" in schema and not known["type"](schema["type"]):
        return False
    extra = schema.get("additionalProperties", {})
    if isinstance(value, dict) and extra is not False:
        others = [one for name, one in value.items() if name not in schema.get("properties", {})]
        if not all(fits(extra, one, components) for one in others):
            return False
    elif isinstance(value, dict) and any(name not in schema["properties"] for name in value):
        return False
    return all(known[word](given) for word, given in schema.items() if word != "additionalProperties")


def accepted() -> dict[str, list[Any]]:
    """Arguments that functions take, with the parts that may be left out."""
    order = {"request_id": "r", "inputs": [H("i")], "to": ORG2, "amount": 1}
    scores = {"nonce": H("n"), "scores": {ORG1: -1}, "metrics": {"loss": 1}}
    scenario = Scenario()
    scenario.create()
    scenario.submit_and_reveal(1)
    return {
        "participants:Register": [{"name": "a", "description": "b"}],
        "tasks:Create": [specification(), {"inputs": [H("i")]}],
        "updates:Reveal": [TASK, 1, scenario.opening_of(ORG1, 1)],
        "rounds:Vote": [TASK, 1, "close", 0],
        "attestations:Submit": [TASK, 1, scenario.claim(ORG1, 1, openings=[{"round": 1, **scores}])],
        "scores:Open": [TASK, 1, scores],
        "tokens:Transfer": [order],
        "prices:Publish": [{"request_id": "r", "services": {"gpu-hour": 3}, "description": ""}],
        "orders:Place": [Market().job()],
        "offers:Make": [Market().sale()],
        "offers:Take": [ORG1, "s", "invoice 7"],
        "records:Page": [{"kind": "task", "size": 1, "where": {"id": TASK, "q": 2}, "bookmark": "task/t1"}],
    }


def texts(arguments: list[Any]) -> list[str]:
    return [json.dumps(one) if isinstance(one, dict) else str(one) for one in arguments]


@pytest.mark.parametrize("function", accepted())
def test_what_a_function_decodes_fits_its_description_and_what_lacks_a_field_or_has_another_does_not(
    described, function
):
    components = described["components"]["schemas"]
    schemas = [one["schema"] for one in functions(described)[function]["parameters"]]
    decoders = list(FUNCTIONS[function].arguments.items())
    for place, argument in enumerate(accepted()[function]):
        name, decode = decoders[place]
        cases = [argument]
        if isinstance(argument, dict):
            cases += [{key: value for key, value in argument.items() if key != gone} for gone in argument]
            cases += [{**argument, "surplus": 1}, {}]
            wrong = (None, 0, -1, "", "A b", [], {}, [1], True)
            cases += [{**argument, key: one} for key in argument for one in wrong]
        for text in texts(cases):
            try:
                decode(name, text)
                decodes = True
            except FLError as error:
                decodes = error.code in ("FL-TASK-QUORUM", "FL-TASK-SPEC", "FL-TASK-OVERFLOW")
            assert fits(schemas[place], text, components) == decodes, (function, text)


def test_every_record_of_a_played_task_and_of_trade_fits_its_description(described):
    market = Market()
    market.create(budget=100)
    market.play(1, scores=dict.fromkeys(market.organisations, 1))
    market.ordered()
    market.taken()
    components = described["components"]["schemas"]
    kinds = {one["key"].split("/<")[0]: one for one in components.values() if "key" in one}
    seen = set()
    for prefix, kind in KINDS.items():
        for one in market.read("records:Page", {"kind": prefix, "size": 100})["records"]:
            assert fits(kinds[prefix], one["record"], components), one
            assert not fits(kinds[prefix], {**one["record"], "surplus": 1}, components)
            seen.add(kind.__name__)
    assert len(seen) > 15


class Answering(Market):
    """A history of calls and questions, every answer of which is compared with its description."""

    def __init__(self, described: dict[str, Any]) -> None:
        self.schemas = {name: one["returns"] for name, one in functions(described).items()}
        self.components = described["components"]["schemas"]
        self.checked: set[str] = set()
        super().__init__()

    def check(self, function: str, answer: Any) -> Any:
        assert fits(self.schemas[function], answer, self.components), (function, answer)
        if isinstance(answer, dict) and function != "records:Read":
            assert function == "fl:Describe" or not fits(
                self.schemas[function], {**answer, "surplus": 1}, self.components
            )
        self.checked.add(function)
        return answer

    def call(self, who: Any, function: str, *arguments: Any) -> Any:
        answer = self.check(function, super().call(who, function, *arguments))
        for one in self.organisations:
            for question in [("tasks:Todo",), ("tasks:Status", TASK)][: 1 + ("tasks:Create" in self.checked)]:
                self.check(question[0], json.loads(self.endorse(one, *question).outcome.payload))
        return answer

    def read(self, function: str, *arguments: Any) -> Any:
        return self.check(function, super().read(function, *arguments))


def test_every_answer_fits_its_description(described):
    one = Answering(described)
    call_everything(one)
    ask_everything(one)
    assert one.checked == set(FUNCTIONS)


# How a decoder is asked


def test_a_choice_that_leads_to_other_fields_is_described_once_for_each():
    def decode(what: str, text: str) -> Any:
        with Fields.of(what, text) as fields:
            rule = fields.take("rule", args.one_of("none", "median", "trim"))
            return fields.integer("byzantine", 1, 9) if rule == "trim" else None

    content = probe.describe("x", decode)["contentSchema"]
    byzantine = {"type": "integer", "minimum": 1, "maximum": 9}
    assert [one["properties"] for one in content["oneOf"]] == [
        {"rule": {"enum": ["none", "median"]}},
        {"rule": {"enum": ["trim"]}, "byzantine": byzantine},
    ]


def test_a_decoder_that_looks_at_its_argument_by_itself_cannot_be_described():
    def decode(what: str, text: str) -> Any:
        if not isinstance(text, str):
            raise args.invalid(what, "a text")
        return text

    with pytest.raises(FLError):
        probe.describe("x", decode)


# The page


def test_the_reference_page_is_what_the_contract_describes():
    page = Path(__file__).parents[2] / "docs" / "reference.md"
    assert page.read_text() == reference.render(), "run: python -m fl_chaincode.reference > docs/reference.md"
