"""What a service refuses, what may pass and is waited for, and what ends a run."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest

from deepseek_math.answers.judging import judge
from deepseek_math.evaluation import data, runner, undecided
from deepseek_math.evaluation.benchmark import EvaluationError
from deepseek_math.evaluation.benchmarks import BENCHMARKS
from deepseek_math.evaluation.plan import Plan
from deepseek_math.jobs import asking
from deepseek_math.local import client
from deepseek_math.retry import RetryPolicy
from tests.support.exam_service import ExamService, evaluate, exam_service, gsm8k, lines, perfect, write


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExamService]:
    with exam_service(tmp_path_factory.mktemp("exam"), perfect(40)) as running:
        yield running


def test_a_question_the_service_can_t_take_is_shown_apart_and_the_run_goes_on(
    service: ExamService, tmp_path: Path
) -> None:
    odd = {"x" * 100_001: "text_too_long", "<|end|> What?": "control_token", "": "prompt_empty", " ": "prompt_empty"}
    odd |= {"Half \ud83d?": "text_invalid"}
    rows = [{"question": text, "answer": "1"} for text in odd] + [
        {"question": "What is number 1 of all?", "answer": "1"}
    ]
    file, out = write(tmp_path / "q.jsonl", *rows), tmp_path / "out.jsonl"
    status, summary, said = evaluate("gsm8k", "--url", service.url, "--data", file, "--out", out)
    assert (status, summary["correct"], summary["questions"]) == (3, 1, 6), said
    assert summary["refused"] == {"text_too_long": 1, "control_token": 1, "prompt_empty": 2, "text_invalid": 1}
    assert [line["error"] for line in lines(out)] == [*odd.values(), None]
    assert "refused    5 questions, which count as wrong: text_too_long 1, control_token 1, prompt_empty 2" in said
    assert "not comparable: 5 questions were refused, which alone may be the reason" in said
    before = len(service.asked())
    assert evaluate("gsm8k", "--url", service.url, "--data", file, "--out", out)[0] == 3
    assert len(service.asked()) == before


def test_a_run_whose_questions_are_all_refused_measured_nothing(service: ExamService, tmp_path: Path) -> None:
    file = write(tmp_path / "q.jsonl", *[{"question": "What? " * 16_600, "answer": "1"}] * 2)
    status, summary, said = evaluate("gsm8k", "--url", service.url, "--data", file, "--out", tmp_path / "out.jsonl")
    assert (status, summary["refused"]) == (2, {"context_exceeded": 2}), said
    assert "Every question was refused" in said


def test_refusals_that_can_t_have_made_the_difference_leave_the_verdict(service: ExamService, tmp_path: Path) -> None:
    rows = [{"question": f"What is number {n} of all?", "answer": "-1"} for n in range(40)] + [
        {"question": "", "answer": "1"}
    ]
    file = write(tmp_path / "q.jsonl", *rows)
    status, summary, said = evaluate("gsm8k", "--url", service.url, "--data", file, "--out", tmp_path / "out.jsonl")
    assert (status, summary["refused"], summary["reached"]) == (1, {"prompt_empty": 1}, False), said


@pytest.fixture
async def judging() -> AsyncIterator[None]:
    yield
    await judge().close()


async def answered(url: str, file: Path) -> list[dict[str, Any]]:
    questions = tuple(data.questions(BENCHMARKS["gsm8k"], file, None, file.parent)[0])
    async with aclosing(runner.answers(Plan(BENCHMARKS["gsm8k"], "cot", questions), questions, url, 4)) as found:
        return [line async for line in found]


@pytest.mark.usefixtures("judging")
async def test_an_engine_s_fault_is_tried_again_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "RETRY", RetryPolicy(attempts=3, first_wait=0.0))
    file = gsm8k(tmp_path, 6)
    with exam_service(tmp_path / "twice", perfect(6), FAULTS="2") as service:
        found = await answered(service.url, file)
        assert sorted(line["answer"] for line in found) == list("012345")
        assert {line["error"] for line in found} == {None}
    told = r"engine_failed.*, 3 times\. What was answered so far is kept"
    with (
        exam_service(tmp_path / "thrice", perfect(6), FAULTS="3") as service,
        pytest.raises(EvaluationError, match=told),
    ):
        await answered(service.url, file)


@pytest.mark.usefixtures("judging")
async def test_a_comparison_that_failed_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine two seconds of wall time may pass before a worker gets its turn."""
    await judge().start()
    judge()._seconds = 0.0
    trying = asyncio.create_task(undecided.equivalent("x+x", "2x"))
    while not judge()._known:  # noqa: ASYNC110  # the first try has no event
        await asyncio.sleep(0.01)
    assert not trying.done()
    judge()._seconds = 60.0
    assert await trying


