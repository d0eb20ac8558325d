"""The schema equals what Cog's generator writes, and what that generator would lose is refused.

Every row of ACCEPTED was compared with the output of the real generator (replicate/cog @ 6110c912).
"""

import importlib.util
import inspect
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from deepseek_math.cog import schema
from deepseek_math.paths import ROOT

EXAMPLE = Path(__file__).resolve().parents[3] / "shared" / "cog_example"
OURS = ROOT / "replicate" / "predict.py"

IMPORTS = "from cog import BasePredictor, ConcatenateIterator, Input, concurrent, streaming\n"


def source(
    signature: str = "self",
    *,
    imports: str = IMPORTS,
    decorators: str = "",
    returns: str = " -> str",
    kind: str = "async def",
    head: str = "class Predictor(BasePredictor):",
) -> str:
    """A Predictor with one thing set and the rest as it should be."""
    return f"{imports}\n{head}\n    {decorators}\n    {kind} predict({signature}){returns}:\n        ...\n"


def schemas(text: str) -> dict[str, Any]:
    found: dict[str, Any] = schema.openapi(text)["components"]["schemas"]
    return found


def test_the_example_gets_the_document_of_cogs_own_generator() -> None:
    if not EXAMPLE.is_dir():
        pytest.skip(f"{EXAMPLE} is not here: it holds the output of the real generator")
    ours = schema.openapi((EXAMPLE / "predict.py").read_text(encoding="utf-8"))
    cogs = json.loads((EXAMPLE / "openapi.json").read_text(encoding="utf-8"))
    ours["info"].pop("version"), cogs["info"].pop("version")
    assert json.dumps(ours, sort_keys=True) == json.dumps(cogs, sort_keys=True)  # text, for which 2.0 is not 2


ACCEPTED = [
    ("x: str", {"title": "X", "type": "string"}, True, "a bare type is required"),
    ("x: str = Input()", {"title": "X", "type": "string"}, True, "no default is required"),
    ("a_bC__d: bool", {"title": "A BC  D", "type": "boolean"}, True, "a title keeps inner capitals and empty words"),
    ("*, x: int", {"title": "X", "type": "integer"}, True, "keyword-only is as good"),
    (
        "x: float = Input(default=2.0, ge=-1.0, le=1e3)",
        {"title": "X", "type": "number", "default": 2, "minimum": -1, "maximum": 1000},
        False,
        "Go writes a whole float without a point",
    ),
    ("x: float = Input(default=0.95)", {"title": "X", "type": "number", "default": 0.95}, False, "a fraction stays"),
    (
        "x: int = Input(default=0, le=9007199254740991)",
        {"title": "X", "type": "integer", "default": 0, "maximum": 9007199254740991},
        False,
        "the largest exact whole number is not rounded",
    ),
    (
        "x: dict = Input(default={'a': [1.0, None]})",
        {"title": "X", "type": "object", "default": {"a": [1, None]}},
        False,
        "a dict is an opaque object",
    ),
    (
        "x: list[float] = Input(default=[1.0, 0.5])",
        {"title": "X", "type": "array", "items": {"type": "number"}, "default": [1, 0.5]},
        False,
        "numbers inside a default are written alike",
    ),
    (
        "x: list[dict] = Input(default=[])",
        {"title": "X", "type": "array", "items": {"type": "object"}, "default": []},
        False,
        "an empty list is a default",
    ),
    (
        "x: list[str] | None = Input(default=None)",
        {"title": "X", "type": "array", "items": {"type": "string"}, "default": None, "nullable": True},
        False,
        "None is a default where the type has it",
    ),
    (
        "x: int | None = Input(default=None, ge=0)",
        {"title": "X", "type": "integer", "default": None, "nullable": True, "minimum": 0},
        False,
        "None is not held against the bounds",
    ),
    (
        r"x: str = Input(default='ab', min_length=1, max_length=2, regex=r'^\w+$')",
        {"title": "X", "type": "string", "default": "ab", "minLength": 1, "maxLength": 2, "pattern": r"^\w+$"},
        False,
        "a raw string is read as it is",
    ),
    (
        "x: str = Input(description='''two\nlines''')",
        {"title": "X", "type": "string", "description": "two\nlines"},
        True,
        "a line end in triple quotes is no escape",
    ),
    (
        'x: str = Input(description="<é>")',
        {"title": "X", "type": "string", "description": "<é>"},
        True,
        "no ASCII only",
    ),
    ("x: int = Input(deprecated=True)", {"title": "X", "type": "integer", "deprecated": True}, True, "written if true"),
    ("x: int = Input(deprecated=False)", {"title": "X", "type": "integer"}, True, "and not if false"),
    (
        "x: str | None = Input(default=None, choices=['a'])",
        {"allOf": [{"$ref": "#/components/schemas/x"}], "default": None, "nullable": True},
        False,
        "choices are a component of their own, and the type goes there",
    ),
    ("x: int = Input(  # why\n    ge=1,  # why\n)", {"title": "X", "type": "integer", "minimum": 1}, True, "comments"),
]


