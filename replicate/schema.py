"""The OpenAPI document of a Predictor, read from its source and never by importing it, as Cog's generator does.

coglet checks every request against `.cog/openapi_schema.json`, which `cog build` writes. This module writes the
same document without the Cog CLI, for the tests and for serving without Docker:

    python -m replicate.schema          # prints the document of replicate/predict.py

Covers: inputs `name: T` and `name: T = Input(...)`, T one of str, int, float, bool, dict, a list of one of these,
or `T | None`; literals in `Input`; `@streaming` and `@concurrent(max=N)`; str and iterators of str as output.
Does not cover: constants by name, files, secrets, model classes, inherited methods.
What Cog's generator refuses, drops or garbles is refused here, with the parameter and the reason.
"""

import ast
import io
import json
import operator
import os
import re
import tokenize
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

Json = dict[str, Any]

REFERENCE = "replicate/predict.py:Predictor"
EXACT = 2**53 - 1  # up to here every JSON client keeps a whole number as it is

# The scalar inputs: JSON Schema type, and the types of the literals that are values of it.
SCALARS: dict[str, tuple[str, set[type]]] = {
    "str": ("string", {str}),
    "int": ("integer", {int}),
    "float": ("number", {int, float}),
    "bool": ("boolean", {bool}),
    "dict": ("object", {dict}),
}
INPUTS: dict[str, Json] = {name: {"type": scalar[0]} for name, scalar in SCALARS.items()}
INPUTS |= {f"list[{name}]": {"type": "array", "items": items} for name, items in INPUTS.items()}

_STRINGS: Json = {"title": "Output", "type": "array", "items": {"type": "string"}, "x-cog-array-type": "iterator"}
OUTPUTS: dict[str, Json] = {
    "str": {"title": "Output", "type": "string"},
    "Iterator[str]": _STRINGS,
    "ConcatenateIterator[str]": _STRINGS | {"x-cog-array-display": "concatenate"},
}


class Option(NamedTuple):
    """An argument of `Input`: its key in the schema, the types of its literal, the inputs it is for, its meaning."""

    key: str
    literals: set[type]
    inputs: frozenset[str] = frozenset(INPUTS)
    admits: Callable[[Any, Any], bool] = lambda value, limit: True


OPTIONS: dict[str, Option] = {
    "default": Option("default", {str, int, float, bool, dict, list, type(None)}),
    "description": Option("description", {str}),
    "deprecated": Option("deprecated", {bool}),
    "ge": Option("minimum", {int, float}, frozenset({"int", "float"}), operator.ge),
    "le": Option("maximum", {int, float}, frozenset({"int", "float"}), operator.le),
    "min_length": Option("minLength", {int}, frozenset({"str"}), lambda value, limit: len(value) >= limit >= 0),
    "max_length": Option("maxLength", {int}, frozenset({"str"}), lambda value, limit: len(value) <= limit),
    "regex": Option("pattern", {str}, frozenset({"str"}), lambda value, pattern: re.search(pattern, value) is not None),
    "choices": Option("allOf", {list}, frozenset({"str", "int", "float"}), lambda value, choices: value in choices),
}


class SchemaError(ValueError):
    """Cog's generator would refuse, drop or garble something in this source."""


class _Predict(NamedTuple):
    """A source's predict method, and the names that `from cog import ...` binds in it."""

    source: str
    method: ast.FunctionDef | ast.AsyncFunctionDef
    cog: set[str]


def openapi(source: str, class_name: str = "Predictor") -> Json:
    """The document that Cog writes for the class."""
    predict = _find(source, class_name)
    fields: Json = {}
    enums: Json = {}
    required = []
    for order, (arg, value) in enumerate(_parameters(predict)):
        with _naming(f"parameter {arg.arg}"):
            kind, optional = _kind(arg)
            options = _options(predict, value)
            _check(kind, optional, options)
            _require(
                "choices" not in options or arg.arg not in _FRAME, "choices under the name of a component of Cog's"
            )
        fields[arg.arg] = {"x-order": order} | _field(arg.arg, kind, options) | ({"nullable": True} if optional else {})
        if "choices" in options:
            enum = {"title": arg.arg, "description": "An enumeration.", "enum": options["choices"]}
            enums[arg.arg] = enum | INPUTS[kind]
        if "default" not in options:
            required.append(arg.arg)
    returns = ast.unparse(predict.method.returns) if predict.method.returns else "nothing"
    _require(returns in OUTPUTS, f"the return type: {returns} is not one of {', '.join(OUTPUTS)}")
    streaming = "streaming" in _decorators(predict)
    _require(not streaming or returns != "str", "@streaming: the return type is no iterator")
    _concurrency(predict)
    inputs = {"title": "Input", "type": "object", "properties": fields} | ({"required": required} if required else {})
    document = _document({**_FRAME, "Input": inputs, "Output": OUTPUTS[returns], **enums}, streaming)
    as_go_writes: Json = json.loads(json.dumps(document), parse_float=_number)
    return as_go_writes