@pytest.mark.usefixtures("judging")
async def test_a_question_whose_comparison_fails_twice_is_told_from_a_wrong_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undecided, "RETRY_SECONDS", 0.0)
    exam = {"What is the sum?": "\\boxed{x+x}", "What is the product?": "\\boxed{7}"}
    rows = [{"question": text, "answer": answer} for text, answer in zip(exam, ("2x", "8"), strict=True)]
    file = write(tmp_path / "q.jsonl", *rows)
    with exam_service(tmp_path / "exam", exam) as service:
        await judge().start()
        judge()._seconds = 0.0
        found = {line["expected"]: line for line in await answered(service.url, file)}
    assert [found["2x"]["correct"], found["2x"]["undecided"]] == [False, "took over 0 s"]
    assert [found["8"]["correct"], found["8"]["undecided"]] == [False, None]


class Proxy:
    """Passes connections on to a service; the first ones it drops, answers with a status, or cuts off amid
    the answer, with HTTP's own end or without."""

    def __init__(self, url: str, ways: list[str]) -> None:
        self._port, self.ways = int(url.rpartition(":")[2]), ways

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way = self.ways.pop() if self.ways else ""
        there, onwards = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            while request := await reader.read(65536):
                if way == "drop":
                    return
                if way in ("406", "503"):
                    head = f"HTTP/1.1 {way} Later\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"
                    writer.write(f"{head}later".encode())
                    return
                onwards.write(request)
                while piece := await there.read(65536):
                    writer.write(piece)
                    await writer.drain()
                    if way in ("cut", "end") and b"event: start" in piece:
                        writer.write(b"0\r\n\r\n" if way == "end" else b"")
                        return
                    if piece.endswith(b"0\r\n\r\n"):
                        break
        finally:
            writer.close()
            onwards.close()


@pytest.mark.usefixtures("judging")
async def test_a_dropped_connection_a_503_a_server_that_starts_and_a_cut_stream_are_tried_again(
    service: ExamService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "RETRY", RetryPolicy(attempts=5, first_wait=0.0))
    proxy = Proxy(service.url, ["drop", "503", "406", "cut", "end"])
    async with await asyncio.start_server(proxy.pass_on, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        found = await answered(url, gsm8k(tmp_path, 6))
    assert proxy.ways == []
    assert sorted(line["answer"] for line in found) == list("012345")


@pytest.mark.usefixtures("judging")
async def test_a_service_that_falls_silent_is_not_waited_for_for_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream has a sign of life every 15 seconds, so a pause that is longer than the bound passes, and silence does
    not."""
    monkeypatch.setattr(asking, "RETRY", RetryPolicy(attempts=1))
    assert client.TIMEOUT.read is not None
    assert 15 < client.TIMEOUT.read <= 300
    monkeypatch.setattr(client, "TIMEOUT", httpx.Timeout(10.0, read=20.0))
    with exam_service(tmp_path / "slow", perfect(1), PAUSE="22") as slow:
        assert [line["answer"] for line in await answered(slow.url, gsm8k(tmp_path, 1))] == ["0"]
    monkeypatch.setattr(client, "TIMEOUT", httpx.Timeout(10.0, read=0.2))

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: start\ndata: {}\n\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        with pytest.raises(EvaluationError, match="did not answer .ReadTimeout"):
            await answered(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", gsm8k(tmp_path, 1))


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