@pytest.mark.parametrize(("signature", "field", "required", "why"), ACCEPTED, ids=[row[0] for row in ACCEPTED])
def test_a_parameter_gets_the_schema_that_cog_writes(
    signature: str, field: dict[str, Any], required: bool, why: str
) -> None:
    inputs = schemas(source(f"self, {signature}"))["Input"]
    [(name, found)] = inputs["properties"].items()
    assert json.dumps(found, sort_keys=True) == json.dumps({**field, "x-order": 0}, sort_keys=True), why
    assert inputs.get("required") == ([name] if required else None), why


def test_choices_become_a_component_under_the_parameters_name() -> None:
    found = schemas(source("self, size: float = Input(default=0.5, choices=[0.5, 1.0])"))["size"]
    assert found == {"title": "size", "description": "An enumeration.", "enum": [0.5, 1], "type": "number"}


def test_inputs_are_numbered_in_the_order_of_the_signature() -> None:
    inputs = schemas(source("self, b: str, a: int = Input(default=1), *, c: bool"))["Input"]
    assert {name: field["x-order"] for name, field in inputs["properties"].items()} == {"b": 0, "a": 1, "c": 2}
    assert inputs["required"] == ["b", "c"]


ITERATOR = {"title": "Output", "type": "array", "items": {"type": "string"}, "x-cog-array-type": "iterator"}


@pytest.mark.parametrize(
    ("returns", "output"),
    [
        ("str", {"title": "Output", "type": "string"}),
        ("Iterator[str]", ITERATOR),
        ("ConcatenateIterator[str]", {**ITERATOR, "x-cog-array-display": "concatenate"}),
    ],
)
def test_the_output_is_the_return_type(returns: str, output: dict[str, Any]) -> None:
    assert schemas(source(returns=f" -> {returns}"))["Output"] == output


@pytest.mark.parametrize("decorators", ["", "@streaming", "@torch.inference_mode()\n    @streaming"])
def test_only_a_streaming_predictor_may_answer_with_events(decorators: str) -> None:
    document = schema.openapi(source(decorators=decorators, returns=" -> ConcatenateIterator[str]"))
    assert document["paths"]["/predictions"]["post"].get("x-cog-streaming", False) is ("@streaming" in decorators)