def max_concurrency(source: str, class_name: str = "Predictor") -> int:
    """N of `@concurrent(max=N)`, which `cog build` bakes in as COG_MAX_CONCURRENCY; 1 without the decorator."""
    return _concurrency(_find(source, class_name))


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


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Put the place before the reason."""
    try:
        yield
    except (ValueError, TypeError, re.error) as error:
        raise SchemaError(f"{where}: {error}") from error


def _require(holds: object, reason: str) -> None:
    if not holds:
        raise SchemaError(reason)


def _number(text: str) -> int | float:
    """Go writes 2.0 as 2."""
    return int(float(text)) if float(text).is_integer() else float(text)


def _find(source: str, class_name: str) -> _Predict:
    """The one predict method of the one class of that name, where Cog's generator looks for it."""
    try:
        module = ast.parse(source)
        compile(source, class_name, "exec", dont_inherit=True)  # finds what the parser lets pass: a repeated argument
    except (SyntaxError, ValueError) as error:
        raise SchemaError(f"not Python: {error}") from error
    cog = _cog_names(module)
    classes = [node for node in module.body if isinstance(node, ast.ClassDef) and node.name == class_name]
    _require(len(classes) == 1, f"{len(classes)} classes {class_name!r} at the top level, not 1")
    bases = {ast.unparse(base) for base in classes[0].bases}
    _require(bases <= {"BasePredictor", "BaseRunner"} & cog, f"{class_name}: a base class that is not from cog")
    functions = [node for node in classes[0].body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    methods = [node for node in functions if node.name in {"run", "predict"}]
    _require(len(methods) == 1, f"{class_name}: {len(methods)} methods run or predict, not 1")
    predict = _Predict(source, methods[0], cog)
    _check_tokens(predict)
    return predict


def _cog_names(module: ast.Module) -> set[str]:
    """The names bound by `from cog import name` at the top level: Cog's generator looks nowhere else."""
    names: dict[str, str] = {}
    for node in module.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            origin = "." * node.level + (node.module or "") if isinstance(node, ast.ImportFrom) else ""
            names |= {alias.asname or alias.name: f"{origin}.{alias.name}" for alias in node.names}
    for name, origin in names.items():
        renamed = origin in {"cog.Input", "cog.concurrent", "cog.streaming"} and origin != f"cog.{name}"
        _require(not renamed, f"{name} is another name for {origin}")
    return {name for name, origin in names.items() if origin == f"cog.{name}"}


def _check_tokens(predict: _Predict) -> None:
    """Refuse what `ast` does not show: grouping parentheses, most comments, and literals that Cog reads otherwise.

    Before the body a parenthesis may only follow a name, and a comment in brackets only the opening parenthesis
    or a comma of the parameters or of an `Input`.
    """
    method = predict.method
    first = min(node.lineno for node in (method, *method.decorator_list))
    body = (method.body[0].lineno, method.body[0].col_offset)
    brackets: list[str] = []  # for each open parenthesis the name before it; for another bracket itself
    where, previous = method.name, tokenize.TokenInfo(tokenize.NL, "", (0, 0), (0, 0), "")
    for token in tokenize.generate_tokens(io.StringIO(predict.source, newline="").readline):
        if not (first, 0) <= token.start < body or token.type == tokenize.NL:
            continue
        if token.type == tokenize.COMMENT:
            apart = not brackets or (brackets[-1] in {method.name, "Input"} and previous.string in {"(", ","})
            _require(apart, f"parameter {where}: a comment inside a value or a type")
            continue
        if token.string == ":" and brackets == [method.name]:
            where = previous.string
        with _naming(f"parameter {where}"):
            _check_literal(token, previous)
        if token.string in {"(", "[", "{"}:
            grouping = token.string == "(" and previous.type != tokenize.NAME
            _require(not grouping, f"parameter {where}: parentheses around a value")
            brackets.append(previous.string if token.string == "(" else token.string)
        elif token.string in {")", "]", "}"}:
            brackets.pop()
        previous = token


def _check_literal(token: tokenize.TokenInfo, previous: tokenize.TokenInfo) -> None:
    """Cog's generator joins no strings and decodes no escapes, and reads fewer forms of numbers than Python."""
    text = token.string
    if token.type == tokenize.STRING:
        quote = next((quote for quote in ('"""', "'''", 'r"', "r'", '"', "'") if text.startswith(quote)), text)
        read = text[len(quote) : len(text) - len(quote.lstrip("r"))]
        plain = len(quote) < len(text) and previous.type != tokenize.STRING and read == ast.literal_eval(text)
        _require(plain, f"{text} is not one plain string without escapes")
    if token.type == tokenize.NUMBER:
        spaced = previous.string == "-" and previous.end != token.start
        plain = not spaced and re.fullmatch(r"[0-9]+(\.[0-9]+)?(e-?[0-9]+)?", text)
        _require(plain, f"{text} is not a number in plain decimal digits")
        _require(float(text) <= EXACT, f"{text} is more than every JSON client keeps exactly")


def _parameters(predict: _Predict) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """The parameters after self, each with its default."""
    args = predict.method.args
    _require(not (args.vararg or args.kwarg), "* and ** parameters are not inputs")
    _require(not args.posonlyargs, "positional-only parameters are out of reach: coglet passes inputs by name")
    _require(args.args and ast.unparse(args.args[0]) == "self", "the first parameter is not self")
    defaults = [None] * (len(args.args) - len(args.defaults)) + args.defaults + args.kw_defaults
    return zip(args.args[1:] + args.kwonlyargs, defaults[1:], strict=True)


def _kind(arg: ast.arg) -> tuple[str, bool]:
    """The parameter's key in INPUTS, and whether it may be None."""
    _require(arg.arg.isascii(), "a name that is not ASCII gets a garbled title")
    text = ast.unparse(arg.annotation) if arg.annotation else "no type"
    kind = text.removesuffix(" | None")
    _require(kind in INPUTS, f"{text} is not one of {', '.join(INPUTS)}, or one of these | None")
    return kind, kind != text


def _options(predict: _Predict, value: ast.expr | None) -> Json:
    """The literals in `Input(...)`."""
    if value is None:
        return {}
    if not (isinstance(value, ast.Call) and ast.unparse(value.func) == "Input" and "Input" in predict.cog):
        raise SchemaError(f"{ast.unparse(value)} is not Input(...), with `from cog import Input`")
    _require(not value.args, "Cog's generator ignores a positional default: write default=")
    options: Json = {}
    for keyword in value.keywords:
        name = keyword.arg or "**"
        _require(name in OPTIONS, f"{name} is not one of {', '.join(OPTIONS)}")
        with _naming(f"{name}={ast.unparse(keyword.value)} is no literal"):
            options[name] = ast.literal_eval(keyword.value)
            _require(json.loads(json.dumps(options[name])) == options[name], "no JSON value")
    return options


def _check(kind: str, optional: bool, options: Json) -> None:
    """Refuse options that do not fit the input's type or each other."""
    for name, value in options.items():
        _require(kind in OPTIONS[name].inputs, f"{name} means nothing for {kind}")
        _require(type(value) in OPTIONS[name].literals, f"{name}={value!r} is of the wrong type")
    default, choices = options.get("default"), options.get("choices", [None])
    _require("default" in options or not optional, "an input that may be None needs its default written out")
    _require("default" not in options or optional or default is not None, "default=None without | None is no default")
    _require(choices, "choices is empty")
    for value in [default, *choices]:
        if value is not None:
            _require(_fits(kind, value), f"{value!r} is no {kind}")
            broken = [name for name, limit in options.items() if not OPTIONS[name].admits(value, limit)]
            _require(not broken, f"{value!r} is against {', '.join(broken)}")


def _fits(kind: str, value: Any) -> bool:
    if kind in SCALARS:
        return type(value) in SCALARS[kind][1]
    return type(value) is list and all(_fits(kind[len("list[") : -1], item) for item in value)


def _field(name: str, kind: str, options: Json) -> Json:
    """One entry of the Input component. An input with choices refers to a component of its own name."""
    written = {
        OPTIONS[option].key: value for option, value in options.items() if (option, value) != ("deprecated", False)
    }
    if "choices" in options:
        return written | {"allOf": [_ref(name)]}
    return written | INPUTS[kind] | {"title": " ".join(word[:1].upper() + word[1:] for word in name.split("_"))}


def _decorators(predict: _Predict) -> dict[str, ast.expr]:
    """The decorators that Cog reads, by name; it takes no notice of others."""
    found: dict[str, ast.expr] = {}
    for node in predict.method.decorator_list:
        text = ast.unparse(node.func if isinstance(node, ast.Call) else node)
        name = text.rpartition(".")[2]
        if name in {"streaming", "concurrent"}:
            _require(text == name and name in predict.cog, f"@{text} without `from cog import {name}` at the top")
            _require(name not in found, f"@{name} twice")
            found[name] = node
    return found


def _concurrency(predict: _Predict) -> int:
    match _decorators(predict).get("concurrent"):
        case None:
            return 1
        case ast.Call(args=[], keywords=[ast.keyword(arg="max", value=ast.Constant(value=int(limit)))]):
            _require(limit is not True and limit >= 1, f"@concurrent: max={limit} is not a whole number over 0")
            alone = isinstance(predict.method, ast.FunctionDef)
            _require(limit == 1 or not alone, "@concurrent: max over 1 needs an async method")
            return limit
    raise SchemaError("@concurrent: only the form @concurrent(max=N) with a literal N")


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(title: str, **properties: Json) -> Json:
    return {"title": title, "type": "object", "properties": properties}


def _string(title: str, **more: str) -> Json:
    return {"title": title, "type": "string", **more}


def _operation(summary: str, name: str, answer: Json, checked: bool = True, **more: Any) -> Json:
    """A path's operation, which answers 200 and, where its request is checked, 422."""
    answers = {"200": ("Successful Response", answer), "422": ("Validation Error", _ref("HTTPValidationError"))}
    responses = {
        status: {"description": description, "content": {"application/json": {"schema": schema}}}
        for status, (description, schema) in answers.items()
        if checked or status == "200"
    }
    return {"summary": summary, "operationId": name, "responses": responses, **more}


# The components that are the same for every Predictor; Input and Output stand in for its own.
_FRAME: dict[str, Json] = {
    "Input": {},
    "Output": {},
    "PredictionRequest": _object("PredictionRequest", id=_string("Id"), input=_ref("Input")),
    "PredictionResponse": _object(
        "PredictionResponse",
        input=_ref("Input"),
        output=_ref("Output"),
        **{name: _string(name.title()) for name in ("id", "version", "status", "error", "logs")},
        **{
            name: _string(name.replace("_", " ").title(), format="date-time")
            for name in ("created_at", "started_at", "completed_at")
        },
        metrics={"title": "Metrics", "type": "object"},
    ),
    "Status": _string("Status", description="An enumeration.")
    | {"enum": ["starting", "processing", "succeeded", "canceled", "failed"]},
    "HTTPValidationError": _object(
        "HTTPValidationError", detail={"title": "Detail", "type": "array", "items": _ref("ValidationError")}
    ),
    "ValidationError": _object(
        "ValidationError",
        loc={"title": "Location", "type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
        msg=_string("Message"),
        type=_string("Error Type"),
    )
    | {"required": ["loc", "msg", "type"]},
}


def _document(components: Json, streaming: bool) -> Json:
    predict = _operation(
        "Predict",
        "predict_predictions_post",
        _ref("PredictionResponse"),
        description="Run a single prediction on the model",
        requestBody={"content": {"application/json": {"schema": _ref("PredictionRequest")}}},
        **({"x-cog-streaming": True} if streaming else {}),
    )
    name = {"in": "path", "name": "prediction_id", "required": True, "schema": _string("Prediction Id")}
    cancel = _operation("Cancel", "cancel_predictions__prediction_id__cancel_post", {}, parameters=[name])
    paths = {
        "/": {"get": _operation("Root", "root__get", {}, checked=False)},
        "/health-check": {"get": _operation("Healthcheck", "healthcheck_health_check_get", {}, checked=False)},
        "/predictions": {"post": predict},
        "/predictions/{prediction_id}/cancel": {"post": cancel},
    }
    info = {"title": "Cog", "version": "dev"}
    return {"openapi": "3.0.2", "info": info, "paths": paths, "components": {"schemas": components}}


if __name__ == "__main__":
    print(dumps())
