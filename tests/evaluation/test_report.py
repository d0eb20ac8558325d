"""Two runs side by side, and a folder of runs against the published figures."""

import json
import subprocess
import sys
from math import comb
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.evaluation import comparison, report
from deepseek_math.evaluation.benchmark import EvaluationError
from deepseek_math.evaluation.results import FORMAT, Results
from deepseek_math.paths import ROOT
from tests.support.exam_service import command, evaluate

HEADER: dict[str, Any] = {
    "evaluate": FORMAT,
    "benchmark": "gsm8k",
    "mode": "cot",
    "shots": 0,
    "samples": 1,
    "max_new_tokens": 1024,
    "max_tool_rounds": None,
    "seed": 0,
    "questions": 20,
    "digest": "d",
    "checkpoint": "rl",
    "checkpoint_digest": "c",
    "engine": "llama_cpp",
}


def run(file: Path, right: str, **header: Any) -> Path:
    """A results file whose questions are right (1) or wrong (0); the published grader finds one more right."""
    with Results(file, HEADER | {"questions": len(right)} | header) as results:
        lenient = right.replace("0", "1", 1)
        for place, (strict, published) in enumerate(zip(right, lenient, strict=True)):
            line = {"id": f"q{place}", "expected": str(place), "correct": strict == "1", "tokens": 10}
            results.keep(line | {"published_correct": published == "1", "finish_reason": "stop", "error": None})
    return file


def test_gains_and_losses_are_named_and_weighed(tmp_path: Path) -> None:
    a = run(tmp_path / "a.jsonl", "1111100000")
    b = run(tmp_path / "b.jsonl", "0111111110", engine="transformers", digest="e", checkpoint_digest="f")
    found = comparison.compare(a, b, "strict")
    assert (found["gains"], found["losses"]) == (["q5", "q6", "q7", "q8"], ["q0"])
    assert found["accuracy"] == [0.5, 0.8]
    assert found["p"] == pytest.approx(2 * (1 + 5) / 32)
    apart = {"engine": ["llama_cpp", "transformers"], "digest": ["d", "e"], "checkpoint_digest": ["c", "f"]}
    assert found["settings"] == apart
    said = comparison.text(found, a, b)
    assert "gained 4: q5, q6, q7, q8" in said
    assert "chance alone could do that" in said
    assert "they differ in engine: llama_cpp / transformers" in said
    assert "they differ in digest of questions, shots and answers: d / e" in said
    assert "they differ in checkpoint_digest: c / f" in said
    assert "left out" not in said
    longer = run(tmp_path / "c.jsonl", "01111111101")
    assert "left out, in one of them alone: 0 / 1" in comparison.text(
        comparison.compare(a, longer, "strict"), a, longer
    )
    assert comparison.compare(a, b, "published")["accuracy"] == [0.6, 0.9]


@pytest.mark.parametrize(
    ("gains", "losses", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (0, 6, 2 / 64), (5, 5, 1.0), (10, 2, 2 * (1 + 12 + 66) / 4096), (400, 300, None)],
)
def test_mcnemar_s_p_is_the_binomial_tail(gains: int, losses: int, p: float | None) -> None:
    tail = sum(comb(gains + losses, k) for k in range(min(gains, losses) + 1)) * 2 / 2 ** (gains + losses)
    assert comparison.mcnemar(gains, losses) == pytest.approx(min(1.0, tail) if p is None else p)
    assert comparison.mcnemar(gains, losses) == comparison.mcnemar(losses, gains)


def test_runs_that_can_t_be_compared_are_refused(tmp_path: Path) -> None:
    a = run(tmp_path / "a.jsonl", "10")
    other = run(tmp_path / "b.jsonl", "10", benchmark="math")
    with pytest.raises(EvaluationError, match="Only runs of the same benchmark"):
        comparison.compare(a, other, "strict")
    with pytest.raises(EvaluationError, match="no question in common"):
        comparison.compare(a, run(tmp_path / "c.jsonl", ""), "strict")
    changed = run(tmp_path / "d.jsonl", "10")
    changed.write_text(changed.read_text().replace('"expected": "1"', '"expected": "2"'))
    with pytest.raises(EvaluationError, match="q1 has another answer"):
        comparison.compare(a, changed, "strict")


