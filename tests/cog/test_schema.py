"""The document equals what Cog's generator writes, and predict.py's signature is the one that it reads right.

`tests/data/cog` holds what Cog's own generator (0.22.0, replicate/cog at 6110c912) wrote: for `example_predict.py` and
`every_kind_predict.py` the documents beside them, and for our own inputs of that day `ours_openapi.json`.
"""

import importlib.util
import inspect
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest

from deepseek_math.cog import schema, signature
from deepseek_math.cog.signature import UnfaithfulInput
from deepseek_math.inputs import BY_NAME, INPUTS, OTHER_NAMES, OWN_INPUTS, REQUIRED, InputField
from deepseek_math.paths import PREDICTOR, ROOT
from deepseek_math.request import Mode, Request, ToolLoop

DATA = ROOT / "tests" / "data" / "cog"

EXAMPLE = (
    InputField("prompt", "str", "The problem to solve, or the text to continue.", min_length=1),
    InputField(
        "mode",
        "str",
        "How the prompt is put to the model.",
        default="auto",
        choices=("auto", "chat", "cot", "tool", "raw"),
    ),
    InputField("max_new_tokens", "int", "Most tokens to generate.", default=1024, minimum=1, maximum=4096),
    InputField("temperature", "float", "0 is greedy.", default=0.0, minimum=0.0, maximum=2.0),
    InputField("top_p", "float", "Nucleus sampling.", default=0.95, minimum=0.0, maximum=1.0),
    InputField("top_k", "int", "0 turns it off.", default=0, minimum=0),
    InputField("stop", "list[str]", "Strings that end the completion.", default=[]),
    InputField("samples", "int", "Completions to vote over.", default=1, minimum=1, maximum=64),
    InputField("seed", "int | None", "Random seed.", default=None, minimum=0),
)
EVERY_KIND = (
    InputField("prompt", "str", "Required, not empty.", min_length=1),
    InputField("mode", "str", "One of a few.", default="auto", choices=("auto", "raw")),
    InputField("system_prompt", "str", "A text that may be empty.", default=""),
    InputField("max_new_tokens", "int", "A number with bounds.", default=1024, minimum=1, maximum=4096),
    InputField("temperature", "float | None", "A number or nothing.", default=None, minimum=0.0, maximum=2.0),
    InputField("seed", "int | None", "A whole number or nothing.", default=None, minimum=0),
    InputField("stop", "list[str]", "A list of texts.", default=[]),
    InputField("messages", "list[dict]", "A list of objects.", default=[]),
    InputField("return_samples", "bool", "Yes or no.", default=False),
    InputField("time_limit", "float", "Seconds.", default=0.0, minimum=0.0),
    InputField("max_tokens", "int | None", "A synonym.", default=None, minimum=1, maximum=4096, deprecated=True),
    InputField("stop_sequences", "str | list[str] | None", "A text or a list.", default=None, deprecated=True),
    InputField("repetition_penalty", "float | None", "Neutral or refused.", default=None, deprecated=True),
    InputField("prompt_template", "str | None", "Neutral or refused.", default=None, deprecated=True),
    InputField("examples", "list[dict] | None", "A list of objects or nothing.", default=None),
    InputField("token", "Secret | None", "A secret.", default=None),
)
LATER = (
    "tool_loop",
    "examples",
    "return_samples",
    "logprobs",
)  # inputs that came after Cog's generator wrote `ours_openapi.json`
THEN: dict[str, dict[str, Any]] = {  # what it read of others that have changed since
    "max_tool_rounds": {
        "description": "The most programs that one completion may run with mode tool. The published results allow one."
    },
    "mode": {
        "choices": ("auto", "chat", "cot", "raw", "tool"),
        "description": "How the prompt is put to the model. chat: as a question. cot: as a question, asking for steps "
        "and a boxed answer, as in the published results. raw: as it is. tool: as a question, asking for steps and "
        "programs, which are run and whose output the model reads. auto: raw for base checkpoints, cot for the others.",
    },
}
GOLDEN = {"example": EXAMPLE, "every_kind": EVERY_KIND}


def text(document: Any) -> str:
    """Text tells 2.0 from 2, which comparing values does not."""
    return json.dumps(document, sort_keys=True)


def golden(name: str) -> dict[str, Any]:
    """The document of Cog's generator; its version is the one of the command line that wrote it."""
    document: dict[str, Any] = json.loads((DATA / f"{name}_openapi.json").read_text(encoding="utf-8"))
    document["info"]["version"] = "dev"
    return document


@pytest.mark.parametrize("name", GOLDEN)
def test_a_table_gets_the_document_of_cogs_own_generator(name: str) -> None:
    assert text(schema.document(GOLDEN[name])) == text(golden(name))


def test_our_document_is_the_one_that_cog_writes() -> None:
    """But for what came after Cog's was written; other models' names come last."""
    assert INPUTS[: len(OWN_INPUTS)] == OWN_INPUTS
    assert all(field.deprecated and field.optional for field in OTHER_NAMES)
    inputs = [replace(field, **THEN.get(field.name, {})) for field in OWN_INPUTS if field.name not in LATER]
    assert text(schema.document(inputs)) == text(golden("ours"))


@pytest.mark.parametrize("name", GOLDEN)
def test_parameters_are_written_as_in_the_source_that_cog_read(name: str) -> None:
    source = "".join((DATA / f"{name}_predict.py").read_text(encoding="utf-8").split())
    for field in GOLDEN[name]:
        written = "".join(signature.parameter(field).split())
        assert written.replace(",),", "),") in source


def test_predict_py_has_the_signature_that_the_table_writes() -> None:
    source = PREDICTOR.read_text(encoding="utf-8")
    assert source[source.index(signature.START) :] == signature.predict_method(), "run: dsm schema --update"


