"""What ends a run from outside: a kill, a service that restarts or is gone, a full disk. No row is lost."""

import asyncio
import json
import random
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from deepseek_math.batch import asker
from deepseek_math.batch.row import Row
from deepseek_math.jobs import asking
from deepseek_math.jobs.asking import AskingFailed, at_once
from deepseek_math.local.server import free_port
from deepseek_math.paths import ROOT
from deepseek_math.retry import RetryPolicy
from tests.support.exam_service import ExamService, batch, dsm, exam_service, perfect, write

KILLS = 10
COUNT = 300


def questions(folder: Path, count: int) -> Path:
    rows = [{"id": n, "question": f"What is number {n} of all?"} for n in range(count)]
    return write(folder / "q.jsonl", *rows)


def answers(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def wait_for_lines(process: subprocess.Popen[bytes], journal: Path, wanted: int) -> None:
    while process.poll() is None and lines(journal) < wanted:
        time.sleep(0.005)
    assert process.poll() is None, "the run was over too soon: raise COUNT"


def test_ten_kills_at_random_points_lose_no_row_and_ask_none_twice(tmp_path: Path) -> None:
    """Each kill comes after a random number of new lines and a random part of a second, so also amid a write, and the
    last line is torn at a random point each time. A row in flight at a kill is asked again: it has no line."""
    file, out, journal = questions(tmp_path, COUNT), tmp_path / "a.jsonl", tmp_path / "a.jsonl.journal"
    chance = random.Random(24)
    with exam_service(tmp_path / "exam", perfect(COUNT), PAUSE="0.05") as service:
        command = dsm("batch", file, "-o", out, "--url", service.url, "--concurrency", 6)
        kept: list[bytes] = []
        for _ in range(KILLS):
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for_lines(process, journal, len(kept) + 1 + chance.randrange(12))
            time.sleep(chance.random() * 0.1)
            process.send_signal(signal.SIGKILL)
            process.wait()
            content = journal.read_bytes()
            assert content.split(b"\n")[: len(kept)] == kept  # what was answered stays, byte for byte
            kept = content.split(b"\n")[:-1]
            with journal.open("ab") as torn:
                torn.write(kept[-1][: chance.randrange(len(kept[-1]))])
            assert not out.exists()
        answered = {json.loads(line)["row"] - 1 for line in kept[1:]}
        before = len(service.asked())
        status, summary, said = batch(*command[4:])
        assert (status, summary["with_answer"]) == (0, COUNT), said
        asked_after = [each["question"] for each in service.asked()][before:]
    assert [(row["id"], row["answer"]) for row in answers(out)] == [(n, str(n)) for n in range(COUNT)]
    assert len(asked_after) == COUNT - len(answered)
    assert not {f"What is number {n} of all?" for n in answered} & set(asked_after)
    assert lines(journal) == COUNT + 1


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_says_how_to_go_on(tmp_path: Path, stop: signal.Signals) -> None:
    out = tmp_path / "a.jsonl"
    with exam_service(tmp_path / "exam", perfect(60), PAUSE="0.2") as service:
        command = dsm("batch", questions(tmp_path, 60), "-o", out, "--url", service.url, "--concurrency", 2)
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for_lines(process, tmp_path / "a.jsonl.journal", 3)
        process.send_signal(stop)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + stop
    assert b"The same command goes on from here" in said
    assert b"Traceback" not in said
    assert not out.exists()


def test_a_service_that_restarts_in_the_middle_is_waited_for(tmp_path: Path) -> None:
    out, port = tmp_path / "a.jsonl", free_port()
    command = dsm("batch", questions(tmp_path, 60), "-o", out, "--url", f"http://127.0.0.1:{port}")
    with exam_service(tmp_path / "exam", perfect(60), port=port, PAUSE="0.2"):
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        wait_for_lines(process, tmp_path / "a.jsonl.journal", 5)
    with exam_service(tmp_path / "exam", perfect(60), port=port):
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert [row["answer"] for row in answers(out)] == [str(n) for n in range(60)]


def test_a_service_that_is_gone_ends_the_run_and_what_was_answered_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "RETRY", RetryPolicy(attempts=2, first_wait=0.0))
    file, out, journal = questions(tmp_path, 40), tmp_path / "a.jsonl", tmp_path / "a.jsonl.journal"
    with exam_service(tmp_path / "exam", perfect(40), PAUSE="0.1") as service:
        stopping = threading.Thread(target=stop_service, args=(service, journal))
        stopping.start()
        status, _, said = batch(file, "-o", out, "--url", service.url, "--concurrency", 2)
        stopping.join()
    assert (status, "did not answer" in said, out.exists()) == (2, True, False), said
    assert lines(journal) > 5
    status, _, said = batch(file, "-o", out, "--url", service.url)
    assert (status, "does not answer as this service does" in said) == (2, True), said


def stop_service(service: ExamService, journal: Path) -> None:
    """Once the journal has some answers."""
    while lines(journal) < 6:
        time.sleep(0.01)
    service.stop()


