"""Live chunks, cancellation and errors through a real coglet process."""

import asyncio
import json
import queue
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest
from cog import CancelationException

from deepseek_math.cog import live
from deepseek_math.local.client import Event, PredictionRefused, cancel, stream
from deepseek_math.local.server import LocalServer
from deepseek_math.paths import ROOT
from tests.support.predictor_inputs import COUNTING

SOON = 1.0  # seconds; it takes milliseconds on an idle machine
PREDICTORS = ROOT / "tests/support/predictors"


class Counting:
    """The counting Predictor behind a real server."""

    def __init__(self, server: LocalServer, notes: Path) -> None:
        self.server, self.url, self.notes = server, server.url, notes

    def events(self, **inputs: Any) -> list[Event]:
        return list(stream(self.url, inputs, prediction_id=inputs["name"]))

    def cancel(self, name: str) -> bool:
        return cancel(self.url, name)

    def noted(self, name: str, what: str, timeout: float = 5.0) -> float:
        """The time.time() of a note; waits for it."""
        deadline = time.time() + timeout
        while time.time() < deadline:
            for line in self.notes.read_text().splitlines() if self.notes.exists() else []:
                note = json.loads(line)
                if (note["name"], note["what"]) == (name, what):
                    return float(note["at"])
            time.sleep(0.005)
        raise AssertionError(f"{name} never noted {what!r}: {self.notes.read_text()}")


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counting]:
    folder = tmp_path_factory.mktemp("counting")
    (folder / "counting.py").write_text((PREDICTORS / "counting.py").read_text())
    notes = folder / "notes.jsonl"
    with LocalServer(
        reference="counting.py:Predictor",
        inputs=COUNTING,
        folder=folder,
        concurrency=16,
        environment={"NOTES": str(notes)},
    ) as server:
        yield Counting(server, notes)


def outputs(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == "output"]


def text(events: list[Event]) -> str:
    return "".join(event.data["chunk"] for event in outputs(events))


def counted(name: str, chunks: int) -> str:
    return "".join(f"{name}{number};" for number in range(chunks))


