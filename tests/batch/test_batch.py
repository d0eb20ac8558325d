"""The command over a service: rows of every kind, files that go on, and what it refuses."""

import csv
import io
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.batch import run as batch_run
from deepseek_math.jobs import asking
from deepseek_math.jobs.journal import Journal
from deepseek_math.paths import ROOT
from deepseek_math.retry import RetryPolicy
from tests.support.exam_service import ExamService, batch, dsm, exam_service, perfect, write

COUNT = 12


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExamService]:
    with exam_service(tmp_path_factory.mktemp("exam"), perfect(40)) as running:
        yield running


def questions(folder: Path, count: int = COUNT) -> Path:
    rows = [{"id": f"q{n}", "question": f"What is number {n} of all?"} for n in range(count)]
    return write(folder / "q.jsonl", *rows)


def answers(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def asked(service: ExamService) -> int:
    return len(service.asked())


def test_rows_come_back_in_their_order_with_what_they_had_and_their_answers(
    service: ExamService, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "a.jsonl"
    status, summary, said = batch(questions(tmp_path), "-o", out, "--url", service.url)
    assert status == 0, said
    found = answers(out)
    assert [(row["id"], row["answer"]) for row in found] == [(f"q{n}", str(n)) for n in range(COUNT)]
    assert list(found[0]) == [
        *("id", "question", "completion", "answer", "answer_source", "agreement", "correct", "doubts"),
        *("finish_reason", "prompt_tokens", "completion_tokens", "seed", "error_code", "error"),
    ]
    assert (found[3]["completion"], found[3]["finish_reason"]) == ("I count. It is \\boxed{3}.", "stop")
    assert (summary["rows"], summary["with_answer"], summary["failed"], summary["correct"]) == (COUNT, COUNT, {}, None)
    assert f"rows       {COUNT}, with a completion {COUNT}, with an answer {COUNT}" in said


def test_a_row_says_whether_to_doubt_its_answer(service: ExamService, tmp_path: Path) -> None:
    file = write(tmp_path / "q.jsonl", {"question": "Who else?"}, {"question": "What is number 1 of all?"})
    assert batch(file, "-o", tmp_path / "a.jsonl", "--url", service.url)[0] == 0
    assert [row["doubts"] for row in answers(tmp_path / "a.jsonl")] == ["no_box", None]


def test_a_bad_row_never_ends_the_run_and_says_what_is_wrong_with_it(service: ExamService, tmp_path: Path) -> None:
    file = tmp_path / "q.jsonl"
    rows = ['{"question": null}', '{"question": 7}', '{"id": 5}', '{"quest', "[]", '{"question": "<|end|>?"}']
    rows += ['{"question": "What is number 1 of all?", "samples": 0}', '{"question": "What is number 1 of all?"}']
    rows += ['{"question": "Half \\ud83d?"}', json.dumps({"question": "x " * 49_900, "max_new_tokens": 4096})]
    file.write_text("\n".join(rows))
    status, summary, said = batch(file, "-o", tmp_path / "a.jsonl", "--url", service.url)
    codes = [
        *("prompt_empty", "text_invalid", "prompt_empty", "row_invalid", "row_invalid", "control_token"),
        *("samples_out_of_range", None, "text_invalid", "context_exceeded"),
    ]
    found = answers(tmp_path / "a.jsonl")
    assert [row["error_code"] for row in found] == codes, said
    assert (status, summary["with_answer"], summary["failed"]["prompt_empty"]) == (1, 1, 2)
    assert all(row["error"] and not row["completion"] for row in found if row["error_code"])
    assert found[8]["question"] == "Half \ud83d?"
    assert "failed     9:" in said


def test_a_call_after_the_end_asks_nothing_and_needs_no_service(service: ExamService, tmp_path: Path) -> None:
    file, out = questions(tmp_path), tmp_path / "a.jsonl"
    assert batch(file, "-o", out, "--url", service.url)[0] == 0
    before, content = asked(service), out.read_bytes()
    out.unlink()
    status, _, said = batch(file, "-o", out)  # without --url a service would be started
    assert (status, asked(service)) == (0, before)
    assert out.read_bytes() == content
    assert "nothing generated in this call" in said


def test_rows_that_were_inserted_changed_or_moved_are_asked_only_where_they_are_new(
    service: ExamService, tmp_path: Path
) -> None:
    file, out = questions(tmp_path), tmp_path / "a.jsonl"
    assert batch(file, "-o", out, "--url", service.url)[0] == 0
    before = asked(service)
    rows = answers(file)
    rows[2]["id"] = "renamed"
    rows[3]["question"] = "What is number 30 of all?"
    rows.insert(0, {"id": "new", "question": "What is number 31 of all?"})
    rows.append(rows.pop(1))
    write(file, *rows)
    assert batch(file, "-o", out, "--url", service.url)[0] == 0
    assert asked(service) - before == 2
    found = answers(out)
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    assert [row["answer"] for row in found] == ["31", "1", "2", "30", *map(str, range(4, COUNT)), "0"]


def test_every_input_may_be_a_column_or_an_option(tmp_path: Path) -> None:
    exam = {"What is it?": ["\\boxed{1}", "\\boxed{2}", "\\boxed{2}"]}
    file = tmp_path / "q.csv"
    file.write_text("text,seed,samples\nWhat is it?,0,\nWhat is it?,,3\n")
    with exam_service(tmp_path / "exam", exam) as service:
        options = ("--column", "prompt=text", "--inputs", "seed=1")
        status, _, said = batch(file, "-o", tmp_path / "a.csv", "--url", service.url, *options)
        assert status == 0, said
        first, second = csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text()))
        assert (first["answer"], first["agreement"], first["seed"], first["samples"]) == ("1", "", "0", "")
        assert (second["answer"], second["agreement"]) == ("2", "1.0")
        assert {each["seed"] for each in service.asked()} >= {0, 1, 2}


