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
EXACT = 2**53  # up to here every JSON client keeps a whole number as it is

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
    inputs: set[str] = set(INPUTS)
    admits: Callable[[Any, Any], bool] = lambda value, limit: True


OPTIONS: dict[str, Option] = {
    "default": Option("default", {str, int, float, bool, dict, list, type(None)}),
    "description": Option("description", {str}),
    "deprecated": Option("deprecated", {bool}),
    "ge": Option("minimum", {int, float}, {"int", "float"}, operator.ge),
    "le": Option("maximum", {int, float}, {"int", "float"}, operator.le),
    "min_length": Option("minLength", {int}, {"str"}, lambda value, limit: len(value) >= limit),
    "max_length": Option("maxLength", {int}, {"str"}, lambda value, limit: len(value) <= limit),
    "regex": Option("pattern", {str}, {"str"}, lambda value, pattern: re.search(pattern, value) is not None),
    "choices": Option("allOf", {list}, {"str", "int", "float"}, lambda value, choices: value in choices),
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
            _check(arg.arg, kind, optional, options)
        fields[arg.arg] = _field(arg.arg, kind, options) | {"x-order": order} | ({"nullable": True} if optional else {})
        if "choices" in options:
            enums[arg.arg] = _enum(arg.arg, SCALARS[kind][0], options["choices"])
        if "default" not in options:
            required.append(arg.arg)
    returns = ast.unparse(predict.method.returns) if predict.method.returns else "nothing"
    _require(returns in OUTPUTS, f"the return type: {returns} is not one of {', '.join(OUTPUTS)}")
    streaming = "streaming" in _decorators(predict)
    _require(not streaming or returns != "str", "@streaming: the return type is no iterator")
    _concurrency(predict)
    document = _document(_object("Input", fields, required), OUTPUTS[returns], enums, streaming)
    rounded: Json = json.loads(json.dumps(document), parse_float=_number)
    return rounded


def max_concurrency(source: str, class_name: str = "Predictor") -> int:
    """N of `@concurrent(max=N)`, which `cog build` bakes in as COG_MAX_CONCURRENCY; 1 without the decorator."""
    return _concurrency(_find(source, class_name))


def dumps(reference: str = REFERENCE) -> str:
    """The document as text. NOTE: read as bytes, since Cog's generator does not turn \\r\\n into \\n."""
    path, _, class_name = reference.rpartition(":")
    document = openapi(Path(path).read_bytes().decode(), class_name)
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def write(reference: str = REFERENCE, to: Path = Path(".cog/openapi_schema.json")) -> None:
    """Write the document where coglet looks for it, whole or not at all."""
    text = dumps(reference)
    to.parent.mkdir(parents=True, exist_ok=True)
    part = to.with_name(f"{to.name}.{os.getpid()}")
    part.write_text(text, encoding="utf-8")
    part.replace(to)


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Put the place before the reason."""
    try:
        yield
    except SchemaError as error:
        raise SchemaError(f"{where}: {error}") from None


def _require(holds: object, reason: str) -> None:
    if not holds:
        raise SchemaError(reason)


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
    """Refuse what `ast` does not show and Cog's parser stumbles over: grouping parentheses, tuples, most comments.

    Before the body a parenthesis may only follow a name, and a comment in brackets only the opening parenthesis
    or a comma of the parameters or of an `Input`.
    """
    method = predict.method
    first = min(node.lineno for node in (method, *method.decorator_list))
    body = (method.body[0].lineno, method.body[0].col_offset)
    brackets: list[str] = []  # for each open parenthesis the name before it; for another bracket itself
    where, previous = method.name, ""
    for token in tokenize.generate_tokens(io.StringIO(predict.source).readline):
        text = token.string
        if not (first, 0) <= token.start < body or token.type == tokenize.NL:
            continue
        if token.type == tokenize.COMMENT:
            apart = not brackets or (brackets[-1] in {method.name, "Input"} and previous in {"(", ","})
            _require(apart, f"parameter {where}: a comment inside a value or a type")
            continue
        if text == ":" and brackets == [method.name]:
            where = previous
        if text in {"(", "[", "{"}:
            _require(text != "(" or previous.isidentifier(), f"parameter {where}: parentheses around a value")
            brackets.append(previous if text == "(" else text)
        elif text in {")", "]", "}"}:
            brackets.pop()
        previous = text


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
    _require(arg.annotation, "no type")
    text = ast.unparse(arg.annotation) if arg.annotation else ""
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
        _require(name in OPTIONS, f"{name}: not one of {', '.join(OPTIONS)}")
        with _naming(name):
            options[name] = _literal(predict.source, keyword.value)
    return options


def _literal(source: str, node: ast.expr) -> Any:
    """The value of a literal, if Cog's generator reads the same value in its text."""
    text = ast.get_source_segment(source, node) or ""
    match node:
        case ast.List(elts=items):
            return [_literal(source, item) for item in items]
        case ast.Dict(keys=keys, values=values):
            _require(all(isinstance(key, ast.Constant) and type(key.value) is str for key in keys), "keys that are not str")
            return {_literal(source, key): _literal(source, value) for key, value in zip(keys, values, strict=True) if key}
        case ast.Constant(value=None | bool() as value):
            return value
        case ast.Constant(value=str(value)):
            quote = next((quote for quote in ('"""', "\'\'\'", 'r"', "r'", '"', "'") if text.startswith(quote)), text)
            read = text[len(quote) : len(text) - len(quote.lstrip("r"))]
            _require(read == value, f"{text} is not one plain string: Cog's generator joins and decodes nothing")
            return value
    _require(re.fullmatch(r"-?(0|[1-9][0-9]*)(\\.[0-9]+)?(e-?[0-9]+)?", text), f"{text} is not a plain literal")
    number = ast.literal_eval(node)
    _require(abs(number) <= EXACT, f"{text} is more than JSON keeps exactly")
    return number
