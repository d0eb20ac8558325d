"""What the command refuses before it asks anything, and where its results go."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.evaluation.benchmarks import BENCHMARKS
from deepseek_math.evaluation.plan import Plan, file_name
from deepseek_math.jobs.served import Served
from tests.support.exam_service import ExamService, evaluate, exam_service, gsm8k, lines, perfect, write
from tests.support.predictor_inputs import EXAM_WITHOUT_ROUNDS, EXAM_WITHOUT_TOOL


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExamService]:
    with exam_service(tmp_path_factory.mktemp("exam"), perfect(5)) as running:
        yield running


def test_what_can_t_run_says_why(service: ExamService, tmp_path: Path) -> None:
    file = gsm8k(tmp_path, 2)
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"question": "?", "answer": "1"}\n{"question": \n')
    twice = write(tmp_path / "twice.jsonl", *[{"question": "?", "answer": "1", "id": "a"}] * 2)
    refused = {
        "can't be read": ("gsm8k", "--data", tmp_path / "none.jsonl"),
        "line 2 is not valid JSON": ("gsm8k", "--data", bad),
        "several questions with the same id": ("gsm8k", "--data", twice),
        "line 1 is not a question of math": ("math", "--data", file),
        "Pass its file: --data FILE": ("sat",),
        "does not answer as this service does": ("gsm8k", "--data", file, "--url", "http://127.0.0.1:9"),
        "checkpoint_unknown: 'none'": ("gsm8k", "--data", file),
        "Invalid port": ("gsm8k", "--data", file, "--url", "http://[::1"),
        "Is a directory": ("gsm8k", "--data", file, "--url", service.url, "--out", tmp_path),
        "--url (needs --ray N for several": ("gsm8k", "--data", file, "--url", service.url, "--url", service.url),
        "is not a whole number of 1 or more": ("gsm8k", "--limit", "0"),
        "name a benchmark, report, or --compare A B": (),
    }
    for reason, arguments in refused.items():
        status, _, said = evaluate(*arguments)
        assert (status, reason in said) == (2, True), said


def test_a_fault_of_the_command_itself_is_no_verdict(service: ExamService, tmp_path: Path) -> None:
    """Python would end with 1, which says that the published figure was not reached."""
    out = tmp_path / "out.jsonl"
    arguments = ("gsm8k", "--url", service.url, "--data", gsm8k(tmp_path, 2), "--out", out)
    assert evaluate(*arguments)[0] == 0
    out.write_text(out.read_text().replace('"correct"', '"right"'))
    status, _, said = evaluate(*arguments)
    assert (status, "KeyError: 'correct'" in said) == (2, True), said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("gsm8k", "--concurrency", 65), "--concurrency: 65 is not a whole number from 1 to 64"),
        (("gsm8k", "--samples", 65), "--samples: 65 is not a whole number from 1 to 64"),
        (("gsm8k", "--max-new-tokens", 4097), "--max-new-tokens: 4097 is not a whole number from 1 to 4096"),
        (("gsm8k", "--mode", "tool", "--max-tool-rounds", 9), "--max-tool-rounds: 9 is not a whole number from 1 to 8"),
        (("gsm8k", "--limit", "abc"), "--limit: abc is not a whole number of 1 or more"),
        (("gsm8k", "--ray", 2, "--url", "x"), "--ray 2 with 1 --url: each worker asks a service of its own"),
    ],
)
def test_more_than_the_services_take_is_refused_at_once(arguments: tuple[object, ...], told: str) -> None:
    status, _, said = evaluate(*arguments)
    assert (status, told in said) == (2, True), said


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ("report", "--limit", 3, "--data", "x"),
            "--data (report does not take it); --limit (report does not take it)",
        ),
        (("report", "--published", "rl"), "--published (report does not take it)"),
        (("--compare", "a", "b", "--url", "x"), "--url (--compare does not take it)"),
        (("--compare", "a", "b", "--picture", "x"), "--picture (--compare does not take it)"),
        (("gsm8k", "results"), "FOLDER (gsm8k does not take it)"),
        (("gsm8k", "--picture", "x"), "--picture (gsm8k does not take it)"),
        (("gsm8k", "--seed", 3), "--seed (needs --samples over 1: a single completion is greedy)"),
        (("gsm8k", "--seed", 0), "--seed (needs --samples over 1"),
        (("gsm8k", "--max-tool-rounds", 2), "--max-tool-rounds (needs --mode tool)"),
        (("gsm8k", "--mode", "tool", "--shots", "x"), "--shots (needs --mode cot: base checkpoints have no tool mode"),
        (("gsm8k", "--url", "x", "--url", "y"), "--url (needs --ray N for several"),
    ],
)
def test_an_option_without_effect_is_refused_at_once(arguments: tuple[object, ...], told: str) -> None:
    status, _, said = evaluate(*arguments)
    assert (status, told in said) == (2, True), said


def test_shots_are_counted_for_those_who_get_some(service: ExamService, tmp_path: Path) -> None:
    arguments = ("gsm8k", "--url", service.url, "--data", gsm8k(tmp_path, 2), "--out", tmp_path / "out.jsonl")
    status, _, said = evaluate(*arguments, "--shot-count", 2)
    assert (status, "--shot-count needs --shots FILE" in said) == (2, True), said


def test_a_mode_or_an_input_that_the_service_does_not_know_ends_the_run(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    arguments = ("gsm8k", "--data", gsm8k(tmp_path, 2), "--out", out, "--mode", "tool")
    with exam_service(tmp_path / "a", perfect(2), EXAM_WITHOUT_TOOL) as old:
        status, _, said = evaluate(*arguments, "--url", old.url)
    assert (status, '\\"tool\\" is not one of' in said) == (2, True), said
    assert lines(out) == []
    with exam_service(tmp_path / "b", perfect(2), EXAM_WITHOUT_ROUNDS) as oldest:
        status, _, said = evaluate(*arguments, "--url", oldest.url)
    assert (status, "The service has no input max_tool_rounds" in said) == (2, True), said


def name(checkpoint: str = "rl", limit: int | None = None, **options: Any) -> str:
    questions = (BENCHMARKS["gsm8k"].read({"question": "?", "answer": "1"}, "q"),)
    plan = Plan(BENCHMARKS["gsm8k"], questions=questions, **{"mode": "cot"} | options)
    return file_name(plan.settings(Served(checkpoint, "0123456789abcdef", "e", 1, frozenset())), limit)


def test_runs_of_other_settings_have_files_of_their_own() -> None:
    assert name() == "gsm8k-cot-rl.jsonl"
    assert name(limit=200) == "gsm8k-cot-first200-rl.jsonl"
    assert name(max_new_tokens=512) == "gsm8k-cot-512tokens-rl.jsonl"
    assert name(mode="tool", max_tool_rounds=4, samples=8) == "gsm8k-tool-maj8-4rounds-rl.jsonl"
    assert name("my-model") == "gsm8k-cot-my-model-01234567.jsonl"
