"""Reads a Predictor's signature from its source, as Cog's generator does: the source is never imported.

What Cog's generator refuses, drops or garbles is refused here, with the parameter and the reason.
"""

import ast
import io
import json
import operator
import re
import tokenize
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

Json = dict[str, Any]

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
    "min_length": Option("minLength", {int}, frozenset({"str"}), lambda value, limit: len(value) >= limit),
    "max_length": Option("maxLength", {int}, frozenset({"str"}), lambda value, limit: len(value) <= limit),
    "regex": Option("pattern", {str}, frozenset({"str"}), lambda value, pattern: re.search(pattern, value) is not None),
    "choices": Option("allOf", {list}, frozenset({"str", "int", "float"}), lambda value, choices: value in choices),
}


class SchemaError(ValueError):
    """Cog's generator would refuse, drop or garble something in this source."""


class Predict(NamedTuple):
    """A source's predict method, and the names that `from cog import ...` binds in it."""

    source: str
    method: ast.FunctionDef | ast.AsyncFunctionDef
    cog: set[str]


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Put the place before the reason."""
    try:
        yield
    except (ValueError, TypeError, re.error) as error:
        raise SchemaError(f"{where}: {error}") from error


def require(holds: object, reason: str) -> None:
    if not holds:
        raise SchemaError(reason)


def find(source: str, class_name: str) -> Predict:
    """The one predict method of the one class of that name, where Cog's generator looks for it."""
    try:
        module = ast.parse(source)
        compile(source, class_name, "exec", dont_inherit=True)  # finds what the parser lets pass: a repeated argument
    except (SyntaxError, ValueError) as error:
        raise SchemaError(f"not Python: {error}") from error
    cog = _cog_names(module)
    classes = [node for node in module.body if isinstance(node, ast.ClassDef) and node.name == class_name]
    require(len(classes) == 1, f"{len(classes)} classes {class_name!r} at the top level, not 1")
    bases = {ast.unparse(base) for base in classes[0].bases}
    require(bases <= {"BasePredictor", "BaseRunner"} & cog, f"{class_name}: a base class that is not from cog")
    functions = [node for node in classes[0].body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    methods = [node for node in functions if node.name in {"run", "predict"}]
    require(len(methods) == 1, f"{class_name}: {len(methods)} methods run or predict, not 1")
    predict = Predict(source, methods[0], cog)
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
        require(not renamed, f"{name} is another name for {origin}")
    return {name for name, origin in names.items() if origin == f"cog.{name}"}


def _check_tokens(predict: Predict) -> None:
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
            require(apart, f"parameter {where}: a comment inside a value or a type")
            continue
        if token.string == ":" and brackets == [method.name]:
            where = previous.string
        with naming(f"parameter {where}"):
            _check_literal(token, previous)
        if token.string in {"(", "[", "{"}:
            grouping = token.string == "(" and previous.type != tokenize.NAME
            require(not grouping, f"parameter {where}: parentheses around a value")
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
        require(plain, f"{text} is not one plain string without escapes")
    if token.type == tokenize.NUMBER:
        spaced = previous.string == "-" and previous.end != token.start
        plain = not spaced and re.fullmatch(r"[0-9]+(\.[0-9]+)?(e-?[0-9]+)?", text)
        require(plain, f"{text} is not a number in plain decimal digits")
        require(float(text) <= EXACT, f"{text} is more than every JSON client keeps exactly")


def parameters(predict: Predict) -> Iterator[tuple[ast.arg, ast.expr | None]]:
    """The parameters after self, each with its default."""
    args = predict.method.args
    for arg in filter(None, [args.vararg, args.kwarg, *args.posonlyargs[1:]]):
        raise SchemaError(f"parameter {arg.arg}: coglet passes inputs by name alone")
    require(args.args and ast.unparse(args.args[0]) == "self", "the first parameter is not self")
    defaults = [None] * (len(args.args) - len(args.defaults)) + args.defaults + args.kw_defaults
    return zip(args.args[1:] + args.kwonlyargs, defaults[1:], strict=True)


def kind_of(arg: ast.arg) -> tuple[str, bool]:
    """The parameter's key in INPUTS, and whether it may be None."""
    require(arg.arg.isascii(), "a name that is not ASCII gets a garbled title")
    text = ast.unparse(arg.annotation) if arg.annotation else "no type"
    kind = text.removesuffix(" | None")
    require(kind in INPUTS, f"{text} is not one of {', '.join(INPUTS)}, or one of these | None")
    return kind, kind != text


def options_of(predict: Predict, value: ast.expr | None) -> Json:
    """The literals in `Input(...)`."""
    if value is None:
        return {}
    if not (isinstance(value, ast.Call) and ast.unparse(value.func) == "Input" and "Input" in predict.cog):
        raise SchemaError(f"{ast.unparse(value)} is not Input(...), with `from cog import Input`")
    require(not value.args, "Cog's generator ignores a positional default: write default=")
    options: Json = {}
    for keyword in value.keywords:
        name = keyword.arg or "**"
        require(name in OPTIONS, f"{name} is not one of {', '.join(OPTIONS)}")
        with naming(f"{name}={ast.unparse(keyword.value)} is no literal"):
            options[name] = ast.literal_eval(keyword.value)
            require(json.loads(json.dumps(options[name])) == options[name], "no JSON value")
    return options


def check(kind: str, optional: bool, options: Json) -> None:
    """Refuse options that do not fit the input's type or each other."""
    for name, value in options.items():
        require(kind in OPTIONS[name].inputs, f"{name} means nothing for {kind}")
        require(type(value) in OPTIONS[name].literals, f"{name}={value!r} is of the wrong type")
        require(not name.endswith("_length") or value >= 0, f"{name}={value} is below 0")
    re.compile(options.get("regex", ""))
    default, choices = options.get("default"), options.get("choices", [None])
    require("default" in options or not optional, "an input that may be None needs its default written out")
    require("default" not in options or optional or default is not None, "default=None without | None is no default")
    require(choices, "choices is empty")
    for value in [default, *choices]:
        if value is not None:
            require(_fits(kind, value), f"{value!r} is no {kind}")
            broken = [name for name, limit in options.items() if not OPTIONS[name].admits(value, limit)]
            require(not broken, f"{value!r} is against {', '.join(broken)}")


def _fits(kind: str, value: Any) -> bool:
    if kind in SCALARS:
        return type(value) in SCALARS[kind][1]
    return type(value) is list and all(_fits(kind[len("list[") : -1], item) for item in value)


def decorators(predict: Predict) -> dict[str, ast.expr]:
    """The decorators that Cog reads, by name; it takes no notice of others."""
    found: dict[str, ast.expr] = {}
    for node in predict.method.decorator_list:
        text = ast.unparse(node.func if isinstance(node, ast.Call) else node)
        name = text.rpartition(".")[2]
        if name in {"streaming", "concurrent"}:
            require(text == name and name in predict.cog, f"@{text} without `from cog import {name}` at the top")
            require(name not in found, f"@{name} twice")
            found[name] = node
    return found


def concurrency(predict: Predict) -> int:
    match decorators(predict).get("concurrent"):
        case None:
            return 1
        case ast.Call(args=[], keywords=[ast.keyword(arg="max", value=ast.Constant(value=int(limit)))]):
            require(limit is not True and limit >= 1, f"@concurrent: max={limit} is not a whole number over 0")
            alone = isinstance(predict.method, ast.FunctionDef)
            require(limit == 1 or not alone, "@concurrent: max over 1 needs an async method")
            return limit
    raise SchemaError("@concurrent: only the form @concurrent(max=N) with a literal N")
