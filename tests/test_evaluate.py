"""The command against a real server: figures, statuses, prompts, votes, and what it refuses."""

import contextlib
import fcntl
import http.server
import json
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from math import sqrt
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import httpx
import pytest

from replicate.evaluate import data
from replicate.evaluate.benchmark import EvaluationError, Hub
from replicate.evaluate.benchmarks import BENCHMARKS
from replicate.evaluate.interval import wilson
from replicate.evaluate.progress import Progress
from replicate.prompts import COT_SUFFIX
from replicate.server import ROOT, LocalServer
from tests.conftest import shared
from tests.exam_service import ExamService, command, evaluate, exam_service, gsm8k, lines, perfect

COUNT = 40
Z = 1.959964  # 95 % of the normal distribution


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExamService]:
    """Knows questions 0 to 39; half of "odd" ones; votes 3 to 1 on "vote" ones."""
    exam: dict[str, Any] = perfect(COUNT)
    exam |= {f"Odd {n}?": f"\\boxed{{{n if n % 2 else 'x'}}}" for n in range(COUNT)}
    exam |= {f"Vote {n}?": [f"\\boxed{{{n}}}", "\\boxed{no}", f"\\boxed{{{n}.0}}", f"\\boxed{{{n}}}"] for n in range(4)}
    exam |= {"Percent?": "\\boxed{0.5}", "Open?": " Two. The answer is 2.\nQ: What else?"}
    with exam_service(tmp_path_factory.mktemp("exam"), exam) as running:
        yield running


def write(file: Path, *rows: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_a_perfect_service_has_100_percent_and_reaches_the_published_figure(
    service: ExamService, tmp_path: Path
) -> None:
    out = tmp_path / "perfect.jsonl"
    status, summary, said = evaluate("gsm8k", "--url", service.url, "--data", gsm8k(tmp_path, COUNT), "--out", out)
    assert status == 0, said
    assert (summary["correct"], summary["questions"], summary["accuracy"]) == (COUNT, COUNT, 1.0)
    low = COUNT / (COUNT + Z * Z)  # what Wilson's formula comes to where all are right
    assert (summary["low"], summary["high"]) == (pytest.approx(low, abs=1e-6), 1.0)
    assert (summary["figure"], summary["figure_of"]) == (pytest.approx(0.882487, abs=1e-6), "rl")
    assert (summary["inside"], summary["reached"]) == (False, True)
    assert "100.0% (40 of 40, strict grader)" in said
    assert "published  88.2% for rl: below it: reached" in said


def test_a_half_right_service_has_50_percent_and_does_not(service: ExamService, tmp_path: Path) -> None:
    rows = [{"question": f"Odd {n}?", "answer": str(n)} for n in range(COUNT)]
    file, out = write(tmp_path / "odd.jsonl", *rows), tmp_path / "out.jsonl"
    status, summary, said = evaluate("gsm8k", "--url", service.url, "--data", file, "--out", out)
    assert status == 1, said
    assert (summary["strict_correct"], summary["published_correct"], summary["accuracy"]) == (20, 20, 0.5)
    half = Z / (2 * sqrt(COUNT + Z * Z))  # what it comes to where half are
    assert (summary["low"], summary["high"]) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-6)
    assert (summary["inside"], summary["reached"]) == (False, False)
    assert [line["correct"] for line in lines(out)] == [False, True] * 20