def test_other_settings_or_another_checkpoint_are_refused_with_what_differs(
    service: ExamService, tmp_path: Path
) -> None:
    file, out = questions(tmp_path), tmp_path / "a.jsonl"
    assert batch(file, "-o", out, "--url", service.url)[0] == 0
    status, _, said = batch(file, "-o", out, "--url", service.url, "max_new_tokens=7")
    assert status == 2
    assert "other settings (inputs {}, now {'max_new_tokens': 7}). Repeat those, or name another file with -o" in said
    write(file, {"question": "What is number 35 of all?"})
    with exam_service(tmp_path / "exam", perfect(40), DIGEST="d2") as other:
        status, _, said = batch(file, "-o", out, "--url", other.url)
        assert (status, "checkpoint_digest 'd1', now 'd2'" in said, asked(other)) == (2, True, 0), said


def test_rows_that_failed_are_tried_again_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "RETRY", RetryPolicy(attempts=1))
    file, out = questions(tmp_path, 3), tmp_path / "a.jsonl"
    with exam_service(tmp_path / "exam", perfect(3), FAULTS="1") as service:
        status, summary, said = batch(file, "-o", out, "--url", service.url)
        assert (status, summary["failed"]) == (1, {"engine_failed": 3}), said
        assert answers(out)[0]["error"] == "The engine dropped it."
        assert batch(file, "-o", out, "--keep-failed")[0] == 1
        assert asked(service) == 3
        status, summary, said = batch(file, "-o", out, "--url", service.url)
        assert (status, summary["with_answer"]) == (0, 3), said


def test_a_service_that_fails_row_after_row_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "RETRY", RetryPolicy(attempts=1))
    monkeypatch.setattr(batch_run, "FAULTS_IN_A_ROW", 5)
    with exam_service(tmp_path / "exam", perfect(30), FAULTS="9") as service:
        arguments = ("--url", service.url, "--concurrency", 1)
        status, _, said = batch(questions(tmp_path, 30), "-o", tmp_path / "a.jsonl", *arguments)
        assert (status, asked(service) < 10) == (2, True), said
    assert "5 rows in a row failed by a fault of the service (engine_failed: The engine dropped it.)" in said
    assert not (tmp_path / "a.jsonl").exists()