REFUSED_PARAMETERS = [
    ("x", "no type", "Cog drops a bare name without a word"),
    ("x=1", "no type", "the build fails"),
    ("*args", "by name", "Cog drops it without a word"),
    ("**kwargs: str", "by name", "the build fails"),
    ("x: str, /", "by name", "coglet passes inputs by name"),
    ("x: Literal['a']", "not one of", "the build fails"),
    ("x: list", "not one of", "the build fails"),
    ("x: list[list[str]]", "not one of", "the build fails"),
    ("x: list[str | None]", "not one of", "the build fails"),
    ("x: Prompt", "not one of", "type aliases fail the build"),
    ("x: str | int", "not one of", "a union takes no constraint"),
    ("x: 'str'", "not one of", "no need for it"),
    ("x: Path", "not one of", "no need for it"),
    ("x: (str)", "parentheses", "the build fails"),
    ("x: str = (Input())", "parentheses", "the build fails"),
    ("x: str = cog.Input(default='a')", "not Input", "the build fails"),
    ("x: int = TEMPERATURE", "not Input", "the build fails for an Input made elsewhere"),
    ("x: int = 5", "not Input", "one way to write a default is enough"),
    ("x: int = Input(5)", "positional", "the default is ignored, the input required"),
    ("x: int = Input(default=1024 * 2)", "no literal", "the default is lost"),
    ("x: int = Input(default=LIMIT)", "no literal", "the default is lost if imported"),
    ("x: str = Input(default=Mode.CHAT)", "no literal", "the default is lost"),
    ("x: int | None = Input(default=1024 * 2)", "no literal", "the default turns into None"),
    ("x: int = Input(default=None)", "None", "the input is required all the same"),
    ("x: int | None = Input(description='a')", "default", "a direct call would get the FieldInfo"),
    ("x: int | None", "default", "a direct call fails without it"),
    ("x: int = Input(default=(1))", "parentheses", "the default is lost"),
    ("x: list[int] = Input(default=[(1)])", "parentheses", "the default is lost"),
    ("x: list[int] = Input(default=(1, 2))", "parentheses", "a tuple is no JSON value"),
    ("x: dict = Input(default={1: 2})", "no JSON value", "JSON knows no such key"),
    ("x: dict = Input(default={**{}})", "no literal", "what is spread in is lost"),
    ("x: dict = Input(default={'a': {1}})", "no literal", "a set is no JSON value"),
    ("x: int = Input(default=1.0)", "is no int", "Cog writes 1 and predict gets 1.0"),
    ("x: int = Input(default=True)", "is no int", "True is no number"),
    ("x: list[str] = Input(default=['a', 1])", r"is no list\[str\]", "not checked by Cog"),
    ("x: int = Input(default=0x10)", "plain decimal", "read as a default, dropped as a bound"),
    ("x: int = Input(le=0x10)", "plain decimal", "the bound is dropped"),
    ("x: int = Input(ge=- 1)", "plain decimal", "the bound is dropped"),
    ("x: float = Input(default=1e400)", "more than", "the default is lost"),
    ("x: int = Input(le=9007199254740993)", "more than", "the bound is rounded"),
    ("x: int = Input(ge=LOW)", "no literal", "the bound is dropped"),
    ("x: int = Input(ge=(1))", "parentheses", "the bound is dropped"),
    ("x: int = Input(ge=None)", "wrong type", "a bound is a number"),
    ("x: str = Input(min_length=1.5)", "wrong type", "1.5 is cut to 1"),
    ("x: str = Input(default='a', min_length=-1)", "below 0", "-1 turns into 2^64 - 1"),
    ("x: str = Input(min_length=-1)", "below 0", "-1 turns into 2^64 - 1"),
    ("x: str = Input(ge=1)", "means nothing", "not checked by Cog"),
    ("x: list[str] = Input(max_length=3)", "means nothing", "JSON Schema counts only characters with it"),
    ("x: str = Input(regex=PATTERN)", "no literal", "the pattern is dropped"),
    ("x: str = Input(regex='(')", "unterminated", "no pattern at all"),
    ("x: int = Input(default=5, le=4)", "5 is against le", "not checked by Cog"),
    ("x: int = Input(default=0, ge=1)", "0 is against ge", "not checked by Cog"),
    ("x: str = Input(default='', min_length=1)", "against min_length", "not checked by Cog"),
    ("x: str = Input(default='abc', max_length=2)", "against max_length", "not checked by Cog"),
    ("x: str = Input(default='b', regex='^a')", "against regex", "not checked by Cog"),
    ("x: str = Input(default='c', choices=['a', 'b'])", "against choices", "not checked by Cog"),
    ("x: int = Input(le=2, choices=[1, 3])", "3 is against le", "a choice that nobody can make"),
    ("x: str = Input(choices=['a', 1])", "1 is no str", "a choice that nobody can make"),
    ("x: list[str] = Input(choices=['a'])", "means nothing", "Cog asks for one string, predict for a list"),
    ("x: str = Input(choices=[])", "empty", "Cog writes no choices"),
    ("x: str = Input(choices=('a', 'b'))", "parentheses", "the build fails"),
    ("x: str = Input(choices=MODES)", "no literal", "the build fails if imported"),
    ("x: str = Input(choices=sorted(['a']))", "no literal", "the build fails"),
    ("x: str = Input(choices=[m for m in 'ab'])", "no literal", "the build fails"),
    ("x: str = Input(choices=['a',  # first\n 'b'])", "comment", "the build fails"),
    ("x: list[int] = Input(default=[1,  # first\n 2])", "comment", "the default is lost"),
    ("x: str | None = (  # why\n Input())", "parentheses", "the build fails"),
    ("x: list[  # why\n str]", "comment", "Cog no longer finds the method"),
    ("x:  # why\n str", "comment", "Cog no longer finds the method"),
    ("x: int = Input(ge=  # why\n 1)", "comment", "Cog no longer finds the method"),
    *[
        (f"{name}: str = Input(choices=['a'])", "component", "the enum takes its place")
        for name in ("Input", "Output", "Status")
    ],
    ("x: str = Input(description='a' 'b')", "plain string", "reads a' 'b"),
    ("x: str = Input(description=('a'\n 'b'))", "parentheses", "the description is lost"),
    ("x: str = Input(description='a' + 'b')", "no literal", "the description is lost"),
    ("x: str = Input(description=f'a')", "plain string|no literal", "the description is lost"),
    (r"x: str = Input(description='a\n')", "plain string", "reads a backslash and an n"),
    ("x: str = Input(description='a\\\nb')", "plain string", "keeps the backslash"),
    (r"x: str = Input(default='\\boxed')", "plain string", "a form would submit two backslashes"),
    ("x: str = Input(default=r'''a''')", "plain string", "reads ''a''"),
    ("x: str = Input(default=u'a')", "plain string", "the default is lost"),
    ("x: str = Input(default=b'a')", "plain string", "the default is lost"),
    ("x: str = Input(description='''a\r\nb''')", "plain string", "Cog keeps the carriage return, Python does not"),
    ("x: str = Input(deprecated=OLD)", "no literal", "it is dropped"),
    ("x: str = Input(deprecated=1)", "wrong type", "it is dropped"),
    ("x: list = Input(default_factory=list)", "not one of", "the build fails"),
    ("x: str = Input(default_factory=str)", "default_factory is not", "the build fails"),
    ("x: str = Input(accept='image/*')", "accept is not", "the build fails"),
    ("x: str = Input(**options)", "no literal|not one of", "all of it is ignored"),
    ("é: str", "ASCII", "Cog cuts its title inside a character"),
]


