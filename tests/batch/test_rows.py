"""Rows as requests: which column is which input, what is checked before anything is asked, what tells rows apart."""

from pathlib import Path
from typing import Any

import pytest

from deepseek_math.batch.input_file import RawRow
from deepseek_math.batch.question_file import open_questions
from deepseek_math.batch.row import RESULTS, Row, checked
from deepseek_math.batch.table_form import TableForm, columns_of_inputs
from deepseek_math.jobs import JobError

pytestmark = pytest.mark.unit


def row(columns: dict[str, Any], cells: bool = False, **options: Any) -> Row:
    return checked(RawRow(1, columns), TableForm(columns_of_inputs(columns, {}), options, cells))


def asked(columns: dict[str, Any], cells: bool = False, **options: Any) -> dict[str, Any]:
    found = row(columns, cells, **options)
    assert found.fault is None, found.fault
    return found.inputs


@pytest.mark.parametrize("name", ["prompt", "question", "problem", "query", "题目", "问题"])
def test_the_question_s_column_is_found_by_its_name(name: str) -> None:
    assert asked({"id": 7, name: "1+1?"}) == {"prompt": "1+1?"}


@pytest.mark.parametrize(
    ("found", "told", "reason"),
    [
        (["id", "text"], {}, "No column is called as if it were the question. The file has id, text."),
        (["question", "problem"], {}, "Several columns could be the question"),
        (["question"], {"prompt": "q"}, "There is no column 'q' for prompt. The file has question."),
        (["question"], {"prompt": ""}, None),
    ],
)
def test_a_column_that_is_missing_or_could_be_several_is_asked_for(
    found: list[str], told: dict[str, str], reason: str | None
) -> None:
    if reason is None:
        assert columns_of_inputs(found, told) == {"prompt": "question"}
        return
    with pytest.raises(JobError) as error:
        columns_of_inputs(found, told)
    assert reason in str(error.value)


def test_every_input_may_be_a_column_and_an_empty_value_is_the_option_s() -> None:
    columns = {"prompt": "1+1?", "samples": 8, "seed": None, "mode": "chat"}
    assert asked(columns, seed=5, samples=2) == {"prompt": "1+1?", "samples": 8, "seed": 5, "mode": "chat"}
    assert asked({"prompt": "1+1?", "max_tokens": 8}, max_new_tokens=9) == {"prompt": "1+1?", "max_tokens": 8}


def test_a_column_that_only_has_an_input_s_name_can_be_told_to_be_none() -> None:
    columns = columns_of_inputs(["question", "mode"], {"mode": "", "expected_answer": "question"})
    assert columns == {"expected_answer": "question", "prompt": "question"}


def test_cells_of_csv_are_read_as_the_input_s_type() -> None:
    columns = {"prompt": "42", "seed": "0", "temperature": "0.5", "stop": "\n\n", "samples": "", "mode": "chat"}
    columns |= {"messages": '[{"role": "user", "content": "1?"}, {"role": "assistant", "content": "1."}]'}
    found = asked(columns, cells=True)
    assert (found["prompt"], found["seed"], found["temperature"], found["stop"]) == ("42", 0, 0.5, ["\n\n"])
    assert len(found["messages"]) == 2
    assert "samples" not in found
    assert asked({"prompt": "?", "stop": '["a", "b"]'}, cells=True)["stop"] == ["a", "b"]


@pytest.mark.parametrize(
    ("columns", "code", "words"),
    [
        ({"prompt": None}, "prompt_empty", "its prompt is empty"),
        ({"prompt": " "}, "prompt_empty", "no visible character"),
        ({"prompt": 5}, "text_invalid", "prompt is int, not a string"),
        ({"prompt": "\ud83d"}, "text_invalid", "half a UTF-16 pair"),
        ({"prompt": "x" * 100_001}, "text_too_long", "100001 characters"),
        ({"prompt": "?", "samples": 65}, "samples_out_of_range", "samples is 65"),
        ({"prompt": "?", "samples": "8"}, "samples_out_of_range", "samples is '8'"),
        ({"prompt": "?", "mode": "maths"}, "mode_unknown", "Use one of"),
        ({"prompt": "?", "messages": "x"}, "messages_invalid", "not a list"),
        ({"prompt": "?", "logprobs": True}, "row_invalid", "logprobs is asked for"),
        ({"prompt": "?", "return_samples": True, "samples": 8}, "row_invalid", "return_samples is asked for"),
    ],
)
def test_a_bad_row_has_the_service_s_own_code_before_it_is_asked(
    columns: dict[str, Any], code: str, words: str
) -> None:
    fault = row(columns).fault
    assert fault is not None
    assert (fault.code, words in fault.message) == (code, True), fault


def test_a_row_is_known_by_what_it_asks_and_nothing_else() -> None:
    key = row({"id": 1, "prompt": "?", "seed": 1}).key
    assert row({"seed": 1, "prompt": "?", "id": 2}).key == key
    assert row({"prompt": "?"}, seed=1).key == key
    assert row({"prompt": "?", "seed": 2}).key != key
    assert row({"prompt": "!", "seed": 1}).key != key


def test_a_column_that_a_new_one_would_replace_is_refused_with_a_way_on(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text('{"question": "?"}\n{"question": "!", "answer": "1", "seed": 3}\n')
    with pytest.raises(JobError, match="columns called answer, .*--prefix"):
        open_questions(file, "q", "jsonl", {}, {}, "").survey()
    questions = open_questions(file, "q", "jsonl", {}, {}, "new_")
    assert list(questions.survey().columns) == ["question", "answer", "seed"]
    written = questions.form.written({"answer": "1"}, dict.fromkeys(RESULTS) | {"answer": "2"}, "rl")
    assert (written["answer"], written["new_answer"]) == ("1", "2")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "q has no rows"),
        ("\n\n", "q has no rows"),
        ("{\n[\n", r"None of the 2 rows of q can be asked, so none was. Row 1: row_invalid: Line 1 is not valid JSON"),
        ('{"prompt": 1}\n', "None of the 1 rows"),
    ],
)
def test_a_file_of_which_no_row_can_be_asked_is_refused(content: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text(content)
    with pytest.raises(JobError, match=reason):
        open_questions(file, "q", "jsonl", {}, {}, "").survey()


def test_a_seed_of_the_row_s_own_is_kept_where_it_failed(tmp_path: Path) -> None:
    form = TableForm({"prompt": "question", "seed": "seed"}, {}, cells=False)
    failed = dict.fromkeys(RESULTS) | {"error_code": "row_invalid"}
    assert form.written({"seed": 7}, failed, "rl")["seed"] == 7
    assert form.written({"seed": None}, failed | {"seed": 5}, "rl")["seed"] == 5


def test_bad_lines_at_the_beginning_hide_no_column(tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text("[]\n" * 150 + '{"question": "?"}\n')
    survey = open_questions(file, "q", "jsonl", {}, {}, "").survey()
    assert (len(survey.keys), len(survey.faulty)) == (151, 150)