async def test_what_a_service_that_is_gone_has_not_answered_is_asked_at_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(asking, "RETRY", RetryPolicy(attempts=2, first_wait=0.0))
    gone = f"http://127.0.0.1:{free_port()}"
    rows = [Row(n + 1, {}, {"prompt": f"What is number {n} of all?"}) for n in range(20)]
    with exam_service(tmp_path / "exam", perfect(20)) as service:
        found = [line async for line in asker.answers(rows, [gone, service.url], 3)]
        assert sorted(int(line["answer"]) for line in found) == list(range(20))
        assert capsys.readouterr().err.count(f"{gone} is left out from here on: the service did not answer") == 1
        with pytest.raises(AskingFailed, match="did not answer .*, 2 times"):
            assert not [line async for line in asker.answers(rows, [gone], 3)]


async def test_as_many_are_asked_at_once_as_were_told_and_closing_cancels_them() -> None:
    running, most, cancelled = 0, 0, 0

    async def answer(item: int, url: str) -> int:
        nonlocal running, most, cancelled
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(0 if item < 20 else 60)
        except asyncio.CancelledError:
            cancelled += 1
            raise
        finally:
            running -= 1
        return item

    answers = at_once(iter(range(40)), answer, ["a", "b"], 3)
    assert sorted([await anext(answers) for _ in range(20)]) == list(range(20))
    await answers.aclose()
    assert (most, running) == (6, 0)
    assert cancelled > 0


def test_a_full_disk_keeps_what_was_answered_and_says_so(tmp_path: Path) -> None:
    """A limit on the size of files is what a process meets on a full disk: a write that is partial, then an error."""
    file, out, journal = questions(tmp_path, 40), tmp_path / "a.jsonl", tmp_path / "a.jsonl.journal"
    with exam_service(tmp_path / "exam", perfect(40)) as service:
        command = dsm("batch", file, "-o", out, "--url", service.url)

        def small_disk() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=small_disk)
        assert (done.returncode, "File too large" in done.stderr) == (2, True), done.stderr
        assert "Traceback" not in done.stderr
        assert journal.stat().st_size == 5000
        kept = lines(journal) - 1
        before = len(service.asked())
        assert 0 < kept < 40
        assert batch(*command[4:])[0] == 0
        assert len(service.asked()) - before == 40 - kept
    assert [row["answer"] for row in answers(out)] == [str(n) for n in range(40)]


FEW, MANY = 2_000, 20_000
MEASURED = """
import asyncio, re, sys
from deepseek_math.batch import asker
from deepseek_math.batch.command import main
from deepseek_math.jobs import served, ray_workers

async def ask(session, url, inputs):
    await asyncio.sleep(0)
    metrics = {"answer": "1", "completion_tokens": 9, "finish_reason": "stop"}
    return {"status": "succeeded", "output": ["word " * 100], "metrics": metrics}

async def identify(url):
    return served.Served("rl", "d1", "e", 16, frozenset({"prompt"}))

asker.ask, served.identify = ask, identify
assert main(sys.argv[1:]) == 0
print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])  # that of rusage begins with the parent's
"""


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """All but HTTP is real. What is allowed is what keys and places take, 16 bytes a row, and the noise of malloc."""
    peaks = []
    for count in (FEW, MANY):
        file = tmp_path / f"{count}.jsonl"
        with file.open("w") as rows:
            for number in range(count):
                rows.write(json.dumps({"id": number, "question": f"What is number {number}? {'x' * 200}"}) + "\n")
        command = ["batch", str(file), "-o", str(tmp_path / f"{count}-a.jsonl"), "--url", "http://127.0.0.1:9"]
        done = subprocess.run(
            [*dsm()[:1], "-c", MEASURED, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        peaks.append(int(done.stdout.splitlines()[-1]) / 1024)
        assert sum(1 for _ in (tmp_path / f"{count}-a.jsonl").open()) == count
    assert peaks[1] - peaks[0] < 5, f"{peaks} MiB"


def test_ray_workers_write_what_one_run_writes(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="ray is not installed here: make setup-evaluate")
    file = questions(tmp_path, 30)
    with file.open("a") as more:
        more.write('{"id": "bad", "question": 5}\n')
    with exam_service(tmp_path / "a", perfect(30)) as a, exam_service(tmp_path / "b", perfect(30)) as b:
        command = dsm("batch", file, "--url", a.url, "-o", tmp_path / "one.jsonl", "seed=0")
        assert subprocess.run(command, cwd=ROOT, capture_output=True, check=False).returncode == 1
        asked = len(a.asked())
        command = dsm("batch", file, "--url", a.url, "--url", b.url, "--ray", 2, "-o", tmp_path / "ray.jsonl", "seed=0")
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stderr
        assert len(a.asked()) - asked + len(b.asked()) == 30
    assert answers(tmp_path / "ray.jsonl") == answers(tmp_path / "one.jsonl")