@pytest.mark.parametrize(("signature", "reason", "why"), REFUSED_PARAMETERS, ids=[row[0] for row in REFUSED_PARAMETERS])
def test_what_cog_would_lose_of_a_parameter_is_refused_by_name(signature: str, reason: str, why: str) -> None:
    with pytest.raises(schema.SchemaError, match=reason) as refused:
        pytest.fail(f"{why}: {schema.openapi(source(f'self, {signature}'))}")
    name = signature.lstrip("*").partition(":")[0].partition("=")[0]
    assert str(refused.value).startswith(f"parameter {name}: ")


STREAM = " -> ConcatenateIterator[str]"
LATE = "if True:\n    from cog import concurrent, streaming\nfrom cog import BasePredictor, ConcatenateIterator\n"
TWO = "class Predictor(BasePredictor):\n    def run(self) -> str: ...\n"
REFUSED_SOURCES = [
    (source(returns=""), "return type", "the build fails"),
    (source(returns=" -> None"), "return type", "the build fails"),
    (source(returns=" -> str | None"), "return type", "the build fails"),
    (source(returns=" -> AsyncGenerator[str, None]"), "return type", "the build fails"),
    (source(returns=" -> ConcatenateIterator[dict]"), "return type", "the build fails"),
    (source(returns=" -> Output"), "return type", "no need for it"),
    (source(returns=" -> (str)"), "parentheses", "the build fails"),
    (source(decorators="@streaming"), "@streaming", "the build fails without an iterator"),
    (source(decorators="@cog.streaming", returns=STREAM), "@cog.streaming", "one way to write it is enough"),
    (source(decorators="@(streaming)", returns=STREAM), "parentheses", "streaming is lost"),
    (source(decorators="@streaming", returns=STREAM, imports=LATE), "@streaming", "streaming is lost"),
    (source(imports=IMPORTS + "from cog import streaming as live\n"), "another name", "one name is enough"),
    (source("self, x: str = Input()", imports="from cog import BasePredictor\n"), "import Input", "fails when loaded"),
    (source("this, x: str"), "self", "not checked by Cog"),
    (source("self: object"), "self", "self turns into an input"),
    (source(head="class Other(BasePredictor):"), "0 classes", "the build fails"),
    (source(head=TWO), "2 methods", "the setup fails"),
    (source(head="class Predictor(Base):"), "base class", "Cog may find another method there"),
    (source() + source(imports=""), "2 classes", "Cog takes the first, Python the last"),
    ("class Predictor:", "not Python", "the build fails"),
    (source("self, x: str = Input(ge=1, ge=2)"), "not Python", "the compiler refuses it"),
    ("\0", "not Python", "the build fails"),
]


