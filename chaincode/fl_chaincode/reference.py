"""The reference page, written from what fl:Describe answers.

``python -m fl_chaincode.reference > docs/reference.md``
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from fl_chaincode.caller import Caller
from fl_chaincode.canonical import MAX_INTEGER
from fl_chaincode.memory import MemoryLedger

_HEAD = """\
# Reference of the contract

<!-- Written by `python -m fl_chaincode.reference > docs/reference.md` from what fl:Describe answers: do not edit. -->

Every function of the chaincode, every record that it writes and every code that it refuses with. `fl:Describe` returns
the same as JSON (Fabric's contract metadata, arguments as JSON Schema):

    peer chaincode query -C fl -n fl -c '{"Args":["fl:Describe"]}'

Arguments are text; one that is an object is strict JSON: integers only, no field that is not listed, none twice. A call
that is repeated with the same content acts once. A refusal reads `CODE: sentence`, and writes nothing. Writing
functions need a certificate of Fabric's unit client or admin, with the role that is named in its attribute `fl.roles`;
anybody who can query the channel reads.
"""

_KINDS = """
## Records and answers

What has a key is a record, and carries `"schema":1`; numbers in keys have eight digits. The rest are parts of records,
and answers. A field with ? can be absent.
"""


def describe() -> dict[str, Any]:
    """Return what fl:Describe answers."""
    described: dict[str, Any] = json.loads(MemoryLedger().evaluate(Caller("Anybody"), "fl:Describe"))
    return described


def render() -> str:
    """Return the page, in Markdown."""
    described = describe()
    components = described["components"]["schemas"]
    parts = [_HEAD, "## Forms\n\n"]
    parts += [f"- {form}\n" for form in sorted(_forms(described)) if ":" in form]
    for contract in sorted(described["contracts"]):
        parts.append(f"\n## {contract}\n")
        parts += [_function(contract, one, components) for one in described["contracts"][contract]["transactions"]]
    parts.append(_KINDS)
    parts += [_record(name, components[name]) for name in sorted(components) if "$id" in components[name]]
    parts.append("\n## Codes\n\n| code | what to do |\n|---|---|\n")
    parts += [f"| `{code}` | {_cell(text)} |\n" for code, text in sorted(described["errors"].items())]
    return "".join(parts)


def _forms(value: Any) -> frozenset[str]:
    """Return the forms of texts, wherever they occur."""
    if isinstance(value, list):
        return frozenset().union(*map(_forms, value))
    if not isinstance(value, dict):
        return frozenset()
    own = {value["description"]} if "pattern" in value and "description" in value else set()
    return frozenset(own).union(*map(_forms, value.values()))


def _function(contract: str, function: dict[str, Any], components: dict[str, Any]) -> str:
    parameters = function["parameters"]
    names = ", ".join(one["name"] if one["required"] else f"[{one['name']}]" for one in parameters)
    rows = [row for one in parameters for row in _rows(one["name"], one["schema"], one["required"], components)]
    lines = [f"\n### {contract}:{function['name']}({names})\n", f"{function['description']}\n", f"{_who(function)}\n"]
    if rows:
        lines += ["| argument | form |\n|---|---|", *(f"| `{path}` | {_cell(form)} |" for path, form in rows), ""]
    return "\n".join(lines)


def _who(function: dict[str, Any]) -> str:
    answer = _form(function["returns"])
    if "submit" not in function["tag"]:
        return f"Reads. Answers {answer}."
    role = f"role `{function['role']}`" if function["role"] else "any role"
    standing = f", organisation {function['participant']}" if function["participant"] else ""
    return f"Writes; {role}{standing}. Answers {answer}."


def _rows(path: str, schema: dict[str, Any], required: bool, components: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a row for an argument and for each of its fields: where it is, and its form."""
    note = "" if required else " (may be left out)"
    if "contentSchema" in schema:
        yield path, f"a JSON object{note}"
        yield from _inside(".", components[schema["contentSchema"]["$ref"].rpartition("/")[2]], components)
    else:
        yield path, f"{_form(schema)}{note}"
        yield from _inside(f"{path}.", schema, components)


def _inside(prefix: str, schema: dict[str, Any], components: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, inner, needed in _fields(schema):
        yield from _rows(f"{prefix}{name}", inner, needed, components)
    for variant in schema.get("oneOf", ()):
        shown = ", ".join(f"{name}: {_form(inner)}" for name, inner, _ in _fields(variant))
        yield prefix.rstrip(".") or ".", f"either {{{shown}}}"
    for one in schema.get("anyOf", ()):
        yield from _inside(prefix, one, components)
    if "items" in schema:
        yield from _inside(f"{prefix[:-1]}[].", schema["items"], components)


def _fields(schema: dict[str, Any]) -> list[tuple[str, dict[str, Any], bool]]:
    return [(name, inner, name in schema["required"]) for name, inner in schema.get("properties", {}).items()]


def _form(schema: dict[str, Any]) -> str:
    """Return a schema in words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "oneOf" in schema:
        return "an object"
    if "enum" in schema:
        return " or ".join(f"`{choice}`" for choice in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_form(one) for one in schema["anyOf"])
    kind = schema.get("type", "any JSON")
    if kind == "integer":
        return _integer(schema)
    if kind == "string":
        return _text(schema)
    if kind == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        size = f"{least} to {most} " if most else ""
        return f"a list of {size}{'different ' if schema.get('uniqueItems') else ''}({_form(schema['items'])})"
    if kind == "object" and schema.get("additionalProperties"):
        return f"an object whose values are {_form(schema['additionalProperties'])}"
    return {"object": "an object", "boolean": "true or false", "null": "null"}.get(kind, str(kind))


def _integer(schema: dict[str, Any]) -> str:
    if "minimum" not in schema:
        return "an integer"
    low, high = schema["minimum"], schema["maximum"]
    if low == high:
        return f"the integer {low}"
    ends = {MAX_INTEGER: "2^53 - 1", -MAX_INTEGER: "-(2^53 - 1)"}
    return f"an integer from {ends.get(low, low)} to {ends.get(high, high)}"


def _text(schema: dict[str, Any]) -> str:
    if "maxLength" in schema:
        return f"{schema.get('description', 'text')}, {schema['minLength']} to {schema['maxLength']} characters"
    form: str = schema.get("description", "text")
    return form.partition(":")[0]


def _record(name: str, schema: dict[str, Any]) -> str:
    key = f"\nKey: `{schema['key']}`\n" if "key" in schema else ""
    rows = [f"| `{field}`{'' if needed else '?'} | {_cell(_form(inner))} |" for field, inner, needed in _fields(schema)]
    lines = [
        f"\n### {name}\n",
        f"{schema['description'].replace('``', '`')}\n{key}",
        "| field | type |\n|---|---|",
        *rows,
    ]
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(render())