def test_every_line_has_what_a_reader_needs(service: ExamService, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    evaluate("gsm8k", "--url", service.url, "--data", gsm8k(tmp_path, 3), "--out", out)
    header = json.loads(out.read_text().splitlines()[0])
    assert (header["benchmark"], header["checkpoint"], header["max_new_tokens"]) == ("gsm8k", "rl", 1024)
    line = lines(out)[2]
    assert line.pop("seconds") > 0
    assert line == {
        "id": "gsm8k-2",
        "prompt": "What is number 2 of all?",
        "completion": "I count. It is \\boxed{2}.",
        "answer": "2",
        "expected": "2",
        "correct": True,
        "published_answer": "2",
        "published_correct": True,
        "tokens": 5,
        "finish_reason": "stop",
        "error": None,
    }


def test_the_model_reads_the_published_prompt(service: ExamService, tmp_path: Path) -> None:
    before = len(service.asked())
    evaluate("gsm8k", "--url", service.url, "--data", gsm8k(tmp_path, 1), "--out", tmp_path / "out.jsonl")
    asked = service.asked()[before:]
    assert [each["question"] for each in asked] == ["What is number 0 of all?"]
    question = f"What is number 0 of all?{COT_SUFFIX['en']}"
    assert asked[0]["prompt"] == f"\x02User: {question}\n\nAssistant:"


def test_shots_stand_before_the_question_and_their_stop_word_ends_the_completion(
    service: ExamService, tmp_path: Path
) -> None:
    shots = write(
        tmp_path / "shots.jsonl",
        {"question": "One?", "answer": "1", "cot": "It is <<1=1>>one."},
        {"question": "Two?", "answer": "It is two.\n#### 2"},
    )
    file, out = write(tmp_path / "q.jsonl", {"question": "Open?", "answer": "2"}), tmp_path / "out.jsonl"
    arguments = ("gsm8k", "--url", service.url, "--data", file, "--out", out, "--shots", shots)
    status, summary, said = evaluate(*arguments, "--shot-count", 2)
    assert (status, summary["shots"], summary["correct"]) == (0, 2, 1), said
    prompt = "Q: One?\nA: It is one. The answer is 1.\n\n\nQ: Two?\nA: It is two. The answer is 2.\n\n\nQ: Open?\nA:"
    assert (lines(out)[0]["prompt"], service.asked()[-1]["prompt"]) == (prompt, "\x02" + prompt)
    assert lines(out)[0]["completion"] == " Two. The answer is 2."
    status, _, said = evaluate(*arguments)
    assert status == 2
    assert "has 2 questions, 8 shots need more" in said


def test_a_base_checkpoint_is_given_shots_by_itself_or_the_run_says_what_is_missing(tmp_path: Path) -> None:
    row = {"question": "1+1=？", "golden": "2"}
    file = write(tmp_path / "cmath.jsonl", row)
    with exam_service(tmp_path / "base", {"1+1": "2"}, NAME="base") as base:
        status, _, said = evaluate("cmath", "--url", base.url, "--data", file, "--out", tmp_path / "out.jsonl")
        assert status == 2
        assert "cmath has no training split with worked solutions. Pass some: --shots FILE" in said
        shots = write(tmp_path / "shots.jsonl", *[row | {"question": f"{n}？", "solution": "数。"} for n in range(6)])
        arguments = ("cmath", "--url", base.url, "--data", file, "--out", tmp_path / "out.jsonl", "--shots", shots)
        status, summary, said = evaluate(*arguments)
    assert (status, summary["shots"], summary["figure_of"]) == (0, 6, "base"), said  # 1 question says little


def test_a_vote_counts_the_winner_and_shows_what_any_sample_found(service: ExamService, tmp_path: Path) -> None:
    file = write(tmp_path / "v.jsonl", *[{"question": f"Vote {n}?", "answer": str(n)} for n in range(4)])
    out = tmp_path / "out.jsonl"
    status, summary, said = evaluate("gsm8k", "--url", service.url, "--data", file, "--out", out, "--samples", 4)
    assert status == 3, said  # nothing was published for a vote of 4
    assert (summary["correct"], summary["passed"], summary["figure"]) == (4, 4, None)
    for n, line in enumerate(lines(out)):
        assert line["votes"][0]["answer"] in (str(n), f"{n}.0")
        assert 2 <= line["samples_used"] <= 4
    assert {each["seed"] for each in service.asked() if each["question"] == "Vote 0?"} == {0, 1, 2, 3}


def test_both_counts_are_reported_and_the_grader_asked_for_decides(service: ExamService, tmp_path: Path) -> None:
    file, out = write(tmp_path / "p.jsonl", {"question": "Percent?", "answer": "50"}), tmp_path / "out.jsonl"
    arguments = ("gsm8k", "--url", service.url, "--data", file, "--out", out)
    status, summary, _ = evaluate(*arguments)
    assert (status, summary["correct"], summary["strict_correct"], summary["published_correct"]) == (1, 0, 0, 1)
    before = len(service.asked())
    status, summary, _ = evaluate(*arguments, "--grader", "published")
    assert (status, summary["correct"], summary["strict_correct"], summary["published_correct"]) == (0, 1, 0, 1)
    assert len(service.asked()) == before  # the same run, counted otherwise


def test_a_question_the_service_can_t_take_counts_as_wrong_and_is_named(service: ExamService, tmp_path: Path) -> None:
    rows = [{"question": "x" * 100_001, "answer": "1"}, {"question": "<|end|> What?", "answer": "1"}]
    file, out = write(tmp_path / "q.jsonl", *rows), tmp_path / "out.jsonl"
    status, summary, said = evaluate("gsm8k", "--url", service.url, "--data", file, "--out", out)
    assert (status, summary["refused"], summary["correct"]) == (1, 2, 0), said
    assert [line["error"] for line in lines(out)] == ["text_too_long", "control_token"]
    assert "refused    2 questions" in said


def test_a_service_that_fails_ends_the_run_and_is_no_wrong_answer(tmp_path: Path) -> None:
    folder, file, out = tmp_path / "dying", gsm8k(tmp_path, 30), tmp_path / "out.jsonl"
    with exam_service(folder, perfect(20), PAUSE="0.02") as dying:
        # the engine says "?" to what it does not know; a missing notes folder is an internal error
        (folder / "asked.jsonl").unlink()
        (folder / "asked.jsonl").mkdir()
        status, _, said = evaluate("gsm8k", "--url", dying.url, "--data", file, "--out", out)
    assert status == 2
    assert "internal_error" in said
    assert "repeat the command" in said
    assert all(line["error"] is None for line in lines(out))


def test_a_mode_that_the_service_does_not_know_is_refused_by_it(service: ExamService, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    arguments = ("gsm8k", "--url", service.url, "--data", gsm8k(tmp_path, 2), "--out", out, "--mode", "tool")
    status, _, said = evaluate(*arguments)
    assert status == 2
    assert '\\"tool\\" is not one of' in said
    assert lines(out) == []


def test_what_can_t_run_says_why(service: ExamService, tmp_path: Path) -> None:
    file = gsm8k(tmp_path, 2)
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"question": "?", "answer": "1"}\n{"question": \n')
    twice = write(tmp_path / "twice.jsonl", *[{"question": "?", "answer": "1", "id": "a"}] * 2)
    refused = {
        "can't be read": ("gsm8k", "--data", tmp_path / "none.jsonl"),
        "line 2 is no JSON": ("gsm8k", "--data", bad),
        "several questions of one id": ("gsm8k", "--data", twice),
        "row 1 is not a question of math": ("math", "--data", file),
        "Pass its file: --data FILE": ("sat",),
        "does not answer as this service does": ("gsm8k", "--data", file, "--url", "http://127.0.0.1:9"),
        "checkpoint_unknown: 'none'": ("gsm8k", "--data", file),
        "Invalid port": ("gsm8k", "--data", file, "--url", "http://[::1"),
        "Is a directory": ("gsm8k", "--data", file, "--url", service.url, "--out", tmp_path),
        "Several --url need --ray": ("gsm8k", "--data", file, "--url", service.url, "--url", service.url),
        "is not a whole number of 1 or more": ("gsm8k", "--limit", "0"),
        "name a benchmark, report, or --compare A B": (),
    }
    for reason, arguments in refused.items():
        status, _, said = evaluate(*arguments)
        assert (status, reason in said) == (2, True), said


@contextmanager
def viewer(rows: int) -> Iterator[tuple[str, list[str]]]:
    """An HTTP server that gives rows as the hub's dataset viewer does, and the queries that it got."""
    queries: list[str] = []

    class Pages(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            queries.append(self.path)
            query = parse_qs(urlparse(self.path).query)
            offset, length = int(query["offset"][0]), int(query["length"][0])
            wanted = range(offset, min(offset + length, rows))
            found = [{"question": f"{n}?", "answer": f"Count.\n#### {n}"} for n in wanted]
            page = [{"row_idx": n, "row": row, "truncated_cells": []} for n, row in zip(wanted, found, strict=True)]
            body = json.dumps({"features": [], "rows": page, "num_rows_total": rows}).encode()
            self.send_response(200 if length <= 100 else 422)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", queries
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_the_hub_s_rows_come_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    with viewer(250) as (url, queries):
        monkeypatch.setattr(data, "VIEWER", url)
        found = data.questions(BENCHMARKS["gsm8k"], None, None)
        assert [question.expected for question in found] == [str(n) for n in range(250)]
        assert len(queries) == 3
        assert "dataset=openai%2Fgsm8k&config=main&split=test&offset=200" in queries[2]
        assert len(data.questions(BENCHMARKS["gsm8k"], None, 120)) == 120
        assert len(queries) == 5
        shots = data.shots(BENCHMARKS["gsm8k"], None, None)
        assert [(shot.solution, shot.expected) for shot in shots] == [("Count.\n", str(n)) for n in range(8)]
        assert "split=train&offset=0" in queries[-1]


def test_a_hub_out_of_reach_is_named_with_the_way_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "VIEWER", "http://127.0.0.1:9")
    with pytest.raises(EvaluationError, match=r"openai/gsm8k could not be read from the hub .*--data FILE"):
        data.questions(BENCHMARKS["gsm8k"], None, None)
    with viewer(0) as (url, _), pytest.raises(EvaluationError, match=r"0 of 0 rows came"):
        list(data.hub_rows(Hub("a/b", "default", "test"), "test", None, url))


def test_a_terminal_shows_a_bar_with_accuracy_and_time_left(service: ExamService, tmp_path: Path) -> None:
    arguments = ("gsm8k", "--url", service.url, "--data", gsm8k(tmp_path, COUNT), "--out", tmp_path / "out.jsonl")
    outer, inner = pty.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    process = subprocess.Popen(command(*arguments), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=inner)
    os.close(inner)
    said = b""
    with contextlib.suppress(OSError):  # a terminal whose other end is closed
        while piece := os.read(outer, 4096):
            said += piece
    os.close(outer)
    assert process.wait() == 0
    assert re.search(rb"GSM8K: 100%.*\| 40/40 \[\d\d:\d\d<\d\d:\d\d, .*accuracy 100\.0%\]", said), said


def test_progress_shows_accuracy_and_the_time_left() -> None:
    progress = Progress("GSM8K", 200, 50, 30)
    for correct in (True, False):
        progress.add(correct)
    assert progress.line(10.0) == "GSM8K: 52 of 200, accuracy 59.6%, 12:20 left"


@pytest.mark.parametrize(
    ("correct", "questions", "low", "high"),
    [  # Wilson's interval, worked out by hand to four digits; the last are the published RL figure on GSM8K
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (1, 1, 0.2065, 1.0),
        (1164, 1319, 0.8640, 0.8988),
    ],
)
def test_the_interval_is_wilson_s(correct: int, questions: int, low: float, high: float) -> None:
    assert wilson(correct, questions) == pytest.approx((low, high), abs=5e-5)


def test_the_demo_checkpoint_takes_gsm8k_and_mgsm_zh_for_real(server: LocalServer, tmp_path: Path) -> None:
    """Two questions of each over the whole service; it gets next to none right, so nothing is said of its score."""
    for name, file in (("gsm8k", "gsm8k_test"), ("mgsm_zh", "mgsm_zh_test")):
        out = tmp_path / f"{name}.jsonl"
        arguments = (name, "--url", server.url, "--data", shared(f"data/{file}.jsonl"), "--out", out, "--limit", 2)
        status, summary, said = evaluate(*arguments, "--max-new-tokens", 24)
        assert status in (0, 1), said
        assert (summary["checkpoint"], summary["engine"], summary["questions"]) == ("demo", "llama_cpp", 2)
        for line in lines(out):
            reply = httpx.post(
                f"{server.url}/predictions",
                json={"input": {"prompt": line["prompt"], "mode": "cot", "max_new_tokens": 24}},
                timeout=120,
            ).json()
            assert line["completion"] == "".join(reply["output"])
            assert line["tokens"] == reply["metrics"]["completion_tokens"]
