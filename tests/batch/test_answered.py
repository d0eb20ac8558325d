"""Answers of earlier calls are found again, wherever their rows stand now."""

from array import array
from typing import Any

import pytest

from deepseek_math.batch.answered import Answered
from deepseek_math.jobs import JobError

pytestmark = pytest.mark.unit


def line(row: int, key: int, error: str | None = None, answer: str | None = "1") -> dict[str, Any]:
    return {"row": row, "key": f"{key:016x}", "error_code": error, "answer": answer}


def places(keys: list[int], *lines: dict[str, Any], failed_too: bool = False) -> list[int]:
    """For each row the number of the line that is its own, -1 for none."""
    answered = Answered(array("Q", keys))
    answered.find(enumerate(lines), failed_too)
    found = [answered.place(number) for number in range(len(keys))]
    assert answered.count == len(keys) - found.count(-1)
    assert list(answered.left()) == [number for number, place in enumerate(found) if place == -1]
    return found


def test_rows_that_stand_where_they_did_keep_their_answers() -> None:
    assert places([7, 8, 9], line(3, 9), line(1, 7)) == [1, -1, 0]


def test_rows_that_were_inserted_removed_or_moved_are_found_by_what_they_ask() -> None:
    assert places([5, 7, 8], line(1, 7), line(2, 8)) == [-1, 0, 1]
    assert places([8, 7], line(1, 7), line(2, 8)) == [1, 0]
    assert places([8], line(1, 7), line(2, 8)) == [1]


def test_a_row_that_was_changed_has_no_answer() -> None:
    assert places([7, 88], line(1, 7), line(2, 8)) == [0, -1]


def test_two_rows_that_ask_the_same_have_an_answer_each() -> None:
    assert places([7, 7, 7], line(1, 7), line(3, 7)) == [0, -1, 1]
    assert places([1, 7, 7], line(1, 7), line(2, 7)) == [-1, 1, 0]


def test_rows_that_failed_are_tried_again_unless_told_otherwise() -> None:
    lines = (line(1, 7, "engine_failed", None), line(2, 8))
    assert places([7, 8], *lines) == [-1, 1]
    assert places([7, 8], *lines, failed_too=True) == [0, 1]
    assert places([7, 8], *lines, line(1, 7)) == [2, 1]
    assert places([5, 7, 8], *lines, line(1, 7), failed_too=True) == [-1, 2, 1]


def test_rows_that_can_t_be_asked_count_as_answered() -> None:
    answered = Answered(array("Q", [7, 8]), [0])
    assert (answered.count, answered.with_answer, list(answered.left())) == (1, 0, [1])


def test_a_line_that_is_no_answer_is_named() -> None:
    for damaged in ({}, {"row": 1}, line(1, 1) | {"key": "x"}):
        with pytest.raises(JobError, match="damaged at byte 0"):
            places([1], damaged)