@pytest.mark.parametrize(("text", "reason", "why"), REFUSED_SOURCES)
def test_what_cog_would_lose_of_a_predictor_is_refused(text: str, reason: str, why: str) -> None:
    with pytest.raises(schema.SchemaError, match=reason):
        pytest.fail(f"{why}: {schema.openapi(text)}")


@pytest.mark.parametrize(
    ("decorators", "limit"),
    [("", 1), ("@concurrent(max=1)", 1), ("@concurrent(max=32)", 32), ("@streaming\n    @concurrent(max=8,)", 8)],
)
def test_max_concurrency_is_the_number_in_the_decorator(decorators: str, limit: int) -> None:
    assert schema.max_concurrency(source(decorators=decorators, returns=STREAM)) == limit


REFUSED_CONCURRENCY = [
    ("@concurrent(8)", "max=N", "the build fails"),
    ("@concurrent(max=LIMIT)", "max=N", "the build fails"),
    ("@concurrent(max=2 * 4)", "max=N", "the build fails"),
    ("@concurrent(max=8.0)", "max=N", "the build fails"),
    ("@concurrent(max=True)", "whole number", "the build fails"),
    ("@concurrent(max=0)", "whole number", "the build fails"),
    ("@concurrent(max=(8))", "parentheses", "the build fails"),
    ("@concurrent(max=8  # why\n    )", "comment", "the build fails"),
    ("@concurrent(max=0x8)", "plain decimal", "one way to write it is enough"),
    ("@concurrent", "max=N", "one way to write it is enough"),
    ("@concurrent(max=8)\n    @concurrent(max=9)", "twice", "Cog takes the first, Python the outermost"),
]


@pytest.mark.parametrize(("decorators", "reason", "why"), REFUSED_CONCURRENCY)
@pytest.mark.parametrize("read", [schema.openapi, schema.max_concurrency])
def test_a_concurrency_that_is_no_plain_number_is_refused(read: Any, decorators: str, reason: str, why: str) -> None:
    with pytest.raises(schema.SchemaError, match=reason):
        pytest.fail(f"{why}: {read(source(decorators=decorators))}")


