"""What goes out: events that every reader takes as one, and an extra object that no event is too small for."""

import json
from typing import Any

import pytest

from deepseek_math.door.written import EXTRA_CHARACTERS, event, in_parts

pytestmark = pytest.mark.unit

VOTE: dict[str, Any] = {
    "answer": "42",
    "doubts": [],
    "samples": [{"seed": seed, "answer": "7" * 200, "tokens": 900} for seed in range(64)],
    "votes": [{"answer": f"{number}" * 300, "count": 1} for number in range(64)],
    "winner_seed": 3,
}


def test_an_event_is_one_line_to_every_reader_and_its_text_comes_back() -> None:
    text = "a\u2028b\u2029c\u0085d\r\n\\u2028 \U0001f469 入"
    lines = event({"content": text}).decode().splitlines()  # which breaks at all of them
    assert len(lines) == 2
    assert lines[1] == ""
    assert json.loads(lines[0].removeprefix("data: ")) == {"content": text}


def test_a_large_object_comes_in_parts_that_join_to_it() -> None:
    parts = in_parts(VOTE)
    assert len(parts) > 2
    assert all(len(json.dumps(part)) < 1.1 * EXTRA_CHARACTERS for part in parts)
    joined: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            joined[name] = joined[name] + value if name in joined else value
    assert joined == VOTE


def test_a_small_object_comes_in_one_part() -> None:
    assert in_parts({"answer": "42", "doubts": [], "correct": True}) == [
        {"answer": "42", "doubts": [], "correct": True}
    ]
    assert in_parts({}) == [{}]