def test_the_command_compares_and_ends_with_a_json_line(tmp_path: Path) -> None:
    a, b = run(tmp_path / "a.jsonl", "10"), run(tmp_path / "b.jsonl", "11")
    status, found, said = evaluate("--compare", a, b)
    assert (status, found["gains"], found["losses"], found["p"]) == (0, ["q1"], [], 1.0)
    assert "gsm8k, 2 questions in both, strict grader" in said


def test_a_folder_of_runs_becomes_a_table_and_a_picture(tmp_path: Path) -> None:
    run(tmp_path / "a.jsonl", "1" * 9 + "0")
    run(tmp_path / "b.jsonl", "10" * 5, checkpoint="llm-7b-chat", benchmark="mgsm_zh")
    run(tmp_path / "f.jsonl", "0" * 5, checkpoint="mine", benchmark="mgsm_zh", published="rl")
    run(tmp_path / "c.jsonl", "1" * 4, checkpoint="base", benchmark="sat", shots=4)
    run(tmp_path / "d.jsonl", "1" * 4, checkpoint="base", benchmark="sat", shots=2)
    run(tmp_path / "e.jsonl", "1" * 4, mode="tool", max_new_tokens=2048, max_tool_rounds=2, questions=9)
    found, left_out = report.summaries(tmp_path, "strict")
    assert left_out == []
    assert report.table(found).splitlines()[2:] == [
        "| gsm8k | cot | rl | llama_cpp | 10 | 90.0% | 59.6% to 98.2% | 100.0% | 88.2% (rl) | yes |",
        "| gsm8k | tool | rl | llama_cpp | 4 of 9 | 100.0% | 51.0% to 100.0% | 100.0% | 86.7% (rl) | "
        "unfinished, 4 of 9 questions are answered |",
        "| mgsm_zh | cot | llm-7b-chat | llama_cpp | 10 | 50.0% | 23.7% to 76.3% | 60.0% | none |  |",
        "| mgsm_zh | cot | mine | llama_cpp | 5 | 0.0% | 0.0% to 43.4% | 20.0% | 79.6% (rl) | no |",
        "| sat | cot 4-shot | base | llama_cpp | 4 | 100.0% | 51.0% to 100.0% | 100.0% | 84.4% (base) | yes |",
        "| sat | cot 2-shot | base | llama_cpp | 4 | 100.0% | 51.0% to 100.0% | 100.0% | 84.4% (base) | "
        "shots 2, published 4 |",
    ]
    pytest.importorskip("matplotlib", reason="matplotlib is not installed here: make setup-evaluate")
    status, _, said = evaluate("report", tmp_path)
    assert status == 0, said
    assert "| mgsm_zh | cot | llm-7b-chat |" in said
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_files_that_are_no_run_are_named_and_left_out(tmp_path: Path) -> None:
    run(tmp_path / "a.jsonl", "1" * 9 + "0")
    run(tmp_path / "empty.jsonl", "")
    row = {"id": "q", "published_correct": True, "finish_reason": "stop", "error": None, "tokens": 1}
    (tmp_path / "without-verdict.jsonl").write_text(f"{json.dumps(HEADER)}\n{json.dumps(row)}\n")
    foreign = {"array": "[1]\n", "broken": "{\n", "empty-file": "", "old": '{"evaluate": 1}\n', "text": '{"a": 1}\n'}
    for name, content in foreign.items():
        (tmp_path / f"{name}.jsonl").write_text(content)
    found, left_out = report.summaries(tmp_path, "strict")
    assert len(found) == 1
    assert [sentence.split(".jsonl")[0].rpartition("/")[2] for sentence in left_out] == [
        "array",
        "broken",
        "empty-file",
        "empty",
        "old",
        "text",
        "without-verdict",
    ]
    assert left_out[-1].endswith("without-verdict.jsonl is not a complete results file (KeyError: 'correct').")
    pytest.importorskip("matplotlib", reason="matplotlib is not installed here: make setup-evaluate")
    status, _, said = evaluate("report", tmp_path)
    assert status == 0, said
    assert f"left out: {tmp_path / 'text.jsonl'} is not a results file" in said


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="There are no results"):
        report.summaries(tmp_path, "strict")


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    program = "import sys, deepseek_math.evaluation.command; print(*{'matplotlib', 'ray', 'sympy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_help_says_what_each_exit_status_means() -> None:
    done = subprocess.run(command("--help"), cwd=ROOT, capture_output=True, text=True, check=True)
    for words in (
        "143 by SIGTERM, 129 by SIGHUP",
        "the published figure lies inside",
        "lies above the interval",
        "no published figure to compare",
    ):
        assert words in done.stdout
