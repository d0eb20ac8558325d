"""Inputs as people type them behind a question."""

from typing import Any

import pytest

from deepseek_math.errors import ServiceError
from deepseek_math.local import command
from deepseek_math.local.typed_inputs import InputsMistyped, inputs_of, words

pytestmark = pytest.mark.unit

SPLIT = [
    ("", []),
    ("  seed=1\ttop_k=3\n", ["seed=1", "top_k=3"]),
    (
        r"seed=1 'expected_answer=\frac{1}{2} of $x^2$' b=\pi #1",
        ["seed=1", r"expected_answer=\frac{1}{2} of $x^2$", r"b=\pi", "#1"],
    ),
    ('stop="the end" seed=1', ["stop=the end", "seed=1"]),
    ("system_prompt=Don't stop=it's", ["system_prompt=Don't", "stop=it's"]),
    ("'system_prompt=Don't talk' seed=1", ["system_prompt=Don't talk", "seed=1"]),
    ('stop=["a b","c"] seed=1', ['stop=["a b","c"]', "seed=1"]),
    (
        'messages=[{"role": "user", "content": "it\'s [5"}] mode=chat',
        ['messages=[{"role": "user", "content": "it\'s [5"}]', "mode=chat"],
    ),
    ("expected_answer=[0,1) seed=1", ["expected_answer=[0,1)", "seed=1"]),
    ("expected_answer={1,2}", ["expected_answer={1,2}"]),
    ('{"seed": 1}', ['{"seed": 1}']),
]


@pytest.mark.parametrize(("text", "found"), SPLIT)
def test_one_text_is_split_at_blanks_and_json_keeps_its_quotes(text: str, found: list[str]) -> None:
    assert words(text) == found


@pytest.mark.parametrize("text", ["'stop=it", 'stop="the end', "seed=1 stop='a'b"])
def test_a_quote_that_is_not_closed_is_named(text: str) -> None:
    with pytest.raises(InputsMistyped, match="a quote is not closed"):
        words(text)


TYPED: list[tuple[str, Any]] = [
    ("seed=1", 1),
    ("temperature=0.5", 0.5),
    ("stop=the end", ["the end"]),
    ('stop=["a", "b"]', ["a", "b"]),
    ("stop=42", ["42"]),
    ("expected_answer=7", "7"),
    ("expected_answer=[1, 2]", "[1, 2]"),
    ("mode=chat", "chat"),
    ("stop_sequences=a,b", "a,b"),
    ("stop_sequences=42", "42"),
    ('stop_sequences=["a"]', ["a"]),
]


@pytest.mark.parametrize(("setting", "value"), TYPED)
def test_a_value_is_what_it_looks_like(setting: str, value: Any) -> None:
    assert inputs_of("?", [setting], {}) == {"prompt": "?", setting.partition("=")[0]: value}


MISTYPED = [
    # words behind `dsm predict`, what must be said
    (["What", "is", "2+2?"], "'is' is not of the form name=value. Write it so: dsm predict \"What is 12 + 30?\""),
    (["prompt=What is 2+2?"], "The question begins with prompt=. Write it so"),
    (["PROMPT=What is 2+2?"], "The question begins with PROMPT=."),
    (["seed=1", "What is 2+2?"], "The question begins with seed=."),
    (["?", "temprature=0.5"], "No input is called temprature. Did you mean temperature?"),
    (["?", "Temperature=0.5"], "Did you mean temperature?"),
    (["?", "top-p=0.5"], "Did you mean top_p?"),
    (["?", "maxtokens=5"], "Did you mean max_tokens?"),
    (["?", "text=x"], "No input is called text."),
    (["?", "samples=8", "samples=4"], "samples is given twice."),
    (["?", "prompt=x"], "prompt is given twice."),
    (["?", '{"seed": 1}'], "is not of the form name=value"),
    (["?", "temperature", "0.5"], "'temperature' is not of the form name=value"),
]


@pytest.mark.parametrize(("typed", "said"), MISTYPED)
def test_words_that_are_no_inputs_are_refused_with_the_right_spelling(typed: list[str], said: str) -> None:
    with pytest.raises(InputsMistyped) as refused:
        inputs_of(typed[0], typed[1:], {})
    assert said in str(refused.value)


def test_a_value_that_the_service_would_refuse_is_refused_here() -> None:
    for setting, code in (("temperature=0,7", "temperature_out_of_range"), ("stop=\\n", "text_garbled")):
        with pytest.raises(ServiceError, match=code):
            inputs_of("?", [setting], {})


def test_an_input_in_the_environment_is_refused_and_what_make_reads_is_not() -> None:
    assert inputs_of("?", [], {"PROMPT": "x", "SAMPLES": "8", "PATH": "/bin"}) == {"prompt": "?"}
    for name in ("TEMPERATURE", "prompt", "max_tokens", "samples"):
        with pytest.raises(InputsMistyped, match=f"{name} is set in the environment"):
            inputs_of("?", [], {name: "1"})


@pytest.mark.parametrize("option", ["--temperature", "--prompt", "--max-new-tokens=5", "-t"])
def test_an_option_that_does_not_exist_is_refused_with_the_way_to_write_inputs(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command.predict([option, "0.7", "What is 2+2?"])
    said = capsys.readouterr().err
    assert f"there is no option {option}" in said
    assert "A question that begins with a dash comes after --." in said
    assert "Write it so: dsm predict" in said


def test_a_question_that_is_missing_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.predict([])
    assert "there is no question. Write it so: dsm predict" in capsys.readouterr().err
