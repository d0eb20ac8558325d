"""The Ray Data job answers as a single run does. It needs ray, an extra of about 500 MB with what it brings along."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from deepseek_math.checkpoints import digest, fetch, find
from deepseek_math.jobs import ray_workers
from deepseek_math.jobs.served import MAX_IN_FLIGHT
from deepseek_math.paths import ROOT
from tests.evaluation.test_resume import timeless
from tests.support.exam_service import command, evaluate_alone, exam_service, gsm8k, lines, perfect
from tests.support.predictor_inputs import EXAM_WITHOUT_TOOL

pytest.importorskip("ray", reason="ray is not installed here: make setup-evaluate")

COUNT = 150  # questions: over one batch for each of two workers


def test_two_workers_over_two_services_write_what_one_run_writes_killed_or_not(tmp_path: Path) -> None:
    data, single, spread = gsm8k(tmp_path, COUNT), tmp_path / "single.jsonl", tmp_path / "spread.jsonl"
    exam = perfect(COUNT)
    exam["What is number 7 of all?"] = "\\boxed{8}"
    with exam_service(tmp_path / "a", exam, PAUSE="0.05") as a, exam_service(tmp_path / "b", exam, PAUSE="0.05") as b:
        arguments = ("gsm8k", "--data", data, "--concurrency", 8)
        assert evaluate_alone(*arguments, "--url", a.url, "--out", single)[0] == 0
        before = len(a.asked())
        job = (*arguments, "--url", a.url, "--url", b.url, "--ray", 2, "--out", spread)
        process = subprocess.Popen(
            command(*job), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while process.poll() is None and (len(lines(spread)) if spread.exists() else 0) < COUNT // 5:
            time.sleep(0.02)
        assert process.poll() is None, "the job was over before it could be killed"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        status, summary, said = evaluate_alone(*job)
        assert status == 0, said
        assert (summary["correct"], summary["questions"]) == (COUNT - 1, COUNT)
        share = [len(a.asked()) - before, len(b.asked())]
    assert timeless(spread) == timeless(single)
    assert min(share) >= COUNT // 10, f"one service did all the work: {share}"


def test_workers_whose_machines_decide_on_slots_are_asked_as_much_as_a_service_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHECKPOINT", "tiny-base")
    monkeypatch.delenv("SLOTS", raising=False)
    assert ray_workers.own_service(lambda line: None).slots == MAX_IN_FLIGHT
    monkeypatch.setenv("SLOTS", "5")
    assert ray_workers.own_service(lambda line: None).slots == 5


@pytest.mark.parametrize(("asked", "name"), [("smollm2-135m", "smollm2-135m"), ("demo", "tiny-rl")])
def test_workers_own_services_load_the_driver_s_weights_and_none_is_left_behind(
    asked: str, name: str, smollm2: Path, tmp_path: Path
) -> None:
    """Where a worker would download them again, it fails: there is no package registry. The command runs in another
    folder than the code's, so that workers have Ray's copy of the code alone, as on other machines."""
    job = ("gsm8k", "--data", gsm8k(tmp_path, 2), "--ray", 1, "--max-new-tokens", 4, "--out", tmp_path / "out.jsonl")
    environment = os.environ | {"CHECKPOINT": "none", "COG_WEIGHTS": asked, "SLOTS": "2"}
    environment |= {"PIP_INDEX_URL": "http://127.0.0.1:9", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    environment |= {"PYTHONPATH": str(ROOT), "JOB": str(tmp_path)}
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(command(*job), cwd=tmp_path, env=environment, stdout=said, stderr=said)
        started = set[int]()
        while process.poll() is None:
            started |= set(servers(str(tmp_path)))
            time.sleep(0.2)
    assert process.returncode == 3, (tmp_path / "said").read_text()  # nothing was published for it
    assert started
    header = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    found = (header["checkpoint"], header["checkpoint_digest"], header["engine"])
    assert found == (name, digest(fetch(find(name))), "llama_cpp")  # as in a single run's
    assert [line["tokens"] for line in lines(tmp_path / "out.jsonl")] == [4, 4]
    assert servers(str(tmp_path)) == []


def servers(job: str) -> list[int]:
    """Process ids of Cog's servers that a job's Ray workers started: those run Ray's copy of the code."""
    found = []
    for each in psutil.process_iter(["cmdline", "cwd", "environ"]):
        copied = "working_dir_files" in (each.info["cwd"] or "")
        of_job = (each.info["environ"] or {}).get("JOB") == job
        if copied and of_job and "cog.server.http" in (each.info["cmdline"] or []):
            found.append(each.pid)
    return found


def test_services_of_two_kinds_are_refused(tmp_path: Path) -> None:
    with exam_service(tmp_path / "a", {"1": "2"}) as a, exam_service(tmp_path / "b", {"1": "2"}, NAME="instruct") as b:
        job = ("gsm8k", "--data", gsm8k(tmp_path, 4), "--url", a.url, "--url", b.url, "--ray", 2)
        status, _, said = evaluate_alone(*job, "--out", tmp_path / "out.jsonl")
    assert status == 2
    engine = "(d1) on scripted (context 100000)"
    assert f"{b.url} serves instruct {engine}, but {a.url} serves rl {engine}" in said


def test_a_service_that_fails_ends_the_job_with_its_reason(tmp_path: Path) -> None:
    with exam_service(tmp_path / "a", {"What": "2"}, EXAM_WITHOUT_TOOL) as a:
        job = ("gsm8k", "--data", gsm8k(tmp_path, 4), "--url", a.url, "--ray", 1, "--mode", "tool")
        status, _, said = evaluate_alone(*job, "--out", tmp_path / "out.jsonl")
    assert status == 2
    assert "is not one of" in said
