"""The OpenAPI document of a Predictor, read from its source and never by importing it, as Cog's generator does.

coglet checks every request against `.cog/openapi_schema.json`, which `cog build` writes. This module writes the
same document without the Cog CLI, for the tests and for serving without Docker:

    python -m deepseek_math.cog.schema          # prints the document of replicate/predict.py

Covers: inputs `name: T` and `name: T = Input(...)`, T one of str, int, float, bool, dict, a list of one of these,
or `T | None`; literals in `Input`; `@streaming` and `@concurrent(max=N)`; str and iterators of str as output.
Does not cover: constants by name, files, secrets, model classes, inherited methods.
What Cog's generator refuses, drops or garbles is refused (`signature.py`).
"""

import ast
import json
import os
from pathlib import Path

from deepseek_math.cog.frame import COMPONENTS, document, ref
from deepseek_math.cog.signature import (
    INPUTS,
    OPTIONS,
    Json,
    SchemaError,
    check,
    concurrency,
    decorators,
    find,
    kind_of,
    naming,
    options_of,
    parameters,
    require,
)

__all__ = ["INPUTS", "OPTIONS", "REFERENCE", "SchemaError", "dumps", "max_concurrency", "openapi", "write"]

REFERENCE = "replicate/predict.py:Predictor"
_STRINGS: Json = {"title": "Output", "type": "array", "items": {"type": "string"}, "x-cog-array-type": "iterator"}
OUTPUTS: dict[str, Json] = {
    "str": {"title": "Output", "type": "string"},
    "Iterator[str]": _STRINGS,
    "ConcatenateIterator[str]": _STRINGS | {"x-cog-array-display": "concatenate"},
}


def openapi(source: str, class_name: str = "Predictor") -> Json:
    """The document that Cog writes for the class."""
    predict = find(source, class_name)
    fields: Json = {}
    enums: Json = {}
    required = []
    for order, (arg, value) in enumerate(parameters(predict)):
        with naming(f"parameter {arg.arg}"):
            kind, optional = kind_of(arg)
            options = options_of(predict, value)
            check(kind, optional, options)
            require(
                "choices" not in options or arg.arg not in COMPONENTS, "choices under the name of a component of Cog's"
            )
        fields[arg.arg] = {"x-order": order} | _field(arg.arg, kind, options) | ({"nullable": True} if optional else {})
        if "choices" in options:
            enum = {"title": arg.arg, "description": "An enumeration.", "enum": options["choices"]}
            enums[arg.arg] = enum | INPUTS[kind]
        if "default" not in options:
            required.append(arg.arg)
    returns = ast.unparse(predict.method.returns) if predict.method.returns else "nothing"
    require(returns in OUTPUTS, f"the return type: {returns} is not one of {', '.join(OUTPUTS)}")
    streaming = "streaming" in decorators(predict)
    require(not streaming or returns != "str", "@streaming: the return type is no iterator")
    concurrency(predict)
    inputs = {"title": "Input", "type": "object", "properties": fields} | ({"required": required} if required else {})
    whole = document({**COMPONENTS, "Input": inputs, "Output": OUTPUTS[returns], **enums}, streaming)
    as_go_writes: Json = json.loads(json.dumps(whole), parse_float=_number)
    return as_go_writes


def max_concurrency(source: str, class_name: str = "Predictor") -> int:
    """N of `@concurrent(max=N)`, which `cog build` bakes in as COG_MAX_CONCURRENCY; 1 without the decorator."""
    return concurrency(find(source, class_name))


def dumps(reference: str = REFERENCE) -> str:
    """The document as text. NOTE: the source is read as bytes, as Cog's generator sees a carriage return."""
    path, _, class_name = reference.rpartition(":")
    document = openapi(Path(path).read_bytes().decode(), class_name)
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)


def write(reference: str = REFERENCE, to: Path = Path(".cog/openapi_schema.json")) -> None:
    """Write the document where coglet looks for it, whole or not at all."""
    text = dumps(reference)
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(f"{to.name}.{os.getpid()}")
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(to)


def _number(text: str) -> int | float:
    """Go writes 2.0 as 2."""
    return int(float(text)) if float(text).is_integer() else float(text)


def _field(name: str, kind: str, options: Json) -> Json:
    """One entry of the Input component. An input with choices refers to a component of its own name."""
    written = {
        OPTIONS[option].key: value for option, value in options.items() if (option, value) != ("deprecated", False)
    }
    if "choices" in options:
        return written | {"allOf": [ref(name)]}
    return written | INPUTS[kind] | {"title": " ".join(word[:1].upper() + word[1:] for word in name.split("_"))}
