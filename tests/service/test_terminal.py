"""What a model or a program prints reaches a terminal as letters, not as orders to it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.errors import ServiceError
from deepseek_math.local import client
from deepseek_math.local.client import Event
from deepseek_math.local.server_log import SENTENCE, SETUP, ServerLog
from deepseek_math.terminal import printable

ORDERS = {
    "fill the clipboard": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "clear the screen": "\x1b[2J\x1b[H",
    "go back in the line": "safe\rrm -rf /",
    "go back a letter": "no\b\bok",
    "the same in 8 bits": "\x9b2J\x9d52;c;eA==\x9c",
    "set the title": "\x1b]0;title\x1b\\",
    "ring": "\a",
    "delete": "a\x7f",
    "reverse the text": "\u202eyadot\u202c \u2066x\u2069",
    "null": "\0",
}
ACTING = {*map(chr, range(32)), *map(chr, range(0x7F, 0xA0)), *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}


@pytest.mark.parametrize("name", ORDERS)
def test_no_order_reaches_a_terminal(name: str) -> None:
    shown = printable(ORDERS[name] + " end\n")
    assert not (ACTING - {"\n", "\t"}) & set(shown)
    assert shown.endswith(" end\n")


def test_mathematics_languages_and_emoji_stay() -> None:
    text = "x² ≤ ½\tπ\n答案是 42 \U0001f468\u200d\U0001f469 \\boxed{\\frac{1}{2}} é e\u0301 עברית"
    assert printable(text) == text


def test_a_prediction_is_shown_without_orders(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = "4\x1b[2J2"
    votes = [{"answer": answer, "count": 2}]

    def events(url: str, inputs: dict[str, Any]) -> Iterator[Event]:
        yield Event("metric", {"name": "vote", "value": {"samples": 2, "finished": 1, "votes": votes}}, 0.0)
        yield Event("output", {"chunk": "a\x1b]52;c;eA==\x07b\r\n"}, 0.0)
        metrics = {"answer": answer, "vote": {}, "votes": votes, "samples_without_answer": 0}
        yield Event("completed", {"status": "failed", "error": "ServiceError: \x1b[31mred", "metrics": metrics}, 0.0)

    monkeypatch.setattr(client, "stream", events)
    assert client.show("http://127.0.0.1", {}) == 1
    printed = capsys.readouterr()
    assert printed.out == "a]52;c;eA==b\n\n"
    assert not (ACTING - {"\n", "\t"}) & set(printed.err)
    assert "4[2J2" in printed.err


def test_what_is_no_character_can_be_printed() -> None:
    assert printable("a\ud83db") == "a?b"


@pytest.mark.parametrize("name", ORDERS)
def test_no_order_of_a_stranger_reaches_a_terminal_in_an_error_or_in_the_log(name: str, tmp_path: Path) -> None:
    """Such as a chat template's own error, or what an engine says of a file."""
    log = tmp_path / "log"
    line = {"target": SETUP, "fields": {"source": "Stdout", "message": ORDERS[name]}}
    log.write_text(json.dumps(line) + "\n" + json.dumps({"fields": {"message": f"{SENTENCE}{ORDERS[name]}"}}) + "\n")
    read = ServerLog(log)
    for text in (str(ServiceError("template_failed", ORDERS[name])), *read.setup_lines(), read.fault(), read.tail()):
        assert not (ACTING - {"\n", "\t"}) & set(text)
