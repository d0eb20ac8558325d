"""Where a benchmark's questions come from: files, and the hub by its own HTTP API."""

import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest

from deepseek_math.evaluation import data
from deepseek_math.evaluation.benchmark import EvaluationError, Hub
from deepseek_math.evaluation.benchmarks import BENCHMARKS


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


def test_the_hub_s_rows_come_page_by_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with viewer(250) as (url, queries):
        monkeypatch.setattr(data, "VIEWER", url)
        found, source = data.questions(BENCHMARKS["gsm8k"], None, None, tmp_path)
        assert source == "openai/gsm8k (test)"
        assert [question.expected for question in found] == [str(n) for n in range(250)]
        assert len(queries) == 3
        assert "dataset=openai%2Fgsm8k&config=main&split=test&offset=200" in queries[2]
        assert len(data.questions(BENCHMARKS["gsm8k"], None, 120, tmp_path)[0]) == 120
        assert len(queries) == 5
        shots = data.shots(BENCHMARKS["gsm8k"], None, None, tmp_path)
        assert [(shot.solution, shot.expected) for shot in shots] == [("Count.\n", str(n)) for n in range(8)]
        assert "split=train&offset=0" in queries[-1]


def test_what_the_hub_gave_once_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with viewer(150) as (url, queries):
        monkeypatch.setattr(data, "VIEWER", url)
        first = data.questions(BENCHMARKS["gsm8k"], None, 120, tmp_path)
        asked = len(queries)
        monkeypatch.setattr(data, "VIEWER", "http://127.0.0.1:9")
        assert data.questions(BENCHMARKS["gsm8k"], None, 120, tmp_path) == first
        assert len(queries) == asked == 2
        with pytest.raises(EvaluationError):  # the first 120 are not all
            data.questions(BENCHMARKS["gsm8k"], None, None, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["openai--gsm8k-main-test-first120.jsonl"]


def test_a_hub_out_of_reach_is_named_with_the_way_round(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(data, "VIEWER", "http://127.0.0.1:9")
    with pytest.raises(EvaluationError, match=r"openai/gsm8k could not be read from the hub .*--data FILE"):
        data.questions(BENCHMARKS["gsm8k"], None, None, tmp_path)
    with viewer(0) as (url, _), pytest.raises(EvaluationError, match=r"0 of 0 rows came"):
        list(data.hub_rows(Hub("a/b", "default", "test"), "test", None, url))


CHOICE = {"question": "?", "options": "A) 1 B) 2"}


@pytest.mark.parametrize(
    ("name", "row", "told"),
    [
        ("gsm8k", {"question": None, "answer": "1"}, "question is null"),
        ("gsm8k", {"question": 5, "answer": "1"}, "the question is not text: 5"),
        ("gsm8k", {"question": "?", "answer": None}, "answer is null"),
        ("gsm8k", {"question": "?", "answer": ""}, "the answer is not text, or empty: ''"),
        ("mgsm_zh", {"question": "?", "answer_number": None}, "answer_number is null"),
        ("cmath", {"question": "?", "golden": None}, "golden is null"),
        ("math", {"problem": "?", "solution": None}, "solution is null"),
        ("ocw", {"problem": "?", "solution": "s", "answer": None}, "answer is null"),
        ("sat", CHOICE | {"Answer": None}, "Answer is null"),
        ("sat", CHOICE | {"Answer": "none"}, "the answer is not the letter of an option: 'none'"),
        ("mmlu_stem", {"question": "?", "choices": ["1"] * 4, "answer": -1}, "no field -1"),
        ("mmlu_stem", {"question": "?", "choices": ["1"] * 4, "answer": None}, "answer is null"),
        ("gaokao_mathqa", {"question": "?", "options": ["(A)1"], "label": None}, "label is null"),
        ("gaokao_mathcloze", {"question": "?", "answer": None}, "answer is null"),
    ],
)
def test_a_question_or_an_answer_that_is_not_there_is_refused_with_its_line(
    name: str, row: dict[str, object], told: str, tmp_path: Path
) -> None:
    """Else it would be a question whose right answer is the word None, which nothing gets right."""
    file = tmp_path / "q.jsonl"
    file.write_text("\n" + json.dumps(row) + "\n")
    with pytest.raises(EvaluationError, match=f"line 2 is not a question of {name}: .*{re.escape(told)}"):
        data.questions(BENCHMARKS[name], file, None, tmp_path)
    with pytest.raises(EvaluationError, match=f"line 2 is not a question of {name}: "):
        data.shots(BENCHMARKS[name], file, 1, tmp_path)


def test_a_label_of_several_letters_is_an_answer(tmp_path: Path) -> None:
    """As in seven rows of Gaokao MathQA, which the published figure includes."""
    row = {"question": "?", "options": ["(A)1", "(B)2", "(C)3", "(D)4"]}
    file = tmp_path / "q.jsonl"
    file.write_text("".join(json.dumps(row | {"label": label}) + "\n" for label in ("AD", "A B D", "C")))
    found, _ = data.questions(BENCHMARKS["gaokao_mathqa"], file, None, tmp_path)
    assert [question.expected for question in found] == ["AD", "A B D", "C"]