def test_updating_predict_py_changes_nothing_but_the_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = PREDICTOR.read_text(encoding="utf-8")
    copy = tmp_path / "predict.py"
    copy.write_text(source.replace("le=4096", "le=4095"), encoding="utf-8")
    monkeypatch.setattr(signature, "PREDICTOR", copy)
    assert signature.update()
    assert copy.read_text(encoding="utf-8") == source
    assert not signature.update()


def loaded(path: Path) -> ModuleType:
    """The module as coglet loads it: by its path."""
    spec = importlib.util.spec_from_file_location("predict_of_the_schema_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_python_holds_of_every_input_what_the_table_says() -> None:
    parameters = list(inspect.signature(loaded(PREDICTOR).Predictor.predict).parameters.values())[1:]
    assert [parameter.name for parameter in parameters] == [field.name for field in INPUTS]
    for parameter, field in zip(parameters, INPUTS, strict=True):
        info = parameter.default
        default = None if field.required else field.default
        assert (info.default, info.description) == (default, field.description)
        assert (info.ge, info.le, info.min_length) == (field.minimum, field.maximum, field.min_length)
        assert tuple(info.choices or ()) == field.choices


def test_a_request_without_options_has_the_defaults_of_the_table() -> None:
    request = Request.checked(prompt="?", seed=0)
    assert request == Request.checked(**{field.name: field.default for field in INPUTS} | {"prompt": "?", "seed": 0})
    assert request.sampling.top_p == BY_NAME["top_p"].default
    assert get_args(Mode) == BY_NAME["mode"].choices
    assert get_args(ToolLoop) == BY_NAME["tool_loop"].choices


FINE = InputField("x", "int", "Fine.", default=2, minimum=1, maximum=4)
UNFAITHFUL = [
    # changes to FINE, what the reason names, what Cog's generator would do
    ({"name": "é"}, "ASCII", "it cuts the title inside a character"),
    ({"name": "not a name"}, "ASCII", "it is not Python"),
    ({"type": "Path"}, "not one of the types", "strangers could name files of the server"),
    ({"type": "list[list[str]]"}, "not one of the types", "the build fails"),
    ({"type": "dict[str, str]"}, "not one of the types", "the build fails"),
    ({"description": 'a "quote"'}, "escapes", "the description ends at the quote"),
    ({"description": "a\\boxed"}, "escapes", "it shows the backslash of an escape"),
    ({"description": "a\nb"}, "escapes", "it reads a backslash and an n"),
    ({"default": None}, "without | None", "the input is required all the same"),
    ({"type": "int | None", "default": REQUIRED}, "default=None", "a direct call would get the FieldInfo"),
    ({"default": 1.0}, "not of type", "it writes 1, and predict gets 1.0"),
    ({"default": True}, "not of type", "True is not a number"),
    ({"default": "2"}, "not of type", "it is not checked"),
    ({"default": 5}, "above the maximum", "it is not checked"),
    ({"default": 0}, "below the minimum", "it is not checked"),
    ({"maximum": 2**53}, r"2\^53 - 1", "the bound is rounded"),
    ({"minimum": None, "maximum": None, "default": 2**53}, r"2\^53 - 1", "the default is rounded"),
    ({"type": "str", "default": "a"}, "not a number", "a bound means nothing for a text"),
    ({"min_length": 1}, "needs a str", "JSON Schema counts only characters with it"),
    ({"choices": ("a",)}, "for a str", "it asks for one string"),
]
TEXT = InputField("x", "str", "Fine.", default="ab", min_length=1)
UNFAITHFUL_TEXTS = [
    ({"default": "\\boxed{}"}, "escapes", "a form would submit two backslashes"),
    ({"default": "a\n"}, "escapes", "a form would submit a backslash and an n"),
    ({"default": ""}, "min_length", "it is not checked"),
    ({"min_length": -1}, "negative", "-1 turns into 2^64 - 1"),
    ({"choices": ("a", "b")}, "not one of the choices", "it is not checked"),
    ({"choices": ("ab", "\\")}, "escapes", "a form would submit two backslashes"),
    ({"name": "Status", "choices": ("ab",)}, "component", "the enumeration takes the component's place"),
    ({"type": "list[dict]", "default": [{1: 2}], "min_length": None}, "JSON", "JSON has no such key"),
]


@pytest.mark.parametrize(
    ("field", "changes", "reason", "why"),
    [(FINE, *row) for row in UNFAITHFUL] + [(TEXT, *row) for row in UNFAITHFUL_TEXTS],
)
def test_what_cog_would_lose_of_an_input_is_refused_by_name(
    field: InputField, changes: dict[str, Any], reason: str, why: str
) -> None:
    unfaithful = replace(field, **changes)
    for write in (lambda: schema.document([unfaithful]), lambda: signature.parameter(unfaithful)):
        with pytest.raises(UnfaithfulInput, match=reason) as refused:
            pytest.fail(f"{why}: {write()}")
        assert str(refused.value).startswith(f"input {unfaithful.name}: ")


@pytest.mark.parametrize("field", [FINE, TEXT, *INPUTS])
def test_a_faithful_input_is_not_refused(field: InputField) -> None:
    signature.require_faithful(field)


def test_writing_leaves_the_whole_document_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / ".cog" / "openapi_schema.json"
    for _ in range(2):
        schema.write(schema.document(), file)
        assert json.loads(file.read_text(encoding="utf-8")) == schema.document()
        assert list(file.parent.iterdir()) == [file]


def test_only_a_streaming_predictor_may_answer_with_events() -> None:
    for streaming in (True, False):
        operation = schema.document(streaming=streaming)["paths"]["/predictions"]["post"]
        assert operation.get("x-cog-streaming", False) is streaming