def test_concurrency_over_one_needs_an_async_method() -> None:
    with pytest.raises(schema.SchemaError, match="async"):
        schema.openapi(source(decorators="@concurrent(max=2)", kind="def"))


def test_the_source_is_never_run() -> None:
    assert schema.openapi("raise SystemExit\n" + source())


def test_writing_leaves_the_whole_document_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "predict.py").write_text(source("self, x: str"), encoding="utf-8")
    place = tmp_path / ".cog" / "openapi_schema.json"
    for _ in range(2):
        schema.write(f"{tmp_path / 'predict.py'}:Predictor", place)
        assert json.loads(place.read_text(encoding="utf-8")) == schema.openapi(source("self, x: str"))
        assert list(place.parent.iterdir()) == [place]


SAMPLE = source(
    "self, bare: bool, prompt: str = Input(description='p', min_length=1), count: int = Input(default=2, ge=1, le=4),"
    " heat: float = Input(default=0.0, ge=0.0, le=2.0), mode: str = Input(default='a', choices=['a', 'b']),"
    " stop: list[str] = Input(default=[]), seed: int | None = Input(default=None, ge=0), *, last: dict"
)


def imported(path: Path) -> ModuleType:
    """The module that coglet would load."""
    spec = importlib.util.spec_from_file_location(f"schema_test_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_python_sees_it(predictor: Any) -> dict[str, dict[str, Any]]:
    """Per input, in order: whether it is required, and the default, bounds and texts that Python holds of it."""
    seen = {}
    for name, parameter in list(inspect.signature(predictor.predict).parameters.items())[1:]:
        info = parameter.default
        bare = info is inspect.Parameter.empty
        keys = {"default": "default", "description": "description", "choices": "choices", "deprecated": "deprecated"}
        keys |= {"ge": "minimum", "le": "maximum", "regex": "pattern"}
        keys |= {"min_length": "minLength", "max_length": "maxLength"}
        held = {} if bare else {key: getattr(info, option) for option, key in keys.items()}
        optional = "None" in str(parameter.annotation)
        seen[name] = {key: value for key, value in held.items() if value is not None} | {
            "required": not optional and (bare or info.default is None)
        }
    return seen


def as_the_schema_tells_it(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The same, from the document."""
    components = document["components"]["schemas"]
    told = {}
    shape = {"title", "type", "items", "allOf", "nullable", "x-order"}
    for name, field in sorted(components["Input"]["properties"].items(), key=lambda item: item[1]["x-order"]):
        told[name] = {key: value for key, value in field.items() if key not in shape and value is not None}
        told[name]["required"] = name in components["Input"].get("required", [])
        if "allOf" in field:
            told[name]["choices"] = components[name]["enum"]
    return told


@pytest.mark.parametrize(
    "ours", [False, *([True] if OURS.exists() else [])], ids=lambda ours: "ours" if ours else "sample"
)
def test_every_input_reaches_the_schema_as_python_sees_it(ours: bool, tmp_path: Path) -> None:
    pytest.importorskip("cog", reason="the SDK makes the FieldInfo that is compared")
    path = OURS if ours else tmp_path / "sample.py"
    if not ours:
        path.write_text(SAMPLE, encoding="utf-8")
    told = as_the_schema_tells_it(schema.openapi(path.read_text(encoding="utf-8")))
    seen = as_python_sees_it(imported(path).Predictor)
    assert list(told) == list(seen)
    assert told == seen


def test_our_document_is_the_one_that_cog_writes() -> None:
    """`tests/data/openapi.json` is what Cog's own generator (0.22.0) wrote for replicate/predict.py."""
    golden = json.loads((ROOT / "tests/data/openapi.json").read_text())
    assert schema.openapi(OURS.read_text()) == golden
