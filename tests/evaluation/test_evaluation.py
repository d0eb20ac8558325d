"""The command against a real server: figures, statuses, prompts, votes, programs."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from deepseek_math.evaluation.benchmark import Mode
from deepseek_math.evaluation.benchmarks import BENCHMARKS
from deepseek_math.evaluation.plan import Plan
from deepseek_math.local.server import LocalServer
from deepseek_math.paths import ROOT
from deepseek_math.prompts import COT_SUFFIX, TOOL_SUFFIX, asked
from tests.evaluation.test_grading import ROWS
from tests.support.exam_service import ExamService, command, evaluate, exam_service, gsm8k, lines, perfect, write

COUNT = 40
Z = 1.959964  # 95 % of the normal distribution


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExamService]:
    """Knows questions 0 to 39; half of "odd" ones; votes 3 to 1 on "vote" ones."""
    exam: dict[str, Any] = perfect(COUNT)
    exam |= {f"Odd {n}?": f"\\boxed{{{n if n % 2 else 'x'}}}" for n in range(COUNT)}
    exam |= {f"Vote {n}?": [f"\\boxed{{{n}}}", "\\boxed{no}", f"\\boxed{{{n}.0}}", f"\\boxed{{{n}}}"] for n in range(4)}
    exam |= {f"Tool {n}?": f"```python\nprint({n} * 7)\n```\n```output\n0" for n in range(5)}
    exam |= {f"```output\n{n * 7}\n```": f"So \\boxed{{{n * 7}}}." for n in range(5)}
    exam |= {"Twice?": "```python\nx = 98\nprint(x)\n```\n```output\n98"}
    exam |= {"```output\n98\n```": "Then\n```python\nprint(x + 1)\n```\n```output\n0"}
    exam |= {"```output\n99\n```": "So \\boxed{99}."}
    exam |= {"Percent?": "\\boxed{0.5}", "Open?": " Two. The answer is 2.\nQ: What else?"}
    with exam_service(tmp_path_factory.mktemp("exam"), exam) as running:
        yield running


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
    assert "published  88.2% for rl: below the interval, reached" in said


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
    assert (header["checkpoint_digest"], header["source"]) == ("d1", str(tmp_path / "gsm8k-3.jsonl"))
    line = lines(out)[2]
    assert line.pop("seconds") > 0
    assert line == {
        "id": "gsm8k-2",
        "prompt": f"What is number 2 of all?{COT_SUFFIX['en']}",
        "completion": "I count. It is \\boxed{2}.",
        "answer": "2",
        "expected": "2",
        "correct": True,
        "published_answer": "2",
        "published_correct": True,
        "tokens": 5,
        "finish_reason": "stop",
        "error": None,
        "undecided": None,
    }


def test_the_model_reads_the_published_prompt(service: ExamService, tmp_path: Path) -> None:
    before = len(service.asked())
    evaluate("gsm8k", "--url", service.url, "--data", gsm8k(tmp_path, 1), "--out", tmp_path / "out.jsonl")
    asked = service.asked()[before:]
    assert [each["question"] for each in asked] == ["What is number 0 of all?"]
    question = f"What is number 0 of all?{COT_SUFFIX['en']}"
    assert asked[0]["prompt"] == f"\x02User: {question}\n\nAssistant:"


def test_the_published_suffix_is_sent_also_where_the_question_has_a_box(service: ExamService, tmp_path: Path) -> None:
    rows = [{"question": "Put it into \\boxed{?}: What is number 1 of all?", "answer": "1"}]
    for mode, suffix in (("cot", COT_SUFFIX["en"]), ("tool", TOOL_SUFFIX["en"])):
        file = write(tmp_path / "q.jsonl", *rows)
        evaluate("gsm8k", "--url", service.url, "--data", file, "--mode", mode, "--out", tmp_path / f"{mode}.jsonl")
        prompt = f"{rows[0]['question']}{suffix}"
        assert service.asked()[-1]["prompt"] == f"\x02User: {prompt}\n\nAssistant:"
        assert lines(tmp_path / f"{mode}.jsonl")[0]["prompt"] == prompt


@pytest.mark.parametrize("name", BENCHMARKS)
@pytest.mark.parametrize("mode", ["cot", "tool"])
def test_the_service_adds_nothing_to_a_published_prompt(name: str, mode: Mode) -> None:
    benchmark = BENCHMARKS[name]
    question = benchmark.read(ROWS[name], "q")
    prompt = Plan(benchmark, mode, (question,)).prompt(question)
    suffix = (TOOL_SUFFIX if mode == "tool" else COT_SUFFIX)[benchmark.language]
    assert prompt == question.text + suffix
    assert asked(prompt, mode) == prompt.strip()


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
    assert (status, summary["shots"], summary["correct"]) == (3, 2, 1), said
    assert "88.2% for rl, not comparable: shots 2, published 0" in said
    prompt = "Q: One?\nA: It is one. The answer is 1.\n\n\nQ: Two?\nA: It is two. The answer is 2.\n\n\nQ: Open?\nA:"
    assert (lines(out)[0]["prompt"], service.asked()[-1]["prompt"]) == (prompt, "\x02" + prompt)
    assert lines(out)[0]["completion"] == " Two. The answer is 2."
    status, _, said = evaluate(*arguments)
    assert status == 2
    assert "has 2 questions, but 8 shots were asked for" in said


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


def test_programs_run_in_two_rounds_as_published_and_the_last_output_counts(
    service: ExamService, tmp_path: Path
) -> None:
    rows = [{"question": f"Tool {n}?", "answer": str(n * 7)} for n in range(5)] + [
        {"question": "Twice?", "answer": "99"}
    ]
    file, out = write(tmp_path / "tool.jsonl", *rows), tmp_path / "out.jsonl"
    arguments = ("gsm8k", "--url", service.url, "--data", file, "--mode", "tool")
    before = len(service.asked())
    status, summary, said = evaluate(*arguments, "--out", out)
    assert (status, summary["figure"]) == (0, pytest.approx(1143 / 1319, abs=1e-6)), said
    assert (summary["strict_correct"], summary["published_correct"]) == (6, 6)
    header = json.loads(out.read_text().splitlines()[0])
    assert (header["max_new_tokens"], header["max_tool_rounds"]) == (2048, 2)
    assert TOOL_SUFFIX["en"] in service.asked()[before]["prompt"]
    assert lines(out)[3]["completion"] == "```python\nprint(3 * 7)\n```\n```output\n21\n```\nSo \\boxed{21}."
    twice = (
        "```python\nx = 98\nprint(x)\n```\n```output\n98\n```\nThen\n```python\nprint(x + 1)\n```\n```output\n99\n```\n"
    )
    assert (lines(out)[5]["completion"], lines(out)[5]["answer"]) == (twice, "99")
    assert [line["finish_reason"] for line in lines(out)] == ["stop"] * 5 + ["tool_rounds"]


def test_other_settings_than_the_published_ones_are_never_reached(service: ExamService, tmp_path: Path) -> None:
    file = write(tmp_path / "tool.jsonl", {"question": "Twice?", "answer": "99"})
    tool = ("gsm8k", "--url", service.url, "--data", file, "--mode", "tool", "--max-tool-rounds", 4)
    status, summary, said = evaluate(*tool, "--out", tmp_path / "out.jsonl")
    assert (status, summary["correct"], summary["reached"]) == (3, 1, None), said
    assert "86.7% for rl, not comparable: max_tool_rounds 4, published 2" in said
    cot = ("gsm8k", "--url", service.url, "--data", gsm8k(tmp_path, 2), "--max-new-tokens", 512)
    status, summary, said = evaluate(*cot, "--out", tmp_path / "cot.jsonl")
    assert (status, summary["correct"], summary["reached"]) == (3, 2, None), said
    assert summary["differences"] == ["max_new_tokens 512, published 1024"]


def in_flight(process: int, port: int) -> int:
    found = psutil.Process(process).net_connections("tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED and each.raddr.port == port for each in found)


def test_as_many_questions_are_in_flight_as_the_service_has_slots_and_four(tmp_path: Path) -> None:
    with exam_service(tmp_path / "exam", perfect(12), SLOTS="3", PAUSE="3600") as service:
        arguments = ("gsm8k", "--url", service.url, "--data", gsm8k(tmp_path, 12), "--out", tmp_path / "out.jsonl")
        process = subprocess.Popen(command(*arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        port = int(service.url.rpartition(":")[2])
        while process.poll() is None and in_flight(process.pid, port) < 7:
            time.sleep(0.05)
        time.sleep(1)  # for one too many
        found = in_flight(process.pid, port)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert (found, process.returncode) == (7, 130)


def test_a_real_checkpoint_takes_gsm8k_and_mgsm_zh_for_real(server: LocalServer, tmp_path: Path) -> None:
    """Two questions of each, in the published files' forms, over the whole service; its weights are random."""
    for name in ("gsm8k", "mgsm_zh"):
        out = tmp_path / f"{name}.jsonl"
        arguments = (
            name,
            "--url",
            server.url,
            "--data",
            ROOT / f"tests/data/{name}_sample.jsonl",
            "--out",
            out,
            "--limit",
            2,
        )
        status, summary, said = evaluate(*arguments, "--max-new-tokens", 24)
        assert status == 3, said  # nothing was published for it
        assert "no figure for random.gguf; --published names" in said
        assert (summary["checkpoint"], summary["engine"], summary["questions"]) == ("random.gguf", "llama_cpp", 2)
        for line in lines(out):
            reply = httpx.post(
                f"{server.url}/predictions",
                json={"input": {"prompt": line["prompt"], "mode": "cot", "max_new_tokens": 24}},
                timeout=120,
            ).json()
            assert line["completion"] == "".join(reply["output"])
            assert line["tokens"] == reply["metrics"]["completion_tokens"]
