"""A run that is killed at any point goes on without repeating or losing a question, and ends in the same file."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.evaluation.benchmark import Question
from deepseek_math.evaluation.benchmarks import BENCHMARKS
from deepseek_math.evaluation.plan import Plan
from deepseek_math.evaluation.results import FORMAT, Results, load
from deepseek_math.jobs import JobError
from deepseek_math.jobs.served import Served
from deepseek_math.paths import ROOT
from deepseek_math.prompts import COT_SUFFIX
from tests.support.exam_service import command, evaluate, exam_service, gsm8k, lines, perfect

KILLS = 20
COUNT = 120
SETTINGS = {"evaluate": FORMAT, "benchmark": "gsm8k", "samples": 1}


def timeless(file: Path) -> list[dict[str, Any]]:
    """The file's lines, header too, without what a clock measured."""
    found = [json.loads(line) for line in file.read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in found]


def test_twenty_kills_at_random_points_change_nothing(tmp_path: Path) -> None:
    """Each kill comes after a random number of new lines and a random part of a second, so also amid a write.

    A question that was in flight at a kill is asked again: only its line counts as answered.
    """
    data, whole, broken = gsm8k(tmp_path, COUNT), tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    chance = random.Random(8)
    kills, sizes = 0, [0]
    with exam_service(tmp_path / "exam", perfect(COUNT), PAUSE="0.05") as service:
        arguments = ("gsm8k", "--url", service.url, "--data", data, "--concurrency", 4)
        assert evaluate(*arguments, "--out", whole)[0] == 0
        seen: list[bytes] = []
        while kills < KILLS:
            process = subprocess.Popen(
                command(*arguments, "--out", broken), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            wanted = sizes[-1] + chance.randrange(6)
            while process.poll() is None and (broken.read_bytes().count(b"\n") if broken.exists() else 0) < wanted:
                time.sleep(0.005)
            time.sleep(chance.random() * 0.1)
            assert process.poll() is None, "the run was over before it could be killed: raise COUNT"
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            content = broken.read_bytes() if broken.exists() else b""
            for before, after in zip(seen, content.split(b"\n")[:-1], strict=False):
                assert before == after  # what was answered stays, byte for byte
            seen = content.split(b"\n")[:-1]
            sizes.append(len(seen))
        asked_before = [each["question"] for each in service.asked()]
        answered = {line["prompt"].removesuffix(COT_SUFFIX["en"]) for line in map(json.loads, seen[1:])}
        assert answered <= set(asked_before)
        assert evaluate(*arguments, "--out", broken)[0] == 0
        asked_after = [each["question"] for each in service.asked()][len(asked_before) :]
    assert kills == KILLS
    assert timeless(broken) == timeless(whole)
    assert len({line["id"] for line in lines(broken)}) == COUNT
    assert not answered & set(asked_after)  # nothing that had its line was asked again
    print(f"\n{kills} kills; lines in the file after each: {sizes[1:]}")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_says_how_to_go_on(tmp_path: Path, stop: signal.Signals) -> None:
    out = tmp_path / "out.jsonl"
    with exam_service(tmp_path / "exam", perfect(60), PAUSE="0.2") as service:
        arguments = ("gsm8k", "--url", service.url, "--data", gsm8k(tmp_path, 60), "--out", out, "--concurrency", 2)
        process = subprocess.Popen(command(*arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while process.poll() is None and (out.read_bytes().count(b"\n") if out.exists() else 0) < 3:
            time.sleep(0.01)
        process.send_signal(stop)
        _, said = process.communicate(timeout=60)
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[stop]
        assert b"The same command goes on from here" in said
        assert b"Traceback" not in said
        assert 2 <= len(lines(out)) < 60


def test_a_line_torn_anywhere_is_cut_off_and_repeated(tmp_path: Path) -> None:
    """Every length that a killed write can leave."""
    file = tmp_path / "run.jsonl"
    with Results(file, SETTINGS) as results:
        results.keep({"id": "a", "text": "π\n"})
        results.keep({"id": "b", "text": "\u2028"})
    content = file.read_bytes()
    for length in range(len(content) + 1):
        file.write_bytes(content[:length])
        with Results(file, SETTINGS) as results:
            whole = content[:length].count(b"\n")
            assert [line["id"] for line in results.answered] == ["a", "b"][: max(0, whole - 1)]
            for id, text in (("a", "π\n"), ("b", "\u2028")):
                if id not in results.ids:
                    results.keep({"id": id, "text": text})
        assert file.read_bytes() == content


def test_a_run_with_other_settings_is_refused_with_the_difference(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with Results(file, SETTINGS) as results:
        results.keep({"id": "a"})
    before = file.read_bytes()
    with pytest.raises(JobError, match=r"other settings \(samples 1, now 8\)"):
        Results(file, SETTINGS | {"samples": 8})
    assert file.read_bytes() == before


def test_a_header_alone_blocks_no_corrected_command(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    for content in (
        "",
        f'{{"evaluate": {FORMAT}}}\n',
        f'{{"evaluate": {FORMAT}, "samp',
        '{"eva',
        f'{{"evaluate": {FORMAT}}}\n{{"id": "a',
    ):
        file.write_text(content)
        with Results(file, SETTINGS) as results:
            results.keep({"id": "a"})
        assert load(file) == (SETTINGS, [{"id": "a"}])


def test_the_same_questions_from_another_place_are_the_same_run(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with Results(file, SETTINGS, {"source": "here"}) as results:
        results.keep({"id": "a"})
    with Results(file, SETTINGS, {"source": "there"}) as results:
        assert results.ids == {"a"}


def test_other_files_of_one_checkpoint_name_are_another_run(tmp_path: Path) -> None:
    arguments = ("gsm8k", "--data", gsm8k(tmp_path, 3), "--out", tmp_path / "out.jsonl")
    with exam_service(tmp_path / "a", perfect(3), DIGEST="d1") as service:
        assert evaluate(*arguments, "--url", service.url)[0] == 0
    with exam_service(tmp_path / "b", perfect(3), DIGEST="d2") as service:
        status, _, said = evaluate(*arguments, "--url", service.url)
    assert (status, "checkpoint_digest 'd1', now 'd2'" in said) == (2, True), said


def test_another_dtype_or_server_behind_the_service_is_another_run(tmp_path: Path) -> None:
    """A service before a server elsewhere knows no digest: what stands there is all that tells two models apart."""
    arguments = ("gsm8k", "--data", gsm8k(tmp_path, 3), "--out", tmp_path / "out.jsonl")
    with exam_service(tmp_path / "a", perfect(3), ENGINE="context 4096, a at one:1") as service:
        assert evaluate(*arguments, "--url", service.url)[0] == 0
    with exam_service(tmp_path / "b", perfect(3), ENGINE="context 4096, b at two:1") as service:
        status, _, said = evaluate(*arguments, "--url", service.url)
    told = "engine_settings 'context 4096, a at one:1', now 'context 4096, b at two:1'"
    assert (status, told in said) == (2, True), said


def test_other_expected_answers_of_the_published_grader_are_other_questions() -> None:
    questions = [Question("q", "?", "1", answers) for answers in (("1",), ("2",))]
    served = Served("rl", "d", "e", 1, frozenset())
    first, second = (Plan(BENCHMARKS["gsm8k"], "cot", (question,)).settings(served) for question in questions)
    assert first["digest"] != second["digest"]


def test_a_question_that_is_missing_or_there_twice_is_told(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with Results(file, SETTINGS) as results:
        for id in "ab":
            results.keep({"id": id})
        for ids in ("abc", "a"):
            with pytest.raises(JobError, match="1 questions are missing, have two lines or are not of"):
                results.finish(ids)
        results.keep({"id": "b"})
        with pytest.raises(JobError, match="damaged: 1 .* for example b"):
            results.finish("ab")
    with pytest.raises(JobError, match="line 4 is the second one of b"):
        load(file)
    file.write_text(file.read_text().replace('{"id": "b"}\n', "{}\n", 1))
    with pytest.raises(JobError, match="line 3 has no question's id"):
        load(file)


def test_other_questions_or_limits_are_other_settings(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    with exam_service(tmp_path / "exam", perfect(5)) as service:
        arguments = ("gsm8k", "--url", service.url, "--out", out)
        assert evaluate(*arguments, "--data", gsm8k(tmp_path, 3))[0] == 0
        status, _, said = evaluate(*arguments, "--data", gsm8k(tmp_path, 5))
        assert status == 2
        assert "questions 3, now 5" in said
        other = gsm8k(tmp_path, 3)
        other.write_text(other.read_text().replace("number 2", "number 4"))
        status, _, said = evaluate(*arguments, "--data", other)
        assert status == 2
        assert f"other questions or shots, though from {tmp_path / 'gsm8k-3.jsonl'} as before" in said
        moved = other.rename(tmp_path / "moved.jsonl")
        status, _, said = evaluate(*arguments, "--data", moved)
        assert status == 2
        assert f"other questions or shots: they were from {other}, and are now from {moved}" in said


def test_a_file_that_is_no_results_file_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    for content in ("my notes", "my notes\n", '{"id": 1}\n', "[1]\n", f'{{"evaluate": {FORMAT}}}\nnonsense\n'):
        file.write_text(content)
        with pytest.raises(
            JobError, match="line 2 is not valid JSON" if "evaluate" in content else "is not a results file"
        ):
            Results(file, SETTINGS)
        assert file.read_text() == content
    with pytest.raises(JobError, match="can't be read"):
        load(tmp_path / "none.jsonl")


def test_two_runs_can_t_write_one_file(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with Results(file, SETTINGS), pytest.raises(JobError, match="another run is writing to it"):
        Results(file, SETTINGS)
    with Results(file, SETTINGS):
        pass


def test_the_finished_file_is_in_the_questions_order(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with Results(file, SETTINGS) as results:
        for id in ("c", "a", "b"):
            results.keep({"id": id})
        results.finish(["a", "b", "c"])
    assert [line["id"] for line in load(file)[1]] == ["a", "b", "c"]
    assert os.listdir(tmp_path) == ["run.jsonl"]