def test_what_comes_through_a_pipe_is_answered_and_goes_on_as_a_file_does(service: ExamService, tmp_path: Path) -> None:
    content, out = questions(tmp_path).read_bytes(), tmp_path / "a.jsonl"
    before = asked(service)
    for _ in range(2):
        command = dsm("batch", "-", "-o", out, "--url", service.url)
        done = subprocess.run(command, cwd=ROOT, input=content, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
    assert [row["answer"] for row in answers(out)] == [str(n) for n in range(COUNT)]
    assert asked(service) - before == COUNT
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cp", tmp_path / "q.jsonl", pipe]) as writer:
        assert batch(pipe, "-o", out)[0] == 0
        assert writer.wait() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.jsonl.journal", "pipe", "q.jsonl"]


def test_openai_s_batch_files_are_answered_in_their_own_form(service: ExamService, tmp_path: Path) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "What is number 3 of all?"}], "max_tokens": 9}
    row = {"method": "POST", "url": "/v1/chat/completions"}
    file = write(
        tmp_path / "q.jsonl",
        row | {"custom_id": "b", "body": body},
        row | {"custom_id": "a", "body": body | {"n": 3}},
    )
    status, _, said = batch(file, "-o", tmp_path / "a.jsonl", "--url", service.url)
    assert status == 1, said
    right, refused = answers(tmp_path / "a.jsonl")
    assert (right["custom_id"], refused["custom_id"]) == ("b", "a")
    content = right["response"]["body"]["choices"][0]["message"]["content"]
    assert (content, right["response"]["body"]["model"]) == ("I count. It is \\boxed{3}.", "rl")
    assert refused["error"]["code"] == "row_invalid"
    status, _, said = batch(file, "-o", tmp_path / "a.csv", "--url", service.url)
    assert (status, "name an output that ends in .jsonl" in said) == (2, True)


def test_what_can_t_run_says_why_before_anything_is_asked(service: ExamService, tmp_path: Path) -> None:
    file, other, empty = questions(tmp_path), tmp_path / "other.jsonl", tmp_path / "empty.csv"
    other.write_text("something of value")
    empty.touch()
    (tmp_path / "link.jsonl").symlink_to(file)
    system = write(tmp_path / "system.jsonl", {"prompt": "?", "system_prompt": "Be brief."})
    url, before = ("--url", service.url), asked(service)
    refused = {
        "is the file of questions": (file, "-o", tmp_path / "link.jsonl"),
        "exists, and no journal of a run": (file, "-o", other),
        "empty.csv has no rows": (empty, "-o", tmp_path / "a.csv"),
        "No such file": (tmp_path / "none.jsonl", "-o", tmp_path / "a.jsonl"),
        "is a folder": (tmp_path, "-o", tmp_path / "a.jsonl"),
        "ends in none of": (file, "-o", tmp_path / "a.txt"),
        "No input is called sample. Did you mean samples?": (file, "sample=8", "-o", tmp_path / "a.jsonl"),
        "None of the 12 rows": (file, "samples=65", "-o", tmp_path / "a.jsonl"),
        "write INPUT=NAME": (file, "--column", "question", "-o", tmp_path / "a.jsonl"),
        "has no input system_prompt": (system, "-o", tmp_path / "a.jsonl"),
        "the following arguments are required: -o": (file,),
    }
    for reason, arguments in refused.items():
        status, _, said = batch(*arguments, *url)
        assert (status, reason in said) == (2, True), said
    assert asked(service) == before
    assert other.read_text() == "something of value"
    with Journal(tmp_path / "b.jsonl.journal", "batch", 1):
        status, _, said = batch(file, "-o", tmp_path / "b.jsonl", *url)
        assert (status, "is locked: another run is writing to it" in said) == (2, True)