def test_sixteen_streams_arrive_live_and_uncrossed(counting: Counting) -> None:
    names = [chr(ord("a") + number) for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        started = time.perf_counter()
        streams = list(pool.map(lambda name: counting.events(name=name, chunks=20, pause=0.1), names))
        took = time.perf_counter() - started
    for name, events in zip(names, streams, strict=True):
        assert text(events) == counted(name, 20)
        arrivals = [event.at - started for event in outputs(events)]
        assert len(arrivals) >= 15  # a busy machine may join a few
        assert arrivals[0] < 0.5 * took  # collected chunks would all arrive at the end
        assert arrivals[-1] - arrivals[0] > 0.7 * 19 * 0.1
        final = events[-1].data
        assert (final["status"], final["metrics"]["sent"]) == ("succeeded", 19)
        assert [line for line in final["logs"].splitlines() if "log of" in line] == [f"log of {name}"]


def test_fast_pieces_are_joined_to_forty_chunks_a_second(counting: Counting) -> None:
    began = time.monotonic()
    events = counting.events(name="fast", chunks=600, pause=0.002)
    took = time.monotonic() - began  # no less than it took the server: 1.2 s or more
    assert text(events) == counted("fast", 600)
    assert 10 < len(outputs(events)) <= 2 + 40 * took


def test_slow_pieces_are_not_held_back(counting: Counting) -> None:
    arrivals = [event.at for event in outputs(counting.events(name="slow", chunks=6, pause=0.2))]
    assert len(arrivals) == 6  # none was joined to the next
    gaps = [later - earlier for earlier, later in pairwise(arrivals)]
    assert all(gap < 2 for gap in gaps)
    assert median(gaps) > 0.1  # a chunk that a busy machine delays is near to the next


@pytest.mark.parametrize(("name", "pause"), [("cancelled", 0.05), ("interrupted", 0.002)])
def test_a_cancel_reaches_the_work_and_keeps_what_was_sent(counting: Counting, name: str, pause: float) -> None:
    def cancel_soon() -> float:
        time.sleep(0.5)
        assert counting.cancel(name)
        return time.time()

    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(counting.events, name=f"beside {name}", chunks=20, pause=0.05)
        cancelled = pool.submit(cancel_soon)
        events = counting.events(name=name, chunks=5000, pause=pause)
    assert counting.noted(name, "stopped") < cancelled.result() + SOON
    final = events[-1].data
    assert final["status"] == "canceled"
    assert "".join(final["output"]) == text(events)
    sent = final["metrics"]["sent"]
    assert sent >= 5
    assert text(events) == counted(name, text(events).count(";"))
    assert text(events).count(";") in (sent, sent + 1)
    assert f"log of {name}" in final["logs"]
    assert text(other.result()) == counted(f"beside {name}", 20)


def test_a_dropped_stream_reaches_the_work(counting: Counting) -> None:
    events = stream(counting.url, {"name": "dropped", "chunks": 100, "pause": 0.05}, "dropped")
    while next(events).kind != "output":
        pass
    dropped = time.time()
    events.close()
    assert counting.noted("dropped", "stopped") < dropped + SOON


def test_a_dropped_plain_request_reaches_the_work(counting: Counting) -> None:
    body = {"id": "impatient", "input": {"name": "impatient", "chunks": 100, "pause": 0.05}}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{counting.url}/predictions", json=body, timeout=0.5)
    dropped = time.time()
    assert counting.noted("impatient", "stopped") < dropped + SOON


def test_a_stream_that_nobody_reads_is_ended_though_its_cancel_was_lost(counting: Counting) -> None:
    inputs = {"name": "orphan", "chunks": 400, "pause": 0.05, "loses_a_cancel": True}
    events = stream(counting.url, inputs, "orphan")
    while next(events).kind != "output":
        pass
    events.close()
    counting.noted("orphan", "stopped")


def test_a_cancel_that_was_lost_is_asked_for_again(counting: Counting) -> None:
    inputs = {"name": "lost", "chunks": 400, "pause": 0.05, "loses_a_cancel": True}
    events = stream(counting.url, inputs, "lost")
    while next(events).kind != "output":
        pass
    assert counting.cancel("lost")
    *_, last = events
    assert last.data["status"] == "canceled"
    assert not counting.cancel("lost")  # it is over


def test_a_prediction_with_a_reader_or_without_need_of_one_is_left_alone(counting: Counting) -> None:
    """A stream that is read, a plain request, and an asynchronous one, each at work for longer than LOOK_SECONDS."""
    inputs = {"chunks": 40, "pause": 0.05}
    url = f"{counting.url}/predictions"
    with ThreadPoolExecutor(2) as pool:
        streamed = pool.submit(counting.events, name="read", **inputs)
        plain = pool.submit(httpx.post, url, json={"input": {"name": "plain"} | inputs}, timeout=60)
        asynchronous = {"input": {"name": "asynchronous"} | inputs}
        assert httpx.post(url, json=asynchronous, headers={"Prefer": "respond-async"}).status_code == 202
        assert streamed.result()[-1].data["status"] == plain.result().json()["status"] == "succeeded"
    counting.noted("asynchronous", "finished")


def test_two_predictions_of_one_id_fail_and_neither_client_gets_the_other_one_s_text(counting: Counting) -> None:
    """Two of Cog's own ids are the same where requests come in one nanosecond; a client may send the same one twice."""
    inputs = {"chunks": 400, "pause": 0.05}
    first = stream(counting.url, {"name": "first"} | inputs, "twin")
    began = [next(first)]
    while began[-1].kind != "output":
        began.append(next(first))
    second = list(stream(counting.url, {"name": "second"} | inputs, "twin"))
    events = [*began, *first]
    assert "second" not in text(events)
    assert "first" not in text(second)
    for ended in (events, second):
        assert ended[-1].data["status"] == "failed"
        assert "prediction_id_shared" in ended[-1].data["error"]
    assert counting.events(name="twin", chunks=2)[-1].data["status"] == "succeeded"  # the id is free again


def test_a_cancel_before_the_stream_exists_stops_it(counting: Counting) -> None:
    threading.Timer(0.3, counting.cancel, ["early"]).start()
    events = counting.events(name="early", late_start=30.0)
    assert events[-1].data["status"] == "canceled"
    counting.noted("early", "stopped before the stream")


def test_the_slot_stays_taken_until_the_cleanup_is_done(counting: Counting) -> None:
    threading.Timer(0.3, counting.cancel, ["tidy"]).start()
    events = counting.events(name="tidy", chunks=100, cleanup=0.5)
    assert events[-1].data["status"] == "canceled"
    assert counting.noted("tidy", "cleaned up", timeout=0.1) <= time.time()


def test_a_second_cancel_does_not_cut_the_cleanup_short(counting: Counting) -> None:
    def cancel_twice() -> None:
        counting.cancel("twice")
        time.sleep(0.1)
        counting.cancel("twice")

    threading.Timer(0.3, cancel_twice).start()
    counting.events(name="twice", chunks=100, cleanup=0.5)
    counting.noted("twice", "cleaned up")


@pytest.mark.parametrize(("name", "pause"), [("broken", 0.05), ("abrupt", 0.002)])
def test_an_exception_reaches_the_client_after_what_was_sent(counting: Counting, name: str, pause: float) -> None:
    """Also what was waiting to be joined with more."""
    events = counting.events(name=name, chunks=10, fail_at=3, pause=pause)
    final = events[-1].data
    assert final["status"] == "failed"
    assert f"{name} broke" in final["error"]
    assert text(events) == counted(name, 3)
    assert final["metrics"]["sent"] == 3
    assert counting.events(name=f"after {name}", chunks=2)[-1].data["status"] == "succeeded"


def test_a_full_server_says_so_at_once(counting: Counting) -> None:
    first: queue.SimpleQueue[str] = queue.SimpleQueue()

    def occupy(name: str) -> None:
        for event in stream(counting.url, {"name": name, "chunks": 30, "pause": 0.1}):
            first.put(event.kind)

    with ThreadPoolExecutor(16) as pool:
        running = [pool.submit(occupy, f"full{number}") for number in range(16)]
        deadline = time.monotonic() + 30
        while counting.server.health().get("status") != "BUSY":
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(PredictionRefused, match="409"):
            next(stream(counting.url, {"name": "one too many"}, patience=0.0))
        assert all(future.exception() is None for future in running)


async def test_a_stream_that_is_dropped_before_its_first_piece_stops_the_work() -> None:
    """coglet may raise its exception in the slot thread after the coroutine has returned and before the first piece."""
    stopped = asyncio.Event()

    async def pieces() -> AsyncGenerator[str, None]:
        try:
            while True:
                yield "text"
                await asyncio.sleep(0.01)
        finally:
            stopped.set()

    chunks = live.stream(pieces())
    await asyncio.sleep(0.05)
    chunks.close()  # type: ignore[attr-defined]
    await asyncio.wait_for(stopped.wait(), 5)


def test_coglet_s_exception_in_a_thread_that_waits_for_a_prediction_is_a_cancel() -> None:
    """In the first milliseconds coglet raises it there, in place of cancelling the future."""
    signal, heard = live._CancelSignal(), threading.Event()
    signal.listen(heard.set)
    future: Future[None] = Future()

    def interrupted(timeout: float | None = None) -> None:
        raise CancelationException

    future.result = interrupted  # type: ignore[method-assign]
    live._watch(future, signal)
    with pytest.raises(CancelledError):
        future.result()
    assert heard.is_set()
    assert future.cancelled()
