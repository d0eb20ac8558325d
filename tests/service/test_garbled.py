"""Texts that were changed on their way: put right where that needs no guess, else refused with the right spelling.

Strings here are ordinary ones on purpose where an escape is the slip: "\boxed" is a backspace and "oxed".
"""

import base64
import json
import logging
from typing import Any

import pytest

from deepseek_math.errors import ServiceError
from deepseek_math.paths import ROOT
from deepseek_math.request import Request

pytestmark = pytest.mark.unit


def data_url(content: bytes, kind: str = "text/plain; charset=utf-8") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


REFUSED: list[tuple[str, str]] = [
    # a text as it arrives, what the sentence must name
    ("Put your final answer within \boxed{}.", r"\boxed was meant, and \b was read as an escape"),
    ("What is \frac{1}{4} of 8?", r'form feed (U+000C) before "rac" at character 9. \frac was meant'),
    ("the \alpha of it", r"\alpha was meant"),
    ("a \vec{v}", r"\vec was meant"),
    ("3 \times 4", r"\times was meant"),
    ("sin \theta", r"\theta was meant"),
    ("x = \text{two}", r"\text was meant"),
    ("find \tan(x)", r"\tan was meant"),
    ("\\left( x \right)", r"\right was meant"),
    ("x \neq 3", r"\neq was meant"),
    ("Compute \nabla f at 1", r"\nabla was meant"),
    ("a\0b", "NUL (U+0000) at character 2"),
    ("\x1b[1mWhat is 1 + 1?\x1b[0m", "escape (U+001B) at character 1"),
    ("1\x9f2", "U+009F"),
    ("3 � 4", "U+FFFD at character 3"),
    ("3 Ã— 4", "'×' was meant"),
    ("x â‰¤ 4", "'≤' was meant"),
    ("2Ï€r", "'π' was meant"),
    ("xÂ² = 4", "'²' was meant"),
    ("Is 3 &lt; 4?", "the HTML entity &lt; at character 6. Send the character itself: '<'"),
    ("2 &times; 3", "'×'"),
    ("2 &#215; 3", "'×'"),
    (r"What is 2+2?\nAnswer:", r"the two characters \n at character 13"),
    (r"a\n\nb", "press Enter"),
    (r"x^2\n", r"the two characters \n"),
    (r"3 \u00d7 4", "Send the character itself: '×'"),
    ("What%20is%2012%20%2B%2030%3F", "'What is 12 + 30?'"),
    ("What+is+12+%2B+30%3F", "'What is 12 + 30?'"),
    ("https://example.org/problem.txt", "nothing but an address"),
    ("@problem.txt", '"$(cat problem.txt)"'),
    (data_url(b"\x89PNG\r\n\x1a\n", "image/png"), "a file (image/png) that holds no text"),
    (data_url(b"a\0b"), "holds no text"),
    ("data:text/plain;base64,!!", "holds no text"),
]


@pytest.mark.parametrize(("text", "named"), REFUSED)
def test_a_garbled_text_is_refused_in_every_input_with_the_right_spelling(text: str, named: str) -> None:
    turns = [{"role": "user", "content": text}, {"role": "assistant", "content": "x"}]
    places: list[dict[str, Any]] = [
        {"prompt": text},
        {"prompt": text, "mode": "raw"},
        {"system_prompt": text},
        {"messages": turns},
        {"stop": [text]},
        {"expected_answer": text},
    ]
    for inputs in places:
        with pytest.raises(ServiceError) as refused:
            Request.checked(**({"prompt": "What is 2 + 3?"} | inputs))
        assert refused.value.code == "text_garbled"
        assert named in refused.value.message


UNCHANGED = [
    r"Let $\nu \neq 0$, $\nabla f \notin S$ and $\nexists x$. \ni \newline \not= 5",
    'What does print("a\\n") write?',
    "Two lines,\r\nand one with a tab:\t5\nand a \\n in it",
    "A table:\tand\ttan x\tfracture\nequal parts\nnegative",
    "data: 3, 5, 7. What is the mean?",
    "Is 2×½ = 1? „Gruß“, «MAÑANA», “AMANHÔ, 5×°, ±½",
    "Solve the system \neq 1: x + y = 2\neq 2: x - y = 0",
    "Was ist 3 × 4? Übung für “alle” – naïve Größen…",
    "小明有5个苹果，吃了2个。还剩几个？",
    "Is 20% of 80 & 30% of 50 the same; a&b; &c",
    r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}",
    "Is x < 3 <b>always</b>?",
    "See https://example.org/problem.txt and solve it",
    "Is 👨‍👩‍👧 one family?",
    "line\u2028separator and\x85next line",
]


@pytest.mark.parametrize("text", UNCHANGED)
def test_a_text_of_mathematics_stays_as_it_is(text: str) -> None:
    assert Request.checked(prompt=text).prompt == text


def test_no_question_or_answer_of_the_benchmarks_is_refused() -> None:
    texts = []
    for name in ("gsm8k_sample.jsonl", "mgsm_zh_sample.jsonl", "answer_cases.jsonl", "published_verdicts.jsonl"):
        for line in (ROOT / "tests/data" / name).read_text(encoding="utf-8").splitlines():
            texts += [value for value in json.loads(line).values() if isinstance(value, str) and value.strip()]
    assert len(texts) > 3000
    for text in texts:
        assert Request.checked(prompt=text).prompt == text


def test_the_words_of_the_service_itself_come_back_unchanged() -> None:
    """A completion may hold anything, such as a program and its output."""
    content = 'print("1\\n")\x0c &lt; �'
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": content}]
    assert Request.checked(prompt="x", messages=turns).messages[1].content == content


@pytest.mark.parametrize(
    "arrived",
    [
        data_url("What is 4×6?".encode()),
        data_url("What is 4×6?".encode(), "application/octet-stream"),
        data_url(b"\xef\xbb\xbf" + "What is 4×6?".encode()),
        data_url("What is 4×6?".encode("utf-16")),
        "data:text/plain,What%20is%204%C3%976%3F",
        " " + data_url("What is 4×6?".encode()) + "\n",
        "\ufeffWhat is 4×6?",
        "What\u00ad is \u200b4×6\u2060?\u200e",
    ],
)
def test_what_is_put_right_is_the_text_that_was_meant_and_the_log_says_so(
    arrived: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert Request.checked(prompt=arrived).prompt == "What is 4×6?"
    assert caplog.messages
    assert all(line.startswith("prompt: ") for line in caplog.messages)


def test_a_file_that_is_empty_is_no_prompt() -> None:
    with pytest.raises(ServiceError, match="prompt_empty"):
        Request.checked(prompt=data_url(b""))


@pytest.mark.parametrize(
    ("given", "answer"), [("5\n", "5"), ("\n 42 \r\n", "42"), ("5\t", "5"), (r"\frac14", r"\frac14")]
)
def test_the_blanks_around_an_expected_answer_do_not_count(given: str, answer: str) -> None:
    assert Request.checked(prompt="x", expected_answer=given).expected_answer == answer


@pytest.mark.parametrize("given", ["\nu", "\tau", "\rho", "1\n2", "a \nu", "x\to 0", "5\r6"])
def test_a_tab_or_line_break_in_an_expected_answer_is_refused(given: str) -> None:
    with pytest.raises(ServiceError, match="text_garbled: expected_answer holds a"):
        Request.checked(prompt="x", expected_answer=given)
